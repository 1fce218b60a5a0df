"""What every program does around its own work: one line and an exit code for each error."""

import io
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from p2p_graph.utils.errors import UserError


def program(main: Callable[[Sequence[str]], int | None]) -> Callable[[], NoReturn]:
    """Makes the entry point of a program: for a console script, tools/*.py and `python -m`.

    Args:
      main: takes the command line's arguments; returns the exit code, None for 0.
    """

    def run() -> NoReturn:
        """Runs the program: an error that a person can mend is one line on stderr, exit code 2.

        That is what the program says itself, and a full disk or a file that cannot be had.
        """
        program = sys.argv[0].rpartition("/")[2]
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")  # for names that are not UTF-8
        try:
            code = main(sys.argv[1:])
        except UserError as error:
            print(f"{program}: {error}", file=sys.stderr)
            code = 2
        except OSError as error:
            if error.errno is None:
                raise
            where = f"{error.filename}: " if error.filename else ""
            print(f"{program}: {where}{os.strerror(error.errno)}", file=sys.stderr)
            code = 2
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            code = 130
        sys.exit(code or 0)

    return run
