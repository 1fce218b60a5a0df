"""Ctrl-C, SIGTERM and SIGHUP end training with a checkpoint."""

import signal
from typing import Any

import tensorflow.compat.v1 as tf

from p2p_graph.runtime.replicas import Replicas
from p2p_graph.training.hooks.checkpoint_schedule import SaveCheckpoints
from p2p_graph.training.hooks.step_hook import StepHook
from p2p_graph.training.session_calls import Schedule
from p2p_graph.utils.signals import StopSignals


class StopOnSignal(StepHook):
    """A signal that stops work ends training after its `Session.run` call, with a checkpoint.

    Of several processes, one with a signal ends all of them after the same step.
    """

    def __init__(self, saving: SaveCheckpoints, schedule: Schedule, replicas: Replicas) -> None:
        super().__init__(1, schedule)
        self._saving = saving
        self.signals = StopSignals()
        self._own: tf.Tensor | None = None
        if replicas.count > replicas.local:
            self._own = tf.placeholder(tf.int64, [])
            self._all = replicas.total(self._own)

    def begin(self) -> None:
        """Takes the signals over."""
        self.signals.take()

    def request(self) -> tf.train.SessionRunArgs:
        """Of several processes, whether one has received a signal."""
        if self._own is None:
            return super().request()
        return tf.train.SessionRunArgs(self._all, {self._own: int(bool(self.signals.received))})

    def report(self, step: int, values: Any, session: tf.Session) -> None:
        """Saves where a signal has come."""
        self._stops = bool(self.signals.received) if self._own is None else values.results > 0
        if self._stops:
            self.signals.received = self.signals.received or signal.SIGTERM
            self._saving.save(step, session)

    def after_run(self, run_context: tf.train.SessionRunContext, run_values: Any) -> None:
        """Ends training where a signal has come."""
        super().after_run(run_context, run_values)
        if self._stops:
            run_context.request_stop()

    def close(self) -> None:
        """Gives the signals back."""
        self.signals.give_back()
