"""packed.json: which images the shards beside it hold, and how many."""

from pathlib import Path
from typing import Any

from p2p_graph.utils.errors import UserError
from p2p_graph.utils.outside_files import read_json

RECORD_FILE = "packed.json"
_REMEDY = "remove it and the shards beside it, and rerun tools/pack_records.py"


def read(folder: Path) -> dict[str, Any] | None:
    """Reads a folder's record; returns None where there is none.

    Raises:
      UserError: the file cannot be read, or is damaged.
    """
    path = folder / RECORD_FILE
    try:
        record = read_json(path)
    except FileNotFoundError:
        return None
    except UserError as error:
        raise UserError(f"{error}; {_REMEDY}") from None
    if not isinstance(record, dict):
        raise UserError(f"{path} must hold one JSON object; {_REMEDY}")
    return record


def read_counts(folder: Path) -> tuple[int | None, int | None]:
    """How many images each shard but the last holds, and all; None where the record does not say.

    Raises:
      UserError: see `read`; or a number is none.
    """
    record = read(folder) or {}
    per_shard, count = (record.get(name) for name in ("per_shard", "count"))
    for number in (per_shard, count):
        if not (number is None or (type(number) is int and number > 0)):
            raise UserError(
                f"{folder / RECORD_FILE} is not what tools/pack_records.py writes; {_REMEDY}"
            )
    return per_shard, count
