"""Discriminators from specifications: PatchGANs (Isola et al. 2017, sections 3.2.2 and 6.1.2)."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import tensorflow.compat.v1 as tf

from p2p_graph.models import ops
from p2p_graph.utils.errors import UserError


class Patch(NamedTuple):
    """One convolution: [N, H, W, C] => [N, h, w, channels].

    Attributes:
      channels: how many it makes.
      stride: 1 or 2.
      norm: whether they are normalised.
      kernel: side of the filter.
      padding: "one" zero on each side, "same" or "valid" (see `ops.conv`).
    """

    channels: int
    stride: int
    norm: bool
    kernel: int = 4
    padding: str = "one"


Layers = tuple[Patch, ...]


def n_layers(count: int, ndf: int = 64) -> Layers:
    """The Torch program's discriminator with so many layers between its first and its last.

    0: `pixel`, of 1x1 convolutions; 1: `patch16`; 2: 34x34; 3: `patch70`; 5: `image286`.
    """
    widths = [ndf * min(2**i, 8) for i in range(count + 1)]
    if count == 0:
        return (
            Patch(ndf, 1, norm=False, kernel=1, padding="valid"),
            Patch(2 * ndf, 1, norm=True, kernel=1, padding="valid"),
            Patch(1, 1, norm=False, kernel=1, padding="valid"),
        )
    strided = [Patch(width, 2, norm=i > 0) for i, width in enumerate(widths[:-1])]
    return (*strided, Patch(widths[-1], 1, norm=True), Patch(1, 1, norm=False))


def patch70(ndf: int = 64) -> Layers:
    """The 70x70 PatchGAN, 30x30 patches for 256x256 pixels."""
    return n_layers(3, ndf)


def _same62(ndf: int) -> Layers:
    """PyImageSearch's (July 2022): 30x30 patches of 62x62 pixels, normalised in one layer alone."""
    return (
        *(Patch(width * ndf, 2, norm=False, padding="same") for width in (1, 2, 4)),
        Patch(8 * ndf, 1, norm=True, padding="same"),
        Patch(1, 1, norm=False, kernel=3, padding="valid"),
    )


def _same94(ndf: int) -> Layers:
    """The deblurring article's: 16x16 patches of 94x94 pixels."""
    return (
        *(Patch(width * ndf, 2, norm=width > 1, padding="same") for width in (1, 2, 4, 8)),
        Patch(1, 1, norm=False, padding="same"),
    )


def _same142(ndf: int) -> Layers:
    """That of Keras on maps: 16x16 patches of 142x142 pixels."""
    *strided, last = _same94(ndf)
    return (*strided, Patch(8 * ndf, 1, norm=True, padding="same"), last)


NAMED: Mapping[str, Callable[[int], Layers]] = {
    "pixel": lambda ndf: n_layers(0, ndf),
    "patch16": lambda ndf: n_layers(1, ndf),
    "patch70": patch70,
    "image286": lambda ndf: n_layers(5, ndf),
    "same62": _same62,
    "same94": _same94,
    "same142": _same142,
}


def layers_of(name: str, ndf: int) -> Layers:
    """Finds a discriminator by its name: one of `NAMED`, or n_layers=K.

    Raises:
      UserError: none is called so.
    """
    if name in NAMED:
        return NAMED[name](ndf)
    if found := re.fullmatch(r"n_layers=(\d)", name):
        return n_layers(int(found[1]), ndf)
    raise UserError(
        f"discriminator must be one of {', '.join(NAMED)}, or n_layers=K with K from 0 to 9, "
        f"not {name!r}"
    )


def receptive_field(layers: Sequence[Patch]) -> int:
    """The side of what one score sees, in pixels."""
    size = 1
    for layer in reversed(layers):
        size = (size - 1) * layer.stride + layer.kernel
    return size


def output_size(size: int, layers: Sequence[Patch]) -> int:
    """The side of the map of patches for images of some side, both in pixels; 0 if none fits."""
    for layer in layers:
        if layer.padding == "same":
            size = -(-size // layer.stride)
            continue
        size = (size + 2 * (layer.padding == "one") - layer.kernel) // layer.stride + 1
        if size < 1:
            return 0
    return size


def smallest_size(layers: Sequence[Patch]) -> int:
    """The smallest side of an image, in pixels, for which there is a patch."""
    size = 1
    while output_size(size, layers) < 1:
        size += 1
    return size


def check_size(layers: Sequence[Patch], size: int) -> None:
    """Checks that images of some side, in pixels, hold a patch.

    Raises:
      UserError: they are too small.
    """
    if output_size(size, layers) < 1:
        raise UserError(
            f"crop_size must be at least {smallest_size(layers)} for this discriminator, not {size}"
        )


def discriminator(
    images: Sequence[tf.Tensor],
    layers: Sequence[Patch],
    *,
    bias: str = "none",
    sigmoid: bool = True,
    settings: ops.LayerSettings = ops.DEFAULT_LAYERS,
) -> tf.Tensor:
    """Scores every patch as real (section 3.2.2 of the paper).

    Its gradient to the images reads the weights late: see `ops` and `model`.

    Args:
      images: what it sees, each float32 [N, H, W, C] in [-1, 1]: usually inputs and targets.
      layers: one entry a convolution, first to last.
      bias: which convolutions have one: "none", "all", the "last", or "unnormed".
      sigmoid: whether scores are probabilities.
      settings: what all layers share.

    Returns:
      float32 [N, h, w, 1]: the probability that the patch is real, in (0, 1); or its logit.

    Raises:
      UserError: the image is smaller than one patch.
    """
    x = tf.concat(list(images), axis=3)
    check_size(layers, min(x.shape.as_list()[1:3]))
    # layer_1: [N, 256, 256, C_in + C_out] => [N, 128, 128, ndf], and on to layer_5: [N, 30, 30, 1]
    for number, layer in enumerate(layers, start=1):
        last = number == len(layers)
        with tf.variable_scope(f"layer_{number}"):
            x = ops.conv(
                x,
                layer.channels,
                layer.stride,
                kernel=layer.kernel,
                padding=layer.padding,
                bias=ops.has_bias(bias, norm=layer.norm, last=last),
                late=True,
                settings=settings,
            )
            x = ops.batchnorm(x, late=True, settings=settings) if layer.norm else x
            x = x if last else ops.lrelu(x, settings.slope)
    x = tf.cast(x, tf.float32)
    return tf.sigmoid(x) if sigmoid else x
