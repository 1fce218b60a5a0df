"""Files that are written whole or not at all: beside their place first, then renamed."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Gives the path to write to; what is there then takes a file's place, unless something fails.

    Raises:
      OSError: it cannot take that place; what was there is as it was.
    """
    temporary = path.with_name(f"{path.name}.unfinished")
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):  # the first error is the one to tell
            temporary.unlink(missing_ok=True)
        raise


def write_json(path: Path, record: Mapping[str, Any], *, sort_keys: bool = False) -> None:
    """Writes a JSON file, whole or not at all."""
    text = json.dumps(record, indent=4, sort_keys=sort_keys)
    with atomic_write(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
