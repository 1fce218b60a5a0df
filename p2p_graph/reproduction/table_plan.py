"""The plan of a table: its training runs, their options, steps and stages."""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from p2p_graph.checkpoints import restore_checkpoint
from p2p_graph.config import flags
from p2p_graph.config.data_options import RGB
from p2p_graph.config.dataset_recipes import RECIPES
from p2p_graph.config.options import Options
from p2p_graph.config.options_file import OPTIONS_FILE
from p2p_graph.config.resumed_options import check_unchanged
from p2p_graph.data.channel_counts import channels_of_data
from p2p_graph.data.image_sources import list_images
from p2p_graph.reproduction import (
    child_programs,
    row_record,
    row_stages,
    step_budget,
    table_report,
)
from p2p_graph.reproduction.evaluation_flags import check_evaluation
from p2p_graph.reproduction.reproduce_options import ReproduceOptions
from p2p_graph.reproduction.row_stages import RowRun, Stages
from p2p_graph.training.option_precedence import configure
from p2p_graph.training.run_plan import needed_memory
from p2p_graph.utils.counted import counted
from p2p_graph.utils.errors import UserError

_PLANS_FILE = "plans.json"
_SELF_CHECK = ("--self_check", "--report_sensitivity")


@dataclasses.dataclass(frozen=True)
class TablePlan:
    """How a table is made.

    Attributes:
      options: what was asked for.
      runs: the runs of all rows and seeds. The table shows every finished run.
      requested: the runs to train now.
      steps: training steps by folder, of the requested runs.
      stages: the stages of all runs, by folder. `add_self_check` replaces one entry.
      seconds_per_step: measures a training step of a requested run, by folder.
      memory: bytes that training needs, by folder, of the requested runs.
      device: on which the rows train: auto, cpu or gpu.
    """

    options: ReproduceOptions
    runs: Sequence[RowRun]
    requested: Sequence[RowRun]
    steps: Mapping[Path, int]
    stages: dict[Path, Stages]
    seconds_per_step: Callable[[Path], float]
    memory: Mapping[Path, int]
    device: str

    @property
    def unfinished(self) -> list[RowRun]:
        """The requested runs that are not done as planned."""
        return [run for run in self.requested if not self.is_done(run)]

    def is_done(self, run: RowRun) -> bool:
        """Whether all stages of a run are done as planned."""
        return _is_done(run, self.stages[run.folder])

    def add_self_check(self, default: RowRun) -> None:
        """Lets one evaluation score the real photos, too: their scores are the same in all rows.

        Does nothing for tables without FCN-scores.

        Args:
          default: the run whose evaluation does so, if no finished evaluation has.
        """
        if not self.options.table.needs_segmenter:
            return

        def with_check(run: RowRun) -> Stages:
            stages = self.stages[run.folder]
            command = (flag for flag in stages.evaluate.command if flag not in _SELF_CHECK)
            evaluate = stages.evaluate._replace(command=(*command, *_SELF_CHECK))
            return stages._replace(evaluate=evaluate)

        run = next((run for run in self.runs if _is_done(run, with_check(run))), default)
        self.stages[run.folder] = with_check(run)


