"""The input graph: decode, split, jitter. All that is random is a function of (seed, position).

The position counts images from the start of training: image i of step s, both from 0, stands
at s * batch_size + i. Every epoch is a shuffle of all images, and epochs follow each other
without a gap, so that the last batch of one is filled from the next.
"""

import concurrent.futures
import math
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow.compat.v1 as tf

from p2p_graph.config.options import Config
from p2p_graph.data.dataset_ops import elements_of, iterator_of, mapped
from p2p_graph.data.image_files import SourceImage
from p2p_graph.data.image_pairs import Pairs, has_targets, inputs_and_targets
from p2p_graph.runtime import devices

# Which random stream of a seed: each purpose has its own.
_ORDER, _JITTER = 1, 2
_AT_ONCE = 16  # images that a run of a session decodes
_ALIGNMENT = 64  # bytes, of every tensor's memory


class Batch(NamedTuple):
    """Images for one step.

    Attributes:
      paths: string [N], what the images are called: their files.
      inputs: float32 [N, H, W, C_in] in [-1, 1].
      targets: float32 [N, H, W, C_out] in [-1, 1]; None where there are only inputs.
    """

    paths: tf.Tensor
    inputs: tf.Tensor
    targets: tf.Tensor | None


class TrainingInputs:
    """The images of a training run, step by step."""

    def __init__(self, images: Sequence[SourceImage], config: Config) -> None:
        """Builds the graph; `start` must run before the first batch, and `close` at the end."""
        with tf.name_scope("load_images"), tf.device("/cpu:0"):
            pairs = Pairs(images, config)
            self._kept = _Kept(pairs, images, config)
            self._start = tf.placeholder(tf.int64, [], "start")
            positions = tf.data.Dataset.range(self._start, tf.int64.max)
            examples = mapped(
                positions, lambda position: self._example(pairs, position, len(images), config)
            )
            batches = examples.batch(config.batch_size, drop_remainder=True).prefetch(2)
            self._iterator = iterator_of(batches)
            self._batch_size = config.batch_size

    def next_batch(self) -> Batch:
        """Builds what takes the next batch: whenever it runs, it goes one step on."""
        with tf.name_scope("load_images"), tf.device("/cpu:0"):
            return Batch(*self._iterator.get_next())

    def start(self, session: tf.Session, step: int) -> None:
        """Waits for the images that are kept, and makes `step` (from 0) the next one."""
        feed = {self._start: step * self._batch_size, **self._kept.tables()}
        session.run(self._iterator.initializer, feed)

    def close(self) -> None:
        """Ends what decodes beside the graph's construction, if it has not ended."""
        self._kept.close()

    def _example(
        self, pairs: Pairs, position: tf.Tensor, count: int, config: Config
    ) -> tuple[tf.Tensor, ...]:
        pick = shuffled if config.sampling == "epochs" else drawn
        index = pick(position, count, config.seed)
        assert pairs.side is not None
        window = jitter(position, pairs.side, config)
        # Input and target are cut at the same place, and mirrored both.
        parts = self._kept.windows(index, window.top, window.left, config.crop_size)
        if config.flip:
            parts = [
                tf.cond(window.mirrored, lambda p=part: tf.reverse(p, [1]), lambda p=part: p)
                for part in parts
            ]
        return (pairs.path(index), *inputs_and_targets(parts, config))


def translation_batches(images: Sequence[SourceImage], config: Config) -> "tf.data.Dataset":
    """Every image once, in order, scaled to `crop_size` without jitter; the last batch is short.

    Returns:
      A data set of (index int64 [n], inputs, targets), as in `Batch`; without targets where
      `inputs_only` says that there are none.
    """
    config = config.replace(scale_size=config.crop_size, jitter="none")
    pairs = Pairs(images, config)

    def example(index: tf.Tensor) -> tuple[tf.Tensor, ...]:
        parts = pairs.scaled(pairs.source(index))
        return (index, *(inputs_and_targets(parts, config) if has_targets(config) else parts))

    examples = mapped(tf.data.Dataset.range(len(images)), example)
    # One at a time there is no rest, and the graph knows the size.
    return examples.batch(config.batch_size, drop_remainder=config.batch_size == 1).prefetch(2)


def shuffled(position: tf.Tensor, count: int, seed: int) -> tf.Tensor:
    """Which image stands at a position (int64 scalar): every epoch is a shuffle of its own."""
    epoch_seed = tf.random.experimental.stateless_fold_in(
        tf.constant([seed, _ORDER], tf.int64), position // count
    )
    return tf.random.experimental.index_shuffle(position % count, epoch_seed, count - 1)


def drawn(position: tf.Tensor, count: int, seed: int) -> tf.Tensor:
    """Which image stands at a position (int64 scalar), if each is drawn from all."""
    seeds = tf.constant([seed, _ORDER], tf.int64)
    position_seed = tf.random.experimental.stateless_fold_in(seeds, position)
    return tf.random.stateless_uniform([], position_seed, maxval=count, dtype=tf.int64)


class Window(NamedTuple):
    """A part of an image, mirrored or not.

    Attributes:
      mirrored: bool scalar, whether its left and right are swapped.
      top: int32 scalar, its first row in the image.
      left: int32 scalar, its first column in the image, which is not mirrored.
    """

    mirrored: tf.Tensor
    top: tf.Tensor
    left: tf.Tensor


