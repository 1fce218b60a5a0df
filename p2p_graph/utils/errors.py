"""The error that a person can cause and mend."""

import re
from collections.abc import Sequence
from pathlib import Path

# What TensorFlow says before the reason, and where it adds what a person has no use for.
_HEADINGS = ("Graph execution error", "Detected at node", "Original stack trace", "Node: ", " ")
_SHOWN = 20  # of what cannot be used
_TRANSFORMATION = re.compile(r"Error in user-defined function passed to .* iterator: \S+: ")


class UserError(ValueError):
    """Something that the person who runs a tool can mend.

    Its message is one line that says what is wrong, where, and what to do. The tools print it to
    stderr without a traceback and exit with code 2.
    """


def listed(lines: Sequence[str]) -> str:
    """Lists what cannot be used, a line each after two spaces: the first 20, and how many more."""
    left = len(lines) - _SHOWN
    shown = "\n".join(f"  {line}" for line in lines[:_SHOWN])
    return shown + (f"\n  ... and {left} more" if left > 0 else "")


def no_folder(path: Path) -> str:
    """What is wrong with a path that is to be a folder, and is none."""
    return "is not a folder" if path.exists() else "does not exist"


def reason_of(error: BaseException) -> str:
    """What an error says, in one line."""
    lines = str(getattr(error, "message", None) or error).splitlines()
    reasons = [line for line in lines if line.strip() and not line.startswith(_HEADINGS)]
    return _TRANSFORMATION.sub("", reasons[0].strip()) if reasons else type(error).__name__
