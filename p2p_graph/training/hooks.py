"""Hooks of the training loop: checks, progress, checkpoints, signals. None of them trains."""

import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import tensorflow.compat.v1 as tf
from tqdm import tqdm

from p2p_graph.checkpoints import checkpoint_files
from p2p_graph.training.session_calls import Schedule, SessionCall
from p2p_graph.training.step import EMA_DECAY
from p2p_graph.training.updates import Losses
from p2p_graph.utils.errors import UserError
from p2p_graph.utils.signals import StopSignals


def debiased(averages: Losses, step: int) -> Losses:
    """Divides moving averages that started at 0, `step` steps ago, by 1 - 0.99^step."""
    return Losses(*(float(average) / (1 - EMA_DECAY**step) for average in averages))


class StepHook(tf.train.SessionRunHook):
    """Fetches and reports something every `every` steps (0: never) and at the last step.

    Steps count from 1. `report` runs after the step that it names, the last one of a `Session.run`
    call.
    """

    def __init__(self, every: int, schedule: Schedule) -> None:
        self._every = every
        self._schedule = schedule
        self._step = 0

    def after_create_session(self, session: tf.Session, coord: tf.train.Coordinator) -> None:
        """Reads the number of steps done; the variables are restored by now."""
        self._step = int(session.run(tf.train.get_global_step(session.graph)))
        self.begin_at(self._step)

    def before_run(self, run_context: tf.train.SessionRunContext) -> Any:
        """Requests the fetches of `report`, where the call's last step is one to report."""
        self._step = self._schedule.after(self._step)
        is_last = self._step == self._schedule.last_step
        due = self._every and (self._step % self._every == 0 or is_last)
        return self.request() if due else None

    def after_run(self, run_context: tf.train.SessionRunContext, run_values: Any) -> None:
        """Reports, where `before_run` requested fetches."""
        if run_values.results is not None:
            self.report(self._step, run_values, run_context.session)

    def begin_at(self, step: int) -> None:
        """Called once, before the first step, with the number of steps that were done before."""

    def close(self) -> None:
        """Releases what the hook holds; called once, however training ended."""

    def request(self) -> tf.train.SessionRunArgs:
        """What to fetch; by default nothing, for hooks that act after the step."""
        return tf.train.SessionRunArgs([])

    def report(self, step: int, values: Any, session: tf.Session) -> None:
        """Reports what was fetched."""
        raise NotImplementedError


class CheckLosses(StepHook):
    """Stops training whose losses are not finite, before anything is made of them."""

    def __init__(self, call: SessionCall, schedule: Schedule) -> None:
        super().__init__(1, schedule)
        self._fetches = {"losses": call.losses, "paths": call.paths}

    def request(self) -> tf.train.SessionRunArgs:
        """All losses, and the images that they are of."""
        return tf.train.SessionRunArgs(self._fetches)

    def report(self, step: int, values: Any, session: tf.Session) -> None:
        """Searches for NaN and infinity.

        Raises:
          UserError: a loss is not finite; the message names the step and the images.
        """
        rows = values.results["losses"]
        wrong = [i for i, row in enumerate(rows) if not np.isfinite(row).all()]
        if not wrong:
            return
        step += wrong[0] + 1 - len(rows)
        losses = zip(Losses._fields, rows[wrong[0]], strict=True)
        found = ", ".join(f"{name} {float(loss)}" for name, loss in losses)
        paths = ", ".join(path.decode() for path in values.results["paths"][wrong[0]])
        raise UserError(
            f"the losses of step {step} are not finite ({found}) on {paths}; "
            "the last checkpoint is kept: try a smaller --lr"
        )


class ShowProgress(StepHook):
    """Shows a bar on a terminal; otherwise prints the reference's lines every `every` steps."""

    def __init__(
        self,
        averages: Losses,
        batch_size: int,
        steps_per_epoch: int,
        every: int,
        schedule: Schedule,
    ) -> None:
        self._on_terminal = sys.stderr.isatty() and every > 0
        super().__init__(1 if self._on_terminal else every, schedule)
        self._bar: tqdm[NoReturn] | None = None
        self._averages = averages
        self._batch_size = batch_size
        self._steps_per_epoch = steps_per_epoch

    def begin_at(self, step: int) -> None:
        """Starts the clock."""
        self._first = step
        self._start = time.monotonic()
        if self._on_terminal:
            last = self._schedule.last_step
            self._bar = tqdm(initial=step, total=last, unit="step", dynamic_ncols=True)

    def request(self) -> tf.train.SessionRunArgs:
        """The averaged losses."""
        return tf.train.SessionRunArgs(self._averages)

    def report(self, step: int, values: Any, session: tf.Session) -> None:
        """Shows epoch, rate, time left and losses."""
        losses = debiased(values.results, step)
        epoch = math.ceil(step / self._steps_per_epoch)
        if self._bar:
            shown = " ".join(f"{name} {loss:.3f}" for name, loss in losses._asdict().items())
            self._bar.set_description(f"epoch {epoch}", refresh=False)
            self._bar.set_postfix_str(shown, refresh=False)
            self._bar.update(step - self._bar.n)
            return
        rate = (step - self._first) * self._batch_size / (time.monotonic() - self._start)
        left = (self._schedule.last_step - step) * self._batch_size / rate
        print(
            f"progress  epoch {epoch}  step {(step - 1) % self._steps_per_epoch + 1}  "
            f"image/sec {rate:.1f}  remaining {left / 60:.0f}m"
        )
        for name, loss in losses._asdict().items():
            print(name, f"{loss:.6f}")
        sys.stdout.flush()

    def close(self) -> None:
        """Leaves the bar as it is."""
        if self._bar:
            self._bar.close()


class SaveCheckpoints(StepHook):
    """Saves every `every` steps, at the last step, and when a signal asks training to stop."""

    def __init__(
        self,
        saver: tf.train.Saver,
        folder: Path,
        every: int,
        schedule: Schedule,
    ) -> None:
        super().__init__(every, schedule)
        self._saver = saver
        self._folder = folder
        self._before_saving: list[Callable[[], None]] = []
        variables = tf.trainable_variables()
        self._finite = tf.reduce_all(
            tf.stack([tf.reduce_all(tf.is_finite(variable)) for variable in variables])
        )
        self._saved = 0

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
        if self._saved == step:
            return
        for function in self._before_saving:
            function()
        self.save_to(self._folder, step, session)
        self._saved = step

    def save_to(self, folder: Path, step: int, session: tf.Session) -> None:
        """Saves a checkpoint into any folder.

        Raises:
          UserError: as `save`.
        """
        if not session.run(self._finite):
            raise UserError(
                f"weights are not finite after step {step}; "
                "the last checkpoint is kept: try a smaller --lr"
            )
        checkpoint_files.save(self._saver, session, folder, step)


class StopOnSignal(StepHook):
    """SIGINT and SIGTERM end training after the current `Session.run` call, with a checkpoint."""

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
