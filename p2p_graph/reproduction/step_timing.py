"""How long a training step takes: a short training run, timed from outside."""

import tempfile
import time
from collections.abc import Sequence

from p2p_graph.reproduction import child_programs
from p2p_graph.utils import signals
from p2p_graph.utils.errors import UserError

_WARM_UP_STEPS = 10  # at least: compilation and the filling of caches make the first steps slow
_TIMED_STEPS = 30  # at least


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


def seconds_per_step(command: Sequence[str], steps_per_run: int) -> float:
    """Trains some steps in a temporary folder, and times them without the warm-up.

    The time is taken when progress lines arrive: the rate that they print is rounded, and averages
    over the warm-up.

    Args:
      command: the training program and its flags, without steps and output folder.
      steps_per_run: training steps per `Session.run` call.

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
        code = signals.run_program(
            [
                *command,
                *("--output_dir", folder, "--summary_freq", "0", "--save_freq", "0"),
                *("--max_steps", str(total), "--progress_freq", str(warm_up)),
            ],
            on_line=read_line,
            stderr=errors,
            env=child_programs.child_environment(),
        )
        errors.seek(0)
        error_lines = errors.read().strip().splitlines()
    if code > 128:
        print("stopped while measuring")
        raise SystemExit(code)
    if code:
        raise UserError([last_line or f"training ended with exit code {code}", *error_lines][-1])
    return (times[-1] - times[0]) / (total - warm_up)