def jitter(position: tf.Tensor, side: int, config: Config) -> Window:
    """Mirrors and crops at random (Isola et al. 2017, section 6.2).

    An image is mirrored, or not, and then cut: from row `top` and column `left` on.

    Args:
      position: int64 scalar; all is a function of it and the seed.
      side: of the images, at least crop_size.
      config: crop_size, crop_from, flip, seed.
    """
    seed = tf.random.experimental.stateless_fold_in(
        tf.constant([config.seed, _JITTER], tf.int64), position
    )
    chance = tf.random.stateless_uniform([3], seed)
    mirrored = chance[0] < 0.5
    room = side - config.crop_size
    first = min(config.crop_from, room)
    top, left = tf.unstack(first + tf.cast(tf.floor(chance[1:] * (room - first + 1)), tf.int32))
    if config.flip:
        left = tf.where(mirrored, room - left, left)
    return Window(mirrored, top, left)


class _Kept:
    """Decoded images, as many as `cache_mb` allows; the others are decoded anew each time.

    They are kept scaled, as values; or in bytes, before scaling, where bytes hold them and are
    smaller: on a CPU, where scaling at every use is little beside a step, and on a GPU if not all
    values fit. They are decoded while the training graph is built, which takes one core.
    """

    def __init__(self, pairs: Pairs, images: Sequence[SourceImage], config: Config) -> None:
        self._pairs = pairs
        self._count = len(images)
        assert pairs.side is not None
        room = 0 if pairs.in_memory else config.cache_mb * 2**20
        kind, size = tf.float32, (pairs.side, pairs.side)
        each = kind.size * math.prod(size) * sum(pairs.channels)
        if pairs.in_bytes and pairs.size and _prefers_bytes(config, each * self._count <= room):
            in_bytes = math.prod(pairs.size) * sum(pairs.channels)
            if in_bytes < each:
                kind, size, each = tf.uint8, pairs.size, in_bytes
        self._in_bytes = kind == tf.uint8
        self._kept = min(self._count, room // each)
        if not self._kept:
            return
        shapes = [(self._kept, *size, channels) for channels in pairs.channels]
        self._placeholders = [tf.placeholder(kind, shape, "kept_images") for shape in shapes]
        self._closing = threading.Event()
        self._worker = concurrent.futures.ThreadPoolExecutor(1)
        self._tables = self._worker.submit(self._decode, images, config, shapes)

    def tables(self) -> dict[tf.Tensor, "np.ndarray[Any, Any]"]:
        """Waits for the images that are kept; returns what to feed the iterator."""
        if not self._kept:
            return {}
        return dict(zip(self._placeholders, self._tables.result(), strict=True))

    def close(self) -> None:
        """Ends decoding."""
        if self._kept:
            self._closing.set()
            self._worker.shutdown()

    def _decode(
        self, images: Sequence[SourceImage], config: Config, shapes: Sequence[tuple[int, ...]]
    ) -> list["np.ndarray[Any, Any]"]:
        _, session_config = devices.choose("cpu")
        with (
            tf.Graph().as_default(),
            tf.device("/cpu:0"),
            tf.Session(config=session_config) as session,
        ):
            pairs = Pairs(images, config)
            indices = tf.data.Dataset.range(self._kept)
            decoded = mapped(indices, lambda index: self._decoded(pairs, index))
            parts = elements_of(decoded.batch(_AT_ONCE).prefetch(1), session)
            tables = [_aligned(shape, parts[0].dtype.as_numpy_dtype) for shape in shapes]
            for first in range(0, self._kept, _AT_ONCE):
                if self._closing.is_set():
                    break
                for table, part in zip(tables, session.run(parts), strict=True):
                    table[first : first + _AT_ONCE] = part
            return tables

    def windows(
        self, index: tf.Tensor, top: tf.Tensor, left: tf.Tensor, size: int
    ) -> list[tf.Tensor]:
        """Cuts an image's parts out: float32 [size, size, C] in [-1, 1]."""

        def kept() -> list[tf.Tensor]:
            if self._in_bytes:
                source = [table[index] for table in self._placeholders]
                return _cut(self._pairs.scaled(source), top, left, size)
            first = tf.stack([tf.cast(index, tf.int32), top, left, 0])
            return [
                tf.slice(table, first, [1, size, size, table.shape[-1]])[0]
                for table in self._placeholders
            ]

        def decoded() -> list[tf.Tensor]:
            return _cut(self._pairs.scaled(self._pairs.source(index)), top, left, size)

        if self._kept == self._count:
            return kept()
        return tf.cond(index < self._kept, kept, decoded) if self._kept else decoded()

    def _decoded(self, pairs: Pairs, index: tf.Tensor) -> tuple[tf.Tensor, ...]:
        source = pairs.source(index)
        return tuple(source if self._in_bytes else pairs.scaled(source))


def _prefers_bytes(config: Config, values_fit: bool) -> bool:
    if config.cache_as == "auto":
        return devices.is_cpu(config.device) or not values_fit
    return config.cache_as == "bytes"


def _cut(parts: Sequence[tf.Tensor], top: tf.Tensor, left: tf.Tensor, size: int) -> list[tf.Tensor]:
    return [tf.slice(part, [top, left, 0], [size, size, part.shape[-1]]) for part in parts]


def _aligned(shape: Sequence[int], kind: type) -> "np.ndarray[Any, Any]":
    """An empty array that TensorFlow takes over when it is fed, where others are copied."""
    size = math.prod(shape) * np.dtype(kind).itemsize
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size].view(kind).reshape(shape)
