"""The entry point of every program: expected errors become one line on stderr and an exit code."""

import io
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from p2p_graph.utils.errors import UserError


def program(main: Callable[[Sequence[str]], int | None]) -> Callable[[], NoReturn]:
    """Wraps a program's main function as its entry point.

    Console scripts, tools/*.py and `python -m` call the entry point.

    Args:
      main: takes the command line's arguments; returns the exit code, None for 0.

    Returns:
      A function that ends the process with the exit code of `main`, with 2 after a `UserError` or
      an `OSError` of the operating system, such as a full disk, or with 130 after an interrupt.
    """

    def run() -> NoReturn:
        """Runs the program and ends the process with its exit code."""
        _accept_any_file_name()
        name = Path(sys.argv[0]).name
        try:
            code = main(sys.argv[1:])
        except UserError as error:
            print(f"{name}: {error}", file=sys.stderr)
            code = 2
        except OSError as error:
            if error.errno is None:  # not raised by the operating system: a defect
                raise
            where = f"{error.filename}: " if error.filename else ""
            print(f"{name}: {where}{os.strerror(error.errno)}", file=sys.stderr)
            code = 2
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            code = 130
        sys.exit(code or 0)

    return run


def command_of(module: str) -> str:
    """The command of another program, in the form in which this one was started.

    Args:
      module: the other program's module in `p2p_graph.cli`.
    """
    if Path(sys.argv[0]).name.startswith("p2p-"):
        return f"p2p-{module.replace('_', '-')}"
    return f"python tools/{module}.py"


def _accept_any_file_name() -> None:
    """Makes stdout and stderr escape characters that they cannot encode.

    File names may contain bytes that are not UTF-8.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
