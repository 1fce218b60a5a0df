"""What tools/reproduce.py does: plans a table's rows, makes them one after the other, shows them.

Each row is three commands, which are the programs in tools/ (see `rows`). Run again, a table goes
on where it was.
"""

import argparse
import functools
import shlex
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from p2p_graph.checkpoints import checkpoint_files
from p2p_graph.config import flags
from p2p_graph.config.options import OPTIONS_FILE, Config
from p2p_graph.config.options_file import check_unchanged
from p2p_graph.data.image_listing import list_images
from p2p_graph.evaluation import evaluation_report
from p2p_graph.imaging import palettes
from p2p_graph.imaging.html_page import INDEX_FILE
from p2p_graph.reproduction import evaluation_flags, row_programs, step_budget, table_report
from p2p_graph.reproduction.evaluation_flags import Evaluator
from p2p_graph.reproduction.paper_tables import TABLES, Row, Table
from p2p_graph.reproduction.row_programs import Job, Stage
from p2p_graph.reproduction.table_report import Made
from p2p_graph.training.run import configure
from p2p_graph.utils import file_lock
from p2p_graph.utils.errors import UserError

_PLANS_FILE = "plans.json"
_SELF_CHECK = "--self_check"
_STOPPED = (128 + signal.SIGINT, 128 + signal.SIGTERM)  # exit codes
# What tools/train.py is given for every row, so that it cannot be given beside.
_OWN_FLAGS = (
    *("input_dir", "output_dir", "preset", "recipe", "which_direction", "max_steps", "max_epochs"),
    *("seed", "mode", "checkpoint", "target_dir", "manifest", "steps_per_epoch"),
)

Stages = tuple[Stage, Stage, Stage]


def run(options: argparse.Namespace, extra: Sequence[str]) -> int:
    """Makes a table, or says how it would be made.

    Args:
      options: the flags of tools/reproduce.py.
      extra: more flags of tools/train.py, for all rows.

    Returns:
      The exit code: 0, or that of the last program that ended otherwise. A row that fails is left
      out, and the others are made; SIGINT and SIGTERM end the table.

    Raises:
      UserError: something that a person can mend.
    """
    table = TABLES[options.table]
    step_budget.check(options.budget)
    # A table is known by its files, however they are named.
    options.data, options.output_dir = options.data.resolve(), options.output_dir.resolve()
    for name in ("segmenter", "palette", "labels_dir", "inception"):
        given = getattr(options, name)
        if given and given not in palettes.PALETTES and Path(given).exists():
            setattr(options, name, type(given)(Path(given).resolve()))
    wanted = _rows(table, options)
    every = _jobs(table, options, extra)
    jobs = [job for job in every if job.row in wanted]
    configs = {job.folder: _config(job) for job in jobs}
    tested = configs[jobs[0].folder].replace(input_dir=str(options.data / table.test))
    evaluator = evaluation_flags.evaluator_of(options, list_images(tested))
    seconds = _stopwatch(jobs, configs)
    steps = step_budget.steps_of(
        options.budget,
        configs,
        {job.folder: job.flags for job in jobs},
        seconds,
        options.output_dir / _PLANS_FILE,
        keep=not options.dry_run,
    )
    data = {
        part: row_programs.digest(_files(options.data / part)) for part in ("train", table.test)
    }
    stages = {job.folder: _stages(job, options, steps, data, evaluator) for job in every}
    if table.needs_segmenter:
        _add_photos(stages, every, jobs[0])
    for job in jobs:
        _check_run(job, stages[job.folder][0], configs[job.folder], steps[job.folder])
    if options.dry_run:
        _tell(jobs, stages, steps, seconds)
        return 0
    failed = 0
    for number, job in enumerate(jobs, 1):
        print(f"== row {number} of {len(jobs)}: {job.name}, {steps[job.folder]} steps")
        code = row_programs.run(job, stages[job.folder])
        if code:
            print(f"row {job.row.name} ended with {code}; the same command goes on from there")
            failed = code
        if code in _STOPPED:
            return code
        if code and table.needs_segmenter and number < len(jobs):
            _add_photos(stages, every, jobs[number])  # should it have been this one's
    made = [made for job in every if (made := _made(job, stages[job.folder]))]
    if made:
        folder = options.output_dir / options.table
        folder.mkdir(exist_ok=True)
        with file_lock.held(folder, wait=True):
            table_report.write(folder, options.table, made, shlex.join(extra))
    return failed


def _rows(table: Table, options: argparse.Namespace) -> list[Row]:
    """The rows that are asked for."""
    known = {row.name: row for row in table.rows}
    if not options.rows:
        return list(known.values())
    wanted = [name.strip() for name in options.rows.split(",")]
    if lost := [name for name in wanted if name not in known]:
        raise UserError(f"rows must be of {', '.join(known)}, not {lost[0]!r}")
    return [known[name] for name in wanted]


def _jobs(table: Table, options: argparse.Namespace, extra: Sequence[str]) -> list[Job]:
    """All of a table's rows, with as many seeds as are asked for."""
    for part in ("train", table.test):
        if not (options.data / part).is_dir():
            raise UserError(
                f"data {options.data} has no folder {part}: name the folder of {table.recipe} "
                "(tools/download_dataset.py gets it)"
            )
    of_rows = {name for row in table.rows for name in flags.given("train", "", row.flags)}
    for name in flags.given("train", "", extra):
        if name in (*_OWN_FLAGS, *of_rows):
            raise UserError(f"--{name} is not for all rows: what is behind -- may not set it")
    task = f"{table.recipe}_{table.direction}"
    jobs = []
    for seed in range(options.seeds):
        for row in table.rows:
            folder = options.output_dir / task / (row.run + (f"-seed{seed}" if seed else ""))
            given = (
                *("--input_dir", str(options.data / "train")),
                *("--preset", "paper", "--recipe", table.recipe),
                *("--which_direction", table.direction, "--seed", str(seed)),
                *row.flags,
                *extra,
            )
            jobs.append(Job(row, seed, folder, given))
    return jobs


