"""The generator: a U-Net from a specification (Isola et al. 2017, sections 3.2.1 and 6.1.1)."""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow.compat.v1 as tf

from p2p_graph import ops


class Encoder(NamedTuple):
    """One level down: [N, H, W, C] => [N, H/2, W/2, channels]."""

    channels: int
    norm: bool


class Decoder(NamedTuple):
    """One level up: [N, H, W, C] => [N, 2H, 2W, channels]."""

    channels: int
    norm: bool
    dropout: float


class UNet(NamedTuple):
    """A U-Net, outermost level first; encoder i and decoder i see the same size."""

    encoders: Sequence[Encoder]
    decoders: Sequence[Decoder]
    separable: bool = False
    bias: bool = False


def unet(
    out_channels: int,
    *,
    ngf: int = 64,
    levels: int = 8,
    dropout: float = 0.5,
    separable: bool = False,
    bias: bool = False,
) -> UNet:
    """The paper's U-Net: 8 levels for 256 pixels, 7 (its `unet_128`) for 128, and so on.

    Args:
      out_channels: of the picture that it makes.
      ngf: channels of the outermost level; the others have 2, 4, 8, 8, ... times as many.
      levels: how often the picture is halved, at least 2.
      dropout: share dropped after the three innermost decoders.
      separable: depthwise separable convolutions instead of full ones.
      bias: a bias on every convolution.
    """
    widths = [ngf * min(2**i, 8) for i in range(levels)]
    encoders = [Encoder(width, norm=i > 0) for i, width in enumerate(widths)]
    decoders = [Decoder(out_channels, norm=False, dropout=0.0)]
    for i, width in enumerate(widths[:-1], start=1):
        decoders.append(Decoder(width, norm=True, dropout=dropout if i >= levels - 3 else 0.0))
    return UNet(tuple(encoders), tuple(decoders), separable, bias)


def generator(inputs: tf.Tensor, spec: UNet, seed: tf.Tensor, *, each: bool = False) -> tf.Tensor:
    """Translates pictures.

    Args:
      inputs: float32 [N, H, W, C_in] in [-1, 1]; H and W are multiples of 2^levels.
      spec: the layers.
      seed: int64 [2], of the dropout masks, the generator's only noise (section 3.1 of the paper).
      each: whether every picture is translated as if it were alone, with its own moments and the
        same masks; otherwise moments and masks are the batch's.

    Returns:
      float32 [N, H, W, C_out] in [-1, 1].
    """
    skips = []
    x = inputs
    # encoder_1: [N, H, W, C_in] => [N, H/2, W/2, ngf], and on to [N, H/2^levels, W/2^levels, 8ngf]
    for level, down in enumerate(spec.encoders, start=1):
        with tf.variable_scope(f"encoder_{level}"):
            x = x if level == 1 else ops.lrelu(x)
            x = _down(x, down.channels, spec)
            x = ops.batchnorm(x, each=each) if down.norm else x
            skips.append(x)
    # decoder_8: [N, 1, 1, 8ngf] => [N, 2, 2, 8ngf], and back to decoder_1: [N, H, W, C_out]
    for level in range(len(spec.decoders), 0, -1):
        up = spec.decoders[level - 1]
        with tf.variable_scope(f"decoder_{level}"):
            skip = skips[level - 1]
            # The innermost decoder has nothing but the encoder before it.
            x = skip if level == len(spec.decoders) else tf.concat([x, skip], axis=3)
            x = _up(tf.nn.relu(x), up.channels, spec)
            x = ops.batchnorm(x, each=each) if up.norm else x
            layer_seed = tf.random.experimental.stateless_fold_in(seed, level)
            x = ops.dropout(x, up.dropout, layer_seed, each=each)
    return tf.tanh(x)


def _down(inputs: tf.Tensor, channels: int, spec: UNet) -> tf.Tensor:
    if spec.separable:
        return ops.separable_conv(inputs, channels, 2, bias=spec.bias)
    return ops.conv(inputs, channels, 2, bias=spec.bias)


def _up(inputs: tf.Tensor, channels: int, spec: UNet) -> tf.Tensor:
    if spec.separable:
        return ops.separable_conv(ops.upsample(inputs), channels, 1, bias=spec.bias)
    return ops.deconv(inputs, channels, bias=spec.bias)
