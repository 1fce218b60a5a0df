"""Ctrl-C, SIGTERM and SIGHUP end training with a checkpoint."""

from typing import Any

import tensorflow.compat.v1 as tf

from p2p_graph.training.hooks.checkpoint_schedule import SaveCheckpoints
from p2p_graph.training.hooks.step_hook import StepHook
from p2p_graph.training.session_calls import Schedule
from p2p_graph.utils.signals import StopSignals


class StopOnSignal(StepHook):
    """A signal that stops work ends training after its `Session.run` call, with a checkpoint."""

    def __init__(self, saving: SaveCheckpoints, schedule: Schedule) -> None:
        super().__init__(1, schedule)
        self._saving = saving
        self.signals = StopSignals()

    def begin(self) -> None:
        """Takes the signals over."""
        self.signals.take()

    def report(self, step: int, values: Any, session: tf.Session) -> None:
        """Saves where a signal has come."""
        if self.signals.received:
            self._saving.save(step, session)

    def after_run(self, run_context: tf.train.SessionRunContext, run_values: Any) -> None:
        """Ends training where a signal has come."""
        super().after_run(run_context, run_values)
        if self.signals.received:
            run_context.request_stop()

    def close(self) -> None:
        """Gives the signals back."""
        self.signals.give_back()
