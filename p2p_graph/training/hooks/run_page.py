"""The run's page, index.html, written anew at every report, and reports.jsonl with its figures."""

import platform
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import tensorflow.compat.v1 as tf
from tqdm import tqdm

from p2p_graph.checkpoints import restore_checkpoint
from p2p_graph.metrics.registry import PAIR_METRICS
from p2p_graph.pages.html_page import IMAGE_FOLDER, INDEX_FILE
from p2p_graph.pages.image_slides import Slides
from p2p_graph.pages.open_page import open_page
from p2p_graph.pages.run_page import TIPS, RunView, ShownSign, State, duration, write_run_page
from p2p_graph.pages.step_curves import StepCurves
from p2p_graph.training.hooks.display_images import WriteImages
from p2p_graph.training.hooks.failure_signs import (
    ANCHORS,
    NAN_ANCHOR,
    FailureSigns,
    NotFiniteError,
    Sign,
)
from p2p_graph.training.hooks.losses_log import StepLog, records_of
from p2p_graph.training.hooks.report_figures import (
    OUTPUT_SPREAD,
    REPORTS_FILE,
    RIGHT_ON_FAKE,
    RIGHT_ON_REAL,
    SATURATED,
    TARGET_SPREAD,
    as_numbers,
)
from p2p_graph.training.hooks.step_hook import StepHook
from p2p_graph.training.loss_averages import EMA_DECAY
from p2p_graph.training.session_calls import Schedule
from p2p_graph.training.validation import SAMPLES_FOLDER, Validator, grid_name
from p2p_graph.utils.counted import counted
from p2p_graph.utils.errors import UserError, escaped, one_line_reason, why_not_written
from p2p_graph.utils.json_values import is_number
from p2p_graph.utils.outside_files import real_path
from p2p_graph.utils.signals import StopSignals, ending_of
from p2p_graph.version import __version__

_LOSSES = {
    "discrim_loss": "Discriminator (discrim_loss)",
    "gen_loss_GAN": "Generator, GAN (gen_loss_GAN)",
    "gen_loss_L1": "Generator, L1 (gen_loss_L1)",
}
_SHARES = {
    RIGHT_ON_REAL: "right on real patches",
    RIGHT_ON_FAKE: "right on generated patches",
    SATURATED: "saturated",
}
_GRID_ENDING = {".png": "inputs, outputs and targets of the validation images"}


class RunFacts(NamedTuple):
    """What the page says of a run, and what does not change while it trains.

    Attributes:
      folder: of the run.
      is_new: whether the reports in the folder are of another run.
      options: by flat name.
      defaults: the options' defaults.
      device: that the graph runs on.
      step_images: images of a step.
      guessing_loss: D's loss where every score says 0.5; None where there is no D.
      titles: of the training images, by kind.
      opens: whether the page is opened in the browser at the start.
    """

    folder: Path
    is_new: bool
    options: Mapping[str, Any]
    defaults: Mapping[str, Any]
    device: str
    step_images: int
    guessing_loss: float | None
    titles: Mapping[str, str]
    opens: bool


