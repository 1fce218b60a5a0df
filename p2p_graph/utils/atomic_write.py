"""Atomic writes: a file appears under its name in full, or not at all."""

import contextlib
import errno
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from p2p_graph.utils.file_names import LONGEST_NAME, shortened

_SUFFIX = ".unfinished"


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yields a temporary path and renames it over the target on success.

    The temporary path is `path` with the suffix .unfinished added, after a name that is shortened
    where the file system takes no longer one. A file there, which a killed program has left, is
    removed first; a link or a FIFO there is not written through. On an error the temporary file is
    removed, and the target stays as it was. An `OSError` that names no file, such as that of a full
    disk, names the target from here on.

    Raises:
      OSError: the file cannot be renamed, or the temporary path is a folder.
    """
    temporary = path.with_name(shortened(path.name, LONGEST_NAME - len(_SUFFIX)) + _SUFFIX)
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    try:
        yield temporary
        temporary.replace(path)
    except BaseException as error:
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)
        with contextlib.suppress(OSError):  # so that the first error is the one that is raised
            temporary.unlink(missing_ok=True)
        raise


def write_json(path: Path, record: Mapping[str, Any], *, sort_keys: bool = False) -> None:
    """Writes a JSON file atomically, indented by four spaces."""
    text = json.dumps(record, indent=4, sort_keys=sort_keys)
    with atomic_write(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def copy_file(source: Path, target: Path) -> None:
    """Copies a file's contents atomically."""
    with atomic_write(target) as temporary:
        shutil.copyfile(source, temporary)


def flush_to_disk(path: Path) -> None:
    """Waits until a file, or the names in a folder, are on the disk.

    A crash of the machine loses what only the system's cache holds; a kill of the program does not.
    On Windows nothing happens.

    Raises:
      OSError: the disk is full or broken, or the path is missing.
    """
    if sys.platform == "win32":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that cannot do so for folders
            raise
    finally:
        os.close(handle)


def remove(path: Path) -> None:
    """Removes a folder with all that it holds as far as possible, or a file; it may be missing.

    `shutil.rmtree` alone would open a FIFO of this name, and wait.
    """
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
