"""A row of a table, made by three commands: trained, translated, evaluated.

row.json in the row's folder says which of them are done, how, and on which files.
"""

import hashlib
import json
import os
import platform
import re
import shlex
import shutil
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from p2p_graph.reproduction.paper_tables import Row
from p2p_graph.runtime import devices
from p2p_graph.utils import file_lock, signals
from p2p_graph.utils.atomic_write import write_json
from p2p_graph.utils.errors import UserError

TOOLS = Path(__file__).resolve().parents[1] / "tools"
MADE = "made"  # what tools/test.py writes, in the row's folder
_ROW_FILE, _LOCK_FILE = "row.json", "row.lock"
_ORDER = ("train", "test", "evaluate")

Record = Mapping[str, Mapping[str, Any]]


class Job(NamedTuple):
    """A row with one seed.

    Attributes:
      row: what is trained.
      seed: of everything random.
      folder: where it goes.
      flags: of tools/train.py, without how long and where.
    """

    row: Row
    seed: int
    folder: Path
    flags: tuple[str, ...]

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"{self.row.name}, seed {self.seed}"


class Stage(NamedTuple):
    """One of a job's commands.

    Attributes:
      name: "train", "test", or "evaluate" and the table's name.
      command: the program in tools/ and its flags.
      makes: a file that is there once it is done.
      reads: a digest of the files that it takes, besides those of stages before it.
    """

    name: str
    command: tuple[str, ...]
    makes: Path
    reads: str

    def __str__(self) -> str:
        """The command as a person would give it, in the current folder."""
        program, *given = self.command
        return shlex.join(["python", *map(_short, (str(TOOLS / program), *given))])


def _short(argument: str) -> str:
    path, here = Path(argument), Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else argument


def digest(paths: Iterable[Path]) -> str:
    """SHA-256 of files' names and contents, in hexadecimal.

    Raises:
      UserError: one cannot be read.
    """
    total = hashlib.sha256()
    for path in sorted(paths):
        try:
            contents = hashlib.sha256(path.read_bytes()).digest()
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror}") from None
        total.update(hashlib.sha256(os.fsencode(path.name)).digest() + contents)
    return total.hexdigest()


def record_of(job: Job) -> Record:
    """What was done of a job, by stages' names.

    Raises:
      UserError: row.json is damaged.
    """
    path = job.folder / _ROW_FILE
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise UserError(f"{path} cannot be read as JSON: {error}; remove it") from None
    if not isinstance(record, dict) or not all(
        _is_stage(name, told) for name, told in record.items()
    ):
        raise UserError(f"{path} is not what tools/reproduce.py writes: remove it")
    return record


def _is_stage(name: str, told: Any) -> bool:
    kinds: dict[str, Any] = {"command": list, "reads": str, "hardware": str, "done": bool}
    return (
        name.partition(" ")[0] in _ORDER
        and isinstance(told, dict)
        and all(isinstance(told.get(field), kind) for field, kind in kinds.items())
        and isinstance(told.get("seconds"), int | float | None)
    )


def is_done(stage: Stage, record: Record) -> bool:
    """Whether a stage was done as it is asked for."""
    known = record.get(stage.name, {})
    same = known.get("command") == list(stage.command) and known.get("reads") == stage.reads
    return bool(same and known["done"] and stage.makes.exists())


def run(job: Job, stages: Sequence[Stage]) -> int:
    """Runs what is not done of a job; returns the exit code of the first command that failed.

    Raises:
      UserError: another program is at work on it, or row.json is damaged.
    """
    job.folder.mkdir(parents=True, exist_ok=True)
    with file_lock.held(job.folder / _LOCK_FILE):
        return _run(job, stages)


def _run(job: Job, stages: Sequence[Stage]) -> int:
    for stage in stages:
        record = record_of(job)
        if is_done(stage, record):
            print(f"{stage.name}: done before")
            continue
        before = _seconds_before(stage, record)
        # What is made of it is to be made anew, in other tables, too.
        record = {name: told for name, told in record.items() if not _follows(name, stage.name)}
        told: dict[str, Any] = {
            "command": list(stage.command),
            "reads": stage.reads,
            "hardware": _hardware(),
            "seconds": None,  # not known, should this program be killed
            "done": False,
        }
        write_json(job.folder / _ROW_FILE, {**record, stage.name: told})
        if stage.name == "test":  # images that are not there any more would be evaluated, too
            shutil.rmtree(job.folder / MADE, ignore_errors=True)
        print(f"{stage.name}: {stage}", flush=True)
        start = time.monotonic()
        program, *given = stage.command
        code = signals.run_program([sys.executable, str(TOOLS / program), *given]).returncode
        if before is not None:
            told["seconds"] = round(before + time.monotonic() - start, 1)
        told["done"] = code == 0
        write_json(job.folder / _ROW_FILE, {**record, stage.name: told})
        if code:
            return code
    return 0


def _seconds_before(stage: Stage, record: Record) -> float | None:
    """How long earlier parts of a stage took; None where that is not known."""
    if stage.name == "train" and stage.makes.exists():
        seconds: float | None = record.get("train", {}).get("seconds")
        return seconds
    return 0.0


def _follows(one: str, other: str) -> bool:
    """Whether a stage's command takes what another one's makes."""
    return _ORDER.index(one.split()[0]) > _ORDER.index(other.split()[0])


def _hardware() -> str:
    """What the graph runs on, and the processor's name, where the system tells."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        found = re.search(r"^model name\s*: (.*)$", info.read_text(encoding="utf-8"), re.MULTILINE)
        name = found[1] if found else name
    device, _ = devices.choose("auto")
    return f"{device}, {name}" if device.startswith("CPU") else f"{device}; {os.cpu_count()} cores"
