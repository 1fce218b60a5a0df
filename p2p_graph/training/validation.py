"""The same validation images, translated now and then while training: a grid, and figures."""

import contextlib
import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow.compat.v1 as tf

from p2p_graph.config.options import OPTIONS_FILE, Config
from p2p_graph.data import postprocess
from p2p_graph.data.dataset_ops import iterator_of
from p2p_graph.data.image_files import SourceImage, output_names
from p2p_graph.data.image_listing import is_archive, is_packed, list_images
from p2p_graph.data.input_graph import Batch, translation_batches
from p2p_graph.imaging import image_grid
from p2p_graph.metrics.registry import PAIR_METRICS
from p2p_graph.models.networks import translate
from p2p_graph.training import summaries
from p2p_graph.training.hooks import SaveCheckpoints, StepHook
from p2p_graph.training.session_calls import Plan
from p2p_graph.utils.atomic_write import write_json
from p2p_graph.utils.errors import UserError

BEST_FOLDER = "best"
_BEST_FILE = "best.json"
_SAMPLES_FOLDER = "samples"
_SIBLINGS = ("val", "test")


def sample_steps(config: Config, steps_per_epoch: int) -> int:
    """Every how many steps to translate; 0 for never.

    Raises:
      UserError: runs of the session do not end there.
    """
    number = int(config.sample_freq.removesuffix("e"))
    steps = number * steps_per_epoch if config.sample_freq.endswith("e") else number
    if steps % config.steps_per_run:
        raise UserError(
            f"sample_freq must be a multiple of steps_per_run ({config.steps_per_run}), "
            f"{config.sample_freq} is {steps} steps"
        )
    return steps


def validation_config(config: Config) -> Config:
    """The configuration that names the validation images of a training run.

    They are those of `val_dir`; else those that `split` leaves; else those of the folder val or
    test that stands beside input_dir. Their targets are in `val_target_dir`; else, where training
    has a `target_dir`, in the folder beside it that is named like theirs; else beside them.

    Raises:
      UserError: there are none.
    """
    dropout = config.dropout if config.dropout_in_use else 0.0
    used = config.replace(
        dropout=dropout,
        scale_size=config.crop_size,
        jitter="none",
        batch_size=1,
        precision="fp32",
    )
    if config.val_dir is None and config.split < 1:
        return used
    named = config.val_dir or _sibling(config.input_dir)
    if named is None:
        raise UserError(
            "sample_freq needs validation images, and there is no folder val or test beside the "
            "training images: name them (--val_dir)"
        )
    used = used.replace(input_dir=named, target_dir=None, manifest=None, split=1.0)
    is_list = Path(named).is_file() and not is_archive(used)
    if config.val_target_dir and (is_list or is_archive(used) or is_packed(used)):
        raise UserError(f"val_target_dir is for folders of images: {named} holds A and B")
    if is_archive(used):
        return used
    used = used.replace(arrays=None)
    if is_list:
        return used.replace(input_dir=None, manifest=named)
    if is_packed(used):
        return used
    targets = config.val_target_dir
    if targets is None and config.target_dir:
        beside = Path(config.target_dir).resolve().with_name(Path(named).resolve().name)
        if beside == Path(named).resolve():
            raise UserError(f"the targets of {named} are not known: name them (--val_target_dir)")
        targets = str(beside) if beside.is_dir() else None
    return used.replace(target_dir=targets)


def _sibling(input_dir: str | None) -> str | None:
    """The folder val or test beside the folder of training images, which is called otherwise."""
    if input_dir is None:
        return None
    folder = Path(input_dir).resolve()
    beside = [folder.with_name(name) for name in _SIBLINGS if name != folder.name]
    return next((str(path) for path in beside if path.is_dir()), None)


def validation_images(config: Config) -> list[SourceImage]:
    """Lists the first `sample_count` validation images of a run; none if it has no samples.

    Raises:
      UserError: there are none, or some cannot be used.
    """
    if not int(config.sample_freq.removesuffix("e")):
        return []
    used = validation_config(config)
    try:
        return list_images(used, held_out=True, at_most=config.sample_count)
    except UserError as error:
        raise UserError(f"validation images: {error}") from None


