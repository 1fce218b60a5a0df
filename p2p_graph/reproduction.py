"""What tools/reproduce.py does: trains, translates and evaluates every row of a table.

Each row is three commands, which are the programs in tools/; row.json in its folder says which of
them are done. Run again, a table goes on where it was.
"""

import argparse
import json
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from p2p_graph import flags, results
from p2p_graph.errors import UserError
from p2p_graph.recipes import RECIPES
from p2p_graph.results import Made
from p2p_graph.tables import TABLES, Row, Table
from p2p_graph.whole import write_json

TOOLS = Path(__file__).resolve().parents[1] / "tools"
_ROW_FILE = "row.json"
_PLAN_FILE = "plan.json"
_MADE = "made"
_RATE_STEPS = 30
# What tools/train.py is given for every row, so that it cannot be given beside.
_OWN_FLAGS = (
    *("input_dir", "output_dir", "preset", "recipe", "which_direction", "max_steps", "max_epochs"),
    *("seed", "mode", "checkpoint", "target_dir", "manifest"),
)
_PAPER, _MINUTES = "paper", re.compile(r"(\d+(?:\.\d+)?)m")


class Job(NamedTuple):
    """A row with one seed.

    Attributes:
      row: what is trained.
      seed: of everything random.
      folder: where it goes.
      train: the flags of tools/train.py, without how long.
    """

    row: Row
    seed: int
    folder: Path
    train: tuple[str, ...]


class Stage(NamedTuple):
    """One of a job's commands.

    Attributes:
      name: "train", "test", or "evaluate" and the table's name.
      command: the program and its flags.
    """

    name: str
    command: tuple[str, ...]


def run(options: argparse.Namespace, extra: Sequence[str]) -> int:
    """Makes a table, or says how it would be made.

    Args:
      options: the flags of tools/reproduce.py.
      extra: more flags of tools/train.py, for all rows.

    Returns:
      The exit code: 0, or that of the program that ended otherwise.

    Raises:
      UserError: something that a person can mend.
    """
    table = TABLES[options.table]
    work = options.output_dir
    jobs = _jobs(table, options, extra)
    _check(table, options, jobs)
    steps = _steps(table, options, jobs, work / options.table / _PLAN_FILE)
    stages = {job.folder: _stages(job, table, options, steps) for job in jobs}
    if options.dry_run:
        _tell(jobs, stages, steps, options)
        return 0
    for number, job in enumerate(jobs, 1):
        print(f"== row {number} of {len(jobs)}: {job.row.name}, seed {job.seed}, {steps} steps")
        if code := _run(job, stages[job.folder]):
            print(f"row {job.row.name} ended with {code}; the same command goes on from there")
            return code
    made = [
        Made(
            job.row,
            job.folder,
            job.folder / _MADE,
            _evaluation(job, options),
            _record(job)["train"]["seconds"],
        )
        for job in jobs
    ]
    results.write(work / options.table, options.table, made, shlex.join(extra))
    return 0


def _jobs(table: Table, options: argparse.Namespace, extra: Sequence[str]) -> list[Job]:
    rows = table.rows
    if options.rows:
        wanted = [name.strip() for name in options.rows.split(",")]
        known = {row.name: row for row in rows}
        if lost := [name for name in wanted if name not in known]:
            raise UserError(f"rows must be of {', '.join(known)}, not {lost[0]!r}")
        rows = tuple(known[name] for name in wanted)
    for name in flags.given("train", "", extra):
        if name in _OWN_FLAGS:
            raise UserError(f"--{name} is not for all rows: what is behind -- may not set it")
    task = f"{table.recipe}_{table.direction}"
    jobs = []
    for seed in range(options.seeds):
        for row in rows:
            folder = options.output_dir / task / (row.run + (f"-seed{seed}" if seed else ""))
            train = (
                *("--input_dir", str(options.data / "train")),
                *("--preset", "paper", "--recipe", table.recipe),
                *("--which_direction", table.direction, "--seed", str(seed)),
                *row.flags,
                *extra,
                *("--output_dir", str(folder)),
            )
            jobs.append(Job(row, seed, folder, train))
    return jobs


def _check(table: Table, options: argparse.Namespace, jobs: Sequence[Job]) -> None:
    """Refuses what would stop a row, before the first one starts."""
    for part in ("train", table.test):
        if not (options.data / part).is_dir():
            raise UserError(
                f"data {options.data} has no folder {part}: name the folder of {table.recipe} "
                "(tools/download_dataset.py gets it)"
            )
    if table.needs_segmenter and not options.segmenter:
        raise UserError(
            f"{options.table} needs what reads labels off photos (--segmenter): the folder of the "
            "authors' Caffe model, or one of tools/train_segmenter.py"
        )
    with flags.tensorflow_import():
        from p2p_graph.training import configure
    for job in jobs:
        configure(flags.given("train", "", job.train))


