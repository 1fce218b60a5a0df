"""The training runs of a table's rows, and the three stages of each: train, test, evaluate."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from p2p_graph.config.options_file import OPTIONS_FILE
from p2p_graph.evaluation import evaluation_report
from p2p_graph.pages.html_page import INDEX_FILE
from p2p_graph.reproduction import child_programs
from p2p_graph.reproduction.paper_tables import Row
from p2p_graph.reproduction.reproduce_options import ReproduceOptions

RESULTS_FOLDER = "made"  # in a run's folder; tools/test.py writes the translated images there


class RowRun(NamedTuple):
    """The training run of a row with one seed.

    Attributes:
      row: the row.
      seed: the seed of weights, data order, crops and dropout.
      folder: the run's folder.
      train_flags: the flags of tools/train.py without steps and output folder.
    """

    row: Row
    seed: int
    folder: Path
    train_flags: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name in messages."""
        return f"{self.row.name}, seed {self.seed}"

    @property
    def results_folder(self) -> Path:
        """The folder of the translated test images."""
        return self.folder / RESULTS_FOLDER

    def evaluation_folder(self, table_name: str) -> Path:
        """The folder of the evaluation for one table."""
        return self.folder / f"evaluation-{table_name}"


class Stage(NamedTuple):
    """A stage of a run: a program of this package with its flags.

    Attributes:
      name: "train", "test", or "evaluate" and the table's name.
      command: the program's file name in tools/, then the flags.
      output: a file that exists once the stage is done.
      inputs_digest: a digest of the input files, without those that earlier stages write.
      folder: the run's.
    """

    name: str
    command: tuple[str, ...]
    output: Path
    inputs_digest: str
    folder: Path

    def __str__(self) -> str:
        """The command line that a person would type in the current folder."""
        program, *flags = self.command
        return child_programs.shell_command(program, flags)


class Stages(NamedTuple):
    """The stages of a run, in order."""

    train: Stage
    test: Stage
    evaluate: Stage


def all_runs(options: ReproduceOptions) -> list[RowRun]:
    """All rows of the table with all seeds, requested or not."""
    table = options.table
    runs = []
    for seed in range(options.seeds):
        for row in table.rows:
            folder = options.task_folder / (row.run_name + (f"-seed{seed}" if seed else ""))
            train_flags = (
                *("--input_dir", str(options.data / "train")),
                *("--preset", "paper", "--recipe", table.recipe),
                *("--which_direction", table.direction, "--seed", str(seed)),
                *row.train_flags,
                *options.train_flags,
            )
            runs.append(RowRun(row, seed, folder, train_flags))
    return runs


def stages_of(
    run: RowRun,
    options: ReproduceOptions,
    steps: int,
    evaluate_flags: Sequence[str],
    digests: Mapping[str, str],
) -> Stages:
    """The stages of a run.

    Args:
      run: the run.
      options: the table and its data.
      steps: training steps.
      evaluate_flags: flags of tools/evaluate.py besides the folders.
      digests: digests of the input files of "train", "test" and "evaluate".
    """
    results, scores = run.results_folder, run.evaluation_folder(options.table_name)
    train = (*run.train_flags, "--max_steps", str(steps), "--output_dir", str(run.folder))
    test = (
        *("--input_dir", str(options.data / options.table.test_folder)),
        *("--checkpoint", str(run.folder), "--output_dir", str(results)),
    )
    evaluate = ("--results_dir", str(results), "--output_dir", str(scores), *evaluate_flags)
    return Stages(
        Stage(
            "train", ("train.py", *train), run.folder / OPTIONS_FILE, digests["train"], run.folder
        ),
        Stage("test", ("test.py", *test), results / INDEX_FILE, digests["test"], run.folder),
        Stage(
            f"evaluate {options.table_name}",
            ("evaluate.py", *evaluate),
            scores / evaluation_report.JSON_FILE,
            digests["evaluate"],
            run.folder,
        ),
    )
