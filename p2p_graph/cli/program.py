"""The entry point of every program: expected errors become an exit code and one line on stderr.

A list of the images that an error is about may follow the line.
"""

import errno
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from p2p_graph.utils import child_process, signals, streams
from p2p_graph.utils.errors import UserError, escaped, one_line_reason, why_not_written
from p2p_graph.utils.outside_files import without_links_up


def program(main: Callable[[Sequence[str]], int | None]) -> Callable[[], NoReturn]:
    """Wraps a program's main function as its entry point.

    Console scripts and tools/*.py call the entry point through `start`, `python -m` directly.

    Args:
      main: takes the command line's arguments; returns the exit code, None for 0.

    Returns:
      A function that ends the process with the exit code of `main`, with 2 after a `UserError`, an
      `OSError` of the operating system, such as a full disk, or a lack of memory, or with 128 + the
      number of a signal that stops it. That stdout or stderr cannot be written is no error.
    """

    def run() -> NoReturn:
        """Runs the program and ends the process with its exit code."""
        signals.handle()
        streams.make_safe()
        child_process.end_with_parent()
        try:
            with signals.raised():
                code = main([_with_real_places(argument) for argument in sys.argv[1:]])
        except UserError as error:
            code = _refuse(str(error))
        except OSError as error:
            if error.errno is None:  # not raised by the operating system: a defect
                raise
            names = [str(name) for name in (error.filename, error.filename2) if name is not None]
            where = f"{' -> '.join(names)}: " if names else ""
            code = _refuse(escaped(f"{where}{why_not_written(error)}{_advice(error)}"))
        except MemoryError as error:
            code = _refuse(f"not enough memory: {_why_no_memory(error)}")
        except KeyboardInterrupt as interrupt:
            code = signals.report_ending(interrupt)
        sys.exit(code or 0)

    return run


def _with_real_places(argument: str) -> str:
    """A command line's argument without `..` behind links in its paths: see `without_links_up`."""
    is_flag = argument.startswith("-")
    flag, equals, value = argument.partition("=") if is_flag else ("", "", argument)
    return flag + equals + without_links_up(value)


def command_of(module: str) -> str:
    """The command of another program, in the form in which this one was started.

    Args:
      module: the other program's module in `p2p_graph.cli`.
    """
    if Path(sys.argv[0]).name.startswith("p2p-"):
        return f"p2p-{module.replace('_', '-')}"
    return f"python tools/{module}.py"


def _refuse(message: str) -> int:
    """Prints why the program ends, and returns its exit code."""
    print(f"{escaped(Path(sys.argv[0]).name)}: {message}", file=sys.stderr)
    return 2


def _advice(error: OSError) -> str:
    """What to do about errors that no file causes."""
    if error.errno == errno.EMFILE:
        return " at once: raise the limit (ulimit -n), or take fewer --workers"
    try:
        Path.cwd()
    except FileNotFoundError:
        return ": the current folder has been removed, change to another"
    return ""


def _why_no_memory(error: MemoryError) -> str:
    reason = escaped(one_line_reason(error)) if str(error) else "this work needs more than there is"
    return f"{reason}; end other programs, or take smaller images or batches"
