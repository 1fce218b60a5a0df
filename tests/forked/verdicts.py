"""What counts as right: an `Answer` says whether a case was accepted, refused, or a failure."""

import os
import re
import traceback
from pathlib import Path
from typing import NamedTuple

import numpy as np

import p2p_graph

ACCEPTED, REFUSED, FAILED = "accepted", "refused", "failed"
# Exit codes of a training run that SIGTERM stopped and that can be resumed.
_STOPPED = 128 + 15
_PACKAGE = f"{Path(p2p_graph.__file__).parent}{os.sep}"


class Answer(NamedTuple):
    """The result of one case.

    Attributes:
      kind: ACCEPTED, REFUSED or FAILED.
      text: the message of a refusal, or how the case failed.
      signature: equal for failures with the same cause; empty otherwise.
    """

    kind: str
    text: str = ""
    signature: str = ""


class Run(NamedTuple):
    """A program's run.

    Attributes:
      argv: the command line, the program's path first.
      code: the exit code, or the negative number of the signal that ended the run.
      stdout: what it wrote.
      stderr: what it wrote, bytes that are not UTF-8 as \\xNN.
      seconds: how long it took.
      memory: its peak of resident memory, in bytes.
      timed_out: whether it had to be stopped.
    """

    argv: list[str]
    code: int
    stdout: str
    stderr: str
    seconds: float
    memory: int
    timed_out: bool


class WrongResultError(Exception):
    """Something was accepted that is not right.

    Args:
      what: the kind of fault, the same for all cases of it.
      details: of this case.
    """

    def __init__(self, what, details=""):
        super().__init__(what, details)
        self.what, self.details = what, details


def failed(signature, text=""):
    return Answer(FAILED, text or signature, signature)


def expect(condition, what, details=""):
    if not condition:
        raise WrongResultError(what, details)


def same_bits(a, b):
    a, b = np.asarray(a), np.asarray(b)
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def failure_of(error):
    """The failure that an exception is, named by its type and the package's innermost function."""
    text = "".join(traceback.format_exception(error))
    if isinstance(error, WrongResultError):
        return failed(f"wrong result: {error.what}", f"{error.what}: {error.details}")
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename.startswith(_PACKAGE)] or list(frames)
    return failed(f"{type(error).__name__} in {_place(own[-1].filename, own[-1].name)}", text)


def one_line_problem(message):
    """Why a message is not one line, or a line with an indented list; empty if it is."""
    first, *rest = message.split("\n")
    if "\r" in message:
        return "a carriage return in the message"
    if not rest or (first.endswith(":") and all(line.startswith("  ") for line in rest)):
        return ""
    return "a message of several lines"


def answer_of_refusal(message):
    problem = one_line_problem(message)
    return failed(problem, message) if problem else Answer(REFUSED, message)


def is_hanging(run):
    """Whether a program took too long, other than training that SIGTERM has stopped and saved."""
    saved = run.code == _STOPPED and "stopped by SIGTERM" in run.stdout
    return run.timed_out and not saved


def answer_of_run(run, memory):
    """The answer of a program's `Run`; memory is what it may use, in bytes.

    Right are: exit code 0 or 1 with nothing on stderr but lists of skipped images; exit code 2 with
    one line; and long training that is stopped and can be resumed.
    """
    if is_hanging(run):
        return failed(f"hangs in {place_in_dump(run.stderr)}", run.stderr)
    if run.timed_out:
        return Answer(ACCEPTED, "stopped")
    if run.code < 0:
        return failed(f"killed by signal {-run.code}", run.stderr)
    if run.memory > memory:
        return failed("takes too much memory", f"{run.memory / 2**20:.0f} MiB")
    if "Traceback (most recent call last)" in run.stderr:
        return failed(_traceback_signature(run.stderr), run.stderr)
    if warning := re.search(r"(\w*Warning): ", run.stderr):
        return failed(f"prints a {warning[1]}", run.stderr)
    if run.code in (0, 1):
        problem = one_line_problem(run.stderr.removesuffix("\n"))
        return failed(problem, run.stderr) if problem else Answer(ACCEPTED, run.stderr)
    name = Path(run.argv[0]).name
    if run.code != 2 or not run.stderr.startswith(f"{name}: ") or not run.stderr.endswith("\n"):
        return failed(f"exit code {run.code} without a message of its own", run.stderr)
    return answer_of_refusal(run.stderr.removeprefix(f"{name}: ").removesuffix("\n"))


def place_in_dump(text):
    """The package's innermost function in a dump by `faulthandler`, which has the newest first."""
    for file, function in re.findall(r'File "(.*)", line \d+ in (\S+)', text):
        if file.startswith(_PACKAGE):
            return _place(file, function)
    return "an unknown place"


def _traceback_signature(text):
    frames = re.findall(r'File "(.*)", line \d+, in (\S+)', text)
    own = [frame for frame in frames if frame[0].startswith(_PACKAGE)] or frames
    # The error's line is the last one that begins with a name: its message may have several.
    names = re.findall(r"^([A-Za-z_][\w.]*)(?::|$)", text, re.MULTILINE)
    errors = [name for name in names if name not in ("Traceback", "File")]
    kind = errors[-1].rpartition(".")[2] if errors else "an error"
    return f"{kind} in {_place(*own[-1])}" if own else kind


def _place(file, function):
    return f"{Path(file).name}, {function}"
