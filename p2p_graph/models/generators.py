"""Generators from specifications: U-Nets (Isola et al. 2017, sections 3.2.1 and 6.1.1)."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import tensorflow.compat.v1 as tf

from p2p_graph.models import ops
from p2p_graph.models.batchnorm import batchnorm
from p2p_graph.models.layer_settings import DEFAULT_LAYERS, LayerSettings, has_bias


class Encoder(NamedTuple):
    """One level down: [N, H, W, C] => [N, H/2, W/2, channels]."""

    channels: int
    norm: bool
    bias: bool = False


class Decoder(NamedTuple):
    """One level up: [N, H, W, C] => [N, 2H, 2W, channels]."""

    channels: int
    norm: bool
    dropout: float
    bias: bool = False


class UNet(NamedTuple):
    """A U-Net, outermost level first; encoder i and decoder i work at the same size.

    Attributes:
      encoders: the levels down.
      decoders: the levels up.
      separable: depthwise separable convolutions instead of full ones.
      skips: whether decoders concatenate the encoder's output at their size; without skips the
        network is an encoder-decoder.
      leaky_skips: whether skip connections pass leaky ReLU instead of ReLU.
      settings: what all layers share.
    """

    encoders: Sequence[Encoder]
    decoders: Sequence[Decoder]
    separable: bool = False
    skips: bool = True
    leaky_skips: bool = False
    settings: LayerSettings = DEFAULT_LAYERS


class Pooled(NamedTuple):
    """A small U-Net of 3x3 convolutions, ReLU and max pooling, without normalisation.

    Attributes:
      encoders: channels of the levels down, outermost first.
      bottleneck: channels of the bottleneck's two convolutions.
      deconvs: channels of the transposed convolutions of the levels up, outermost first.
      convs: channels of the convolutions after the transposed ones.
      out_channels: channels of the output image.
      outer_dropout: dropout rate after the outermost encoder, and before the outermost decoder's
        convolution.
      inner_dropout: dropout rate inside the bottleneck.
      settings: what all layers share.
    """

    encoders: Sequence[int]
    bottleneck: tuple[int, int]
    deconvs: Sequence[int]
    convs: int
    out_channels: int
    outer_dropout: float = 0.1
    inner_dropout: float = 0.3
    settings: LayerSettings = DEFAULT_LAYERS


def unet(
    out_channels: int,
    *,
    ngf: int = 64,
    levels: int = 8,
    dropout: float = 0.5,
    dropout_levels: Collection[int] | None = None,
    separable: bool = False,
    bias: str = "none",
    bottleneck_norm: bool = True,
    skips: bool = True,
    leaky_skips: bool = False,
    settings: LayerSettings = DEFAULT_LAYERS,
) -> UNet:
    """The paper's U-Net: 8 levels for 256 pixels, 7 (its `unet_128`) for 128, and so on.

    Args:
      out_channels: channels of the output image.
      ngf: channels of the outermost level; the next levels have 2, 4, 8, 8, ... times as many.
      levels: number of times that the image size is halved, at least 2.
      dropout: dropout rate after some decoders.
      dropout_levels: which ones, the outermost being 1; None for the three innermost.
      separable: depthwise separable convolutions instead of full ones.
      bias: the convolutions with a bias: "none", "all", "last" or "unnormed".
      bottleneck_norm: whether the innermost encoder is normalised.
      skips: see `UNet`.
      leaky_skips: see `UNet`.
      settings: see `UNet`.
    """
    widths = [ngf * min(2**i, 8) for i in range(levels)]
    encoders = []
    for i, width in enumerate(widths):
        norm = i > 0 and (bottleneck_norm or i < levels - 1)
        encoders.append(Encoder(width, norm, has_bias(bias, norm=norm)))
    if dropout_levels is None:
        dropout_levels = range(max(levels - 2, 2), levels + 1)
    rates = [dropout if level in dropout_levels else 0.0 for level in range(1, levels + 1)]
    last_bias = has_bias(bias, norm=False, last=True)
    decoders = [Decoder(out_channels, False, rates[0], last_bias)]
    for width, rate in zip(widths[:-1], rates[1:], strict=True):
        decoders.append(Decoder(width, True, rate, has_bias(bias, norm=True)))
    return UNet(tuple(encoders), tuple(decoders), separable, skips, leaky_skips, settings)


def pooled(
    out_channels: int,
    *,
    ngf: int = 32,
    dropout: float = 0.3,
    settings: LayerSettings = DEFAULT_LAYERS,
) -> Pooled:
    """PyImageSearch's U-Net (July 2022): four levels, for sizes that are multiples of 16.

    Args:
      out_channels: channels of the output image.
      ngf: channels of the outermost level; all other widths are multiples of it.
      dropout: dropout rate in the bottleneck; the outermost level has a third of it.
      settings: see `Pooled`.
    """
    return Pooled(
        encoders=(ngf, 2 * ngf, 3 * ngf, 3 * ngf),
        bottleneck=(3 * ngf, 8 * ngf),
        deconvs=(ngf, 2 * ngf, 3 * ngf, 4 * ngf),
        convs=4 * ngf,
        out_channels=out_channels,
        outer_dropout=dropout / 3,
        inner_dropout=dropout,
        settings=settings,
    )


def generator(
    inputs: tf.Tensor, spec: UNet | Pooled, seed: tf.Tensor, *, per_image: bool = False
) -> tf.Tensor:
    """Translates images.

    Args:
      inputs: float32 [N, H, W, C_in] in [-1, 1]; H and W are multiples of 2^levels.
      spec: the layers.
      seed: int64 [2], of the dropout masks, the generator's only noise (section 3.1 of the paper).
        `GeneratorOptions.in_translation` decides whether translation keeps dropout.
      per_image: whether normalisation uses per-image statistics and all images share dropout masks,
        so that an image's output does not depend on its batch; otherwise normalisation uses batch
        statistics and every image has its own masks.

    Returns:
      float32 [N, H, W, C_out] in [-1, 1].
    """
    build = _unet if isinstance(spec, UNet) else _pooled
    outputs = build(inputs, spec, seed, per_image)  # type: ignore[arg-type]
    return tf.tanh(tf.cast(outputs, tf.float32))


def _unet(inputs: tf.Tensor, spec: UNet, seed: tf.Tensor, per_image: bool) -> tf.Tensor:
    skips = []
    x = inputs
    # encoder_1: [N, H, W, C_in] => [N, H/2, W/2, ngf], and on to [N, H/2^levels, W/2^levels, 8ngf]
    for level, down in enumerate(spec.encoders, start=1):
        with tf.variable_scope(f"encoder_{level}"):
            x = x if level == 1 else ops.lrelu(x, spec.settings.slope)
            x = _down(x, down, _at_level(spec, level - 1))
            x = batchnorm(x, per_image=per_image, settings=spec.settings) if down.norm else x
            skips.append(x)
    # decoder_8: [N, 1, 1, 8ngf] => [N, 2, 2, 8ngf], and back to decoder_1: [N, H, W, C_out]
    for level in range(len(spec.decoders), 0, -1):
        up = spec.decoders[level - 1]
        with tf.variable_scope(f"decoder_{level}"):
            # The innermost decoder has the innermost encoder's output as its only input.
            above = None if level == len(spec.decoders) else x
            x = _up(_join(above, skips[level - 1], spec), up, _at_level(spec, level))
            x = batchnorm(x, per_image=per_image, settings=spec.settings) if up.norm else x
            layer_seed = tf.random.experimental.stateless_fold_in(seed, level)
            x = ops.dropout(
                x, up.dropout, layer_seed, shared_mask=per_image, settings=spec.settings
            )
    return x


def _at_level(spec: UNet, halvings: int) -> UNet:
    """The specification for layers whose inputs have been halved so often."""
    if spec.settings.expected is None:
        return spec
    height, width = (side >> halvings for side in spec.settings.expected)
    return spec._replace(settings=spec.settings._replace(expected=(height, width)))


def _join(above: tf.Tensor | None, skip: tf.Tensor, spec: UNet) -> tf.Tensor:
    """Joins a decoder's inputs: the level above and the skip connection, after activations."""
    if above is not None and not spec.skips:
        return tf.nn.relu(above)
    if spec.leaky_skips:
        skip = ops.lrelu(skip, spec.settings.slope)
        return skip if above is None else tf.concat([tf.nn.relu(above), skip], axis=3)
    return tf.nn.relu(skip if above is None else tf.concat([above, skip], axis=3))


