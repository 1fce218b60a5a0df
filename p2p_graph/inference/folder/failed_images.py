"""failed.jsonl: the images that could not be translated, and why."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from p2p_graph.data.decode_check import why_unreadable
from p2p_graph.data.image_files import SourceImage
from p2p_graph.utils.atomic_write import atomic_write
from p2p_graph.utils.counted import counted
from p2p_graph.utils.errors import escaped

FAILED_FILE = "failed.jsonl"
_SHOWN = 5  # images that are listed on stdout
_ONLY_ONCE = "could not be decoded during the translation, and can be now: translate it again"


class FailedImage(NamedTuple):
    """An image that could not be translated.

    Attributes:
      number: its place among all images of the source, from 0 on.
      name: its path, as the source names it.
      reason: why not.
    """

    number: int
    name: str
    reason: str


def failed_while_translated(images: Iterable[tuple[int, SourceImage]]) -> list[FailedImage]:
    """Finds why images, given with their numbers, were left out by the input graph."""
    failed = []
    for number, image in images:
        name = str(image.path)
        reason = (why_unreadable(image) or _ONLY_ONCE).removeprefix(name).lstrip(": ")
        failed.append(FailedImage(number, name, reason))
    return failed


def write_failed(folder: Path, failed: Iterable[tuple[str, str]]) -> int:
    """Writes failed.jsonl, a JSON object `{"name": ..., "reason": ...}` a line; no file for none.

    Args:
      folder: an earlier file in it is replaced or removed.
      failed: names and reasons, of which none is held.

    Returns:
      The number of images.

    Raises:
      OSError: the file cannot be written.
    """
    path, count = folder / FAILED_FILE, 0
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for name, reason in failed:
            file.write(json.dumps({"name": name, "reason": reason}) + "\n")
            count += 1
    if not count:
        path.unlink()
    return count


def report_failed(folder: Path, failed: Sequence[FailedImage]) -> None:
    """Prints how many images failed, and the first ones."""
    if not failed:
        return
    print(f"{counted(len(failed), 'image')} failed, see {escaped(str(folder / FAILED_FILE))}:")
    for _, name, reason in failed[:_SHOWN]:
        print(escaped(f"  {name}: {reason}"))
    if len(failed) > _SHOWN:
        print(f"  ... and {len(failed) - _SHOWN} more")
