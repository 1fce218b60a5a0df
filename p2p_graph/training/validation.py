"""Validation while training: image grids, L1, PSNR, SSIM, the best checkpoint."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow.compat.v1 as tf

from p2p_graph.checkpoints.find_checkpoint import STATE_FILE
from p2p_graph.config.data_options import DataOptions
from p2p_graph.config.model_options import ModelOptions
from p2p_graph.config.options_file import OPTIONS_FILE
from p2p_graph.config.output_folder import BEST_FILE
from p2p_graph.data.contents_digest import contents_digest
from p2p_graph.data.dataset_iterators import plain_iterator
from p2p_graph.data.image_files import SourceImage
from p2p_graph.data.input_graph import Batch, translation_batches
from p2p_graph.imaging import image_grid, preview
from p2p_graph.metrics.registry import PAIR_METRICS
from p2p_graph.models import postprocess
from p2p_graph.models.networks import translate
from p2p_graph.training.hooks.summaries import EventFile
from p2p_graph.training.session_calls import Schedule
from p2p_graph.utils.atomic_write import copy_file, write_json
from p2p_graph.utils.counted import counted
from p2p_graph.utils.errors import UserError
from p2p_graph.utils.outside_files import read_json

BEST_FOLDER = "best"
SAMPLES_FOLDER = "samples"

Images = Mapping[str, Any]  # arrays by kind
# Saves a checkpoint of a step into a folder.
SaveTo = Callable[[Path, int, tf.Session], None]


class ValidationGraph:
    """Translates the validation images as tools/test.py does, in the training graph.

    Attributes:
      titles: of the columns of images, by kind.
    """

    def __init__(
        self,
        images: Sequence[SourceImage],
        data: DataOptions,
        model: ModelOptions,
        *,
        aspect_ratio: float,
        seed: int,
        on_cpu: bool,
    ) -> None:
        """Builds the translation.

        Args:
          images: the validation images.
          data: task and scaling of the run.
          model: of the run; validation uses its dropout of translation, and float32.
          aspect_ratio: what the width of displayed images is multiplied by.
          seed: of the dropout masks.
          on_cpu: whether the graph runs on the CPU.
        """
        self._count = len(images)
        task, scaling = data.task, data.scaling.without_jitter()
        with tf.name_scope("validation"):
            with tf.device("/cpu:0"):
                self._iterator = plain_iterator(translation_batches(images, task, scaling, 1))
                indices, inputs, targets = self._iterator.get_next()
            used = model.in_translation()
            outputs = translate(inputs, used, task.channels[1], seed, on_cpu=on_cpu)
            rgb = postprocess.to_rgb(Batch(indices, inputs, targets), outputs, task)
            # Metrics are of the networks' images, grids of the stretched ones.
            self.titles = preview.titles(task.shown_parts)
            shown = postprocess.to_shown(rgb, task.shown_parts)
            self._displayed = postprocess.to_integers(shown, aspect_ratio)
            self._measured = self._displayed
            if aspect_ratio != 1.0 or not all(map(preview.is_whole, task.shown_parts.values())):
                self._measured = postprocess.to_integers(rgb)

    def run(self, session: tf.Session) -> tuple[list[Images], list[Images]]:
        """Translates every image.

        Returns:
          Each image as displayed, uint8 [H, W', 1, 3 or 4], and as measured, uint8 [H, W, C].
        """
        session.run(self._iterator.initializer)
        displayed: list[Images] = []
        measured: list[Images] = []
        for _ in range(self._count):
            batches = session.run([self._displayed, self._measured])
            for images, batch in zip((displayed, measured), batches, strict=True):
                images.append({kind: values[0] for kind, values in batch.items()})
        return displayed, measured


class NoValidation:
    """In the place of a `Validator`, in a run without validation."""

    def __init__(self, folder: Path) -> None:
        """Changes nothing yet.

        Args:
          folder: of the run.
        """
        self._folder = folder

    def begin_at(self, step: int) -> None:
        """Removes image grids and a best checkpoint of later steps."""
        _remove_later_grids(self._folder / SAMPLES_FOLDER, step)
        _remove_later_best(self._folder / BEST_FOLDER, step)

    def measure(self, step: int, session: tf.Session) -> Mapping[str, float]:
        """Nothing."""
        del step, session
        return {}


class BestCheckpoint:
    """The checkpoint with the best value of a validation metric, in the run's folder best/."""

    def __init__(
        self, folder: Path, metric: str, images: Sequence[SourceImage], save_to: SaveTo
    ) -> None:
        """Prepares the folder, which `begin_at` makes.

        Args:
          folder: of the run.
          metric: a name in `metrics.registry.PAIR_METRICS`.
          images: the validation images; values of other images are not comparable.
          save_to: saves a checkpoint.

        Raises:
          UserError: the record of the best checkpoint is damaged, or an image cannot be read.
        """
        self._folder = folder / BEST_FOLDER
        self._metric = metric
        self._save_to = save_to
        self._identity = {"metric": metric, "images": contents_digest(images)}
        self._best: dict[str, Any] = {}
        # Here, before the run's folder is changed.
        self._before = _read_best(self._folder)

    @property
    def record(self) -> Mapping[str, Any]:
        """The metric, value and step of the checkpoint; empty before the first."""
        return self._best

    def begin_at(self, step: int) -> None:
        """Reads the best value so far; removes a checkpoint of later steps.

        A checkpoint that was best by other images, or by another metric, stays until the first
        value: that is then the best.
        """
        self._folder.mkdir(exist_ok=True)
        found = self._before
        if found and found["step"] <= step:
            _copy_options(self._folder)
            if all(found[name] == value for name, value in self._identity.items()):
                self._best = found
                return
            which = "on other validation images"
            if found["metric"] != self._metric:
                which = f"by {found['metric']}"
            print(
                f"note: {self._folder} holds the best step {which}, {found['step']}: "
                "the next validation replaces it"
            )
            return
        # Without a record it may be what training has started from: it stays until the first value.
        if found or not step:
            _remove_best(self._folder, found.get("step"), step)

    def offer(self, step: int, figures: Mapping[str, float], session: tf.Session) -> None:
        """Saves a checkpoint of this step if its value is the best."""
        value = figures[f"val_{self._metric}"]
        best: float | None = self._best.get("value")
        if best is not None:
            larger_is_better = PAIR_METRICS[self._metric].larger_is_better
            if value <= best if larger_is_better else value >= best:
                return
        self._save_to(self._folder, step, session)
        _copy_options(self._folder)
        self._best = {**self._identity, "value": value, "step": step}
        write_json(self._folder / BEST_FILE, self._best)


class Validator:
    """Translates the validation images every `every` steps and at the last step, and measures."""

    def __init__(
        self,
        graph: ValidationGraph,
        names: Sequence[str],
        folder: Path,
        every: int,
        schedule: Schedule,
        events: EventFile | None,
        best: BestCheckpoint | None,
    ) -> None:
        """Prepares the folder of image grids, which `begin_at` makes.

        Args:
          graph: translates the images.
          names: of the images.
          folder: of the run.
          every: steps between validations.
          schedule: which steps each `Session.run` call does.
          events: of TensorBoard, if they are written.
          best: keeps the best checkpoint, if one is to be kept.
        """
        self._graph, self._names = graph, names
        self._every, self._schedule = every, schedule
        self._events, self._best = events, best
        self._grids = folder / SAMPLES_FOLDER
        self._steps: list[int] = []

    @property
    def grids(self) -> Sequence[int]:
        """The steps that have an image grid, from the first to the last."""
        return self._steps

    @property
    def best(self) -> Mapping[str, Any]:
        """The metric, value and step of the best checkpoint; empty where none is kept."""
        return self._best.record if self._best else {}

    def begin_at(self, step: int) -> None:
        """Removes what is of steps after the checkpoint that training goes on from."""
        self._grids.mkdir(exist_ok=True)
        self._steps = _remove_later_grids(self._grids, step)
        if self._best:
            self._best.begin_at(step)
        else:
            _remove_later_best(self._grids.with_name(BEST_FOLDER), step)

    def is_due(self, step: int) -> bool:
        """Whether a step is one to validate."""
        return step % self._every == 0 or step == self._schedule.last_step

    def measure(self, step: int, session: tf.Session) -> Mapping[str, float]:
        """Validates, where this step is one to validate.

        Returns:
          The means of L1, PSNR and SSIM by name, or nothing.
        """
        if not self.is_due(step):
            return {}
        displayed, measured = self._graph.run(session)
        columns = {
            self._graph.titles[kind]: [images[kind] for images in displayed]
            for kind in preview.KINDS
        }
        path = self._grids / grid_name(step)
        image_grid.save_grid(path, f"step {step}", columns, self._names)
        self._steps.append(step)
        figures = {}
        for name, metric in PAIR_METRICS.items():
            values = [metric.compute(found["outputs"], found["targets"]) for found in measured]
            figures[f"val_{name}"] = sum(values) / len(values)
        if self._events:
            for name, value in figures.items():
                self._events.write_scalar(name, value, step)
            self._events.flush()
        if self._best:
            self._best.offer(step, figures, session)
        return figures


def _read_best(folder: Path) -> dict[str, Any]:
    """Reads the record of a best checkpoint; nothing without its file.

    Raises:
      UserError: the file is damaged.
    """
    path = folder / BEST_FILE
    try:
        found = read_json(path)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    kinds = {"step": int, "value": float, "metric": str, "images": str}
    if not isinstance(found, dict) or any(
        type(found.get(name)) is not kind for name, kind in kinds.items()
    ):
        raise UserError(
            f"{path} is damaged: remove {folder}, and the best checkpoint is chosen anew"
        )
    return found


def _remove_best(folder: Path, of: int | None, step: int) -> None:
    """Removes a best checkpoint of a later step, or what is left of one without a record."""
    if of is not None:
        begun = f"training goes on from step {step}" if step else "a new run begins"
        print(f"note: {folder} held step {of}, and {begun}: it is removed")
    for pattern in ("model-*", STATE_FILE, OPTIONS_FILE, BEST_FILE):
        for path in folder.glob(pattern):
            path.unlink()


def _remove_later_best(folder: Path, step: int) -> None:
    """Removes the best checkpoint of a later step, where a run keeps none."""
    with contextlib.suppress(UserError):  # damaged: a run that keeps one says so
        found = _read_best(folder)
        if found and found["step"] > step:
            _remove_best(folder, found["step"], step)
        elif found:
            _copy_options(folder)


def _copy_options(folder: Path) -> None:
    """Copies the run's options.json, which says where the images lie now."""
    copy_file(folder.parent / OPTIONS_FILE, folder / OPTIONS_FILE)


def _remove_later_grids(folder: Path, step: int) -> list[int]:
    """Removes image grids of later steps; gives the steps of the others."""
    steps = []
    for path in sorted(folder.glob("*.png")):
        if not path.stem.isdecimal():
            continue
        if int(path.stem) > step:
            path.unlink()
        elif path.name == grid_name(int(path.stem)):
            steps.append(int(path.stem))
    return steps


def grid_name(step: int) -> str:
    """The name of a step's image grid."""
    return f"{step:08d}.png"


def steps_between(sample_freq: str, steps_per_epoch: int, steps_per_call: int) -> int:
    """The number of steps between validations; 0 for never.

    Args:
      sample_freq: a number of steps, or of epochs as in 2e.
      steps_per_epoch: steps of an epoch.
      steps_per_call: steps of a `Session.run` call.

    Raises:
      UserError: no `Session.run` call ends there.
    """
    number = int(sample_freq.removesuffix("e"))
    steps = number * steps_per_epoch if sample_freq.endswith("e") else number
    if steps % steps_per_call:
        raise UserError(
            f"sample_freq must be a multiple of steps_per_run ({steps_per_call}), "
            f"{sample_freq} is {counted(steps, 'step')}"
        )
    return steps
