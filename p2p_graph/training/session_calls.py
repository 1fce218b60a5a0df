"""Session.run calls: one training step or several, each as operations or compiled by XLA."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow.compat.v1 as tf

from p2p_graph.data.input_graph import Batch
from p2p_graph.training.step import Step
from p2p_graph.training.updates import Losses


class Schedule(NamedTuple):
    """Which steps each `Session.run` call does.

    Attributes:
      last_step: the step that training ends with; steps count from 1.
      steps_per_call: a call ends at a multiple of this number, or at `last_step`.
    """

    last_step: int
    steps_per_call: int = 1

    def after(self, step: int) -> int:
        """How many steps are done after a call that begins when `step` are."""
        return min(self.last_step, (step // self.steps_per_call + 1) * self.steps_per_call)


class SessionCall(NamedTuple):
    """What a `Session.run` call computes.

    Attributes:
      step: the last step of the call.
      batch: the images of that step.
      losses: of all k steps of the call, float32 [k, 3], in the order of `Losses`.
      paths: of the images of all steps, string [k, N].
    """

    step: Step
    batch: Batch
    losses: tf.Tensor
    paths: tf.Tensor


def build_session_call(
    next_batch: Callable[[], Batch],
    build_step: Callable[[Batch], Step],
    schedule: Schedule,
    batch_size: int,
) -> SessionCall:
    """Builds a `Session.run` call.

    All steps but the last are a loop in the graph. The last step is built behind the loop: hooks
    can fetch everything from it, at no cost for the others.

    Args:
      next_batch: builds the tensors of the next batch.
      build_step: builds a step on a batch.
      schedule: how many steps there are to do.
      batch_size: images of a step that this process reads.
    """
    if schedule.steps_per_call == 1:
        batch = next_batch()
        step = build_step(batch)
        return SessionCall(step, batch, tf.stack(step.losses)[None], batch.paths[None])

    looped_losses, looped_paths, ended = _loop(next_batch, build_step, schedule, batch_size)
    with tf.control_dependencies([ended]):
        batch = next_batch()
        step = build_step(batch)
    return SessionCall(
        step,
        batch,
        tf.concat([looped_losses, tf.stack(step.losses)[None]], 0),
        tf.concat([looped_paths, batch.paths[None]], 0),
    )


def _loop(
    next_batch: Callable[[], Batch],
    build_step: Callable[[Batch], Step],
    schedule: Schedule,
    batch_size: int,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """All steps of a call but the last; their losses and paths, and a tensor of the loop's end."""
    done = tf.cast(tf.train.get_or_create_global_step().read_value(), tf.int32)
    next_end = (done // schedule.steps_per_call + 1) * schedule.steps_per_call
    count = tf.minimum(schedule.last_step, next_end) - done - 1

    def one(i: tf.Tensor, losses: Any, paths: Any) -> tuple[Any, ...]:
        # A step takes its batch, and reads weights, after the step before it.
        with tf.control_dependencies([i]):
            batch = next_batch()
            step = build_step(batch)
        with tf.control_dependencies([step.train]):
            losses = losses.write(i, tf.stack(step.losses))
            return i + 1, losses, paths.write(i, batch.paths)

    ended, losses, paths = tf.while_loop(
        lambda i, *_: i < count,
        one,
        [
            tf.constant(0),
            tf.TensorArray(tf.float32, count, element_shape=[len(Losses._fields)]),
            tf.TensorArray(tf.string, count, element_shape=[batch_size]),
        ],
        parallel_iterations=1,
        back_prop=False,
    )
    return losses.stack(), paths.stack(), ended


def compiled(
    next_batch: Callable[[], Batch],
    build_step: Callable[[Batch], Step],
    *,
    with_gradients: bool,
) -> Callable[[Batch], Step]:
    """Wraps a step builder so that XLA compiles the step.

    Args:
      next_batch: builds the tensors of the next batch, for their shapes.
      build_step: builds a step on a batch.
      with_gradients: whether the compiled step returns gradients, which TensorBoard summaries need.
    """
    # Variables made in a tf.function are not the graph's: a step that never runs makes them.
    with tf.name_scope("variables"):
        shapes = next_batch()
        assert shapes.targets is not None
        empty = [tf.zeros(images.shape) for images in (shapes.inputs, shapes.targets)]
        unused = build_step(Batch(shapes.paths, *empty))
    variables = [variable for _, variable in unused.gradients]

    @tf.function(jit_compile=True, autograph=False)  # type: ignore[untyped-decorator]
    def run_step(inputs: tf.Tensor, targets: tf.Tensor) -> dict[str, Any]:
        step = build_step(Batch(shapes.paths, inputs, targets))
        values = step._asdict()
        gradients = [gradient for gradient, _ in step.gradients] if with_gradients else []
        with tf.control_dependencies([values.pop("train")]):
            return {**values, "gradients": [tf.identity(gradient) for gradient in gradients]}

    def build_compiled_step(batch: Batch) -> Step:
        values = run_step(batch.inputs, batch.targets)
        gradients: Sequence[Any] = list(zip(values["gradients"], variables, strict=False))
        train = values["number"].op
        return Step(**{**values, "gradients": gradients, "train": train})

    return build_compiled_step
