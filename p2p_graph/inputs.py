"""The input graph: decode, split, jitter. All that is random is a function of (seed, position).

The position counts pictures from the start of training: picture i of step s, both from 0, stands
at s * batch_size + i. Every epoch is a shuffle of all pictures, and epochs follow each other
without a gap, so that the last batch of one is filled from the next.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow.compat.v1 as tf
import tensorflow.compat.v2 as tf2

from p2p_graph import color
from p2p_graph.config import Config
from p2p_graph.files import Picture, usable_pictures

# Which random stream of a seed: each purpose has its own.
_ORDER, _JITTER = 1, 2
_PARALLEL = tf.data.AUTOTUNE
_ALIGNMENT = 64  # bytes, of every tensor's memory


class Channels(NamedTuple):
    """How many channels a model's pictures have."""

    inputs: int
    targets: int


class Batch(NamedTuple):
    """Pictures for one step.

    Attributes:
      paths: string [N], the files.
      inputs: float32 [N, H, W, C_in] in [-1, 1].
      targets: float32 [N, H, W, C_out] in [-1, 1]; None where there are only inputs.
    """

    paths: tf.Tensor
    inputs: tf.Tensor
    targets: tf.Tensor | None


def list_pictures(config: Config) -> list[Picture]:
    """Lists the pictures of `input_dir` and, where there is one, `target_dir`; all can be used.

    Raises:
      UserError: as `files.usable_pictures`.
    """
    assert config.input_dir is not None
    return usable_pictures(
        Path(config.input_dir),
        pairs=is_pair(config),
        skip_bad=config.skip_bad,
        target_dir=Path(config.target_dir) if config.target_dir else None,
    )


class TrainingInputs:
    """The pictures of a training run, step by step.

    Attributes:
      batch: what the next step sees; every `session.run` of it goes one step on.
    """

    def __init__(self, pictures: Sequence[Picture], config: Config) -> None:
        """Builds the graph; `start` must run before the first batch."""
        with tf.name_scope("load_images"), tf.device("/cpu:0"):
            files = _Files(pictures, config)
            self._kept = _Kept(files, len(pictures), config)
            self._start = tf.placeholder(tf.int64, [], "start")
            self._positions = tf.data.Dataset.range(self._start, tf.int64.max)
            examples = self._positions.map(
                lambda position: self._example(files, position, len(pictures), config), _PARALLEL
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
        self, files: "_Files", position: tf.Tensor, count: int, config: Config
    ) -> tuple[tf.Tensor, ...]:
        pick = shuffled if config.sampling == "epochs" else drawn
        index = pick(position, count, config.seed)
        image = jitter(self._kept.image(index), position, config)
        return (files.path(index), *split_channels(image, config))


def translation_batches(pictures: Sequence[Picture], config: Config) -> "tf.data.Dataset":
    """Every picture once, in order, scaled to `crop_size` without jitter; the last batch is short.

    Returns:
      A data set of (index int64 [n], inputs, targets), as in `Batch`; without targets where
      `inputs_only` says that there are none.
    """
    config = config.replace(scale_size=config.crop_size, jitter="none")
    files = _Files(pictures, config)

    def example(index: tf.Tensor) -> tuple[tf.Tensor, ...]:
        image = files.scaled(files.source(index))
        if not has_targets(config):
            return index, image
        return (index, *split_channels(image, config))

    indices = tf.data.Dataset.range(len(pictures))
    return indices.map(example, _PARALLEL).batch(config.batch_size).prefetch(2)


def channels(config: Config) -> Channels:
    """The channels of inputs and targets: 3 and 3, but brightness (1) and colours (2) with Lab."""
    if not config.lab_colorization:
        return Channels(3, 3)
    return Channels(1, 2) if config.which_direction == "AtoB" else Channels(2, 1)


def is_pair(config: Config) -> bool:
    """Whether a picture file is two halves, input and target."""
    single = config.lab_colorization or config.inpaint != "none" or config.inputs_only
    return not (single or config.target_dir)


def has_targets(config: Config) -> bool:
    """Whether a picture file holds a target: with Lab always, its own other channels.

    With `inpaint`, `inputs_only` says that the pictures have holes already.
    """
    return config.lab_colorization or not config.inputs_only


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


def decode(contents: tf.Tensor) -> tf.Tensor:
    """Decodes a JPEG or PNG file's contents (string scalar) to float32 RGB [h, w, 3] in [0, 1].

    Grey is repeated, palettes and CMYK are converted, alpha is dropped; 16 bits keep their
    precision.
    """
    is_png = tf.equal(tf.strings.substr(contents, 1, 3), "PNG")
    deep = is_png & tf.equal(tf.strings.substr(contents, 24, 1), b"\x10")
    kinds = (tf.uint16, tf.uint8)
    wide, narrow = (
        lambda kind=kind: tf.image.convert_image_dtype(_decode(contents, kind), tf.float32)
        for kind in kinds
    )
    return tf.cond(deep, wide, narrow)


