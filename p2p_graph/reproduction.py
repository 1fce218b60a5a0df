"""What tools/reproduce.py does: trains, translates and evaluates every row of a table.

Each row is three commands, which are the programs in tools/; row.json in its folder says which of
them are done. Run again, a table goes on where it was.
"""

import argparse
import functools
import json
import os
import platform
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from p2p_graph import (
    budget,
    checkpoints,
    devices,
    evaluation,
    flags,
    label_files,
    results,
    segmenters,
    training,
)
from p2p_graph.config import OPTIONS_FILE, Config
from p2p_graph.errors import UserError
from p2p_graph.files import output_names
from p2p_graph.inception import Inception
from p2p_graph.listing import list_pictures
from p2p_graph.metrics import palettes
from p2p_graph.options import check_unchanged
from p2p_graph.report import INDEX_FILE
from p2p_graph.results import Made
from p2p_graph.tables import TABLES, Row, Table
from p2p_graph.whole import write_json

_TOOLS = Path(__file__).resolve().parents[1] / "tools"
_ROW_FILE, _PLANS_FILE = "row.json", "plans.json"
_MADE = "made"
_SIGNALLED = 128  # and more: exit codes of programs that a signal has ended
# What tools/train.py is given for every row, so that it cannot be given beside.
_OWN_FLAGS = (
    *("input_dir", "output_dir", "preset", "recipe", "which_direction", "max_steps", "max_epochs"),
    *("seed", "mode", "checkpoint", "target_dir", "manifest", "steps_per_epoch"),
)


class Job(NamedTuple):
    """A row with one seed.

    Attributes:
      row: what is trained.
      seed: of everything random.
      folder: where it goes.
      train: the program that trains it and its flags, without how long and where.
      config: what these make.
    """

    row: Row
    seed: int
    folder: Path
    train: tuple[str, ...]
    config: Config


class Stage(NamedTuple):
    """One of a job's commands.

    Attributes:
      name: "train", "test", or "evaluate" and the table's name.
      command: the program and its flags.
      makes: a file that is there once it is done.
    """

    name: str
    command: tuple[str, ...]
    makes: Path


def run(options: argparse.Namespace, extra: Sequence[str]) -> int:
    """Makes a table, or says how it would be made.

    Args:
      options: the flags of tools/reproduce.py.
      extra: more flags of tools/train.py, for all rows.

    Returns:
      The exit code: 0, or that of the last program that ended otherwise. A row that fails is left
      out, and the others are made; a signal ends the table.

    Raises:
      UserError: something that a person can mend.
    """
    table = TABLES[options.table]
    budget.check(options.budget)
    rows = _rows(table, options)
    every = _jobs(table, options, extra)
    jobs = [job for job in every if job.row in rows]
    judge = _judge(table, options, jobs[0].config)
    seconds = _stopwatch(jobs)
    steps = budget.steps_of(
        options.budget,
        {str(job.folder): job.config for job in jobs},
        seconds,
        options.output_dir / _PLANS_FILE,
        keep=not options.dry_run,
    )
    stages = {job.folder: _stages(job, options, steps, judge) for job in every}
    if table.needs_segmenter:
        _add_photos(stages, every, jobs[0])
    for job in jobs:
        _check_run(job, steps[str(job.folder)])
    if options.dry_run:
        _tell(jobs, stages, steps, seconds)
        return 0
    failed = 0
    for number, job in enumerate(jobs, 1):
        count = steps[str(job.folder)]
        print(f"== row {number} of {len(jobs)}: {job.row.name}, seed {job.seed}, {count} steps")
        if code := _run(job, stages[job.folder]):
            print(f"row {job.row.name} ended with {code}; the same command goes on from there")
            if code >= _SIGNALLED:
                return code
            failed = code
    made = [
        Made(job.row, job.folder, job.folder / _MADE, stages[job.folder][2].makes.parent, told)
        for job in every
        if all(_is_done(stage, _record(job)) for stage in stages[job.folder])
        for told in [_record(job)["train"]]
    ]
    if made:
        results.write(options.output_dir / options.table, options.table, made, shlex.join(extra))
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
            config = training.configure(flags.given("train", "", given))
            train = (str(_TOOLS / "train.py"), *given)
            jobs.append(Job(row, seed, folder, train, config))
    return jobs


