"""Whether two places hold the same data, as a copy does; without reading all of the files."""

import csv
import io
import os
from pathlib import Path

from p2p_graph.utils.errors import UserError
from p2p_graph.utils.file_names import ARCHIVE_SUFFIX, ARRAY_SUFFIXES, IMAGE_SUFFIXES, SHARD_SUFFIX
from p2p_graph.utils.outside_files import open_regular, read_bytes

_MOST_READ = 20  # files, evenly chosen
_DATA = (*IMAGE_SUFFIXES, *ARRAY_SUFFIXES, SHARD_SUFFIX)  # that training reads in a folder
_PIECE = 2**16  # bytes, at the beginning, the middle and the end of a file
_LARGEST_LIST = 2**28  # bytes


def have_same_files(first: Path, second: Path) -> bool:
    """Whether two folders, or two files, look like copies of each other.

    All names and sizes are compared, and pieces of some files: images of one size may have as many
    bytes without compression. Of a list, the files that it names are compared, too.

    Args:
      first: a folder, of which files that hold images are compared, or a file: a .npz archive, or
        a list in CSV.
      second: likewise.
    """
    try:
        files, others = _files_of(first), _files_of(second)
        if files.keys() != others.keys():
            return False
        names = sorted(files)
        if any(files[name].stat().st_size != others[name].stat().st_size for name in names):
            return False
        chosen = names[:: -(-len(names) // _MOST_READ) or 1]
        return all(_pieces(files[name]) == _pieces(others[name]) for name in chosen)
    except (OSError, ValueError, csv.Error, UserError):
        return False


def _files_of(path: Path) -> dict[str, Path]:
    if path.is_dir():
        with os.scandir(path) as entries:
            paths = (Path(entry) for entry in entries if entry.is_file())
            return {path.name: path for path in paths if path.suffix.lower() in _DATA}
    files = {"": path}
    if path.suffix.lower() != ARCHIVE_SUFFIX:
        text = read_bytes(path, _LARGEST_LIST).decode("utf-8-sig", errors="surrogateescape")
        cells = {cell.strip() for row in csv.reader(io.StringIO(text, newline="")) for cell in row}
        files |= {cell: path.parent / cell for cell in cells if _is_file(path.parent / cell)}
    return files


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long, or with a zero byte: it is another column's text
        return False


def _pieces(path: Path) -> list[bytes]:
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        found = []
        for start in (0, size // 2, max(0, size - _PIECE)):
            file.seek(start)
            found.append(file.read(_PIECE))
        return found