def _down(inputs: tf.Tensor, layer: Encoder, spec: UNet) -> tf.Tensor:
    conv = ops.separable_conv if spec.separable else ops.conv
    return conv(inputs, layer.channels, 2, bias=layer.bias, settings=spec.settings)


def _up(inputs: tf.Tensor, layer: Decoder, spec: UNet) -> tf.Tensor:
    if spec.separable:
        inputs = ops.upsample(inputs)
        return ops.separable_conv(
            inputs, layer.channels, 1, bias=layer.bias, settings=spec.settings
        )
    return ops.deconv(inputs, layer.channels, bias=layer.bias, settings=spec.settings)


def _pooled(inputs: tf.Tensor, spec: Pooled, seed: tf.Tensor, per_image: bool) -> tf.Tensor:
    def conv(x: tf.Tensor, channels: int) -> tf.Tensor:
        return tf.nn.relu(
            ops.conv(x, channels, kernel=3, padding="same", bias=True, settings=spec.settings)
        )

    def dropout(x: tf.Tensor, rate: float, number: int) -> tf.Tensor:
        layer_seed = tf.random.experimental.stateless_fold_in(seed, number)
        return ops.dropout(x, rate, layer_seed, shared_mask=per_image, settings=spec.settings)

    skips: list[tf.Tensor] = []
    x = inputs
    # encoder_1: [N, H, W, C_in] => [N, H, W, ngf], and on to encoder_4: [N, H/8, W/8, 3ngf]
    for level, channels in enumerate(spec.encoders, start=1):
        with tf.variable_scope(f"encoder_{level}"):
            x = conv(ops.max_pool(x) if skips else x, channels)
            x = x if skips else dropout(x, spec.outer_dropout, 1)
            skips.append(x)
    # bottleneck: [N, H/8, W/8, 3ngf] => [N, H/16, W/16, 8ngf]
    with tf.variable_scope("bottleneck_1"):
        x = dropout(conv(ops.max_pool(x), spec.bottleneck[0]), spec.inner_dropout, 2)
    with tf.variable_scope("bottleneck_2"):
        x = conv(x, spec.bottleneck[1])
    # decoder_4: [N, H/16, W/16, 8ngf] => [N, H/8, W/8, 4ngf], and on to decoder_1: [N, H, W, 4ngf]
    for level in range(len(skips), 0, -1):
        with tf.variable_scope(f"decoder_{level}"):
            x = ops.deconv(x, spec.deconvs[level - 1], kernel=2, bias=True, settings=spec.settings)
            x = tf.concat([x, skips[level - 1]], axis=3)
            x = dropout(x, spec.outer_dropout, 3) if level == 1 else x
            x = conv(x, spec.convs)
    with tf.variable_scope("output"):
        return ops.conv(
            x, spec.out_channels, kernel=1, padding="valid", bias=True, settings=spec.settings
        )