def _judge(table: Table, options: argparse.Namespace, config: Config) -> tuple[str, ...]:
    """The flags of tools/evaluate.py that all rows share, once it is certain that they work.

    Raises:
      UserError: they do not, or there is something for which the table has no use.
    """
    names = table.metrics.split(",")
    for name in ("segmenter", "labels_dir"):
        if getattr(options, name) and not table.needs_segmenter:
            raise UserError(f"{name} is for tables of FCN-scores: leave it out")
    if options.palette and not ({"fcn", "labels"} & set(names)):
        raise UserError("palette is for tables of labels: leave it out")
    if table.needs_segmenter and not options.segmenter:
        raise UserError(
            f"{options.table} needs what reads labels off photos (--segmenter): the folder of the "
            "authors' Caffe model, or one of tools/train_segmenter.py"
        )
    pictures = list_pictures(config.replace(input_dir=str(options.data / table.test)))
    judge: list[str] = []
    palette = options.palette
    if table.needs_segmenter:
        segmenter = segmenters.load(options.segmenter)
        judge += ["--segmenter", options.segmenter]
        palette = palette or (None if segmenter.palette else table.recipe)
    if "labels" in names:
        palette = palette or table.recipe
    if palette:
        palettes.find(palette)
        judge += ["--palette", palette]
    if options.labels_dir:
        label_files.find(options.labels_dir, output_names([one.path for one in pictures]))
        judge += ["--labels_dir", str(options.labels_dir)]
    if options.inception:
        Inception(options.inception).close()
        names += ["fid", "kid"]
        statistics = options.output_dir / f"{table.recipe}_{table.direction}" / "targets.npz"
        judge += ["--inception", str(options.inception), "--target_statistics", str(statistics)]
    return (*judge, "--metrics", ",".join(names))


def _stages(
    job: Job, options: argparse.Namespace, steps: Mapping[str, int], judge: Sequence[str]
) -> tuple[Stage, Stage, Stage]:
    """A job's commands; its steps are 0 if it is not asked for."""
    made, found = job.folder / _MADE, job.folder / f"evaluation-{options.table}"
    count = steps.get(str(job.folder)) or max(steps.values())
    table = TABLES[options.table]
    train = ("--max_steps", str(count), "--output_dir", str(job.folder))
    test = ("--input_dir", str(options.data / table.test), "--checkpoint", str(job.folder))
    evaluate = ("--results_dir", str(made), "--output_dir", str(found), *judge)
    tools = str(_TOOLS / "test.py"), str(_TOOLS / "evaluate.py")
    return (
        Stage("train", (*job.train, *train), job.folder / OPTIONS_FILE),
        Stage("test", (tools[0], *test, "--output_dir", str(made)), made / INDEX_FILE),
        Stage(f"evaluate {options.table}", (tools[1], *evaluate), found / evaluation.JSON_FILE),
    )


def _add_photos(
    stages: dict[Path, tuple[Stage, Stage, Stage]], every: Sequence[Job], first: Job
) -> None:
    """Lets one job's evaluation read the real photos, which are the same for all rows.

    It is the one that has, or else the first that is asked for.
    """

    def reading(job: Job) -> Stage:
        evaluate = stages[job.folder][2]
        return evaluate._replace(command=(*evaluate.command, "--self_check"))

    has = (job for job in every if _is_done(reading(job), _record(job)))
    job = next(has, first)
    stages[job.folder] = (*stages[job.folder][:2], reading(job))


def _stopwatch(jobs: Sequence[Job]) -> Callable[[str], float]:
    """What says how many seconds a step takes in a job's folder; a row's seeds take the same."""
    by_folder = {str(job.folder): job for job in jobs}

    @functools.cache
    def of_run(run: str) -> float:
        job = next(job for job in jobs if job.row.run == run)
        return budget.seconds_a_step(job.train, job.config.batch_size)

    return lambda folder: of_run(by_folder[folder].row.run)


def _check_run(job: Job, steps: int) -> None:
    """Refuses a run that training would refuse, or that has more steps than it is to have."""
    if not (job.folder / OPTIONS_FILE).exists():
        return
    given = flags.given("train", "", job.train[1:])
    check_unchanged(job.config, job.folder, given)
    source = checkpoints.find(job.folder)
    if source and source.step() > steps:
        raise UserError(
            f"{job.folder} has {source.step()} steps already, more than the {steps} of this "
            "budget: give as many, or another --output_dir"
        )


