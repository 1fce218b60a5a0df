"""The same networks and training step in PyTorch, a baseline for timing.

The networks are affinelayer's. G's gradient needs a second pass through the updated D, as in every
PyTorch pix2pix: autograd refuses stored activations of weights that were updated since.
"""

import contextlib

import torch
from torch import nn

WIDTHS = (1, 2, 4, 8, 8, 8, 8, 8)


class UNet(nn.Module):
    """The generator of 8 levels."""

    def __init__(self, ngf):
        """Makes the layers without biases, as the reference does."""
        super().__init__()
        widths = [ngf * width for width in WIDTHS]
        self.downs, self.ups = nn.ModuleList(), nn.ModuleList()
        for level, width in enumerate(widths):
            conv = nn.Conv2d(widths[level - 1] if level else 3, width, 4, 2, 1, bias=False)
            # PyTorch refuses to normalise a single pixel: the bottleneck at batch size 1.
            normed = 0 < level < 7
            norm = nn.BatchNorm2d(width, track_running_stats=False) if normed else nn.Identity()
            self.downs.append(nn.Sequential(conv, norm))
        for level in range(7, -1, -1):
            channels = widths[level] * (1 if level == 7 else 2)
            width = widths[level - 1] if level else 3
            conv = nn.ConvTranspose2d(channels, width, 4, 2, 1, bias=False)
            norm = nn.BatchNorm2d(width, track_running_stats=False) if level else nn.Identity()
            self.ups.append(
                nn.Sequential(conv, norm, nn.Dropout(0.5) if level > 4 else nn.Identity())
            )

    def forward(self, x):
        """[N, 3, 256, 256] => [N, 3, 256, 256]."""
        skips = []
        for level, down in enumerate(self.downs):
            x = down(nn.functional.leaky_relu(x, 0.2) if level else x)
            skips.append(x)
        for level, up in enumerate(self.ups):
            x = x if level == 0 else torch.cat([x, skips[7 - level]], 1)
            x = up(torch.relu(x))
        return torch.tanh(x)


def patch70(ndf):
    """The 70x70 discriminator."""
    layers, channels = [], 6
    for number, (width, stride) in enumerate(((1, 2), (2, 2), (4, 2), (8, 1))):
        layers.append(nn.Conv2d(channels, width * ndf, 4, stride, 1, bias=False))
        if number:
            layers.append(nn.BatchNorm2d(width * ndf, track_running_stats=False))
        layers.append(nn.LeakyReLU(0.2))
        channels = width * ndf
    return nn.Sequential(*layers, nn.Conv2d(channels, 1, 4, 1, 1, bias=False))


def make_step(batch_size, size, ngf, ndf, *, bf16, channels_last, compiled=False, device="cpu"):
    """Builds networks and optimizers; returns a function that runs one training step."""
    torch.manual_seed(0)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    g, d = (net.to(device).to(memory_format=layout) for net in (UNet(ngf), patch70(ndf)))
    fused = {"fused": True, "lr": 2e-4, "betas": (0.5, 0.999)}
    g_adam, d_adam = (torch.optim.Adam(net.parameters(), **fused) for net in (g, d))
    shape = (batch_size, 3, size, size)
    inputs, targets = (
        torch.empty(shape, device=device).uniform_(-1, 1).contiguous(memory_format=layout)
        for _ in range(2)
    )
    bce = nn.functional.binary_cross_entropy_with_logits
    if compiled:
        g, d = torch.compile(g, mode="max-autotune"), torch.compile(d, mode="max-autotune")

    def cast():
        return torch.autocast(device, torch.bfloat16) if bf16 else contextlib.nullcontext()

    def scores(images):
        with cast():
            return d(torch.cat([inputs, images], 1)).float()

    def step():
        with cast():
            outputs = g(inputs)
        real, fake = scores(targets), scores(outputs.detach())
        loss = bce(real, torch.ones_like(real)) + bce(fake, torch.zeros_like(fake))
        d_adam.zero_grad(set_to_none=True)
        loss.backward()
        d_adam.step()
        d.requires_grad_(False)
        fake = scores(outputs)
        loss = bce(fake, torch.ones_like(fake)) + 100 * (targets - outputs).abs().mean()
        g_adam.zero_grad(set_to_none=True)
        loss.backward()
        g_adam.step()
        d.requires_grad_(True)
        if device != "cpu":
            torch.cuda.synchronize()

    return step
