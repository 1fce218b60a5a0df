"""Functions of a person's own modules, named on a command line as module:function."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from p2p_graph.utils.errors import UserError, one_line_reason


def load(spec: str, option: str) -> Callable[[Any], Any]:
    """Imports a function, from the current folder or an installed package.

    Args:
      spec: module:function.
      option: the option that names the function, for messages.

    Returns:
      The function; what it raises becomes a `UserError` whose message lacks its subject.

    Raises:
      UserError: the module cannot be imported, or has no such function.
    """
    module, _, name = spec.partition(":")
    # Python searches a program's own folder, not the current one. The current folder comes last,
    # so that its modules hide no others. It stays, because the function may import more later.
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        function = getattr(importlib.import_module(module), name, None)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a person's module may raise anything
        reason = f"{type(error).__name__}: {one_line_reason(error)}"
        raise UserError(f"{option} {spec}: module {module} cannot be imported: {reason}") from error
    if not callable(function):
        raise UserError(f"{option} {spec}: module {module} has no function {name}")

    def call(argument: Any) -> Any:
        try:
            return function(argument)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise UserError(f"failed: {type(error).__name__}: {one_line_reason(error)}") from error

    return call