def make_plan(options: ReproduceOptions, environment: Mapping[str, str] | None = None) -> TablePlan:
    """Plans a table, and refuses everything that would fail later.

    Args:
      options: what was asked for.
      environment: variables of the programs that time training steps, besides this process's.

    Raises:
      UserError: an option is wrong, files do not fit, or a finished run has other options.
    """
    table_report.check_folder(options.table_folder, options.table_name)
    runs = row_stages.all_runs(options)
    for run in runs:
        row_record.read(run)  # raises an error now rather than when the table is written
    requested = [run for run in runs if run.row in options.rows]
    train_options = {run.folder: _train_options(run) for run in requested}
    first = train_options[requested[0].folder]
    test_folder = options.data / options.table.test_folder
    test_source = first.replace(input_dir=str(test_folder)).data.source
    found = channels_of_data(first.data.task, first.data.source)
    if found and set(found.values()) != {RGB}:
        raise UserError(
            f"the paper's tables are of RGB images, and {options.data} has others (input_channels "
            f"{found['input_channels']}, target_channels {found['target_channels']}): "
            "tools/train.py and tools/test.py take it"
        )
    test_images = list_images(test_source, single=False)
    evaluation = check_evaluation(options, test_images)
    seconds_per_step = _step_timer(requested, train_options, environment)

    @functools.cache
    def count_images() -> int:
        """The number of training images: listing decodes them, and all rows have the same."""
        return len(list_images(first.data.source, single=first.data.task.is_single))

    steps = step_budget.training_steps(
        options.budget,
        lambda folder: paper_steps(train_options[folder], count_images()),
        {run.folder: run.train_flags for run in requested},
        seconds_per_step,
        options.output_dir / _PLANS_FILE,
        save_plan=not options.dry_run,
    )
    digests = {
        "train": row_record.digest(_data_files(options.data / "train")),
        "test": row_record.digest(_data_files(test_folder)),
        "evaluate": row_record.digest(evaluation.files) if evaluation.files else "",
    }
    # A run that is not requested now counts as finished with as many steps as the requested runs.
    other_steps = max(steps.values())
    stages = {
        run.folder: row_stages.stages_of(
            run, options, steps.get(run.folder, other_steps), evaluation.flags, digests
        )
        for run in runs
    }
    memory = {folder: needed_memory(found) for folder, found in train_options.items()}
    device = first.execution.device
    plan = TablePlan(options, runs, requested, steps, stages, seconds_per_step, memory, device)
    plan.add_self_check(requested[0])
    for run in requested:
        _check_resumable(run, stages[run.folder], train_options[run.folder], steps[run.folder])
    return plan


def steps_done(run: RowRun) -> int:
    """The step of a run's last checkpoint, 0 without one."""
    checkpoint = restore_checkpoint.find(run.folder) if run.folder.exists() else None
    return checkpoint.step() if checkpoint else 0


def _is_done(run: RowRun, stages: Stages) -> bool:
    record = row_record.read(run)
    return all(row_record.is_done(stage, record) for stage in stages)


def _train_options(run: RowRun) -> Options:
    try:
        return configure(flags.given("train", "", run.train_flags))
    except UserError as error:
        raise UserError(f"row {run.row.name}: {error}") from None


def paper_steps(options: Options, image_count: int) -> int:
    """As many epochs as the paper trained on the data set."""
    epochs = RECIPES[options.run.recipe or ""].max_epochs
    return epochs * math.ceil(image_count / options.data.batches.batch_size)


def _data_files(folder: Path) -> list[Path]:
    """The files of a data set's folder: images, or shards of images."""
    return [path for path in folder.iterdir() if path.is_file() and path.name[0] != "."]


def _step_timer(
    requested: Sequence[RowRun],
    train_options: Mapping[Path, Options],
    environment: Mapping[str, str] | None,
) -> Callable[[Path], float]:
    """Makes a function that measures seconds per training step of a run, by its folder.

    Every row is measured once: a step takes as long with every seed.
    """
    by_folder = {run.folder: run for run in requested}

    @functools.cache
    def seconds_of_row(run_name: str) -> float:
        run = next(run for run in requested if run.row.run_name == run_name)
        print("measuring:", child_programs.shell_command("train.py", run.train_flags), flush=True)
        return step_budget.seconds_per_step(
            [*child_programs.child_command("train.py"), *run.train_flags],
            train_options[run.folder].execution.steps_per_run,
            environment,
        )

    return lambda folder: seconds_of_row(by_folder[folder].row.run_name)


def _check_resumable(run: RowRun, stages: Stages, options: Options, steps: int) -> None:
    """Refuses to resume a run of other options or other images, or of more steps."""
    record = row_record.read(run)
    if not (run.folder / OPTIONS_FILE).exists():
        return
    if "train" in record and record["train"]["reads"] != stages.train.inputs_digest:
        raise UserError(
            f"{run.folder} was trained on other images: restore them, or name another --output_dir"
        )
    given = flags.given("train", "", (*run.train_flags, "--max_steps", str(steps)))
    check_unchanged(options.replace(max_steps=steps).flat(), run.folder, given)
    done = steps_done(run)
    if done > steps:
        raise UserError(
            f"{run.folder} has {counted(done, 'step')} already, more than the {steps} of this "
            f"budget: give as many (--budget {done}), or another --output_dir"
        )
