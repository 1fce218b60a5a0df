"""Image pairs in the graph: decoded images split into input and target, both scaled."""

from collections.abc import Sequence

import tensorflow.compat.v1 as tf
import tensorflow.compat.v2 as tf2

from p2p_graph.config.data_options import RGB, ScalingOptions, TaskOptions
from p2p_graph.config.image_size import ORIGINAL, ImageSize
from p2p_graph.data import lab_color
from p2p_graph.data.decode import decoder_of, with_channels
from p2p_graph.data.image_files import SourceImage


class ImagePairs:
    """The images of a data set as pairs, in the graph.

    A pair is a list of its parts: the input and the target. With `inpaint` center, and without
    targets, the list holds one image.

    Attributes:
      size: height and width before scaling if all images have the same, otherwise None.
      scaled_size: height and width after scaling; with `ORIGINAL` there is no scaling.
      channels: of each part.
      fit_bytes: whether uint8 holds the parts before scaling exactly.
      in_memory: whether decoding again is as cheap as a cache.
    """

    def __init__(
        self, images: Sequence[SourceImage], task: TaskOptions, scaling: ScalingOptions
    ) -> None:
        self._task, self._scaling = task, scaling
        self._paths = tf.constant([str(image.path) for image in images])
        self._are_halves = _are_halves(images, task)
        sizes = set(sizes_before_scaling(images, task))
        self.size = sizes.pop() if len(sizes) == 1 else None
        assert scaling.scale_size is not None
        is_cropped = scaling.jitter != "shrink"
        self.scaled_size = scaling.scale_size if is_cropped else scaling.crop_size
        is_one = task.inpaint == "center" or not task.has_targets
        self.channels = [task.channels[0]] if is_one else list(task.channels)
        self.fit_bytes = not task.lab_colorization and not any(i.is_16_bit for i in images)
        dtype = tf.uint8 if self.fit_bytes else tf.float32
        keeps_alpha = 4 in (*task.input_parts, task.channels[1])
        decoder = decoder_of(images, dtype, 4 if keeps_alpha else RGB)
        self._decode, self.in_memory = decoder

    def path(self, index: tf.Tensor) -> tf.Tensor:
        """The path of an image by its number, string scalar."""
        return self._paths[index]

    def decode(self, index: tf.Tensor) -> list[tf.Tensor]:
        """Decodes an image and splits it: its parts [h, w, C], before scaling.

        Returns:
          uint8, or float32 in [-1, 1] where uint8 would not hold the values: Lab, 16 bits.
        """
        height, width = self.size or (None, None)
        images = self._decode(index)
        count = len(images) - len(self._task.input_parts) + 1
        parts = self._split(images[:count])
        if not self._task.lab_colorization:
            wanted = [self._task.input_parts[0], self._task.channels[1]]
            parts = list(map(with_channels, parts, wanted))
            parts[0] = self._with_further_inputs(parts[0], images[count:])
        return [
            tf.ensure_shape(part, [height, width, channels])
            for part, channels in zip(parts, self.channels, strict=True)
        ]

    def scale_parts(self, parts: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Scales the parts of a decoded image to float32 [h, w, C] in [-1, 1], of `scaled_size`."""
        resizes = [self._scaling.resize, self._scaling.resize_targets or self._scaling.resize]
        return [self._scale(part, how) for part, how in zip(parts, resizes, strict=False)]

    def _with_further_inputs(self, image: tf.Tensor, further: list[tf.Tensor]) -> tf.Tensor:
        """Concatenates the further inputs to the input, along channels."""
        if not further:
            return image
        if not self.fit_bytes:
            further = [other * 2 - 1 for other in further]
        converted = map(with_channels, further, self._task.input_parts[1:])
        return tf.concat([image, *converted], axis=2)

    def _split(self, images: list[tf.Tensor]) -> list[tf.Tensor]:
        """Splits decoded images into input and target, as far as there are both."""
        task = self._task
        if task.lab_colorization:
            return self._input_first(
                tf.split(lab_color.split_lab(with_channels(images[0], RGB)), [1, 2], axis=2)
            )
        if not self.fit_bytes:
            images = [image * 2 - 1 for image in images]
        if len(images) == 2:
            return self._input_first(images)
        [image] = images
        if self._are_halves:
            half = tf.shape(image)[1] // 2
            return self._input_first([image[:, :half], image[:, half:]])
        if task.inpaint == "white30" and task.has_targets:
            return [with_hole(image, "white30"), image]
        return [image]

    def _input_first(self, parts: list[tf.Tensor]) -> list[tf.Tensor]:
        """A and B in the order input, target."""
        return parts if self._task.which_direction == "AtoB" else parts[::-1]

    def _scale(self, image: tf.Tensor, how: str) -> tf.Tensor:
        if image.dtype == tf.uint8:
            image = tf.image.convert_image_dtype(image, tf.float32) * 2 - 1
        if self.scaled_size == ORIGINAL:
            return image
        if self._scaling.jitter == "shrink":
            assert self._scaling.scale_size is not None
            image = scale(image, self._scaling.scale_size, "nearest")
        if self._scaling.resize_first:
            image = scale(image, self._scaling.crop_size, how)
        return scale(image, self.scaled_size, how)


def sizes_before_scaling(images: Sequence[SourceImage], task: TaskOptions) -> list[ImageSize]:
    """The size of each image's input, and of its target."""
    halves = 2 if _are_halves(images, task) else 1
    return [ImageSize(image.height, image.width // halves) for image in images]


def _are_halves(images: Sequence[SourceImage], task: TaskOptions) -> bool:
    """Whether an image is a pair, two halves side by side."""
    return not task.is_single and images[0].target is None


def input_and_target(parts: Sequence[tf.Tensor], task: TaskOptions) -> tuple[tf.Tensor, ...]:
    """The input and the target: with `inpaint` center, an image with and without its hole."""
    if task.inpaint == "center":
        [image] = parts
        return with_hole(image, "center"), image
    return tuple(parts)


def with_hole(image: tf.Tensor, kind: str) -> tf.Tensor:
    """Makes a centred rectangle of an image white.

    Args:
      image: [h, w, C], uint8 or float32 in [-1, 1].
      kind: "center", half of the height and width (Isola et al. 2017, the paper's Torch program),
        or "white30", 30 % of them (affinelayer's tools/process.py).
    """

    def inside(size: tf.Tensor) -> tf.Tensor:
        if kind == "center":
            hole, first = size // 2, size // 4
        else:
            hole = tf.cast(tf.cast(size, tf.float64) * 0.3, tf.int32)
            first = (size - hole) // 2
        positions = tf.range(size)
        return (positions >= first) & (positions < first + hole)

    height, width = tf.unstack(tf.shape(image)[:2])
    hole = inside(height)[:, None] & inside(width)
    white = tf.constant(255 if image.dtype == tf.uint8 else 1, image.dtype)
    return tf.where(tf.broadcast_to(hole[..., None], tf.shape(image)), white + 0 * image, image)


def scale(image: tf.Tensor, size: ImageSize, how: str) -> tf.Tensor:
    """Scales an image [h, w, C] to another height and width.

    Args:
      image: float32 in [-1, 1].
      size: the new height and width.
      how: "area", "bilinear", "bicubic" or "nearest"; the latter three as TensorFlow 2 computes
        them, with pixel centres at halves. "bicubic" is Pillow's BICUBIC without its rounding to
        integers.
    """
    if how == "area":
        return tf.image.resize_images(image, list(size), tf.image.ResizeMethod.AREA)
    if how == "bicubic":
        return tf.clip_by_value(tf2.image.resize(image, size, how, antialias=True), -1, 1)
    return tf2.image.resize(image, list(size), how)