class WriteRunPage(StepHook):
    """Writes the page with every progress report, at validation, at the end and on an error."""

    def __init__(
        self,
        facts: RunFacts,
        figures: Mapping[str, tf.Tensor],
        images: WriteImages,
        validator: Validator | None,
        stop: StopSignals,
        every: int,
        schedule: Schedule,
    ) -> None:
        """Prepares the hook, and reads what an earlier run has reported.

        Args:
          facts: of the run.
          figures: of the last step of a call (see `report_figures`).
          images: writes the images of training.
          validator: validates, if there is validation.
          stop: the signals that stop training.
          every: steps between pages; with 0, the page is written with images and validation.
          schedule: which steps each `Session.run` call does.
        """
        super().__init__(every, schedule, is_new=facts.is_new)
        self._facts, self._images, self._validator, self._stop = facts, images, validator, stop
        self._figures = dict(figures)
        has_d = facts.guessing_loss is not None
        self._curves = StepCurves(
            [name for name in _LOSSES if has_d or name == "gen_loss_L1"],
            [name for name in figures if name in _SHARES],
            {name: metric.larger_is_better for name, metric in PAIR_METRICS.items()},
            EMA_DECAY,
        )
        self._signs = FailureSigns(facts.guessing_loss)
        self._log = StepLog(facts.folder / REPORTS_FILE)
        self._begun = False

    def observe(self, record: Mapping[str, Any]) -> None:
        """Takes a record of losses.jsonl, whose step is later than all before."""
        average = self._curves.add_losses(record).get("discrim_loss")
        if average is not None:
            self._signs.observe_loss(record["step"], average)

    def begin_at(self, step: int) -> None:
        """Goes on with the figures of earlier reports, and writes the first page.

        Raises:
          UserError: a file cannot be written.
        """
        self._first, self._start = step, time.monotonic()
        for record in records_of(self._log.begin_at(self.kept_until(step))):
            self._observe_report(record)
        self._signs.unreported()  # an earlier run has reported them
        self._begun = True
        self._write(self._running())
        if self._facts.opens:
            open_page(self._facts.folder / INDEX_FILE)
        else:
            print(escaped(f"page: {self._facts.folder / INDEX_FILE}"), flush=True)

    def is_due(self, step: int) -> bool:
        """Whether a page is to be written after a step."""
        if step == self._schedule.last_step or (self._validator and self._validator.is_due(step)):
            return True
        return super().is_due(step) if self._every else self._images.is_due(step)

    def request(self) -> tf.train.SessionRunArgs:
        """The figures of the step."""
        return tf.train.SessionRunArgs(self._figures)

    def report(self, step: int, values: Any, session: tf.Session) -> None:
        """Logs the figures, warns where a sign is new, and writes the page."""
        record = {"step": step, **as_numbers(values.results)}
        self._log.write(record)
        self._log.flush()
        self._observe_report(record)
        for sign in self._signs.unreported():
            tqdm.write(
                f"warning: {sign.text}, since step {sign.first_step}: see "
                f"{TIPS}#{ANCHORS[sign.name]}",
                file=sys.stderr,
            )
        # The last page comes before the last checkpoint: a run that is killed after that is done.
        is_last = step == self._schedule.last_step
        done = State("done", f"Done: {counted(step, 'step')}")
        self._write(done if is_last else self._running())

    def end(self, session: tf.Session) -> None:
        """Writes the last page, where a signal has stopped training."""
        last = self._schedule.last_step
        if self._stop.received and self._step < last:
            text = f"Stopped by {self._stop.received.name} after step {self._step} of {last}"
            self._write(State("stopped", f"{text}; the same command goes on from there"))

    def on_error(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        """Writes the last page where training ends with an error, as an `ExitStack` calls it."""
        if error is None or not self._begun:
            return
        if isinstance(error, KeyboardInterrupt):
            line, _ = ending_of(error)
            state = State("stopped", f"{line.capitalize()} at step {self._step}")
        else:
            reason = error.args[0] if isinstance(error, UserError) else one_line_reason(error)
            anchor = NAN_ANCHOR if isinstance(error, NotFiniteError) else ""
            state = State("failed", f"Failed at step {self._step}: {escaped(str(reason))}", anchor)
        try:
            if not self._is_done():
                self._write(state)
        except UserError:  # the error itself is what is reported
            return

    def _is_done(self) -> bool:
        """Whether the last checkpoint is there: what failed came after it, and the page says so."""
        newest = restore_checkpoint.find(self._facts.folder)
        return newest is not None and newest.prefix.name == f"model-{self._schedule.last_step}"

    def close(self) -> None:
        """Closes reports.jsonl."""
        self._log.close()

    def _observe_report(self, record: Mapping[str, Any]) -> None:
        self._curves.add_report(record)
        if is_number(record.get(OUTPUT_SPREAD)) and is_number(record.get(TARGET_SPREAD)):
            self._signs.observe_spread(record["step"], record[OUTPUT_SPREAD], record[TARGET_SPREAD])

    def _running(self) -> State:
        last = self._schedule.last_step
        return State("running", f"Training goes on: step {self._step} of {last}")

    def _write(self, state: State) -> None:
        path = self._facts.folder / INDEX_FILE
        try:
            write_run_page(self._facts.folder, self._view(state))
        except OSError as error:
            raise UserError(f"{path} cannot be written: {why_not_written(error)}") from None

    def _view(self, state: State) -> RunView:
        facts, curves = self._facts, self._curves
        seconds = time.monotonic() - self._start
        per_second = (self._step - self._first) / max(seconds, 1e-9)
        grids = self._validator.grids if self._validator else ()
        images = self._images.written
        endings = {f"-{kind}.png": title for kind, title in facts.titles.items()}
        return RunView(
            name=f"Training run {real_path(facts.folder).name}",
            state=state,
            step=self._step,
            last_step=self._schedule.last_step,
            between_reports=self._every / per_second if per_second else 0.0,
            progress=self._progress(state, per_second, seconds),
            losses={_LOSSES[name]: curve for name, curve in curves.losses.items()},
            shares={_SHARES[name]: curve for name, curve in curves.shares.items()},
            validation={name.upper(): found for name, found in curves.validation.items()},
            kept=_kept(self._validator.best) if self._validator else "",
            images=Slides(IMAGE_FOLDER, images, endings) if images else None,
            samples=Slides(SAMPLES_FOLDER, _grids(grids), _GRID_ENDING) if grids else None,
            signs=[_shown(sign) for sign in self._signs.all()],
            options=facts.options,
            defaults=facts.defaults,
            versions={
                "p2p_graph": __version__,
                "TensorFlow": tf.__version__,
                "Python": platform.python_version(),
                "device": facts.device,
            },
        )

    def _progress(self, state: State, per_second: float, seconds: float) -> dict[str, str]:
        """The rate and the times, as far as they are known."""
        if not per_second:
            return {}
        shown = {
            "image/sec": f"{per_second * self._facts.step_images:.1f}",
            "time since the start": duration(seconds),
        }
        if state.kind == "running":
            shown["time left"] = duration((self._schedule.last_step - self._step) / per_second)
        return shown


def _grids(steps: Sequence[int]) -> dict[int, list[str]]:
    """The names of image grids without their ending, by step."""
    return {step: [grid_name(step).removesuffix(".png")] for step in steps}


def _kept(best: Mapping[str, Any]) -> str:
    if not best:
        return ""
    value = f"{best['metric'].upper()} {best['value']:.4g}"
    return f"best/ holds the checkpoint of step {best['step']}, the best by {value}."


def _shown(sign: Sign) -> ShownSign:
    last_step = None if sign.held else sign.last_step
    return ShownSign(sign.text, ANCHORS[sign.name], sign.first_step, last_step)
