"""The cache of decoded images: numbered tables that the input graph cuts windows from."""

import concurrent.futures
import math
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow.compat.v1 as tf

from p2p_graph.config.data_options import CacheOptions
from p2p_graph.config.image_size import ImageSize
from p2p_graph.data.dataset_iterators import next_element, parallel_map
from p2p_graph.data.image_pairs import ImagePairs
from p2p_graph.data.jitter import crop
from p2p_graph.utils import signals

_IMAGES_PER_CALL = 16  # decoded by one Session.run call
_ALIGNMENT = 64  # bytes, of every tensor's memory

Array = np.ndarray[Any, Any]


class ImageCache:
    """Decoded images in memory, as many as `cache_mb` allows; the rest are decoded at each use.

    The cache holds scaled float32 values, or bytes before scaling where bytes hold the images and
    are smaller: on a CPU, where scaling at each use is little beside a training step, and on a GPU
    if not all values fit. A thread decodes the images while the training graph is built, which
    takes one core.
    """

    def __init__(
        self,
        pairs: ImagePairs,
        build_pairs: Callable[[], ImagePairs],
        count: int,
        options: CacheOptions,
        *,
        on_cpu: bool,
    ) -> None:
        """Starts decoding.

        Args:
          pairs: the images, in the training graph.
          build_pairs: builds the same in another graph.
          count: how many images there are.
          options: how much memory, and which form.
          on_cpu: whether the training graph runs on the CPU.
        """
        self._pairs, self._count = pairs, count
        room = 0 if pairs.in_memory else options.cache_mb * 2**20
        dtype, size = tf.float32, tuple(pairs.scaled_size)
        bytes_per_image = dtype.size * math.prod(size) * sum(pairs.channels)
        values_fit = bytes_per_image * count <= room
        if pairs.fit_bytes and pairs.size and _prefers_bytes(options, values_fit, on_cpu=on_cpu):
            before_scaling = math.prod(pairs.size) * sum(pairs.channels)
            if before_scaling < bytes_per_image:
                dtype, size, bytes_per_image = tf.uint8, pairs.size, before_scaling
        self._holds_bytes = dtype == tf.uint8
        self._cached = min(count, room // bytes_per_image)
        if not self._cached:
            return
        shapes = [(self._cached, *size, channels) for channels in pairs.channels]
        self._placeholders = [tf.placeholder(dtype, shape, "cached_images") for shape in shapes]
        self._closing = threading.Event()
        self._worker = concurrent.futures.ThreadPoolExecutor(1)
        self._tables = self._worker.submit(self._fill, build_pairs, shapes)

    def tables(self) -> dict[tf.Tensor, Array]:
        """Waits for the cached images; returns the feed of the iterator's initializer."""
        if not self._cached:
            return {}
        signals.wait_for([self._tables])
        return dict(zip(self._placeholders, self._tables.result(), strict=True))

    def close(self) -> None:
        """Ends decoding."""
        if self._cached:
            self._closing.set()
            self._worker.shutdown()

    def window(
        self, index: tf.Tensor, top: tf.Tensor, left: tf.Tensor, size: ImageSize
    ) -> list[tf.Tensor]:
        """Decodes, splits and scales an image, and cuts the same window from each part.

        Args:
          index: int64 scalar, the image's number.
          top: int32 scalar, the window's first row.
          left: int32 scalar, its first column.
          size: its height and width.

        Returns:
          float32 [height, width, C] in [-1, 1] for each part.
        """

        def from_cache() -> list[tf.Tensor]:
            if self._holds_bytes:
                parts = [table[index] for table in self._placeholders]
                return crop(self._pairs.scale_parts(parts), top, left, size)
            first = tf.stack([tf.cast(index, tf.int32), top, left, 0])
            return [
                tf.slice(table, first, [1, *size, table.shape[-1]])[0]
                for table in self._placeholders
            ]

        def from_source() -> list[tf.Tensor]:
            return crop(self._pairs.scale_parts(self._pairs.decode(index)), top, left, size)

        if self._cached == self._count:
            return from_cache()
        if not self._cached:
            return from_source()
        parts: list[tf.Tensor] = tf.cond(index < self._cached, from_cache, from_source)
        return parts

    def _fill(
        self, build_pairs: Callable[[], ImagePairs], shapes: Sequence[tuple[int, ...]]
    ) -> list[Array]:
        config = tf.ConfigProto(device_count={"GPU": 0})
        # Rewriting the graph would take longer than it saves.
        config.graph_options.rewrite_options.disable_meta_optimizer = True
        config.graph_options.optimizer_options.opt_level = tf.OptimizerOptions.L0
        with tf.Graph().as_default(), tf.device("/cpu:0"), tf.Session(config=config) as session:
            pairs = build_pairs()

            def parts_of(index: tf.Tensor) -> tuple[tf.Tensor, ...]:
                decoded = pairs.decode(index)
                return tuple(decoded if self._holds_bytes else pairs.scale_parts(decoded))

            images = parallel_map(tf.data.Dataset.range(self._cached), parts_of)
            parts = next_element(images.batch(_IMAGES_PER_CALL).prefetch(1), session)
            tables = [_make_aligned_array(shape, parts[0].dtype.as_numpy_dtype) for shape in shapes]
            for first in range(0, self._cached, _IMAGES_PER_CALL):
                if self._closing.is_set():
                    break
                for table, part in zip(tables, session.run(parts), strict=True):
                    table[first : first + _IMAGES_PER_CALL] = part
            return tables


def _prefers_bytes(options: CacheOptions, values_fit: bool, *, on_cpu: bool) -> bool:
    if options.cache_as == "auto":
        return on_cpu or not values_fit
    return options.cache_as == "bytes"


def _make_aligned_array(shape: Sequence[int], dtype: type) -> Array:
    """Makes an uninitialized array that feeding does not copy, since its memory is aligned."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    array: Array = memory[start : start + size].view(dtype).reshape(shape)
    return array
