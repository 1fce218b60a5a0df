"""The memory that training and translation need, estimated before their graphs are built.

`runtime.memory_check` compares an estimate with the machine's memory.
"""

from typing import NamedTuple

from p2p_graph.config.image_size import ImageSize
from p2p_graph.config.model_options import ModelOptions
from p2p_graph.models.discriminators import Patch, layers_of, output_size
from p2p_graph.models.generators import Pooled, UNet
from p2p_graph.models.layer_settings import DEFAULT_LAYERS
from p2p_graph.models.networks import generator_spec

_FLOAT = 4  # bytes
_PROCESS = 450_000_000  # bytes of a process with TensorFlow and a graph
_TRAINING_COPIES = 4  # of each weight: its value, gradient and Adam's two moments
_SAVED_COPIES = 3  # of each weight: its value and the two moments
# Tensors of the size of a layer's output that are held for the backward pass. With it, the estimate
# is within 7 % of the peak measured for 64 and 128 filters, 256 and 512 pixels, 1 and 8 images.
_TRAINING_TENSORS = 3


class Size(NamedTuple):
    """The size of a network.

    Attributes:
      weights: in all its convolutions; the few others are left out.
      activations: values of all layers' outputs for one image.
    """

    weights: int
    activations: int


def generator_size(spec: UNet | Pooled, in_channels: int, image_size: ImageSize) -> Size:
    """The size of a generator for images of [height, width, in_channels]."""
    count = _unet if isinstance(spec, UNet) else _pooled
    return count(spec, in_channels, image_size)  # type: ignore[arg-type]


def discriminator_size(layers: tuple[Patch, ...], in_channels: int, image_size: ImageSize) -> Size:
    """The size of a discriminator for pairs of [height, width, in_channels]."""
    weights = activations = 0
    for number, layer in enumerate(layers, start=1):
        weights += layer.kernel**2 * in_channels * layer.channels
        height, width = (output_size(side, layers[:number]) for side in image_size)
        activations += height * width * layer.channels
        in_channels = layer.channels
    return Size(weights, activations)


def training_bytes(
    model: ModelOptions,
    channels: tuple[int, int],
    image_size: ImageSize,
    batch_size: int,
    *,
    with_discriminator: bool,
) -> int:
    """Estimates the memory of training, in bytes.

    Args:
      model: the networks.
      channels: of inputs and targets.
      image_size: height and width of the networks' images.
      batch_size: images in a batch.
      with_discriminator: whether the losses need D.
    """
    g, d = _networks(model, channels, image_size, with_discriminator=with_discriminator)
    activations = g.activations + 2 * d.activations  # of D: of real and of generated pairs
    values = (
        _TRAINING_COPIES * (g.weights + d.weights) + _TRAINING_TENSORS * batch_size * activations
    )
    return _PROCESS + _FLOAT * values


def checkpoint_bytes(
    model: ModelOptions,
    channels: tuple[int, int],
    image_size: ImageSize,
    *,
    with_discriminator: bool,
) -> int:
    """Estimates the size of a checkpoint, in bytes; arguments as `training_bytes`."""
    g, d = _networks(model, channels, image_size, with_discriminator=with_discriminator)
    return _FLOAT * _SAVED_COPIES * (g.weights + d.weights)


def _networks(
    model: ModelOptions,
    channels: tuple[int, int],
    image_size: ImageSize,
    *,
    with_discriminator: bool,
) -> tuple[Size, Size]:
    """The sizes of G and of D; where there is no D, the latter is zero."""
    g = _generator(model, channels, image_size)
    if not with_discriminator:
        return g, Size(0, 0)
    layers = layers_of(model.discriminator.discriminator, model.discriminator.ndf)
    return g, discriminator_size(layers, sum(channels), image_size)


def translation_bytes(
    model: ModelOptions, channels: tuple[int, int], image_size: ImageSize, batch_size: int
) -> int:
    """Estimates the memory of translation, in bytes; arguments as `training_bytes`."""
    g = _generator(model, channels, image_size)
    return _PROCESS + _FLOAT * (2 * g.weights + batch_size * g.activations)


def _generator(model: ModelOptions, channels: tuple[int, int], image_size: ImageSize) -> Size:
    spec = generator_spec(model.generator, model.layers, channels[1], DEFAULT_LAYERS)
    return generator_size(spec, channels[0], image_size)


def _unet(spec: UNet, in_channels: int, image_size: ImageSize) -> Size:
    weights = activations = 0
    positions = image_size.height * image_size.width
    outputs = []
    for encoder in spec.encoders:
        positions //= 4
        weights += _filter(in_channels, encoder.channels, spec)
        activations += positions * encoder.channels
        outputs.append(encoder.channels)
        in_channels = encoder.channels
    for number in range(len(spec.decoders), 0, -1):
        decoder = spec.decoders[number - 1]
        is_innermost = number == len(spec.decoders)
        joined = outputs[number - 1] if spec.skips and not is_innermost else 0
        activations += positions * (4 * decoder.channels + in_channels + joined)
        positions *= 4
        weights += _filter(in_channels + joined, decoder.channels, spec)
        in_channels = decoder.channels
    return Size(weights, activations)


def _filter(in_channels: int, channels: int, spec: UNet) -> int:
    if spec.separable:
        return 16 * in_channels + in_channels * channels
    return 16 * in_channels * channels


def _pooled(spec: Pooled, in_channels: int, image_size: ImageSize) -> Size:
    weights = activations = 0
    positions = image_size.height * image_size.width
    for number, channels in enumerate(spec.encoders):
        weights += 9 * in_channels * channels
        activations += (positions >> 2 * number) * channels
        in_channels = channels
    for channels in spec.bottleneck:
        weights += 9 * in_channels * channels
        activations += (positions >> 2 * len(spec.encoders)) * channels
        in_channels = channels
    for number in range(len(spec.encoders) - 1, -1, -1):
        joined = spec.deconvs[number] + spec.encoders[number]
        weights += 4 * in_channels * spec.deconvs[number] + 9 * joined * spec.convs
        activations += (positions >> 2 * number) * (2 * joined + spec.convs)
        in_channels = spec.convs
    return Size(weights + in_channels * spec.out_channels, activations)