def _steps(table: Table, options: argparse.Namespace, jobs: Sequence[Job], plan: Path) -> int:
    """How many steps each row has: as asked for, or as many as there is time for.

    A budget of minutes is turned into steps once, and kept, so that rows go on to the same end.
    """
    budget: str = options.budget
    if budget == _PAPER:
        recipe = RECIPES[table.recipe]
        count = len(list((options.data / "train").iterdir()))
        return recipe.max_epochs * -(-count // recipe.batch_size)
    if budget.isdecimal() and int(budget):
        return int(budget)
    minutes = _MINUTES.fullmatch(budget)
    if not minutes:
        raise UserError(
            f"budget must be paper, a number of steps, or minutes in all as in 90m, not {budget!r}"
        )
    runs = sorted(str(job.folder) for job in jobs)
    if plan.exists():
        known = json.loads(plan.read_text(encoding="utf-8"))
        if (known["budget"], known["runs"]) == (budget, runs):
            return int(known["steps"])
    seconds = sum(_seconds_a_step(job) for job in jobs)
    steps = int(float(minutes[1]) * 60 / seconds)
    if not steps:
        raise UserError(f"budget {budget} is too short: a step of all rows takes {seconds:.1f} s")
    if not options.dry_run:
        plan.parent.mkdir(parents=True, exist_ok=True)
        write_json(plan, {"budget": budget, "runs": runs, "steps": steps})
    return steps


def _stages(job: Job, table: Table, options: argparse.Namespace, steps: int) -> tuple[Stage, ...]:
    made = job.folder / _MADE
    test = ["--input_dir", str(options.data / table.test), "--checkpoint", str(job.folder)]
    names = table.metrics.split(",")
    judge = ["--results_dir", str(made), "--output_dir", str(_evaluation(job, options))]
    if table.needs_segmenter:
        judge += ["--segmenter", options.segmenter, "--self_check"]
        judge += ["--labels_dir", str(options.labels_dir)] if options.labels_dir else []
    if "labels" in names or options.palette:
        judge += ["--palette", options.palette or table.recipe]
    if options.inception:
        names += ["fid", "kid"]
        judge += ["--inception", str(options.inception)]
    judge += ["--metrics", ",".join(names)]
    return (
        Stage("train", ("train.py", *job.train, "--max_steps", str(steps))),
        Stage("test", ("test.py", *test, "--output_dir", str(made))),
        Stage(f"evaluate {options.table}", ("evaluate.py", *judge)),
    )


def _evaluation(job: Job, options: argparse.Namespace) -> Path:
    """Where a table's evaluation of a job goes; other tables have other figures of it."""
    return job.folder / f"evaluation-{options.table}"


def _run(job: Job, stages: Sequence[Stage]) -> int:
    """Runs what is not done of a job; returns the exit code of the first command that failed."""
    job.folder.mkdir(parents=True, exist_ok=True)
    record = _record(job)
    again = False
    for stage in stages:
        known = record.get(stage.name, {})
        if known.get("done") and known["command"] == list(stage.command) and not again:
            print(f"{stage.name}: done before")
            continue
        again = True  # what is made of it is to be made anew
        print(f"{stage.name}: {_shown(stage)}")
        sys.stdout.flush()
        start = time.monotonic()
        command = [sys.executable, str(TOOLS / stage.command[0]), *stage.command[1:]]
        code = subprocess.run(command, check=False).returncode
        seconds = time.monotonic() - start
        if stage.name == "train":  # in all its parts
            seconds += known.get("seconds", 0)
        record[stage.name] = {
            "command": list(stage.command),
            "done": code == 0,
            "seconds": round(seconds, 1),
        }
        write_json(job.folder / _ROW_FILE, record)
        if code:
            return code
    return 0


def _record(job: Job) -> dict[str, Any]:
    """What was done of a job, by stages' names."""
    path = job.folder / _ROW_FILE
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise UserError(f"{path} cannot be read as JSON: {error}; remove it") from None
    return record


def _shown(stage: Stage) -> str:
    return shlex.join(["python", f"tools/{stage.command[0]}", *stage.command[1:]])


def _seconds_a_step(job: Job) -> float:
    """Trains some steps of a row in a folder of their own, and takes the time."""
    print(f"measuring {job.row.name}, {_RATE_STEPS} steps")
    sys.stdout.flush()
    with tempfile.TemporaryDirectory() as folder:
        flags_but_folder = job.train[: job.train.index("--output_dir")]
        done = subprocess.run(
            [
                *(sys.executable, str(TOOLS / "train.py"), *flags_but_folder),
                *("--max_steps", str(_RATE_STEPS), "--output_dir", folder, "--summary_freq", "0"),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise UserError(f"row {job.row.name}: {(done.stderr or done.stdout).strip()}")
        options = json.loads((Path(folder) / "options.json").read_text(encoding="utf-8"))
    rate = re.search(r"image/sec ([\d.]+), memory", done.stdout)
    assert rate
    return float(options["batch_size"]) / float(rate[1])


def _tell(
    jobs: Sequence[Job],
    stages: Mapping[Path, Sequence[Stage]],
    steps: int,
    options: argparse.Namespace,
) -> None:
    """Lists commands, steps, and about how long training takes."""
    total = 0.0
    for job in jobs:
        record = _record(job).get("train", {})
        finished = record.get("done") and record["command"] == list(stages[job.folder][0].command)
        seconds = 0.0 if finished else _seconds_a_step(job) * steps
        total += seconds
        left = "trained before" if finished else f"about {seconds / 60:.0f} minutes"
        print(f"== {job.row.name}, seed {job.seed}: {steps} steps, {left}")
        for stage in stages[job.folder]:
            print(_shown(stage))
    print(f"{len(jobs)} rows for {options.table}, about {total / 3600:.1f} hours of training")