def _files(folder: Path) -> list[Path]:
    """What is in a folder of images: them, or shards of them."""
    return [path for path in folder.iterdir() if path.is_file() and path.name[0] != "."]


def _config(job: Job) -> Config:
    try:
        return configure(flags.given("train", "", job.flags))
    except UserError as error:
        raise UserError(f"row {job.row.name}: {error}") from None


def _stages(
    job: Job,
    options: argparse.Namespace,
    steps: Mapping[Path, int],
    data: Mapping[str, str],
    evaluator: Evaluator,
) -> Stages:
    """A job's commands; how long one that is not asked for is trained, the others tell.

    `data` are digests of the images to train on and to test with, by their folders' names.
    """
    made, found = job.folder / row_programs.MADE, job.folder / f"evaluation-{options.table}"
    count = steps.get(job.folder) or max(steps.values())
    train = (*job.flags, "--max_steps", str(count), "--output_dir", str(job.folder))
    part = TABLES[options.table].test
    images = ("--input_dir", str(options.data / part))
    test = (*images, "--checkpoint", str(job.folder), "--output_dir", str(made))
    judged = ("--results_dir", str(made), "--output_dir", str(found), *evaluator.flags)
    name, report = f"evaluate {options.table}", found / evaluation_report.JSON_FILE
    return (
        Stage("train", ("train.py", *train), job.folder / OPTIONS_FILE, data["train"]),
        Stage("test", ("test.py", *test), made / INDEX_FILE, data[part]),
        Stage(name, ("evaluate.py", *judged), report, evaluator.reads),
    )


def _add_photos(stages: dict[Path, Stages], every: Sequence[Job], first: Job) -> None:
    """Lets one job's evaluation read the real photos, which are the same for all rows.

    It is one that is done and has, or else the first that is asked for.
    """

    def reading(job: Job) -> Stages:
        train, test, evaluate = stages[job.folder]
        others = (flag for flag in evaluate.command if flag != _SELF_CHECK)
        return train, test, evaluate._replace(command=(*others, _SELF_CHECK))

    job = next((job for job in every if _is_done(job, reading(job))), first)
    stages[job.folder] = reading(job)


def _is_done(job: Job, stages: Stages) -> bool:
    record = row_programs.record_of(job)
    return all(row_programs.is_done(stage, record) for stage in stages)


def _stopwatch(jobs: Sequence[Job], configs: Mapping[Path, Config]) -> Callable[[Path], float]:
    """What says how many seconds a step takes in a job's folder; a row's seeds take the same."""
    runs = {job.folder: job.row.run for job in jobs}

    @functools.cache
    def of_run(run: str) -> float:
        job = next(job for job in jobs if job.row.run == run)
        command = (str(row_programs.TOOLS / "train.py"), *job.flags)
        return step_budget.seconds_a_step(command, configs[job.folder].batch_size)

    return lambda folder: of_run(runs[folder])


def _check_run(job: Job, stage: Stage, config: Config, steps: int) -> None:
    """Refuses a run that must not be trained on: of other options or images, or too long."""
    record = row_programs.record_of(job)
    if not (job.folder / OPTIONS_FILE).exists():
        return
    if "train" in record and record["train"]["reads"] != stage.reads:
        raise UserError(
            f"{job.folder} was trained on other images: restore them, or name another --output_dir"
        )
    given = flags.given("train", "", (*job.flags, "--max_steps", str(steps)))
    check_unchanged(config.replace(max_steps=steps), job.folder, given)
    source = checkpoint_files.find(job.folder)
    if source and source.step() > steps:
        raise UserError(
            f"{job.folder} has {source.step()} steps already, more than the {steps} of this "
            f"budget: give as many (--budget {source.step()}), or another --output_dir"
        )


def _made(job: Job, stages: Stages) -> Made | None:
    """What a table is to show of a job, if it is done; says which was done otherwise."""
    record = row_programs.record_of(job)
    if _is_done(job, stages):
        found = stages[2].makes.parent
        return Made(job.row, job.folder, job.folder / row_programs.MADE, found, record["train"])
    if record.get(stages[2].name, {}).get("done"):
        print(
            f"left out: {job.name}, which was made with other flags or steps, from other images, "
            "or judged by other files"
        )
    return None


def _tell(
    jobs: Sequence[Job],
    stages: Mapping[Path, Stages],
    steps: Mapping[Path, int],
    seconds_a_step: Callable[[Path], float],
) -> None:
    """Lists commands, steps, and about how long training takes."""
    total = 0.0
    for job in jobs:
        source = checkpoint_files.find(job.folder) if job.folder.exists() else None
        count = steps[job.folder]
        missing = count - (source.step() if source else 0)
        seconds = missing * seconds_a_step(job.folder) if missing else 0.0
        total += seconds
        left = f"about {seconds / 60:.0f} minutes" if missing else "trained before"
        print(f"== {job.name}: {count} steps, {left}")
        for stage in stages[job.folder]:
            print(stage)
    print(f"{len(jobs)} rows, about {total / 3600:.1f} hours of training")
