"""What a person asks of a reproduction: the table, the data, the budget, the evaluation."""

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path

from p2p_graph.config import flags
from p2p_graph.config.option_fields import MOST_STEPS
from p2p_graph.imaging.palettes import PALETTES
from p2p_graph.reproduction.paper_tables import TABLES, Row, Table
from p2p_graph.utils.counted import counted
from p2p_graph.utils.errors import UserError, check_bounds
from p2p_graph.utils.outside_files import real_path

_MOST_SEEDS = 1000
_MOST_PARALLEL = 256
_STEPS = re.compile(r"\d{1,13}")
_MINUTES = re.compile(r"(\d{1,7}(?:\.\d{1,9})?)m")
_DEVICE = re.compile(r"[0-9]{1,4}")
# Every row sets these flags of tools/train.py itself: `train_flags` may not hold one of them.
_RESERVED_FLAGS = (
    *("input_dir", "output_dir", "preset", "recipe", "which_direction", "max_steps", "max_epochs"),
    *("seed", "mode", "checkpoint", "target_dir", "manifest", "steps_per_epoch"),
)


@dataclasses.dataclass(frozen=True)
class Budget:
    """How long the rows of a table are trained.

    Attributes:
      text: "paper" for the paper's epochs, "10000" for training steps a row, or "90m" for minutes
        of training in total.

    Raises:
      UserError: the text has none of the three forms.
    """

    text: str

    def __post_init__(self) -> None:
        """Checks the text's form."""
        in_steps = 1 <= (self.steps or 0) <= MOST_STEPS
        if self.text != "paper" and not in_steps and self.minutes is None:
            raise UserError(
                f"budget must be paper, a number of steps up to {MOST_STEPS} (2^40), or minutes in "
                f"all as in 90m, not {self.text!r}"
            )

    @property
    def steps(self) -> int | None:
        """Training steps a row, if the budget is a number of steps."""
        return int(self.text) if _STEPS.fullmatch(self.text) else None

    @property
    def minutes(self) -> float | None:
        """Minutes of training in total, if the budget is a time."""
        found = _MINUTES.fullmatch(self.text)
        return float(found[1]) if found else None


