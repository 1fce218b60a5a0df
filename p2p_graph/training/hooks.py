"""What watches a training run: hooks of the session that fetch and report, but never train."""

import json
import math
import re
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn, TextIO

import numpy as np
import tensorflow.compat.v1 as tf
from tqdm import tqdm

from p2p_graph.checkpoints import checkpoint_files
from p2p_graph.config.options import Config
from p2p_graph.training.session_calls import Plan, Run
from p2p_graph.training.step import EMA_DECAY, Model
from p2p_graph.training.updates import Losses
from p2p_graph.utils.atomic_write import atomic_write
from p2p_graph.utils.errors import UserError
from p2p_graph.utils.signals import StopSignals

LOSSES_FILE = "losses.jsonl"


def debiased(averages: Losses, step: int) -> Losses:
    """Moving averages that start at 0, `step` steps ago, made the averages of what was seen."""
    return Losses(*(float(average) / (1 - EMA_DECAY**step) for average in averages))


class StepHook(tf.train.SessionRunHook):
    """Fetches something every `every` steps (0: never) and at the last, and reports it.

    Steps count from 1; `report` runs after the step that it names, the last one of a run.
    """

    def __init__(self, every: int, plan: Plan) -> None:
        self._every = every
        self._plan = plan
        self._step = 0

    def after_create_session(self, session: tf.Session, coord: tf.train.Coordinator) -> None:
        """Learns which step comes next; the variables are restored by now."""
        self._step = int(session.run(tf.train.get_global_step(session.graph)))
        self.begin_at(self._step)

    def before_run(self, run_context: tf.train.SessionRunContext) -> Any:
        """Asks for what `report` wants."""
        self._step = self._plan.after(self._step)
        due = self._every and (self._step % self._every == 0 or self._step == self._plan.last)
        return self.request() if due else None

    def after_run(self, run_context: tf.train.SessionRunContext, run_values: Any) -> None:
        """Reports, where this step was asked for."""
        if run_values.results is not None:
            self.report(self._step, run_values, run_context.session)

    def begin_at(self, step: int) -> None:
        """Called once, before the first step, with the number of steps that were done before."""

    def close(self) -> None:
        """Gives back what it holds; called once, however the run ended."""

    def request(self) -> tf.train.SessionRunArgs:
        """What to fetch."""
        raise NotImplementedError

    def report(self, step: int, values: Any, session: tf.Session) -> None:
        """What to do with it."""
        raise NotImplementedError


class CheckLosses(StepHook):
    """Stops a run whose losses are no longer numbers, before anything is made of them."""

    def __init__(self, run: Run, plan: Plan) -> None:
        super().__init__(1, plan)
        self._fetches = {"losses": run.losses, "paths": run.paths}

    def request(self) -> tf.train.SessionRunArgs:
        """All losses, and the images they are of."""
        return tf.train.SessionRunArgs(self._fetches)

    def report(self, step: int, values: Any, session: tf.Session) -> None:
        """Looks for NaN and infinity.

        Raises:
          UserError: there is one; the message names the step and the images.
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


class RecordLosses(StepHook):
    """Appends every step's losses to losses.jsonl; a resumed run goes on after its checkpoint."""

    def __init__(
        self,
        run: Run,
        folder: Path,
        figures: Mapping[str, float],
        steps_per_epoch: int,
        plan: Plan,
    ) -> None:
        super().__init__(1, plan)
        self._losses = run.losses
        self._figures = figures  # what else is known of the step that is recorded
        self._path = folder / LOSSES_FILE
        self._file: TextIO | None = None
        self._steps_per_epoch = steps_per_epoch

    def begin_at(self, step: int) -> None:
        """Drops what was recorded after the checkpoint, and maybe cut off in a line."""
        kept = []
        if self._path.exists():
            for line in self._path.read_text(encoding="utf-8").splitlines():
                found = re.match(r'\{"step": (\d+),', line)
                if found and line.endswith("}") and int(found[1]) <= step:
                    kept.append(line + "\n")
        # Whole or not at all: a run may be killed here, too.
        with atomic_write(self._path) as temporary:
            temporary.write_text("".join(kept), encoding="utf-8")
        self._file = self._path.open("a", encoding="utf-8")

    def request(self) -> tf.train.SessionRunArgs:
        """All losses."""
        return tf.train.SessionRunArgs(self._losses)

    def report(self, step: int, values: Any, session: tf.Session) -> None:
        """Writes a line for each step; floats keep all of float32's digits."""
        assert self._file
        rows = values.results
        for number, row in enumerate(rows, step - len(rows) + 1):
            epoch = math.ceil(number / self._steps_per_epoch)
            record: dict[str, float | None] = {"step": number, "epoch": epoch}
            record |= {name: float(loss) for name, loss in zip(Losses._fields, row, strict=True)}
            if number == step:
                for name, value in self._figures.items():
                    record[name] = value if math.isfinite(value) else None  # JSON has no infinity
            self._file.write(json.dumps(record) + "\n")

    def flush(self) -> None:
        """Makes sure that what was recorded so far is on disk."""
        assert self._file
        self._file.flush()

    def close(self) -> None:
        """Closes the file."""
        if self._file:
            self._file.close()


