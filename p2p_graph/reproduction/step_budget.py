"""Step budgets: how many steps a training run gets, and how long a step takes."""

import json
import shlex
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from p2p_graph.reproduction.reproduce_options import Budget
from p2p_graph.utils import child_process
from p2p_graph.utils.atomic_write import write_json
from p2p_graph.utils.errors import UserError
from p2p_graph.utils.outside_files import damage_reported, read_bytes

_Name = TypeVar("_Name")
_WARM_UP_STEPS = 10  # at least: compilation and the filling of caches make the first steps slow
_MOST_STEPS = 10**12
_TIMED_STEPS = 30  # at least


def training_steps(
    budget: Budget,
    paper_steps: Callable[[_Name], int],
    train_flags: Mapping[_Name, Sequence[str]],
    seconds_per_step: Callable[[_Name], float],
    plans_path: Path,
    *,
    save_plan: bool,
) -> dict[_Name, int]:
    """Turns a budget into training steps.

    Minutes become the same number of steps for all training runs. The number is computed once and
    stored, so that resumed runs end at the same step on a faster or slower machine.

    Args:
      budget: how long to train.
      paper_steps: the steps of a training run in the paper, by the run's name or folder.
      train_flags: the flags of each training run, without steps and output folder.
      seconds_per_step: measures a step of a training run.
      plans_path: the file that stores how many steps a number of minutes became.
      save_plan: whether to write that file.

    Returns:
      The steps of each training run.

    Raises:
      UserError: the images cannot be used, the time is too short for a step, or the file of plans
        is damaged.
    """
    if budget.steps is not None:
        return dict.fromkeys(train_flags, budget.steps)
    if budget.minutes is None:
        return {name: paper_steps(name) for name in train_flags}
    plans = _read_plans(plans_path)
    key = _key(budget, train_flags, lambda text: Path(text).name if "/" in text else text)
    former = _key(budget, train_flags, str)
    if former in plans:
        key = former
    if key not in plans:
        seconds = sum(seconds_per_step(name) for name in train_flags)
        plans[key] = int(budget.minutes * 60 / seconds)
        if not plans[key]:
            raise UserError(
                f"budget {budget.text} is too short: one step of every row takes {seconds:.1f} s "
                "in total; give more minutes"
            )
        if save_plan:
            plans_path.parent.mkdir(parents=True, exist_ok=True)
            write_json(plans_path, plans)
    return dict.fromkeys(train_flags, plans[key])


def _key(
    budget: Budget, train_flags: Mapping[_Name, Sequence[str]], shown: Callable[[str], str]
) -> str:
    """What a plan is for: the budget, and the folder and flags of each run, with paths as shown."""
    runs = sorted(
        f"{shown(str(name))} ({shlex.join(map(shown, flags))})"
        for name, flags in train_flags.items()
    )
    return f"{budget.text}: {', '.join(runs)}"


def _read_plans(path: Path) -> dict[str, int]:
    if not path.exists():
        return {}
    try:
        with damage_reported(path, "what tools/reproduce.py writes"):
            record: dict[str, int] = dict(json.loads(read_bytes(path).decode("utf-8-sig")).items())
            for steps in record.values():
                if type(steps) is not int or not 1 <= steps <= _MOST_STEPS:
                    raise ValueError(f"a number of steps is not from 1 to {_MOST_STEPS}")
            return record
    except UserError as error:
        raise UserError(f"{error}; remove it") from None


def step_counts(steps_per_run: int) -> tuple[int, int]:
    """The steps of the timed training run.

    Args:
      steps_per_run: training steps per `Session.run` call.

    Returns:
      The steps of the warm-up, a multiple of `steps_per_run`, and of the complete training run, a
      multiple of the warm-up.
    """
    warm_up = _round_up(_WARM_UP_STEPS, steps_per_run)
    return warm_up, warm_up + _round_up(_TIMED_STEPS, warm_up)


def _round_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


def seconds_per_step(
    command: Sequence[str], steps_per_run: int, environment: Mapping[str, str] | None = None
) -> float:
    """Trains some steps in a temporary folder, and times them without the warm-up.

    The time is taken when progress lines arrive: the rate that they print is rounded, and averages
    over the warm-up.

    Args:
      command: the training program and its flags, without steps and output folder.
      steps_per_run: training steps per `Session.run` call.
      environment: variables of the program, besides this process's.

    Raises:
      UserError: training fails; the message is the last line that the program printed.
      SystemExit: a signal ended the training.
    """
    warm_up, total = step_counts(steps_per_run)
    times: list[float] = []  # seconds, when `warm_up` steps, twice as many, ... were done
    last_line = ""

    def read_line(line: str) -> None:
        nonlocal last_line
        last_line = line.strip() or last_line
        if line.startswith("progress "):
            times.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as errors:
        code = child_process.run_program(
            [
                *command,
                *("--output_dir", folder, "--summary_freq", "0", "--save_freq", "0"),
                *("--max_steps", str(total), "--progress_freq", str(warm_up)),
            ],
            on_line=read_line,
            stderr=errors,
            env={**child_process.environment(), **(environment or {})},
        )
        errors.seek(0)
        error_lines = errors.read().strip().splitlines()
    if code > 128:
        print("stopped while measuring")
        raise SystemExit(code)
    if code:
        raise UserError([last_line or f"training ended with exit code {code}", *error_lines][-1])
    return (times[-1] - times[0]) / (total - warm_up)
