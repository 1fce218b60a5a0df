"""The files in a folder of results: which images are whole, and what is in the way of new ones."""

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from p2p_graph.imaging.array_files import ARRAY_SUFFIX, npy_size
from p2p_graph.imaging.png_structure import is_bounded
from p2p_graph.utils.errors import UserError
from p2p_graph.utils.outside_files import open_regular

_HEAD, _TAIL = 256, 12  # bytes: a .npy header or a PNG's first chunk, and a PNG's last chunk


def is_whole(path: Path) -> bool:
    """Whether a path names an image file as this program writes them, which is not cut off.

    The beginning and the end are read, and of arrays the size, not the pixels: a folder may have
    millions of images. What is no regular file is no image.
    """
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            head = file.read(_HEAD)
            file.seek(max(0, size - _TAIL))
            tail = file.read(_TAIL)
    except (OSError, UserError):
        return False
    if path.suffix == ARRAY_SUFFIX:
        return npy_size(head) == size
    return is_bounded(head, tail)


def refuse_in_the_way(files: Iterable[Path], folder: Path, names: Iterable[str]) -> None:
    """Refuses folders in the place of files that are to be written: nothing removes them.

    Other files there, of whatever kind, are replaced.

    Args:
      files: to write.
      folder: of images, which may be missing.
      names: of the files to write into it, of which none is held.

    Raises:
      UserError: there is a folder, or `folder` is none.
    """
    if os.path.lexists(folder) and not folder.is_dir():
        raise UserError(f"{folder} is not a folder, and images are written into it: remove it")
    found = [path for path in files if path.is_dir() and not path.is_symlink()]
    if folder.is_dir():
        with os.scandir(folder) as entries:
            folders = {entry.name for entry in entries if entry.is_dir(follow_symlinks=False)}
        if folders:
            found += [folder / name for name in names if name in folders]
    if found:
        raise UserError(f"{found[0]} is a folder, in the place of a file to write: remove it")


@contextlib.contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Names a written image that cannot be read any more, and says what to do.

    Raises:
      UserError: reading raised one, whose message lacks its subject.
    """
    try:
        yield
    except UserError as error:
        raise UserError(
            f"{path} {error}: give the command that wrote it again, with --skip_done"
        ) from None