class ShowProgress(StepHook):
    """A bar on a terminal; elsewhere the reference's lines every `progress_freq` steps."""

    def __init__(self, model: Model, config: Config, steps_per_epoch: int, plan: Plan) -> None:
        self._on_terminal = sys.stderr.isatty() and config.progress_freq > 0
        super().__init__(1 if self._on_terminal else config.progress_freq, plan)
        self._bar: tqdm[NoReturn] | None = None
        self._averages = model.averages
        self._batch_size = config.batch_size
        self._steps_per_epoch = steps_per_epoch

    def begin_at(self, step: int) -> None:
        """Starts the clock."""
        self._first = step
        self._start = time.monotonic()
        if self._on_terminal:
            self._bar = tqdm(initial=step, total=self._plan.last, unit="step", dynamic_ncols=True)

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
        left = (self._plan.last - step) * self._batch_size / rate
        print(
            f"progress  epoch {epoch}  step {(step - 1) % self._steps_per_epoch + 1}  "
            f"image/sec {rate:.1f}  remaining {left / 60:.0f}m"
        )
        for name, loss in losses._asdict().items():
            print(name, f"{loss:.6f}")
        sys.stdout.flush()

    def close(self) -> None:
        """Leaves the bar as it stands."""
        if self._bar:
            self._bar.close()


class SaveCheckpoints(StepHook):
    """Saves every `save_freq` steps, at the last, and when a signal asks the run to stop."""

    def __init__(
        self,
        saver: tf.train.Saver,
        folder: Path,
        before: Callable[[], None],
        every: int,
        plan: Plan,
    ) -> None:
        super().__init__(every, plan)
        self._saver = saver
        self._folder = folder
        self._before = before
        variables = tf.trainable_variables()
        self._finite = tf.reduce_all(
            tf.stack([tf.reduce_all(tf.is_finite(variable)) for variable in variables])
        )
        self._saved = 0

    def request(self) -> tf.train.SessionRunArgs:
        """Nothing; it saves after the step."""
        return tf.train.SessionRunArgs([])

    def report(self, step: int, values: Any, session: tf.Session) -> None:
        """Saves."""
        self.save(step, session)

    def save(self, step: int, session: tf.Session) -> None:
        """Saves a checkpoint, unless this step's is there.

        Raises:
          UserError: a weight is not finite, or the checkpoint cannot be written; the one before
            it is kept.
        """
        if self._saved == step:
            return
        self._before()
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
    """SIGINT and SIGTERM end training after the run that is under way, with a checkpoint."""

    def __init__(self, saving: SaveCheckpoints, plan: Plan) -> None:
        super().__init__(1, plan)
        self._saving = saving
        self.interrupts = StopSignals()

    def begin(self) -> None:
        """Takes the signals over."""
        self.interrupts.take()

    def request(self) -> tf.train.SessionRunArgs:
        """Nothing; it looks after every step."""
        return tf.train.SessionRunArgs([])

    def report(self, step: int, values: Any, session: tf.Session) -> None:
        """Saves where a signal has come."""
        if self.interrupts.received:
            self._saving.save(step, session)

    def after_run(self, run_context: tf.train.SessionRunContext, run_values: Any) -> None:
        """Ends the run where a signal has come."""
        super().after_run(run_context, run_values)
        if self.interrupts.received:
            run_context.request_stop()

    def close(self) -> None:
        """Gives the signals back."""
        self.interrupts.give_back()
