"""Whether two places hold the same files, as a copy does; without reading all of them."""

import csv
import io
import os
from pathlib import Path

from p2p_graph.utils.errors import UserError
from p2p_graph.utils.outside_files import open_regular, read_bytes

_MOST_READ = 20  # files, evenly chosen
_PIECE = 2**16  # bytes, at the beginning, the middle and the end of a file
_LARGEST_LIST = 2**28  # bytes of a CSV file


def have_same_files(first: Path, second: Path) -> bool:
    """Whether two folders, or two files, look like copies of each other.

    All names and sizes are compared, and pieces of some files: images of one size may have as many
    bytes without compression. Of a CSV list, the files that it names are compared, too.

    Args:
      first: a folder, whose folders are left out, or a file.
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
            return {entry.name: Path(entry) for entry in entries if entry.is_file()}
    files = {"": path}
    if path.suffix == ".csv":
        text = read_bytes(path, _LARGEST_LIST).decode("utf-8-sig", errors="surrogateescape")
        cells = {cell.strip() for row in csv.reader(io.StringIO(text, newline="")) for cell in row}
        files |= {cell: path.parent / cell for cell in cells if (path.parent / cell).is_file()}
    return files


def _pieces(path: Path) -> list[bytes]:
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        found = []
        for start in (0, size // 2, max(0, size - _PIECE)):
            file.seek(start)
            found.append(file.read(_PIECE))
        return found
