"""The input graph: decode, split, jitter. All that is random is a function of (seed, position).

The position counts pictures from the start of training: picture i of step s, both from 0, stands
at s * batch_size + i. Every epoch is a shuffle of all pictures, and epochs follow each other
without a gap, so that the last batch of one is filled from the next.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow.compat.v1 as tf

from p2p_graph.config import Config
from p2p_graph.files import Picture
from p2p_graph.pairs import Pairs, has_targets, split_channels

# Which random stream of a seed: each purpose has its own.
_ORDER, _JITTER = 1, 2
_PARALLEL = tf.data.AUTOTUNE
_ALIGNMENT = 64  # bytes, of every tensor's memory


class Batch(NamedTuple):
    """Pictures for one step.

    Attributes:
      paths: string [N], what the pictures are called: their files.
      inputs: float32 [N, H, W, C_in] in [-1, 1].
      targets: float32 [N, H, W, C_out] in [-1, 1]; None where there are only inputs.
    """

    paths: tf.Tensor
    inputs: tf.Tensor
    targets: tf.Tensor | None


class TrainingInputs:
    """The pictures of a training run, step by step.

    Attributes:
      batch: what the next step sees; every `session.run` of it goes one step on.
    """

    def __init__(self, pictures: Sequence[Picture], config: Config) -> None:
        """Builds the graph; `start` must run before the first batch."""
        with tf.name_scope("load_images"), tf.device("/cpu:0"):
            pairs = Pairs(pictures, config)
            self._kept = _Kept(pairs, len(pictures), config)
            self._start = tf.placeholder(tf.int64, [], "start")
            self._positions = tf.data.Dataset.range(self._start, tf.int64.max)
            examples = self._positions.map(
                lambda position: self._example(pairs, position, len(pictures), config), _PARALLEL
            )
            batches = examples.batch(config.batch_size, drop_remainder=True).prefetch(2)
            options = tf.data.Options()
            # Rewriting the graph of a data set copies what it captures, here all kept pictures.
            options.experimental_optimization.apply_default_optimizations = False
            self._iterator = tf.data.make_initializable_iterator(batches.with_options(options))
            self.batch = Batch(*self._iterator.get_next())
            self._batch_size = config.batch_size

    def start(self, session: tf.Session, step: int) -> None:
        """Decodes the pictures that are kept, and makes `step` (from 0) the next one."""
        kept = self._kept.decode(session)
        position = step * self._batch_size
        session.run(self._iterator.initializer, {self._start: position, **kept})

    def _example(
        self, pairs: Pairs, position: tf.Tensor, count: int, config: Config
    ) -> tuple[tf.Tensor, ...]:
        pick = shuffled if config.sampling == "epochs" else drawn
        index = pick(position, count, config.seed)
        image = jitter(self._kept.image(index), position, config)
        return (pairs.path(index), *split_channels(image, config))


def translation_batches(pictures: Sequence[Picture], config: Config) -> "tf.data.Dataset":
    """Every picture once, in order, scaled to `crop_size` without jitter; the last batch is short.

    Returns:
      A data set of (index int64 [n], inputs, targets), as in `Batch`; without targets where
      `inputs_only` says that there are none.
    """
    config = config.replace(scale_size=config.crop_size, jitter="none")
    pairs = Pairs(pictures, config)

    def example(index: tf.Tensor) -> tuple[tf.Tensor, ...]:
        image = pairs.scaled(pairs.source(index))
        if not has_targets(config):
            return index, image
        return (index, *split_channels(image, config))

    indices = tf.data.Dataset.range(len(pictures))
    return indices.map(example, _PARALLEL).batch(config.batch_size).prefetch(2)


def shuffled(position: tf.Tensor, count: int, seed: int) -> tf.Tensor:
    """Which picture stands at a position (int64 scalar): every epoch is a shuffle of its own."""
    epoch_seed = tf.random.experimental.stateless_fold_in(
        tf.constant([seed, _ORDER], tf.int64), position // count
    )
    return tf.random.experimental.index_shuffle(position % count, epoch_seed, count - 1)


def drawn(position: tf.Tensor, count: int, seed: int) -> tf.Tensor:
    """Which picture stands at a position (int64 scalar), if each is drawn from all."""
    seeds = tf.constant([seed, _ORDER], tf.int64)
    position_seed = tf.random.experimental.stateless_fold_in(seeds, position)
    return tf.random.stateless_uniform([], position_seed, maxval=count, dtype=tf.int64)


def jitter(image: tf.Tensor, position: tf.Tensor, config: Config) -> tf.Tensor:
    """Mirrors and crops at random (Isola et al. 2017, section 6.2).

    Inputs and targets are channels of one picture here, so that both are cut at the same place.

    Args:
      image: float32 [S, S, C], S at least crop_size.
      position: int64 scalar; mirroring and place are functions of it and the seed.
      config: crop_size, crop_from, flip, seed.

    Returns:
      float32 [crop_size, crop_size, C].
    """
    seed = tf.random.experimental.stateless_fold_in(
        tf.constant([config.seed, _JITTER], tf.int64), position
    )
    chance = tf.random.stateless_uniform([3], seed)
    if config.flip:
        image = tf.cond(chance[0] < 0.5, lambda: tf.reverse(image, [1]), lambda: image)
    size, room = config.crop_size, image.shape[0] - config.crop_size
    first = min(config.crop_from, room)
    places = tf.cast(tf.floor(chance[1:] * (room - first + 1)), tf.int32)
    top, left = tf.unstack(first + places)
    return tf.ensure_shape(
        image[top : top + size, left : left + size], [size, size, image.shape[-1]]
    )


class _Kept:
    """Decoded pictures, as many as `cache_mb` allows; the others are decoded anew each time.

    They are kept in bytes before scaling, if that is exact and smaller, or else scaled.
    """

    def __init__(self, pairs: Pairs, count: int, config: Config) -> None:
        self._pairs = pairs
        self._count = count
        assert pairs.side is not None
        kind, size = tf.float32, (pairs.side, pairs.side)
        self._in_bytes = False
        if pairs.in_bytes and pairs.size and math.prod(pairs.size) < 4 * math.prod(size):
            kind, size = tf.uint8, pairs.size
            self._in_bytes = True
        shape = [*size, pairs.channels]
        room = 0 if pairs.in_memory else config.cache_mb * 2**20
        self._kept = min(count, room // (kind.size * math.prod(shape)))
        if not self._kept:
            return
        self._shape = (self._kept, *shape)
        self._table = tf.placeholder(kind, self._shape, "kept_pictures")
        decoded = tf.data.Dataset.range(self._kept).map(self._decoded, _PARALLEL).prefetch(2)
        self._decoding = tf.data.make_initializable_iterator(decoded)
        self._next = self._decoding.get_next()

    def decode(self, session: tf.Session) -> dict[tf.Tensor, "np.ndarray[Any, Any]"]:
        """Decodes the pictures that are kept; returns what to feed the iterator that reads them."""
        if not self._kept:
            return {}
        table = _aligned(self._shape, self._table.dtype.as_numpy_dtype)
        session.run(self._decoding.initializer)
        for i in range(self._kept):
            table[i] = session.run(self._next)
        return {self._table: table}

    def image(self, index: tf.Tensor) -> tf.Tensor:
        """A picture, float32 [side, side, C] in [-1, 1]."""
        if self._kept == self._count:
            image = self._table[index]
        elif self._kept:
            image = tf.cond(
                index < self._kept,
                lambda: self._table[index],
                lambda: self._decoded(index),
            )
        else:
            image = self._decoded(index)
        return self._pairs.scaled(image) if self._in_bytes else image

    def _decoded(self, index: tf.Tensor) -> tf.Tensor:
        source = self._pairs.source(index)
        return source if self._in_bytes else self._pairs.scaled(source)


def _aligned(shape: Sequence[int], kind: type) -> "np.ndarray[Any, Any]":
    """An empty array that TensorFlow takes over when it is fed, where others are copied."""
    size = math.prod(shape) * np.dtype(kind).itemsize
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size].view(kind).reshape(shape)
