"""translated.json and `done/`: what a folder of shards was made by, and which shards are done.

A shard is done when its file in `done/` is there, which is written after its images, and the images
are as that file says. A worker that is killed in between has its shard translated again.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from p2p_graph.inference.folder import failed_images
from p2p_graph.inference.folder.failed_images import FAILED_FILE
from p2p_graph.utils.atomic_write import write_json
from p2p_graph.utils.errors import UserError, why_not_written
from p2p_graph.utils.outside_files import read_json

RECORD_FILE = "translated.json"
DONE_FOLDER = "done"
WRITTEN = (DONE_FOLDER, FAILED_FILE)
_OUTPUTS = "outputs-*"  # names of shards
_ATTEMPTS = ".attempts"
# How images were made, where the record has a digest, which says nothing to a person.
_DIGESTS = {
    "weights": "with another checkpoint",
    "source": "of other images than the source has now",
}


class DoneShard(NamedTuple):
    """What came of a shard.

    Attributes:
      images: how many were translated.
      failed: the names of the others, and the reasons.
      size: see `shard_outputs.written_size`; None in a record that lacks it.
    """

    images: int
    failed: Sequence[tuple[str, str]]
    size: int | None


def begin(folder: Path, record: Mapping[str, Any]) -> None:
    """Writes what a folder is made by, or checks that it is the same.

    Args:
      folder: of the shards.
      record: JSON values by name.

    Raises:
      UserError: the folder holds shards of something else, or cannot be written.
    """
    refuse_other(folder, record)
    try:
        # First: without it, the folder would be taken for another program's.
        if not (folder / RECORD_FILE).exists() or not _has_shards(folder):
            write_json(folder / RECORD_FILE, record)
        (folder / DONE_FOLDER).mkdir(exist_ok=True)
        for path in (folder / DONE_FOLDER).glob(f"*{_ATTEMPTS}"):
            path.unlink()
    except OSError as error:
        path = error.filename or folder
        raise UserError(f"{path} cannot be written: {why_not_written(error)}") from None


def refuse_other(folder: Path, record: Mapping[str, Any]) -> None:
    """Checks that a folder holds no shards of something else.

    Args:
      folder: of the shards; it may be missing.
      record: JSON values by name; only these are compared.

    Raises:
      UserError: a value differs; the message names it.
    """
    try:
        before = read_json(folder / RECORD_FILE)
    except FileNotFoundError:
        if found := sorted(folder.glob(_OUTPUTS)):
            raise UserError(
                f"output_dir {folder} holds {found[0].name}, but no {RECORD_FILE} of "
                f"tools/translate_many.py: name another folder, or remove {found[0].name}"
            ) from None
        return
    if not _has_shards(folder):  # a run that has ended before its first shard
        return
    if not isinstance(before, dict):
        raise UserError(f"{folder / RECORD_FILE} must hold one JSON object: remove the folder")
    for name, now in json.loads(json.dumps(record)).items():
        was = before.get(name)
        if was != now:
            how = _DIGESTS.get(name, f"with {name} {_text(was)}, not {_text(now)}")
            raise UserError(
                f"output_dir {folder} holds images that were made {how}: name another folder, or "
                "remove this one"
            )


def _has_shards(folder: Path) -> bool:
    return any((folder / DONE_FOLDER).glob("*.json")) or any(folder.glob(_OUTPUTS))


def _text(value: Any) -> str:
    return json.dumps(value)


def done_path(folder: Path, number: int, count: int) -> Path:
    """The file that says that a shard is done."""
    return folder / DONE_FOLDER / f"{number:05d}-of-{count:05d}.json"


def count_attempt(folder: Path, number: int, count: int) -> int:
    """Counts how often workers have begun a shard since the run began, this time included.

    Raises:
      UserError: the file of the count cannot be written.
    """
    path = done_path(folder, number, count).with_suffix(_ATTEMPTS)
    try:
        with path.open("ab") as file:
            file.write(b".")
            return file.tell()
    except OSError as error:
        raise UserError(f"{path} cannot be written: {why_not_written(error)}") from None


def write_done(folder: Path, number: int, count: int, done: DoneShard) -> None:
    """Records that a shard is done.

    Raises:
      UserError: the file cannot be written.
    """
    path = done_path(folder, number, count)
    try:
        write_json(path, done._asdict())
        path.with_suffix(_ATTEMPTS).unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {why_not_written(error)}") from None


def read_done(folder: Path, number: int, count: int) -> DoneShard | None:
    """What came of a shard; None if it is not done.

    Raises:
      UserError: its file is damaged.
    """
    path = done_path(folder, number, count)
    try:
        found = read_json(path)
        failed = [(str(name), str(why)) for name, why in found["failed"]]
        size = found.get("size")
        return DoneShard(int(found["images"]), failed, None if size is None else int(size))
    except FileNotFoundError:
        return None
    except (KeyError, TypeError, ValueError):  # a UserError is a ValueError
        raise UserError(f"{path} is damaged: remove it, and run the command again") from None


def forget(folder: Path, numbers: Iterable[int], count: int) -> None:
    """Removes the records of shards, which are to be translated again.

    Raises:
      UserError: a file cannot be removed.
    """
    for number in numbers:
        path = done_path(folder, number, count)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise UserError(f"{path} cannot be removed: {why_not_written(error)}") from None


def write_failed(folder: Path, count: int) -> tuple[int, int]:
    """Writes the images that failed in any shard to failed.jsonl; an earlier file is replaced.

    Args:
      folder: of the shards.
      count: of the shards, all of which are done.

    Returns:
      The number of images that were translated, and of those that failed.
    """
    translated = 0

    def failed() -> Iterator[tuple[str, str]]:
        nonlocal translated
        for number in range(count):
            done = read_done(folder, number, count)
            assert done is not None
            translated += done.images
            yield from done.failed

    number_failed = failed_images.write_failed(folder, failed())
    return translated, number_failed