def _run(job: Job, stages: Sequence[Stage]) -> int:
    """Runs what is not done of a job; returns the exit code of the first command that failed."""
    job.folder.mkdir(parents=True, exist_ok=True)
    for stage in stages:
        record = _record(job)
        if _is_done(stage, record):
            print(f"{stage.name}: done before")
            continue
        seconds = record.get(stage.name, {}).get("seconds", 0) if stage.name == "train" else 0
        # What is made of it is to be made anew, in other tables, too.
        record = {name: told for name, told in record.items() if not _follows(name, stage.name)}
        told = {"command": list(stage.command), "hardware": _hardware(), "seconds": seconds}
        write_json(job.folder / _ROW_FILE, {**record, stage.name: {**told, "done": False}})
        if stage.name == "test":  # pictures that are not there any more would be evaluated, too
            shutil.rmtree(job.folder / _MADE, ignore_errors=True)
        print(f"{stage.name}: {_shown(stage)}", flush=True)
        start = time.monotonic()
        code = _call([sys.executable, *stage.command])
        told["seconds"] = round(seconds + time.monotonic() - start, 1)
        write_json(job.folder / _ROW_FILE, {**record, stage.name: {**told, "done": code == 0}})
        if code:
            return code
    return 0


def _is_done(stage: Stage, record: Mapping[str, Any]) -> bool:
    known = record.get(stage.name, {})
    same = known.get("command") == list(stage.command)
    return bool(same and known.get("done") and stage.makes.exists())


def _call(command: Sequence[str]) -> int:
    """Runs a program to its end, also where this one is asked to stop: training saves first."""
    with subprocess.Popen(command) as child:
        # Ctrl-C reaches both; what is sent to this process alone does not.
        handlers: dict[signal.Signals, Any] = {
            signal.SIGINT: lambda *_: None,
            signal.SIGTERM: lambda number, _: child.send_signal(number),
        }
        before = {number: signal.signal(number, handlers[number]) for number in handlers}
        try:
            code = child.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
    return 128 - code if code < 0 else code


def _follows(one: str, other: str) -> bool:
    """Whether a stage's command takes what another one's makes."""
    order = ("train", "test", "evaluate")
    return order.index(one.split()[0]) > order.index(other.split()[0])


def _record(job: Job) -> dict[str, Any]:
    """What was done of a job, by stages' names."""
    path = job.folder / _ROW_FILE
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise UserError(f"{path} cannot be read as JSON: {error}; remove it") from None
    if not isinstance(record, dict):
        raise UserError(f"{path} must hold one JSON object: remove it")
    return record


def _hardware() -> str:
    """What the graph runs on, and the processor's name, where the system tells."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        found = re.search(r"^model name\s*: (.*)$", info.read_text(encoding="utf-8"), re.MULTILINE)
        name = found[1] if found else name
    device, _ = devices.choose("auto")
    return f"{device}, {name}" if device.startswith("CPU") else f"{device}; {os.cpu_count()} cores"


def _shown(stage: Stage) -> str:
    program, *given = stage.command
    return shlex.join(["python", f"tools/{Path(program).name}", *given])


def _tell(
    jobs: Sequence[Job],
    stages: Mapping[Path, Sequence[Stage]],
    steps: Mapping[str, int],
    seconds_a_step: Callable[[str], float],
) -> None:
    """Lists commands, steps, and about how long training takes."""
    total = 0.0
    for job in jobs:
        source = checkpoints.find(job.folder) if job.folder.exists() else None
        count = steps[str(job.folder)]
        missing = count - (source.step() if source else 0)
        seconds = missing * seconds_a_step(str(job.folder)) if missing else 0.0
        total += seconds
        left = f"about {seconds / 60:.0f} minutes" if missing else "trained before"
        print(f"== {job.row.name}, seed {job.seed}: {count} steps, {left}")
        for stage in stages[job.folder]:
            print(_shown(stage))
    print(f"{len(jobs)} rows, about {total / 3600:.1f} hours of training")
