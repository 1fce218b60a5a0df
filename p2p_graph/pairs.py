"""From pictures to pairs: input and target as the channels of one picture, scaled."""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow.compat.v1 as tf
import tensorflow.compat.v2 as tf2

from p2p_graph import color
from p2p_graph.config import Config
from p2p_graph.files import Picture
from p2p_graph.listing import is_single
from p2p_graph.readers import reader_of


class Channels(NamedTuple):
    """How many channels a model's pictures have."""

    inputs: int
    targets: int


def channels(config: Config) -> Channels:
    """The channels of inputs and targets: 3 and 3, but brightness (1) and colours (2) with Lab."""
    if not config.lab_colorization:
        return Channels(3, 3)
    return Channels(1, 2) if config.which_direction == "AtoB" else Channels(2, 1)


def has_targets(config: Config) -> bool:
    """Whether a picture file holds a target: with Lab always, its own other channels.

    With `inpaint`, `inputs_only` says that the pictures have holes already.
    """
    return config.lab_colorization or not config.inputs_only


def with_hole(image: tf.Tensor, kind: str) -> tf.Tensor:
    """Makes a part of a picture white.

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


def split_channels(image: tf.Tensor, config: Config) -> tuple[tf.Tensor, tf.Tensor]:
    """Parts [..., C_in + C_out] into inputs and targets; with `inpaint` center, it is both."""
    if config.inpaint == "center":
        return with_hole(image, "center"), image
    return tuple(tf.split(image, list(channels(config)), axis=-1))


def scaled(image: tf.Tensor, side: int | None, how: str) -> tf.Tensor:
    """Scales a picture [h, w, C] to [side, side, C].

    Args:
      image: float32.
      side: in pixels.
      how: "area", "bilinear" or "nearest"; the latter two as TensorFlow 2 has them, with the
        centres of both pictures' pixels at halves.
    """
    if how == "area":
        return tf.image.resize_images(image, [side, side], tf.image.ResizeMethod.AREA)
    return tf2.image.resize(image, [side, side], how)


class Pairs:
    """The pictures of a run, in the graph.

    Attributes:
      size: height and width before scaling, where all have the same.
      side: what they are scaled to, pixels.
      channels: of input and target together.
      in_bytes: whether bytes hold them before scaling.
      in_memory: whether decoding again is as cheap as keeping would be.
    """

    def __init__(self, pictures: Sequence[Picture], config: Config) -> None:
        self._config = config
        self._paths = tf.constant([str(picture.path) for picture in pictures])
        self._halves = not is_single(config) and pictures[0].target is None
        part = 2 if self._halves else 1
        sizes = {(picture.height, picture.width // part) for picture in pictures}
        self.size = sizes.pop() if len(sizes) == 1 else None
        self.side = config.crop_size if config.jitter == "shrink" else config.scale_size
        one = config.inpaint == "center" or not has_targets(config)
        self.channels = 3 if one else sum(channels(config))
        self.in_bytes = not config.lab_colorization and not any(p.deep for p in pictures)
        reader = reader_of(pictures, tf.uint8 if self.in_bytes else tf.float32, config)
        self._read, self.in_memory = reader

    def path(self, index: tf.Tensor) -> tf.Tensor:
        """What the picture is called, string."""
        return self._paths[index]

    def source(self, index: tf.Tensor) -> tf.Tensor:
        """Decodes a picture: [h, w, C_in + C_out], the input's channels first.

        The values are uint8, or float32 in [-1, 1] where bytes would not hold them: Lab, 16 bits.
        """
        images = self._read(index)
        if self._config.lab_colorization:
            parts = tf.split(color.split_lab(images[0]), [1, 2], axis=2)
            return self._joined(*parts)
        if not self.in_bytes:
            images = [image * 2 - 1 for image in images]
        if len(images) == 2:
            return self._joined(*images)
        if self._halves:
            half = tf.shape(images[0])[1] // 2
            return self._joined(images[0][:, :half], images[0][:, half:])
        if self._config.inpaint == "white30" and has_targets(self._config):
            return self._sized(tf.concat([with_hole(images[0], "white30"), images[0]], axis=2))
        return self._sized(images[0])

    def scaled(self, source: tf.Tensor) -> tf.Tensor:
        """Scales a decoded picture to float32 [side, side, C] in [-1, 1]."""
        config = self._config
        if source.dtype == tf.uint8:
            source = tf.image.convert_image_dtype(source, tf.float32) * 2 - 1
        parts = [(source, config.resize)]
        if config.resize_targets and config.inpaint != "center" and has_targets(config):
            inputs, targets = tf.split(source, list(channels(config)), axis=2)
            parts = [(inputs, config.resize), (targets, config.resize_targets)]
        return tf.concat([self._scaled(image, how) for image, how in parts], axis=2)

    def _scaled(self, image: tf.Tensor, how: str) -> tf.Tensor:
        if self._config.jitter == "shrink":
            image = scaled(image, self._config.scale_size, "nearest")
        if self._config.resize_first:
            image = scaled(image, self._config.crop_size, how)
        return scaled(image, self.side, how)

    def _joined(self, a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
        """Lays A and B over each other as channels, the input first."""
        both = [a, b] if self._config.which_direction == "AtoB" else [b, a]
        return self._sized(tf.concat(both, axis=2))

    def _sized(self, image: tf.Tensor) -> tf.Tensor:
        height, width = self.size or (None, None)
        return tf.ensure_shape(image, [height, width, image.shape[2]])
