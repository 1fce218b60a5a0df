"""The networks of junyanz's PyTorch program, written anew: the same names, shapes and outputs."""

import torch
from torch import nn


def _conv(taken, made, *, bias=False, kernel=4, stride=2, pad=1):
    return nn.Conv2d(taken, made, kernel, stride, pad, bias=bias)


def _deconv(taken, made, *, bias=False):
    return nn.ConvTranspose2d(taken, made, 4, 2, 1, bias=bias)


class _Level(nn.Module):
    """A level of the U-Net inside the outermost one: its input beside what is made of it."""

    def __init__(self, outer, inner, below, rate=0.0):
        super().__init__()
        down = [nn.LeakyReLU(0.2), _conv(outer, inner)]
        up = [nn.ReLU(), _deconv(inner if below is None else 2 * inner, outer)]
        if below is not None:
            down += [nn.BatchNorm2d(inner), below]
        self.model = nn.Sequential(*down, *up, nn.BatchNorm2d(outer), nn.Dropout(rate))

    def forward(self, x):
        return torch.cat([x, self.model(x)], 1)


class _Outermost(nn.Module):
    def __init__(self, taken, made, ngf, below):
        super().__init__()
        up = [nn.ReLU(), _deconv(2 * ngf, made, bias=True), nn.Tanh()]
        self.model = nn.Sequential(_conv(taken, ngf), below, *up)

    def forward(self, x):
        return self.model(x)


class Generator(nn.Module):
    """A U-Net of so many levels; dropout behind the fifth and deeper levels but the innermost."""

    def __init__(self, taken, made, levels, ngf, rate=0.0):
        super().__init__()
        widths = [ngf * min(2**i, 8) for i in range(levels)]
        below = None
        for level in range(levels, 1, -1):
            drops = rate if 5 <= level < levels else 0.0
            below = _Level(widths[level - 2], widths[level - 1], below, drops)
        self.model = _Outermost(taken, made, ngf, below)

    def forward(self, x):
        return self.model(x)


class Discriminator(nn.Module):
    """Basic (3 layers) or of another number of layers."""

    def __init__(self, taken, ndf, layers):
        super().__init__()
        widths = [ndf * min(2**i, 8) for i in range(layers + 1)]
        parts = [_conv(taken, ndf, bias=True), nn.LeakyReLU(0.2)]
        for i in range(1, layers + 1):
            parts += [_conv(widths[i - 1], widths[i], stride=1 if i == layers else 2)]
            parts += [nn.BatchNorm2d(widths[i]), nn.LeakyReLU(0.2)]
        self.model = nn.Sequential(*parts, _conv(widths[-1], 1, bias=True, stride=1))

    def forward(self, x):
        return self.model(x)


class PixelDiscriminator(nn.Module):
    """Scores each pixel for itself."""

    def __init__(self, taken, ndf):
        super().__init__()
        one = {"kernel": 1, "stride": 1, "pad": 0}
        self.net = nn.Sequential(
            _conv(taken, ndf, bias=True, **one),
            nn.LeakyReLU(0.2),
            _conv(ndf, 2 * ndf, **one),
            nn.BatchNorm2d(2 * ndf),
            nn.LeakyReLU(0.2),
            _conv(2 * ndf, 1, **one),
        )

    def forward(self, x):
        return self.net(x)


def randomize(network, seed):
    """Draws all parameters anew, so that scales, offsets and biases count."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            around = 1.0 if parameter.ndim == 1 and name.endswith("weight") else 0.0
            width = 0.1 if parameter.ndim == 1 else 0.08
            parameter.copy_(around + width * torch.randn(parameter.shape, generator=generator))
    return network
