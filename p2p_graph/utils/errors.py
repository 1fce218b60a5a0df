"""The error that a person can mend, and helpers that put errors into one line."""

import re
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

# What NumPy raises for a file that is no .npz archive, or a damaged one.
NPZ_ERRORS = (ValueError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError)

# Lines before and after the reason in TensorFlow's messages, which help nobody who runs a tool.
_HEADINGS = ("Graph execution error", "Detected at node", "Original stack trace", "Node: ", " ")
_LISTED = 20  # lines
_TRANSFORMATION = re.compile(r"Error in user-defined function passed to .* iterator: \S+: ")
# Line breaks and other control characters.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class UserError(ValueError):
    """An error that the person who runs a tool can mend.

    The message is one line that says what is wrong, where, and what to do. The tools print it to
    stderr without a traceback and exit with code 2.
    """


def escaped(text: str) -> str:
    """Escapes line breaks and other control characters, which names of files may hold."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def shortened_list(lines: Sequence[str]) -> str:
    """Joins the first 20 lines, indented by two spaces, and says how many more there are."""
    more = len(lines) - _LISTED
    shown = "\n".join(f"  {escaped(line)}" for line in lines[:_LISTED])
    return shown + (f"\n  ... and {more} more" if more > 0 else "")


def why_no_folder(path: Path) -> str:
    """Says why a path is not a folder; the text continues the path's name."""
    if path.exists():
        return "is not a folder"
    return "is a link that leads nowhere" if path.is_symlink() else "does not exist"


def one_line_reason(error: BaseException) -> str:
    """Extracts the reason from an error's message: one line, without TensorFlow's additions."""
    lines = str(getattr(error, "message", None) or error).splitlines()
    reasons = [line for line in lines if line.strip() and not line.startswith(_HEADINGS)]
    return _TRANSFORMATION.sub("", reasons[0].strip()) if reasons else type(error).__name__