class Validate(StepHook):
    """Translates validation images as tools/test.py would, and keeps the best checkpoint."""

    def __init__(
        self,
        images: Sequence[SourceImage],
        config: Config,
        writer: tf.summary.FileWriter | None,
        saving: SaveCheckpoints,
        figures: dict[str, float],
        every: int,
        plan: Plan,
    ) -> None:
        """Builds the translation, and makes the folders.

        Args:
          images: from `validation_images`.
          config: of the run.
          writer: of TensorBoard's events, if they are written.
          saving: what saves checkpoints.
          figures: gets L1, PSNR and SSIM by the names that they have in losses.jsonl; at steps
            without a look at the images it is empty.
          every: every how many steps to look.
          plan: which steps a run of the session does.
        """
        super().__init__(every, plan)
        assert config.output_dir is not None
        self._grids = Path(config.output_dir) / _SAMPLES_FOLDER
        self._best_folder = Path(config.output_dir) / BEST_FOLDER
        self._config = config
        self._writer = writer
        self._saving = saving
        self._figures = figures
        self._names = output_names([image.path for image in images])
        # What the best checkpoint is the best of: figures of other images do not compare.
        names = "\n".join(str(image.path.resolve()) for image in images)
        self._of = {
            "metric": config.keep_best,
            "images": hashlib.sha256(names.encode()).hexdigest(),
        }
        self._best: dict[str, Any] = {}
        self._grids.mkdir(exist_ok=True)
        if config.keep_best != "none":
            self._best_folder.mkdir(exist_ok=True)
        config = validation_config(config)
        with tf.name_scope("validation"):
            with tf.device("/cpu:0"):
                batches = translation_batches(images, config)
                self._iterator = iterator_of(batches)
                indices, inputs, targets = self._iterator.get_next()
            batch = Batch(indices, inputs, targets)
            outputs = translate(inputs, config)
            images_shown = postprocess.to_rgb(batch, outputs, config)
            self._shown = postprocess.to_bytes(images_shown, config)
            # Figures are of what the networks see, before it is stretched.
            self._measured = self._shown
            if config.aspect_ratio != 1.0:
                self._measured = postprocess.to_bytes(
                    images_shown, config.replace(aspect_ratio=1.0)
                )

    def begin_at(self, step: int) -> None:
        """Reads which checkpoint is the best so far; removes what is of steps to come."""
        for path in self._grids.glob("*.png"):
            if path.stem.isdecimal() and int(path.stem) > step:
                path.unlink()
        if self._config.keep_best == "none":
            return
        with contextlib.suppress(FileNotFoundError, ValueError, KeyError, TypeError):
            found = json.loads((self._best_folder / _BEST_FILE).read_text(encoding="utf-8"))
            same = all(found[name] == value for name, value in self._of.items())
            if same and found["step"] <= step and isinstance(found["value"], float):
                self._best = found
        if not self._best:  # of other images, or of steps that are to come again
            for pattern in ("model-*", "checkpoint", OPTIONS_FILE, _BEST_FILE):
                for path in self._best_folder.glob(pattern):
                    path.unlink()

    def request(self) -> tf.train.SessionRunArgs:
        """Nothing; it translates after the step."""
        return tf.train.SessionRunArgs([])

    def after_run(self, run_context: tf.train.SessionRunContext, run_values: Any) -> None:
        """Forgets the last figures, and reports where it is time."""
        self._figures.clear()
        super().after_run(run_context, run_values)

    def report(self, step: int, values: Any, session: tf.Session) -> None:
        """Translates, draws, measures, and keeps this checkpoint if it is the best."""
        session.run(self._iterator.initializer)
        columns: dict[str, list[Any]] = {kind: [] for kind in postprocess.KINDS}
        measured: list[Mapping[str, Any]] = []
        for _ in self._names:
            shown, seen = session.run([self._shown, self._measured])
            measured.append(seen)
            for kind, column in columns.items():
                column.append(shown[kind][0])
        drawn = {kind.removesuffix("s"): column for kind, column in columns.items()}
        image_grid.save_grid(self._grids / f"{step:08d}.png", f"step {step}", drawn, self._names)
        for name, metric in PAIR_METRICS.items():
            found = [metric.compute(seen["outputs"][0], seen["targets"][0]) for seen in measured]
            self._figures[f"val_{name}"] = sum(found) / len(found)
        if self._writer:
            for name, value in self._figures.items():
                summary = tf.Summary(value=[tf.Summary.Value(tag=name, simple_value=value)])
                self._writer.add_summary(summary, step)
            summaries.flush(self._writer)
        if self._config.keep_best != "none" and self._is_best():
            self._keep(step, session)

    def _is_best(self) -> bool:
        now = self._figures[f"val_{self._config.keep_best}"]
        best: float | None = self._best.get("value")
        if best is None:
            return True
        return now > best if PAIR_METRICS[self._config.keep_best].larger_is_better else now < best

    def _keep(self, step: int, session: tf.Session) -> None:
        self._saving.save_to(self._best_folder, step, session)
        shutil.copy(self._best_folder.parent / OPTIONS_FILE, self._best_folder)
        value = self._figures[f"val_{self._config.keep_best}"]
        self._best = {**self._of, "value": value, "step": step}
        write_json(self._best_folder / _BEST_FILE, self._best)
