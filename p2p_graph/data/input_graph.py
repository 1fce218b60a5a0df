"""The input graph: shuffle, decode, split, jitter.

Everything random is a function of (seed, position).

The position counts images from the start of training: image i of step s, both from 0, has the
position s * N + i, where a step has N images: those of all replicas, on all hosts. Every epoch is a
shuffle of all images. Epochs follow each other without a gap: the last batch of an epoch is filled
from the next one.
"""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow.compat.v1 as tf

from p2p_graph.config.data_options import DataOptions, ScalingOptions, TaskOptions
from p2p_graph.data.dataset_iterators import parallel_map, plain_iterator
from p2p_graph.data.image_cache import ImageCache
from p2p_graph.data.image_files import SourceImage
from p2p_graph.data.image_order import draw_index, shuffle_index
from p2p_graph.data.image_pairs import ImagePairs, input_and_target
from p2p_graph.data.jitter import draw_window, mirror


class Batch(NamedTuple):
    """The images of one step.

    Attributes:
      paths: string [N], the images' paths.
      inputs: float32 [N, H, W, C_in] in [-1, 1].
      targets: float32 [N, H, W, C_out] in [-1, 1]; None where there are only inputs.
    """

    paths: tf.Tensor
    inputs: tf.Tensor
    targets: tf.Tensor | None


class StepShare(NamedTuple):
    """Which images of a step a process reads.

    Attributes:
      total: images of a step.
      first: the first of them that this process reads.
      own: how many it reads.
    """

    total: int
    first: int
    own: int


class TrainingInputs:
    """The images of a training run, step by step."""

    def __init__(
        self,
        images: Sequence[SourceImage],
        data: DataOptions,
        seed: int,
        *,
        on_cpu: bool,
        share: StepShare | None = None,
    ) -> None:
        """Builds the graph; `start` must be called before the first batch, and `close` at the end.

        Args:
          images: all images to train on.
          data: task, scaling, batches and cache.
          seed: of image order and jitter.
          on_cpu: whether the training graph runs on the CPU.
          share: of each step; by default all of `batch_size` images.
        """
        self._data, self._seed, self._count = data, seed, len(images)
        size = data.batches.batch_size
        self._share = share or StepShare(size, 0, size)
        with tf.name_scope("load_images"), tf.device("/cpu:0"):

            def build_pairs() -> ImagePairs:
                return ImagePairs(images, data.task, data.scaling)

            self._pairs = build_pairs()
            self._cache = ImageCache(
                self._pairs, build_pairs, len(images), data.cache, on_cpu=on_cpu
            )
            self._start = tf.placeholder(tf.int64, [], "start")
            positions = tf.data.Dataset.range(self._start, tf.int64.max)
            examples = parallel_map(positions, self._example)
            batches = examples.batch(self._share.own, drop_remainder=True)
            self._iterator = plain_iterator(batches.prefetch(2))

    def next_batch(self) -> Batch:
        """Builds tensors of the next batch: each `Session.run` call takes one."""
        with tf.name_scope("load_images"), tf.device("/cpu:0"):
            return Batch(*self._iterator.get_next())

    def start(self, session: tf.Session, step: int) -> None:
        """Waits for the cached images, and makes `step` (from 0) the next one."""
        feed = {self._start: step * self._share.own, **self._cache.tables()}
        session.run(self._iterator.initializer, feed)

    def close(self) -> None:
        """Ends the thread that fills the cache, if it has not ended."""
        self._cache.close()

    def _example(self, own: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """The path, input and target of an image of this process, cropped and mirrored.

        Args:
          own: the image's position among those that this process reads.
        """
        task, scaling = self._data.task, self._data.scaling
        total, first, count = self._share
        position = own // count * total + first + own % count if count < total else own
        index_at = shuffle_index if self._data.batches.sampling == "epochs" else draw_index
        index = index_at(position, self._count, self._seed)
        window = draw_window(position, self._pairs.scaled_size, scaling, self._seed)
        # Input and target are cut at the same position, and both are mirrored or neither.
        parts = self._cache.window(index, window.top, window.left, scaling.crop_size)
        if scaling.flip:
            parts = mirror(parts, window.mirrored)
        return (self._pairs.path(index), *input_and_target(parts, task))


def translation_batches(
    images: Sequence[SourceImage],
    task: TaskOptions,
    scaling: ScalingOptions,
    batch_size: int,
    *,
    skip_bad: bool = False,
) -> "tf.data.Dataset":
    """Every image once, in order, scaled to `crop_size` without jitter; the last batch is short.

    With the crop size `ORIGINAL`, images keep their sizes, and a batch is one image. With
    `skip_bad`, images that cannot be decoded are left out, instead of an error.

    Returns:
      A data set of (index int64 [n], inputs, targets), as in `Batch`; without targets where the
      task has none.
    """
    pairs = ImagePairs(images, task, scaling.without_jitter())

    def example(index: tf.Tensor) -> tuple[tf.Tensor, ...]:
        parts = pairs.scale_parts(pairs.decode(index))
        return (index, *(input_and_target(parts, task) if task.has_targets else parts))

    examples = parallel_map(tf.data.Dataset.range(len(images)), example)
    if skip_bad:
        examples = examples.ignore_errors()
    # With batches of one there is no short batch, and the graph knows the size.
    return examples.batch(batch_size, drop_remainder=batch_size == 1).prefetch(2)
