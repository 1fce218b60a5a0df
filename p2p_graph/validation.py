"""The same validation pictures, translated now and then while training: a grid, and figures."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow.compat.v1 as tf

from p2p_graph import displays, grids, images
from p2p_graph.config import Config
from p2p_graph.errors import UserError
from p2p_graph.files import Picture, output_names
from p2p_graph.hooks import StepHook
from p2p_graph.inputs import Batch, translation_batches
from p2p_graph.listing import list_pictures
from p2p_graph.metrics import METRICS
from p2p_graph.networks import translate

BEST_FOLDER = "best"
_BEST_FILE = "best.json"
_SAMPLES_FOLDER = "samples"
_SIBLINGS = ("val", "test")


def sample_steps(config: Config, steps_per_epoch: int) -> int:
    """Every how many steps to translate; 0 for never."""
    number = int(config.sample_freq.removesuffix("e"))
    return number * steps_per_epoch if config.sample_freq.endswith("e") else number


def validation_config(config: Config) -> Config:
    """The configuration that names the validation pictures of a training run.

    They are those of `val_dir`; else those that `split` leaves; else those of the folder val or
    test that stands beside input_dir.

    Raises:
      UserError: there are none.
    """
    dropout = config.dropout if config.dropout_in_use else 0.0
    used = config.replace(dropout=dropout, scale_size=config.crop_size, jitter="none", batch_size=1)
    if config.val_dir is None and config.split < 1:
        return used
    named = config.val_dir or _sibling(config.input_dir)
    if named is None:
        raise UserError(
            f"sample_freq needs validation pictures, and no folder val or test is beside "
            f"{config.data}: name one (--val_dir)"
        )
    if Path(named).suffix.lower() == ".csv":
        return used.replace(input_dir=None, target_dir=None, manifest=named, split=1.0)
    targets = config.val_target_dir
    if targets is None and config.target_dir:
        targets = str(Path(config.target_dir).resolve().parent / Path(named).resolve().name)
    return used.replace(input_dir=named, target_dir=targets, manifest=None, split=1.0)


def _sibling(input_dir: str | None) -> str | None:
    """The folder val or test beside the folder of training pictures, which is called otherwise."""
    if input_dir is None:
        return None
    folder = Path(input_dir).resolve()
    beside = [folder.with_name(name) for name in _SIBLINGS if name != folder.name]
    return next((str(path) for path in beside if path.is_dir()), None)


def validation_pictures(config: Config) -> list[Picture]:
    """Lists the first `sample_count` validation pictures of a run; none if it has no samples.

    Raises:
      UserError: there are none, or some cannot be used.
    """
    if not int(config.sample_freq.removesuffix("e")):
        return []
    return list_pictures(validation_config(config), held_out=True, at_most=config.sample_count)


class Validate(StepHook):
    """Translates validation pictures as tools/test.py would, and keeps the best checkpoint.

    Attributes:
      figures: this step's L1, PSNR and SSIM, by the names they have in losses.jsonl; none at other
        steps.
    """

    def __init__(
        self,
        pictures: Sequence[Picture],
        config: Config,
        writer: tf.summary.FileWriter | None,
        save_best: Callable[[tf.Session, Path, int], None],
        every: int,
        last: int,
    ) -> None:
        super().__init__(every, last)
        assert config.output_dir is not None
        self._folder = Path(config.output_dir)
        self._keep = config.keep_best
        self._writer = writer
        self._save_best = save_best
        self._names = output_names([picture.path for picture in pictures])
        self._best: dict[str, Any] = {}
        self.figures: dict[str, float] = {}
        config = validation_config(config)
        with tf.name_scope("validation"):
            with tf.device("/cpu:0"):
                batches = translation_batches(pictures, config)
                self._iterator = tf.data.make_initializable_iterator(batches)
                indices, inputs, targets = self._iterator.get_next()
            batch = Batch(indices, inputs, targets)
            outputs = translate(inputs, config)
            self._shown = images.to_bytes(images.to_rgb(batch, outputs, config), config)

    def begin_at(self, step: int) -> None:
        """Reads which checkpoint was the best so far; removes grids of steps after this one."""
        for path in (self._folder / _SAMPLES_FOLDER).glob("*.png"):
            if path.stem.isdecimal() and int(path.stem) > step:
                path.unlink()
        path = self._folder / BEST_FOLDER / _BEST_FILE
        if path.exists():
            found = json.loads(path.read_text(encoding="utf-8"))
            self._best = found if found["metric"] == self._keep else {}

    def request(self) -> tf.train.SessionRunArgs:
        """Nothing; it translates after the step."""
        return tf.train.SessionRunArgs([])

    def after_run(self, run_context: tf.train.SessionRunContext, run_values: Any) -> None:
        """Forgets the last figures, and reports where it is time."""
        self.figures.clear()
        super().after_run(run_context, run_values)

    def report(self, step: int, values: Any, session: tf.Session) -> None:
        """Translates, draws, measures, and keeps this checkpoint if it is the best."""
        session.run(self._iterator.initializer)
        columns: dict[str, list[Any]] = {kind: [] for kind in images.KINDS}
        for _ in self._names:
            for kind, pictures in session.run(self._shown).items():
                columns[kind].append(pictures[0])
        folder = self._folder / _SAMPLES_FOLDER
        folder.mkdir(exist_ok=True)
        shown = {kind.removesuffix("s"): pictures for kind, pictures in columns.items()}
        grids.save_grid(folder / f"{step:08d}.png", f"step {step}", shown, self._names)
        self.figures |= _figures(columns["outputs"], columns["targets"])
        if self._writer:
            for name, value in self.figures.items():
                summary = tf.Summary(value=[tf.Summary.Value(tag=name, simple_value=value)])
                self._writer.add_summary(summary, step)
            displays.flush(self._writer)
        if self._keep != "none" and self._is_best():
            self._save(step, session)

    def _is_best(self) -> bool:
        now = self.figures[f"val_{self._keep}"]
        best: float | None = self._best.get("value")
        if best is None:
            return not math.isnan(now)
        return now > best if METRICS[self._keep].larger_is_better else now < best

    def _save(self, step: int, session: tf.Session) -> None:
        folder = self._folder / BEST_FOLDER
        self._save_best(session, folder, step)
        self._best = {
            "metric": self._keep,
            "value": self.figures[f"val_{self._keep}"],
            "step": step,
        }
        unfinished = folder / f"{_BEST_FILE}.unfinished"
        unfinished.write_text(json.dumps(self._best) + "\n", encoding="utf-8")
        unfinished.replace(folder / _BEST_FILE)


def _figures(outputs: Sequence[Any], targets: Sequence[Any]) -> dict[str, float]:
    """The metrics' means over the pictures."""
    found: Mapping[str, list[float]] = {
        name: [metric.compute(o, t) for o, t in zip(outputs, targets, strict=True)]
        for name, metric in METRICS.items()
    }
    return {f"val_{name}": sum(values) / len(values) for name, values in found.items()}
