"""Saves checkpoints while training; `checkpoints.save_checkpoint` writes and removes them."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow.compat.v1 as tf

from p2p_graph.checkpoints import restore_checkpoint, save_checkpoint
from p2p_graph.checkpoints.save_checkpoint import Retention
from p2p_graph.training.hooks.failure_signs import SMALLER_RATE, NotFiniteError
from p2p_graph.training.hooks.step_hook import StepHook
from p2p_graph.training.session_calls import Schedule
from p2p_graph.utils.errors import UserError


class SaveCheckpoints(StepHook):
    """Saves every `every` steps, at the last step, and when a signal asks training to stop.

    The checkpoints of `Retention.every` are saved, too.
    """

    def __init__(
        self,
        saver: tf.train.Saver,
        folder: Path,
        every: int,
        schedule: Schedule,
        retention: Retention,
        *,
        writes: bool = True,
    ) -> None:
        """Prepares the hook.

        Args:
          saver: of the variables to save.
          folder: of the run.
          every: steps between checkpoints; 0 for none but where a signal stops training.
          schedule: which steps each `Session.run` call does.
          retention: which checkpoints are kept.
          writes: whether this process saves; of several, the chief alone does.
        """
        super().__init__(every, schedule)
        self._writes = writes
        self._saver = saver
        self._retention = retention
        self._folder = folder
        self._before_saving: list[Callable[[], None]] = []
        graph = tf.get_default_graph()
        values = [graph.as_graph_element(variable) for variable in tf.trainable_variables()]
        self._finite = tf.group(*(tf.check_numerics(value, "saved") for value in values))
        self._saved = 0
        self._session: tf.Session | None = None

    def is_due(self, step: int) -> bool:
        """Whether the options ask for a checkpoint of this step."""
        return super().is_due(step) or self._retention.for_good(step)

    def before_saving(self, function: Callable[[], None]) -> None:
        """Has a function called before each checkpoint is saved."""
        self._before_saving.append(function)

    def report(self, step: int, values: Any, session: tf.Session) -> None:
        """Saves."""
        self.save(step, session)

    def save(self, step: int, session: tf.Session) -> None:
        """Saves a checkpoint, unless that of this step is saved.

        Raises:
          UserError: a weight is not finite, or the checkpoint cannot be written; the checkpoint
            before it is as it was.
        """
        if self._saved == step or not self._writes:
            return
        for function in self._before_saving:
            function()
        self.save_to(self._folder, step, session, self._retention)
        self._saved = step

    def after_create_session(self, session: tf.Session, coord: tf.train.Coordinator) -> None:
        """Keeps the session for `save_after`: after an error, no hook is given one."""
        super().after_create_session(session, coord)
        self._session = session

    def save_after(self, error: tf.errors.OpError, step: int) -> None:
        """Saves the steps before an error of the input graph, such as of an image that has gone.

        Nothing is saved if the failed call has done a part of its work.
        """
        is_input = "IteratorGetNext]]" in error.message  # the operation that failed comes last
        assert self._session is not None
        done = int(self._session.run(tf.train.get_global_step(self._session.graph)))
        if is_input and done == step:
            with contextlib.suppress(UserError):  # the error itself is what is reported
                self.save(step, self._session)

    def save_to(
        self,
        folder: Path,
        step: int,
        session: tf.Session,
        retention: Retention = save_checkpoint.NEWEST_ONLY,
    ) -> None:
        """Saves a checkpoint into any folder.

        Raises:
          UserError: as `save`.
        """
        try:
            session.run(self._finite)
        except tf.errors.InvalidArgumentError:
            raise NotFiniteError(
                f"weights are not finite after step {step}; "
                f"{what_is_kept(self._folder)}: {SMALLER_RATE}"
            ) from None
        save_checkpoint.save(self._saver, session, folder, step, retention)


def what_is_kept(folder: Path) -> str:
    """Says, where training ends with an error, whether a run's folder holds a checkpoint."""
    newest = restore_checkpoint.find(folder)
    if newest is None:
        return "no checkpoint is saved yet"
    return f"the last checkpoint is kept ({newest.prefix.name})"
