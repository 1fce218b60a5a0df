"""The programs of this package as child processes, and as commands that a person can run."""

import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from p2p_graph.utils import child_process

# Runs a program, such as "train.py", with flags, and returns its exit code.
RunProgram = Callable[[str, Sequence[str]], int]


def run_child(program: str, flags: Sequence[str]) -> int:
    """Runs a program as a child process, with this process's stdout and stderr.

    Args:
      program: a module of `p2p_graph.cli`, as in "train.py".
      flags: its command line.

    Returns:
      The exit code, as `child_process.run_program` returns it.
    """
    command = [*child_command(program), *flags]
    return child_process.run_program(command, env=child_process.environment())


def child_command(program: str) -> list[str]:
    """The command that starts a program in this process's interpreter, without flags."""
    return [sys.executable, "-m", _module(program)]


def shell_command(program: str, flags: Sequence[str]) -> str:
    """The command line that a person would type in the current folder."""
    return shlex.join(["python", "-m", _module(program), *map(_shortened, flags)])


def _module(program: str) -> str:
    return f"p2p_graph.cli.{program.removesuffix('.py')}"


def _shortened(argument: str) -> str:
    """A path below the current folder as a relative path; other arguments as they are."""
    path, here = Path(argument), Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else argument
