"""row.json in a run's folder: which stages are done, with which command, on which files."""

import hashlib
import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from p2p_graph.reproduction.row_stages import RowRun, Stage
from p2p_graph.utils.atomic_write import write_json
from p2p_graph.utils.errors import UserError
from p2p_graph.utils.json_values import is_number
from p2p_graph.utils.outside_files import damage_reported, open_regular, read_json, seen_from

_FILE = "row.json"
_BLOCK = 2**24  # bytes read at a time
_PARTICIPLES = {"train": "trained", "test": "tested", "evaluate": "evaluated"}
_OTHER_FILES = {"evaluated": "with other files of the segmenter, palette, labels or Inception"}
_STAGE_ORDER = tuple(_PARTICIPLES)
# The keys of a stage's entry, besides "seconds": a number, or None if the time is unknown; "wrote",
# the digest of an evaluation's file; and "folder", the run's. Older entries lack the last two.
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
    return not why_not_done(stage, record)


def why_not_done(stage: Stage, record: Record) -> str:
    """Says why a stage is not done as planned; the text continues the run's name.

    Returns:
      One reason; nothing if the stage is done.
    """
    done = _PARTICIPLES[stage.name.partition(" ")[0]]
    entry = record.get(stage.name)
    if not entry or not entry["done"]:
        return f"was not {done} to the end"
    if entry["command"] != list(stage.command) and not _is_moved(entry, stage):
        return f"was {done} with other flags: {_difference(entry['command'], stage.command)}"
    if entry["reads"] != stage.inputs_digest:
        return f"was {done} {_OTHER_FILES.get(done, 'on other images')}"
    return "" if stage.output.exists() else f"lacks {stage.output}"


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


def _is_moved(entry: Entry, stage: Stage) -> bool:
    """Whether a command is the stage's, seen from the run's folder: all was moved together."""
    if "folder" not in entry:
        return False
    was = [seen_from(Path(entry["folder"]), part) for part in entry["command"]]
    return was == [seen_from(stage.folder, part) for part in stage.command]


def _difference(was: Sequence[str], now: Sequence[str]) -> str:
    """The flags that differ in two commands."""
    before, after = _by_flag(was), _by_flag(now)
    apart = [
        f"{before.get(name, f'no {name}')}, now {after.get(name, f'no {name}')}"
        for name in {**before, **after}
        if before.get(name) != after.get(name)
    ]
    return "; ".join(apart) or "the same in another order"


def _by_flag(command: Sequence[str]) -> dict[str, str]:
    """A command's flags with their values, by name; the program has the name ""."""
    found: dict[str, list[str]] = {}
    name = ""
    for part in command:
        name = part if part.startswith("--") else name
        found.setdefault(name, []).append(part)
    return {name: shlex.join(parts) for name, parts in found.items()}


def _is_entry(name: str, entry: Any) -> bool:
    return (
        name.partition(" ")[0] in _STAGE_ORDER
        and isinstance(entry, dict)
        and all(isinstance(entry.get(key), kind) for key, kind in _ENTRY_KEYS.items())
        and all(isinstance(part, str) for part in entry["command"])
        and (entry.get("seconds") is None or is_number(entry["seconds"]))
        and all(isinstance(entry.get(key, ""), str) for key in ("wrote", "folder"))
    )


def _order(stage_name: str) -> int:
    return _STAGE_ORDER.index(stage_name.partition(" ")[0])
