"""The values of images, as a generator takes them: decoded, scaled, in [-1, 1]."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow.compat.v1 as tf

from p2p_graph.config.data_options import RGB, DataOptions
from p2p_graph.config.image_size import ORIGINAL, ImageSize
from p2p_graph.data.decode import decode_file, turned_upright, with_channels
from p2p_graph.data.image_pairs import scale
from p2p_graph.imaging import array_files, exif
from p2p_graph.imaging.image_arrays import read_contents
from p2p_graph.imaging.read_structure import read_structure
from p2p_graph.inference.image_arguments import PIL_MODES
from p2p_graph.inference.translation import to_values
from p2p_graph.utils.counted import counted
from p2p_graph.utils.errors import UserError

Array = np.ndarray[Any, Any]
HALVES = (None, "left", "right")  # of a pair side by side; None for all of an image
# Fetches a tensor with values for others.
Run = Callable[[tf.Tensor, Mapping[tf.Tensor, Any]], Array]


class ImageValues:
    """Decodes and scales one image at a time, by operations on the CPU in the current graph."""

    def __init__(self, data: DataOptions, channels: int, multiple: int, run: Run) -> None:
        """Adds the operations to the graph.

        Args:
          data: of the generator.
          channels: of the images that it takes.
          multiple: of which the sides of its images are.
          run: runs the graph.
        """
        self._task, self._upright, self._run = data.task, data.source.upright, run
        self._channels, self._multiple = channels, multiple
        with tf.device("/cpu:0"):
            self._wanted = tf.placeholder(tf.int32, [2])
            self._contents = tf.placeholder(tf.string, [])
            self._orientation = tf.placeholder_with_default(exif.UPRIGHT, [])
            self._half = tf.placeholder_with_default(0, [])
            if channels in PIL_MODES:
                decoded = with_channels(decode_file(self._contents, max(RGB, channels)), channels)
                decoded = _half_of(turned_upright(decoded, self._orientation), self._half)
                self._image = tf.placeholder_with_default(decoded, [None, None, channels])
            else:
                self._image = tf.placeholder(tf.float32, [None, None, channels])
            self._values = to_values(self._image, self._task)
            self._scaled_values = scale(self._values, tf.unstack(self._wanted), data.scaling.resize)

    def of_file(
        self, file: str | os.PathLike[str] | bytes, size: ImageSize, half: str | None = None
    ) -> Array:
        """Decodes a file as tools/test.py does.

        Args:
          file: its path, or its contents.
          size: that the image is scaled to, or `ORIGINAL`.
          half: "left" or "right" of a pair side by side; None for all of the image.

        Returns:
          float32 [H, W, C] in [-1, 1].

        Raises:
          UserError: the file is damaged, or does not fit the generator.
        """
        if len(self._task.input_parts) > 1:
            self.check_shown()
        number, name = exif.UPRIGHT, "the image" if isinstance(file, bytes) else Path(file)
        try:
            contents = file if isinstance(file, bytes) else read_contents(Path(file))
            if array_files.is_array(contents):
                image = array_files.as_values(array_files.decode_array(contents))
                if (image.shape[2], self._channels) == (1, RGB):
                    image = np.repeat(image, RGB, axis=2)
                self._check_channels_of_file(image.shape[2])
                height, width = image.shape[:2]
                if half:
                    middle = _middle(width)
                    image = image[:, middle:] if half == "right" else image[:, :middle]
                feed: dict[tf.Tensor, Any] = {self._image: image}
            else:
                structure = read_structure(contents)
                height, width = structure.height, structure.width
                if self._channels not in PIL_MODES:
                    self._check_channels_of_file(structure.channels)
                number = structure.orientation if self._upright else number
                if exif.swaps_sides(number):
                    height, width = width, height
                feed = {self._contents: contents, self._half: HALVES.index(half)}
            width = _middle(width) if half else width
        except UserError as error:
            raise UserError(f"{name} {error}") from None
        if size == ORIGINAL:
            self.check_size(ImageSize(height, width), ORIGINAL)
            fetch = self._values
        else:
            self.check_size(size, None)
            fetch, feed = self._scaled_values, {**feed, self._wanted: list(size)}
        try:
            return self._run(fetch, {**feed, self._orientation: number})
        except tf.errors.InvalidArgumentError:
            raise UserError(f"{name} cannot be decoded") from None

    def scaled(self, image: Array, size: ImageSize) -> Array:
        """The values of an image, float32 [H, W, C] in [0, 1], scaled to a size."""
        feed = {self._image: image, self._wanted: list(size)}
        return self._run(self._scaled_values, feed)

    def _check_channels_of_file(self, found: int) -> None:
        """Checks a file's channels; the message lacks its subject."""
        if found != self._channels:
            raise UserError(
                f"has {counted(found, 'channel')}, and the generator takes {self._channels}"
            )

    def check_shown(self) -> None:
        """Refuses images that image files and PIL hold, where inputs have other channels."""
        parts = self._task.input_parts
        if len(parts) > 1:
            raise UserError(
                f"the generator takes several inputs (channels {parts}): give it arrays of all "
                f"{counted(parts.total, 'channel')}"
            )
        if self._channels not in PIL_MODES:
            raise UserError(
                f"the generator takes images of {counted(self._channels, 'channel')}: give it "
                "arrays"
            )

    def check_size(self, size: ImageSize, wanted: ImageSize | None) -> None:
        """Checks that the generator can halve an image of a size."""
        multiple = self._multiple
        if wanted == ORIGINAL:
            if min(size) < multiple:
                raise UserError(
                    f"images have at least {multiple} pixels a side, not {size}: give another size"
                )
        elif any(side % multiple for side in size):
            raise UserError(
                f"images have sides of multiples of {multiple} pixels, not {size}: give a size "
                f"({size.rounded(multiple)}), or size='original'"
            )


def _half_of(image: tf.Tensor, half: tf.Tensor) -> tf.Tensor:
    """The half of an image [h, w, C] by its number in `HALVES`."""
    width = tf.shape(image)[1]
    first = tf.where(tf.equal(half, 2), width // 2, 0)
    end = tf.where(tf.equal(half, 1), width // 2, width)
    return image[:, first:end]


def _middle(width: int) -> int:
    """The width of a half; the message lacks its subject."""
    if width % 2:
        raise UserError(f"is {counted(width, 'pixel')} wide: two equal halves need an even width")
    return width // 2
