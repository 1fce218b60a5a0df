"""Runs of the session: one step or several, each as operations or compiled whole by XLA."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow.compat.v1 as tf

from p2p_graph.config.options import Config
from p2p_graph.data.input_graph import Batch
from p2p_graph.training.step import Model, build_step
from p2p_graph.training.updates import Losses, Optimizers


class Plan(NamedTuple):
    """Which steps a run of the session does.

    Attributes:
      last: the step that training ends with; steps count from 1.
      at_once: a run ends at a multiple of this, or at `last`.
    """

    last: int
    at_once: int = 1

    def after(self, step: int) -> int:
        """How many steps are done after a run that begins when `step` are."""
        return min(self.last, (step // self.at_once + 1) * self.at_once)


class Run(NamedTuple):
    """What a run of the session computes.

    Attributes:
      model: its last step.
      batch: the images of that.
      losses: of all its k steps, float32 [k, 3], in the order of `Losses`.
      paths: of the images of all its steps, string [k, N].
    """

    model: Model
    batch: Batch
    losses: tf.Tensor
    paths: tf.Tensor


def build_run(
    next_batch: Callable[[], Batch], config: Config, optimizers: Optimizers, plan: Plan
) -> Run:
    """Builds what a run of the session does.

    All steps but the last are a loop in the graph. The last stands behind it, so that all that is
    looked at in a step can be fetched from it, and costs nothing in the others.

    Args:
      next_batch: builds what takes the next batch, where it is called.
      config: as in `build_step`; steps_per_run and xla besides.
      optimizers: from `make_optimizers`.
      plan: how many steps there are to do.
    """

    def plain(batch: Batch) -> Model:
        return build_step(batch, config, optimizers)

    step = _compiled(next_batch, plain, config) if config.xla else plain
    if plan.at_once == 1:
        batch = next_batch()
        model = step(batch)
        return Run(model, batch, tf.stack(model.losses)[None], batch.paths[None])

    done = tf.cast(tf.train.get_or_create_global_step().read_value(), tf.int32)
    count = tf.minimum(plan.last, (done // plan.at_once + 1) * plan.at_once) - done - 1

    def one(i: tf.Tensor, losses: Any, paths: Any) -> tuple[Any, ...]:
        # A step takes its batch, and reads weights, after the one before it.
        with tf.control_dependencies([i]):
            batch = next_batch()
            model = step(batch)
        with tf.control_dependencies([model.train]):
            losses = losses.write(i, tf.stack(model.losses))
            return i + 1, losses, paths.write(i, batch.paths)

    ended, losses, paths = tf.while_loop(
        lambda i, *_: i < count,
        one,
        [
            tf.constant(0),
            tf.TensorArray(tf.float32, count, element_shape=[len(Losses._fields)]),
            tf.TensorArray(tf.string, count, element_shape=[config.batch_size]),
        ],
        parallel_iterations=1,
        back_prop=False,
    )
    with tf.control_dependencies([ended]):
        batch = next_batch()
        model = step(batch)
    return Run(
        model,
        batch,
        tf.concat([losses.stack(), tf.stack(model.losses)[None]], 0),
        tf.concat([paths.stack(), batch.paths[None]], 0),
    )


def _compiled(
    next_batch: Callable[[], Batch], plain: Callable[[Batch], Model], config: Config
) -> Callable[[Batch], Model]:
    """Makes of what builds a step what builds the same step, compiled whole by XLA."""
    # A function does not make variables of the graph: a step that never runs does.
    with tf.name_scope("variables"):
        shapes = next_batch()
        assert shapes.targets is not None
        empty = [tf.zeros(images.shape) for images in (shapes.inputs, shapes.targets)]
        made = plain(Batch(shapes.paths, *empty))
    variables = [variable for _, variable in made.gradients]

    @tf.function(jit_compile=True, autograph=False)  # type: ignore[untyped-decorator]
    def compiled(inputs: tf.Tensor, targets: tf.Tensor) -> dict[str, Any]:
        model = plain(Batch(shapes.paths, inputs, targets))
        values = model._asdict()
        # Gradients are for TensorBoard: where they are not wanted, they need not be kept.
        wanted = [gradient for gradient, _ in model.gradients] if config.summary_freq else []
        with tf.control_dependencies([values.pop("train")]):
            return {**values, "gradients": [tf.identity(gradient) for gradient in wanted]}

    def step(batch: Batch) -> Model:
        values = compiled(batch.inputs, batch.targets)
        gradients: Sequence[Any] = list(zip(values["gradients"], variables, strict=False))
        train = values["step"].op
        return Model(**{**values, "gradients": gradients, "train": train})

    return step
