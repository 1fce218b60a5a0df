"""row.json in a run's folder: which stages are done, with which command, on which files."""

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from p2p_graph.reproduction.row_stages import RowRun, Stage
from p2p_graph.utils.atomic_write import write_json
from p2p_graph.utils.errors import UserError
from p2p_graph.utils.json_values import is_number
from p2p_graph.utils.outside_files import damage_reported, open_regular, read_json

_FILE = "row.json"
_BLOCK = 2**24  # bytes read at a time
_STAGE_ORDER = ("train", "test", "evaluate")
# The keys of a stage's entry, besides "seconds": a number, or None if the time is unknown.
_ENTRY_KEYS: Mapping[str, type] = {"command": list, "reads": str, "hardware": str, "done": bool}

Entry = Mapping[str, Any]
Record = Mapping[str, Entry]


def read(run: RowRun) -> Record:
    """Reads a run's record: an entry for each stage that was begun, by the stage's name.

    Raises:
      UserError: row.json is damaged.
    """
    path = run.folder / _FILE
    try:
        record = read_json(path)
    except FileNotFoundError:
        return {}
    except UserError as error:
        raise UserError(f"{error}; remove it") from None
    if not isinstance(record, dict) or not all(map(_is_entry, record, record.values())):
        raise UserError(f"{path} is not what tools/reproduce.py writes: remove it")
    return record


def write(run: RowRun, record: Record) -> None:
    """Writes a run's record."""
    write_json(run.folder / _FILE, record)


def is_done(stage: Stage, record: Record) -> bool:
    """Whether a stage was done with this command on these files, and its output exists."""
    entry = record.get(stage.name, {})
    same = entry.get("command") == list(stage.command) and entry.get("reads") == stage.inputs_digest
    return bool(same and entry["done"] and stage.output.exists())


def before(stage: Stage, record: Record) -> Record:
    """The entries that stay valid when a stage runs again.

    Later stages read what the stage writes. Their entries go, those of other tables included.
    """
    own = _order(stage.name)
    return {name: entry for name, entry in record.items() if _order(name) <= own}


def digest(paths: Iterable[Path]) -> str:
    """SHA-256 of files' names and contents, in hexadecimal.

    Raises:
      UserError: a file cannot be read.
    """
    total = hashlib.sha256()
    for path in sorted(paths):
        contents = hashlib.sha256()
        with damage_reported(path, "a file"), open_regular(path) as file:
            while block := file.read(_BLOCK):
                contents.update(block)
        total.update(hashlib.sha256(os.fsencode(path.name)).digest() + contents.digest())
    return total.hexdigest()


def _is_entry(name: str, entry: Any) -> bool:
    return (
        name.partition(" ")[0] in _STAGE_ORDER
        and isinstance(entry, dict)
        and all(isinstance(entry.get(key), kind) for key, kind in _ENTRY_KEYS.items())
        and all(isinstance(part, str) for part in entry["command"])
        and (entry.get("seconds") is None or is_number(entry["seconds"]))
    )


def _order(stage_name: str) -> int:
    return _STAGE_ORDER.index(stage_name.partition(" ")[0])
