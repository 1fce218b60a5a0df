"""Paths for TensorFlow's functions that take them for patterns, or take UTF-8 only."""

import contextlib
import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from p2p_graph.utils.file_names import why_not_utf8

_SPECIAL = re.compile(r"[*?\[\]\\]")


@contextlib.contextmanager
def without_pattern(prefix: Path, files: Sequence[Path]) -> Iterator[str]:
    """Yields another prefix of the same files, where TensorFlow would not read them by theirs.

    Links in a temporary folder carry the other names.

    Args:
      prefix: what the files' paths begin with.
      files: the files that are read through the prefix.

    Raises:
      OSError: the links cannot be made.
    """
    if not (_SPECIAL.search(str(prefix)) or why_not_utf8(str(prefix))):
        yield str(prefix)
        return
    with tempfile.TemporaryDirectory(prefix="p2p_graph") as folder:
        for path in files:
            end = path.name.removeprefix(prefix.name)
            (Path(folder) / f"files{end}").symlink_to(path.absolute())
        yield str(Path(folder) / "files")