def parse_devices(text: str) -> tuple[int, ...]:
    """Reads the numbers of GPUs, as in "0,1".

    Raises:
      UserError: the text has another form.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(map(_DEVICE.fullmatch, parts)):
        raise UserError(f"devices must be numbers of GPUs, as in 0,1, not {text!r}")
    return tuple(map(int, parts))


@dataclasses.dataclass(frozen=True)
class ReproduceOptions:
    """The options of tools/reproduce.py, checked, with absolute paths.

    Attributes:
      table_name: a key of `TABLES`.
      data: the data set's folder, with the folder `train` and the table's test folder.
      budget: how long the rows are trained.
      row_names: the rows to train, by the paper's names; empty for all rows.
      seeds: training runs of each row, with the seeds 0 to `seeds` - 1.
      output_dir: the folder for runs and tables.
      segmenter: names a segmenter as in `segmenters.load`; for tables of FCN-scores only.
      palette: names the labels' palette as in `palettes.load`; None for the data set's.
      labels_dir: the folder of the true labels' files; None if the labels are the input images.
      inception: the graph of the Inception network, which adds FID and KID.
      dry_run: whether to print the plan instead of training.
      parallel: how many rows run at the same time; None for one, or one on each of `devices`.
      devices: numbers of the GPUs for the rows, as TensorFlow counts them; empty for all, or for
        the CPU where there is none.
      train_flags: more flags of tools/train.py, for every row.

    Raises:
      UserError: an option is wrong, or the table has no use for it.
    """

    table_name: str
    data: Path
    budget: Budget
    row_names: tuple[str, ...] = ()
    seeds: int = 1
    output_dir: Path = Path("runs/reproduce")
    segmenter: str | None = None
    palette: str | None = None
    labels_dir: Path | None = None
    inception: Path | None = None
    dry_run: bool = False
    parallel: int | None = None
    devices: tuple[int, ...] = ()
    train_flags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Makes paths absolute, and checks everything that needs no TensorFlow."""
        self._resolve_paths()
        if not 1 <= self.seeds <= _MOST_SEEDS:
            raise UserError(f"seeds must be 1 to {_MOST_SEEDS}, not {self.seeds}")
        known = [row.name for row in self.table.rows]
        if unknown := [name for name in self.row_names if name not in known]:
            raise UserError(f"rows must be of {', '.join(known)}, not {unknown[0]!r}")
        for part in ("train", self.table.test_folder):
            if not (self.data / part).is_dir():
                raise UserError(
                    f"data {self.data} has no folder {part}: name the folder of "
                    f"{self.table.recipe} (tools/download_dataset.py gets it)"
                )
        self._check_parallel()
        self._check_train_flags()
        self._check_evaluation()

    @property
    def at_once(self) -> int:
        """How many rows may run at the same time."""
        return self.parallel or len(self.devices) or 1

    @property
    def is_side_by_side(self) -> bool:
        """Whether rows are given devices, rather than run one after the other."""
        return self.at_once > 1 or bool(self.devices)

    @property
    def table(self) -> Table:
        """The table to reproduce."""
        return TABLES[self.table_name]

    @property
    def rows(self) -> Sequence[Row]:
        """The requested rows, in the paper's order."""
        rows = self.table.rows
        return [row for row in rows if row.name in self.row_names] if self.row_names else rows

    @property
    def task_folder(self) -> Path:
        """The folder of the runs; tables of the same data set and direction share it."""
        return self.output_dir / f"{self.table.recipe}_{self.table.direction}"

    @property
    def table_folder(self) -> Path:
        """The folder of the finished table."""
        return self.output_dir / self.table_name

    def _resolve_paths(self) -> None:
        # Finished stages are found by their flags, which therefore name files by absolute paths.
        for name in ("data", "output_dir"):
            object.__setattr__(self, name, real_path(getattr(self, name)))
        for name in ("segmenter", "palette", "labels_dir", "inception"):
            value = getattr(self, name)
            if value and value not in PALETTES and Path(value).exists():
                object.__setattr__(self, name, type(value)(real_path(Path(value))))

    def _check_parallel(self) -> None:
        if self.parallel is not None:
            check_bounds("parallel", self.parallel, 1, _MOST_PARALLEL)
        if len(set(self.devices)) < len(self.devices):
            raise UserError("devices names a GPU twice: --parallel lets rows share GPUs")
        if self.parallel and self.parallel < len(self.devices):
            raise UserError(
                f"devices names {len(self.devices)} GPUs for {counted(self.parallel, 'row')} at "
                "once: name fewer, or give a larger --parallel"
            )

    def _check_train_flags(self) -> None:
        of_rows = [flag for row in self.table.rows for flag in row.train_flags]
        reserved = {*_RESERVED_FLAGS, *flags.given("train", "", of_rows)}
        given = flags.given("train", "", self.train_flags)
        for name in given:
            if name in reserved:
                raise UserError(f"--{name} is not for all rows: what is behind -- may not set it")
        if given.get("save_freq") == 0:
            raise UserError("--save_freq 0 behind -- keeps no checkpoint to translate with")
        if self.devices and given.get("device") == "cpu":
            raise UserError("devices names GPUs, and --device cpu behind -- uses none: drop one")

    def _check_evaluation(self) -> None:
        table = self.table
        for name in ("segmenter", "labels_dir"):
            if getattr(self, name) and not table.needs_segmenter:
                raise UserError(f"{name} is for tables of FCN-scores: leave it out")
        if self.palette == "":
            raise UserError("palette must not be empty")
        if self.palette and not table.needs_palette:
            raise UserError("palette is for tables of labels: leave it out")
        if table.needs_segmenter and not self.segmenter:
            raise UserError(
                f"{self.table_name} needs a network that reads labels off photos (--segmenter): "
                "the folder of the authors' Caffe model, or one of tools/train_segmenter.py"
            )
