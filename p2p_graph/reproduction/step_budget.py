"""How many steps a table's rows get: the paper's, a number, or what there is time for."""

import json
import math
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from p2p_graph.config.options import Config
from p2p_graph.config.recipes import RECIPES
from p2p_graph.data.image_listing import list_images
from p2p_graph.utils import signals
from p2p_graph.utils.atomic_write import write_json
from p2p_graph.utils.errors import UserError

_Name = TypeVar("_Name")

_PAPER, _MINUTES = "paper", re.compile(r"(\d+(?:\.\d+)?)m")
_STARTING, _TIMED = 10, 40  # steps: the first ones are slower, and not counted
_PROGRESS = re.compile(r"^progress .* image/sec ([\d.]+)", re.MULTILINE)


def check(budget: str) -> None:
    """Refuses what is no budget.

    Raises:
      UserError: it is neither of the three forms.
    """
    is_number = budget.isdecimal() and int(budget) > 0
    if not (budget == _PAPER or is_number or _MINUTES.fullmatch(budget)):
        raise UserError(
            f"budget must be paper, a number of steps, or minutes in all as in 90m, not {budget!r}"
        )


def steps_of(
    budget: str,
    configs: Mapping[_Name, Config],
    given: Mapping[_Name, Sequence[str]],
    seconds: Callable[[_Name], float],
    plans: Path,
    *,
    keep: bool,
) -> dict[_Name, int]:
    """How many steps each run has.

    Minutes are turned into steps, the same for all, once for the same runs: they go on to the same
    end then, however fast the machine is.

    Args:
      budget: that `check` lets pass.
      configs: of each run, by its name or folder.
      given: the flags that each is trained with, without steps and folder.
      seconds: says how many a step of the run takes.
      plans: the file that keeps what minutes came to.
      keep: whether to write it.

    Raises:
      UserError: images cannot be used, or there is no time for a step.
    """
    if budget == _PAPER:
        return {name: _steps_of_paper(config) for name, config in configs.items()}
    if budget.isdecimal():
        return dict.fromkeys(configs, int(budget))
    runs = sorted(f"{name} ({shlex.join(given[name])})" for name in configs)
    key = f"{budget}: {', '.join(runs)}"
    known = _known(plans)
    if key not in known:
        each = sum(seconds(name) for name in configs)
        minutes = float(budget.removesuffix("m"))
        known[key] = int(minutes * 60 / each)
        if not known[key]:
            raise UserError(f"budget {budget} is too short: a step of each takes {each:.1f} s")
        if keep:
            plans.parent.mkdir(parents=True, exist_ok=True)
            write_json(plans, known)
    return dict.fromkeys(configs, known[key])


def _steps_of_paper(config: Config) -> int:
    """As many epochs as the paper trained on this data set."""
    epochs = RECIPES[config.recipe or ""].max_epochs
    return epochs * math.ceil(len(list_images(config)) / config.batch_size)


def _known(path: Path) -> dict[str, int]:
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        plans = {str(key): int(steps) for key, steps in found.items()}
        if plans and min(plans.values()) < 1:
            raise ValueError(f"{min(plans.values())} steps")
        return plans
    except (OSError, ValueError, OverflowError, TypeError, AttributeError) as error:
        raise UserError(f"{path} cannot be read: {error}; remove it") from None


def seconds_a_step(command: Sequence[str], batch_size: int) -> float:
    """Trains some steps in a folder of their own, and takes the time of all but the first.

    Args:
      command: the program and its flags, without steps and folder.
      batch_size: of its steps.

    Raises:
      UserError: it does not train.
    """
    print("measuring", " ".join(command[1:]), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        short = ("--output_dir", folder, "--summary_freq", "0", "--save_freq", "0")
        told = ("--max_steps", str(_TIMED), "--progress_freq", str(_STARTING))
        done = signals.run_program(
            [sys.executable, *command, *short, *told],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    if done.returncode > 128:  # a signal
        print("stopped while measuring")
        raise SystemExit(done.returncode)
    if done.returncode:
        raise UserError((done.stderr or done.stdout).strip().splitlines()[-1])
    # What is told are averages from the start, in images.
    rates = [float(rate) for rate in _PROGRESS.findall(done.stdout)]
    first, last = (
        steps * batch_size / rate
        for steps, rate in zip((_STARTING, _TIMED), (rates[0], rates[-1]), strict=True)
    )
    return (last - first) / (_TIMED - _STARTING) if last > first else last / _TIMED
