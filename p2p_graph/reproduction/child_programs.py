"""The programs of this package as child processes, and as commands that a person can run."""

import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import p2p_graph
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
    return child_process.run_program([*child_command(program), *flags], env=child_environment())


def child_command(program: str) -> list[str]:
    """The command that starts a program in this process's interpreter, without flags."""
    return [sys.executable, "-m", _module(program)]


def child_environment() -> dict[str, str]:
    """This process's environment variables, changed so that a child imports this same package.

    The package may be a clone that is not installed, and the current folder may be any.
    """
    package_parent = str(Path(p2p_graph.__file__).resolve().parents[1])
    former = os.environ.get("PYTHONPATH")
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([package_parent, former] if former else [package_parent]),
        # Python 3.11 and later: modules in the current folder hide no others.
        "PYTHONSAFEPATH": "1",
    }


def shell_command(program: str, flags: Sequence[str]) -> str:
    """The command line that a person would type in the current folder."""
    return shlex.join(["python", "-m", _module(program), *map(_shortened, flags)])


def _module(program: str) -> str:
    return f"p2p_graph.cli.{program.removesuffix('.py')}"


def _shortened(argument: str) -> str:
    """A path below the current folder as a relative path; other arguments as they are."""
    path, here = Path(argument), Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else argument
