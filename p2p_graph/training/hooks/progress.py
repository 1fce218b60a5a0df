"""Progress of training: a bar on a terminal, otherwise lines."""

import math
import sys
import time
from typing import Any, NoReturn

import tensorflow.compat.v1 as tf
from tqdm import tqdm

from p2p_graph.training.hooks.step_hook import StepHook
from p2p_graph.training.loss_averages import debiased
from p2p_graph.training.session_calls import Schedule
from p2p_graph.training.updates import Losses


class ShowProgress(StepHook):
    """Shows a bar on a terminal; otherwise prints the reference's lines every `every` steps."""

    def __init__(
        self,
        averages: Losses,
        step_images: int,
        steps_per_epoch: int,
        every: int,
        schedule: Schedule,
    ) -> None:
        self._on_terminal = sys.stderr.isatty() and every > 0
        super().__init__(1 if self._on_terminal else every, schedule)
        self._bar: tqdm[NoReturn] | None = None
        self._averages = averages
        self._step_images = step_images
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
        rate = (step - self._first) * self._step_images / (time.monotonic() - self._start)
        left = (self._schedule.last_step - step) * self._step_images / rate
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
