"""From images to pairs: input and target, scaled."""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow.compat.v1 as tf
import tensorflow.compat.v2 as tf2

from p2p_graph.config.options import Config
from p2p_graph.data import lab_color
from p2p_graph.data.decode import reader_of
from p2p_graph.data.image_files import SourceImage
from p2p_graph.data.image_listing import is_single


class Channels(NamedTuple):
    """How many channels a model's images have."""

    inputs: int
    targets: int


def channels(config: Config) -> Channels:
    """The channels of inputs and targets: 3 and 3, but brightness (1) and colours (2) with Lab."""
    if not config.lab_colorization:
        return Channels(3, 3)
    return Channels(1, 2) if config.which_direction == "AtoB" else Channels(2, 1)


def has_targets(config: Config) -> bool:
    """Whether an image file holds a target: with Lab always, its own other channels.

    With `inpaint`, `inputs_only` says that the images have holes already.
    """
    return config.lab_colorization or not config.inputs_only


def with_hole(image: tf.Tensor, kind: str) -> tf.Tensor:
    """Makes a part of an image white.

    Args:
      image: [h, w, C], uint8 or float32 in [-1, 1].
      kind: "center", half of its height and width (Isola et al. 2017, its Torch program), or
        "white30", 30 % of them (affinelayer's tool).
    """

    def inside(size: tf.Tensor) -> tf.Tensor:
        if kind == "center":
            hole, first = size // 2, size // 4
        else:
            hole = tf.cast(tf.cast(size, tf.float64) * 0.3, tf.int32)
            first = (size - hole) // 2
        places = tf.range(size)
        return (places >= first) & (places < first + hole)

    height, width = tf.unstack(tf.shape(image)[:2])
    hole = inside(height)[:, None] & inside(width)
    white = tf.constant(255 if image.dtype == tf.uint8 else 1, image.dtype)
    return tf.where(tf.broadcast_to(hole[..., None], tf.shape(image)), white + 0 * image, image)


def inputs_and_targets(parts: Sequence[tf.Tensor], config: Config) -> tuple[tf.Tensor, ...]:
    """The input and the target, from one image if `inpaint` is center: with a hole, and whole."""
    if config.inpaint == "center":
        [image] = parts
        return with_hole(image, "center"), image
    return tuple(parts)


def scaled(image: tf.Tensor, side: int | None, how: str) -> tf.Tensor:
    """Scales an image [h, w, C] to [side, side, C].

    Args:
      image: float32.
      side: in pixels.
      how: "area", "bilinear" or "nearest"; the latter two as TensorFlow 2 has them, with the
        centres of both images' pixels at halves.
    """
    if how == "area":
        return tf.image.resize_images(image, [side, side], tf.image.ResizeMethod.AREA)
    return tf2.image.resize(image, [side, side], how)


class Pairs:
    """The images of a run, in the graph.

    A pair is a list of its parts: the input and the target, or the one image that is both
    (`inpaint` center) or stands alone.

    Attributes:
      size: height and width before scaling, where all have the same.
      side: what they are scaled to, pixels.
      channels: of each part.
      in_bytes: whether bytes hold them before scaling.
      in_memory: whether decoding again is as cheap as keeping would be.
    """

    def __init__(self, images: Sequence[SourceImage], config: Config) -> None:
        self._config = config
        self._paths = tf.constant([str(image.path) for image in images])
        self._halves = not is_single(config) and images[0].target is None
        part = 2 if self._halves else 1
        sizes = {(image.height, image.width // part) for image in images}
        self.size = sizes.pop() if len(sizes) == 1 else None
        self.side = config.crop_size if config.jitter == "shrink" else config.scale_size
        one = config.inpaint == "center" or not has_targets(config)
        self.channels = [3] if one else list(channels(config))
        self.in_bytes = not config.lab_colorization and not any(p.deep for p in images)
        reader = reader_of(images, tf.uint8 if self.in_bytes else tf.float32, config)
        self._read, self.in_memory = reader

    def path(self, index: tf.Tensor) -> tf.Tensor:
        """What the image is called, string."""
        return self._paths[index]

    def source(self, index: tf.Tensor) -> list[tf.Tensor]:
        """Decodes an image: its parts [h, w, C].

        The values are uint8, or float32 in [-1, 1] where bytes would not hold them: Lab, 16 bits.
        """
        height, width = self.size or (None, None)
        return [
            tf.ensure_shape(part, [height, width, size])
            for part, size in zip(self._parts(index), self.channels, strict=True)
        ]

    def _parts(self, index: tf.Tensor) -> list[tf.Tensor]:
        config, images = self._config, self._read(index)
        if config.lab_colorization:
            return self._turned(tf.split(lab_color.split_lab(images[0]), [1, 2], axis=2))
        if not self.in_bytes:
            images = [image * 2 - 1 for image in images]
        if len(images) == 2:
            return self._turned(images)
        [image] = images
        if self._halves:
            half = tf.shape(image)[1] // 2
            return self._turned([image[:, :half], image[:, half:]])
        if config.inpaint == "white30" and has_targets(config):
            return [with_hole(image, "white30"), image]
        return [image]

    def scaled(self, source: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Scales the parts of a decoded image to float32 [side, side, C] in [-1, 1]."""
        ways = [self._config.resize, self._config.resize_targets or self._config.resize]
        return [self._scaled(part, how) for part, how in zip(source, ways, strict=False)]

    def _scaled(self, image: tf.Tensor, how: str) -> tf.Tensor:
        if image.dtype == tf.uint8:
            image = tf.image.convert_image_dtype(image, tf.float32) * 2 - 1
        if self._config.jitter == "shrink":
            image = scaled(image, self._config.scale_size, "nearest")
        if self._config.resize_first:
            image = scaled(image, self._config.crop_size, how)
        return scaled(image, self.side, how)

    def _turned(self, parts: list[tf.Tensor]) -> list[tf.Tensor]:
        """A and B, the input first."""
        return parts if self._config.which_direction == "AtoB" else parts[::-1]
