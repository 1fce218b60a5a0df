"""Runs the stages of a row that are not done yet."""

import platform
import re
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from p2p_graph.reproduction import row_record
from p2p_graph.reproduction.child_programs import RunProgram
from p2p_graph.reproduction.row_record import Record
from p2p_graph.reproduction.row_stages import RowRun, Stage
from p2p_graph.runtime import devices
from p2p_graph.utils import file_lock
from p2p_graph.utils.cores import available_cores
from p2p_graph.utils.counted import counted

_LOCK_FILE = "row.lock"


def run_row(
    run: RowRun,
    stages: Sequence[Stage],
    run_program: RunProgram,
    say: Callable[[str], None] = print,
    gpu: int = 0,
) -> int:
    """Runs the stages of a run that are not done yet, in order.

    Args:
      run: the run.
      stages: the run's stages.
      run_program: runs a program of this package.
      say: prints a line.
      gpu: the number of the GPU that the programs use, where there is one.

    Returns:
      0, or the exit code of the first stage that failed; later stages are not run.

    Raises:
      UserError: another program is at work on the run, or row.json is damaged.
    """
    run.folder.mkdir(parents=True, exist_ok=True)
    with file_lock.held(run.folder / _LOCK_FILE):
        for stage in stages:
            if row_record.is_done(stage, row_record.read(run)):
                say(f"{stage.name}: already done")
                continue
            say(f"{stage.name}: {stage}")
            sys.stdout.flush()
            if code := _run_stage(run, stage, run_program, _hardware(gpu)):
                return code
    return 0


def _run_stage(run: RowRun, stage: Stage, run_program: RunProgram, hardware: str) -> int:
    record = row_record.read(run)
    seconds_before = _seconds_before(stage, record)
    others = row_record.before(stage, record)
    entry: dict[str, Any] = {
        "command": list(stage.command),
        "reads": stage.inputs_digest,
        "folder": str(run.folder),
        "hardware": hardware,
        "seconds": None,  # stays unknown if this process is killed
        "done": False,
    }
    row_record.write(run, {**others, stage.name: entry})
    if stage.name == "test":  # images of an earlier test set would be evaluated, too
        shutil.rmtree(run.results_folder, ignore_errors=True)
    start = time.monotonic()
    program, *flags = stage.command
    code = run_program(program, flags)
    if seconds_before is not None:
        entry["seconds"] = round(seconds_before + time.monotonic() - start, 1)
    entry["done"] = code == 0
    if entry["done"] and stage.name.startswith("evaluate"):
        entry["wrote"] = row_record.digest([stage.output])
    row_record.write(run, {**others, stage.name: entry})
    return code


def _seconds_before(stage: Stage, record: Record) -> float | None:
    """Seconds that earlier parts of a resumed stage took; None if unknown."""
    if stage.name == "train" and stage.output.exists():
        seconds: float | None = record.get("train", {}).get("seconds")
        return seconds
    return 0.0


def _hardware(gpu: int) -> str:
    """The device of the graph, and the processor's name if the system knows it."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        found = re.search(r"^model name\s*: (.*)$", info.read_text(encoding="utf-8"), re.MULTILINE)
        name = found[1] if found else name
    device = devices.choose("auto")
    if device.is_cpu:
        return f"{device.name}, {name}"
    return f"GPU, {devices.gpu_names()[gpu]}; {counted(available_cores(), 'core')}"
