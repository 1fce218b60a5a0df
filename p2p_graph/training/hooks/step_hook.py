"""What all hooks of the training loop have in common. No hook changes a weight."""

from typing import Any

import tensorflow.compat.v1 as tf

from p2p_graph.training.session_calls import Schedule


class StepHook(tf.train.SessionRunHook):
    """Fetches and reports something every `every` steps (0: never) and at the last step.

    Steps count from 1. `report` runs after the step that it names, the last one of a `Session.run`
    call.
    """

    def __init__(self, every: int, schedule: Schedule, *, is_new: bool = False) -> None:
        self._every = every
        self._schedule = schedule
        self._is_new = is_new
        self._step = 0

    def after_create_session(self, session: tf.Session, coord: tf.train.Coordinator) -> None:
        """Reads the number of steps done; the variables are restored by now."""
        self._step = int(session.run(tf.train.get_global_step(session.graph)))
        self.begin_at(self._step)

    def before_run(self, run_context: tf.train.SessionRunContext) -> Any:
        """Requests the fetches of `report`, where the call's last step is one to report."""
        self._step = self._schedule.after(self._step)
        return self.request() if self.is_due(self._step) else None

    def after_run(self, run_context: tf.train.SessionRunContext, run_values: Any) -> None:
        """Reports, where `before_run` requested fetches."""
        if run_values.results is not None:
            self.report(self._step, run_values, run_context.session)

    def is_due(self, step: int) -> bool:
        """Whether there is something to report after a step."""
        is_last = step == self._schedule.last_step
        return bool(self._every) and (step % self._every == 0 or is_last)

    def begin_at(self, step: int) -> None:
        """Called once, before the first step, with the number of steps that were done before."""

    def kept_until(self, step: int) -> int:
        """The step up to which the files in the run's folder are of this run: 0 for a new run.

        Args:
          step: that the run begins at; a new run may begin at that of another one's checkpoint.
        """
        return 0 if self._is_new else step

    def close(self) -> None:
        """Releases what the hook holds; called once, however training ended."""

    def request(self) -> tf.train.SessionRunArgs:
        """What to fetch; by default nothing, for hooks that act after the step."""
        return tf.train.SessionRunArgs([])

    def report(self, step: int, values: Any, session: tf.Session) -> None:
        """Reports what was fetched."""
        raise NotImplementedError
