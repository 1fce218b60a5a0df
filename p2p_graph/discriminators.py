"""The discriminator: a PatchGAN from a specification (Isola et al. 2017, sections 3.2.2, 6.1.2)."""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow.compat.v1 as tf

from p2p_graph import ops
from p2p_graph.errors import UserError


class Patch(NamedTuple):
    """One 4x4 convolution, padded by one: [N, H, W, C] => [N, h, w, channels]."""

    channels: int
    stride: int
    norm: bool


def patch70(ndf: int = 64) -> tuple[Patch, ...]:
    """The 70x70 PatchGAN, 30x30 patches for 256x256 pixels."""
    return (
        Patch(ndf, stride=2, norm=False),
        Patch(2 * ndf, stride=2, norm=True),
        Patch(4 * ndf, stride=2, norm=True),
        Patch(8 * ndf, stride=1, norm=True),
        Patch(1, stride=1, norm=False),
    )


def output_size(size: int, layers: Sequence[Patch]) -> int:
    """The side of the map of patches for pictures of some side, both in pixels; 0 if none fits."""
    for layer in layers:
        size = (size - 2) // layer.stride + 1
        if size < 1:
            return 0
    return size


def smallest_size(layers: Sequence[Patch]) -> int:
    """The smallest side of a picture, in pixels, for which there is a patch."""
    size = 1
    while output_size(size, layers) < 1:
        size += 1
    return size


def check_size(layers: Sequence[Patch], size: int) -> None:
    """Checks that pictures of some side, in pixels, hold a patch.

    Raises:
      UserError: they are too small.
    """
    if output_size(size, layers) < 1:
        raise UserError(
            f"crop_size must be at least {smallest_size(layers)} for this discriminator, not {size}"
        )


def discriminator(
    inputs: tf.Tensor, targets: tf.Tensor, layers: Sequence[Patch], *, bias: bool = False
) -> tf.Tensor:
    """Scores every patch of a pair as real (section 3.2.2 of the paper).

    Its gradient to `inputs` and `targets` reads the weights late: see `ops` and `model`.

    Args:
      inputs: float32 [N, H, W, C_in] in [-1, 1].
      targets: float32 [N, H, W, C_out] in [-1, 1].
      layers: one entry a convolution, first to last.
      bias: a bias on every convolution, and fused batch normalisation: the reference has had both
        since December 2017, and neither before.

    Returns:
      float32 [N, h, w, 1] in (0, 1), the probability that the patch is real.

    Raises:
      UserError: the picture is smaller than one patch.
    """
    check_size(layers, min(inputs.shape.as_list()[1:3]))
    x = tf.concat([inputs, targets], axis=3)
    last = len(layers)
    # layer_1: [N, 256, 256, C_in + C_out] => [N, 128, 128, ndf], and on to layer_5: [N, 30, 30, 1]
    for number, layer in enumerate(layers, start=1):
        with tf.variable_scope(f"layer_{number}"):
            x = ops.conv(x, layer.channels, layer.stride, bias=bias, late=True)
            x = ops.batchnorm(x, fused=bias, late=True) if layer.norm else x
            x = tf.sigmoid(x) if number == last else ops.lrelu(x)
    return x
