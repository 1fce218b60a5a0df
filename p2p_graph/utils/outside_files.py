"""Files from outside: only regular files are read, and any damage becomes a one-line error."""

import contextlib
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from p2p_graph.utils.counted import counted
from p2p_graph.utils.errors import UserError, one_line_reason
from p2p_graph.utils.file_names import why_not_encodable

_LARGEST = 2**30  # bytes of a file that is read whole
_LARGEST_JSON = 2**26  # bytes
# Without it, opening a FIFO waits for a writer. Windows has no FIFOs among its files.
_NO_WAITING = getattr(os, "O_NONBLOCK", 0)
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class UnreadableError(UserError):
    """A file that cannot be read. The message lacks its subject, the file's name."""


def open_regular(path: Path) -> IO[bytes]:
    """Opens a regular file for reading; links are followed.

    Raises:
      UnreadableError: the path names a folder, a FIFO, a socket or a device, whose reading might
        never end; or no file can have this name.
      OSError: the file cannot be opened.
    """
    if "\0" in str(path):
        raise UnreadableError("has a zero byte in its name")
    if why := why_not_encodable(str(path)):
        raise UnreadableError(f"has a name that is {why}")
    if kind := _kind_of(path.stat().st_mode):  # before it is opened, which may have effects
        raise UnreadableError(f"is {kind}, not a regular file")
    handle = os.open(path, os.O_RDONLY | _NO_WAITING | getattr(os, "O_BINARY", 0))
    if kind := _kind_of(os.fstat(handle).st_mode):
        os.close(handle)
        raise UnreadableError(f"is {kind}, not a regular file")
    return os.fdopen(handle, "rb")


def read_bytes(path: Path, at_most: int = _LARGEST) -> bytes:
    """Reads a regular file.

    Args:
      path: the file.
      at_most: the largest allowed size, in bytes.

    Raises:
      UnreadableError: see `open_regular`; or the file is larger than allowed.
      OSError: the file cannot be read.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        # Memory is taken for as many bytes as are asked for.
        contents = b"" if size > at_most else file.read(size + 1)
        if len(contents) > size:  # the file grows, or the system does not know its size
            contents += file.read(at_most + 1 - len(contents))
    if max(size, len(contents)) > at_most:
        raise UnreadableError(f"has more than {counted(at_most, 'byte')}, the most that is read")
    return contents


@contextlib.contextmanager
def damage_reported(path: object, form: str = "") -> Iterator[None]:
    """Turns every error of reading a file into a `UserError` of one line.

    Parsers of outside files raise errors of many types, and which one depends on the damage. Here,
    and nowhere else, all of them count as damage. What is read in this context should be no more
    than the file.

    Args:
      path: the file, for the message.
      form: what the file should be, as in "JSON" or "an .npz archive"; empty if the path says it.

    Raises:
      UserError: anything was raised, except a `UserError`.
      FileNotFoundError: as it was.
    """
    failed = f"{path} cannot be read{' as ' if form else ''}{form}"
    try:
        yield
    except UnreadableError as error:
        raise UserError(f"{path} {error}") from None
    except (UserError, FileNotFoundError):
        raise
    except MemoryError:
        raise UserError(f"{failed}: it takes more memory than there is") from None
    except RecursionError:
        raise UserError(f"{failed}: it is nested too deep") from None
    except OSError as error:
        raise UserError(f"{failed}: {error.strerror or one_line_reason(error)}") from None
    except Exception as error:
        raise UserError(f"{failed}: {one_line_reason(error)}") from error


def read_json(path: Path) -> Any:
    """Reads a JSON file, which may begin with a byte order mark.

    Raises:
      FileNotFoundError: there is no such file.
      UserError: it cannot be read, or is not JSON; the message names the file and the place.
    """
    with damage_reported(path, "JSON"):
        return json.loads(read_bytes(path, _LARGEST_JSON).decode("utf-8-sig"))


def real_path(path: Path) -> Path:
    """The absolute path without links; for a link that leads to itself, the path of the link.

    `Path.resolve` raises RuntimeError for such a link before Python 3.13.
    """
    try:
        return Path(os.path.realpath(path))
    except ValueError:  # a zero byte in the name
        return path.absolute()


def without_links_up(text: str) -> str:
    """A path without `..` behind a link, which TensorFlow would take off together with the link.

    Args:
      text: a path, which leads to a place beside a link's target if it has `link/..` in it.

    Returns:
      The path of the same place, absolute; the text as it is if `..` goes back from no link.
    """
    if ".." not in text:
        return text
    parts = Path(text).parts
    count = len(parts) - [*parts[::-1], ".."].index("..")
    up = Path(*parts[:count])
    if real_path(up) == real_path(Path(os.path.normpath(up))):
        return text
    return str(real_path(up).joinpath(*parts[count:]))


def from_folder(folder: Path, path: str) -> Path:
    """A path as it was when a folder, whose path has no links, was the working directory.

    The folder may be gone, or a link to another place: `..` at the beginning is of its path.
    """
    parts = Path(path).parts
    while parts[:1] == ("..",) and folder.is_absolute():
        folder, parts = folder.parent, parts[1:]
    return folder.joinpath(*parts)


def seen_from(folder: Path, text: str) -> str:
    """An absolute path relative to a folder: the same once both were moved; other texts as is."""
    return os.path.relpath(text, folder) if Path(text).is_absolute() else text


def nearest_existing(path: Path) -> Path:
    """A path itself if it exists, otherwise the nearest of the folders above it."""
    return next(one for one in (path, *real_path(path).parents) if one.exists())


def _kind_of(mode: int) -> str | None:
    """What a file is, unless it is a regular one."""
    if stat.S_ISREG(mode):
        return None
    return next((kind for is_kind, kind in _KINDS if is_kind(mode)), "a special file")