class _Files:
    """The picture files, as constants of the graph."""

    def __init__(self, pictures: Sequence[Picture], config: Config) -> None:
        self._config = config
        self._paths = tf.constant([str(picture.path) for picture in pictures])
        if config.target_dir:
            self._targets = tf.constant([str(picture.target) for picture in pictures])
        half = 2 if is_pair(config) else 1
        sizes = {(picture.height, picture.width // half) for picture in pictures}
        self.size = sizes.pop() if len(sizes) == 1 else None
        self.side = config.crop_size if config.jitter == "shrink" else config.scale_size
        self.channels = 3 if config.inpaint == "center" else sum(channels(config))
        self.in_bytes = not config.lab_colorization and not any(p.deep for p in pictures)

    def path(self, index: tf.Tensor) -> tf.Tensor:
        return self._paths[index]

    def source(self, index: tf.Tensor) -> tf.Tensor:
        """Decodes a picture: [h, w, C_in + C_out], the input's channels first.

        The values are uint8, or float32 in [-1, 1] where bytes would not hold them: Lab, 16 bits.
        """
        if not self._config.lab_colorization:
            image = self._values(self._paths[index])
            if self._config.target_dir:
                return self._joined(image, self._values(self._targets[index]))
            return self._halves(image)
        rgb = decode(tf.io.read_file(self._paths[index]))
        brightness, colors = tf.split(color.split_lab(rgb), [1, 2], axis=2)
        return self._joined(brightness, colors)

    def _values(self, path: tf.Tensor) -> tf.Tensor:
        contents = tf.io.read_file(path)
        return _decode(contents, tf.uint8) if self.in_bytes else decode(contents) * 2 - 1

    def scaled(self, source: tf.Tensor) -> tf.Tensor:
        """Scales a decoded picture to float32 [side, side, C] in [-1, 1]."""
        if source.dtype == tf.uint8:
            source = tf.image.convert_image_dtype(source, tf.float32) * 2 - 1
        if self._config.jitter == "shrink":
            source = scaled(source, self._config.scale_size, "nearest")
        return scaled(source, self.side, self._config.resize)

    def _halves(self, image: tf.Tensor) -> tf.Tensor:
        """Lays the two halves of a picture over each other as channels, the input first."""
        height, width = self.size or (None, None)
        if self._config.inpaint == "white30" and has_targets(self._config):
            image = tf.concat([with_hole(image, "white30"), image], axis=2)
            return tf.ensure_shape(image, [height, width, self.channels])
        if not is_pair(self._config):
            return tf.ensure_shape(image, [height, width, 3])
        half = tf.shape(image)[1] // 2
        return self._joined(image[:, :half], image[:, half:])

    def _joined(self, a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
        """Lays A and B over each other as channels, the input first."""
        height, width = self.size or (None, None)
        image = tf.concat([a, b] if self._config.which_direction == "AtoB" else [b, a], axis=2)
        return tf.ensure_shape(image, [height, width, self.channels])


def _decode(contents: tf.Tensor, kind: tf.DType) -> tf.Tensor:
    rgb = tf.io.decode_image(contents, channels=3, dtype=kind, expand_animations=False)
    return tf.ensure_shape(rgb, [None, None, 3])


class _Kept:
    """Decoded pictures, as many as `cache_mb` allows; the others are decoded anew each time.

    They are kept in bytes before scaling, if that is exact and smaller, or else scaled.
    """

    def __init__(self, files: _Files, count: int, config: Config) -> None:
        self._files = files
        self._count = count
        assert files.side is not None
        kind, size = tf.float32, (files.side, files.side)
        self._in_bytes = False
        if files.in_bytes and files.size and math.prod(files.size) < 4 * math.prod(size):
            kind, size = tf.uint8, files.size
            self._in_bytes = True
        shape = [*size, files.channels]
        self._kept = min(count, config.cache_mb * 2**20 // (kind.size * math.prod(shape)))
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
        return self._files.scaled(image) if self._in_bytes else image

    def _decoded(self, index: tf.Tensor) -> tf.Tensor:
        source = self._files.source(index)
        return source if self._in_bytes else self._files.scaled(source)


def _aligned(shape: Sequence[int], kind: type) -> "np.ndarray[Any, Any]":
    """An empty array that TensorFlow takes over when it is fed, where others are copied."""
    size = math.prod(shape) * np.dtype(kind).itemsize
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size].view(kind).reshape(shape)
