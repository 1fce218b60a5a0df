"""Discriminators from specifications: PatchGANs (Isola et al. 2017, sections 3.2.2 and 6.1.2)."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import tensorflow.compat.v1 as tf

from p2p_graph.config.image_size import ImageSize
from p2p_graph.config.model_options import N_LAYERS
from p2p_graph.models import ops
from p2p_graph.models.batchnorm import batchnorm
from p2p_graph.models.layer_settings import DEFAULT_LAYERS, LayerSettings, has_bias
from p2p_graph.utils.errors import UserError


class Patch(NamedTuple):
    """One convolution: [N, H, W, C] => [N, h, w, channels].

    Attributes:
      channels: output channels.
      stride: 1 or 2.
      norm: whether batch normalisation follows.
      kernel: side of the filter.
      padding: "one" (a zero on each side), "same" or "valid" (see `ops.conv`).
    """

    channels: int
    stride: int
    norm: bool
    kernel: int = 4
    padding: str = "one"


Layers = tuple[Patch, ...]


def n_layers(count: int, ndf: int = 64) -> Layers:
    """The Torch program's discriminator with `count` layers between the first and the last.

    count  receptive field  name
        0          1 pixel  pixel (1x1 convolutions)
        1               16  patch16
        2               34
        3               70  patch70
        4              142
        5              286  image286
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
    """The PatchGAN with a receptive field of 70 pixels: 30x30 scores at 256x256."""
    return n_layers(3, ndf)


def _same62(ndf: int) -> Layers:
    """PyImageSearch's discriminator (July 2022): receptive field 62, 30x30 scores, one norm."""
    return (
        *(Patch(width * ndf, 2, norm=False, padding="same") for width in (1, 2, 4)),
        Patch(8 * ndf, 1, norm=True, padding="same"),
        Patch(1, 1, norm=False, kernel=3, padding="valid"),
    )


def _same94(ndf: int) -> Layers:
    """The deblurring article's discriminator: receptive field 94, 16x16 scores."""
    return (
        *(Patch(width * ndf, 2, norm=width > 1, padding="same") for width in (1, 2, 4, 8)),
        Patch(1, 1, norm=False, padding="same"),
    )


def _same142(ndf: int) -> Layers:
    """The discriminator of Keras on maps: receptive field 142, 16x16 scores."""
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
    """Finds a discriminator by its name: one of `NAMED`, or n_layers=K."""
    if found := N_LAYERS.fullmatch(name):
        return n_layers(int(found[1]), ndf)
    return NAMED[name](ndf)


def receptive_field(layers: Sequence[Patch]) -> int:
    """The side of the image region that a score depends on, in pixels."""
    size = 1
    for layer in reversed(layers):
        size = (size - 1) * layer.stride + layer.kernel
    return size


def output_size(size: int, layers: Sequence[Patch]) -> int:
    """The side of the grid of scores for images whose side is `size` pixels; 0 if no patch fits."""
    for layer in layers:
        if layer.padding == "same":
            size = -(-size // layer.stride)
            continue
        size = (size + 2 * (layer.padding == "one") - layer.kernel) // layer.stride + 1
        if size < 1:
            return 0
    return size


def smallest_size(layers: Sequence[Patch]) -> int:
    """The smallest side of an image, in pixels, that holds a patch."""
    size = 1
    while output_size(size, layers) < 1:
        size += 1
    return size


def check_size(layers: Sequence[Patch], size: ImageSize) -> None:
    """Checks that images of a size hold a patch.

    Raises:
      UserError: the images are too small; the message names the smallest side.
    """
    if output_size(min(size), layers) < 1:
        raise UserError(
            f"crop_size must be at least {smallest_size(layers)} for this discriminator, not {size}"
        )


def discriminator(
    images: Sequence[tf.Tensor],
    layers: Sequence[Patch],
    *,
    bias: str = "none",
    sigmoid: bool = True,
    settings: LayerSettings = DEFAULT_LAYERS,
) -> tf.Tensor:
    """Scores every patch of a pair as real (Isola et al. 2017, section 3.2.2).

    The gradient to the images rereads the weights (see `ops` and `training.updates`).

    Args:
      images: inputs and targets, float32 [N, H, W, C] in [-1, 1], concatenated along channels.
      layers: one entry a convolution, first to last.
      bias: the convolutions with a bias: "none", "all", "last" or "unnormed".
      sigmoid: whether scores are probabilities.
      settings: what all layers share.

    Returns:
      float32 [N, h, w, 1]: the probability that the patch is real, in (0, 1), or its logit.

    Raises:
      UserError: the image is smaller than one patch.
    """
    x = tf.concat(list(images), axis=3)
    check_size(layers, ImageSize(*x.shape.as_list()[1:3]))
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
                bias=has_bias(bias, norm=layer.norm, last=last),
                reread_weights=True,
                settings=settings,
            )
            x = batchnorm(x, reread_weights=True, settings=settings) if layer.norm else x
            x = x if last else ops.lrelu(x, settings.slope)
    x = tf.cast(x, tf.float32)
    return tf.sigmoid(x) if sigmoid else x
