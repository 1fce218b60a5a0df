"""Parts a folder of images into train, test and val, as the reference's tool does.

Which image goes where is a function of all names, those in the parts already included. The same
command, run again after it was interrupted, therefore goes on with the same split.
"""

import filecmp
import random
import shutil
from collections.abc import Sequence
from pathlib import Path

from p2p_graph.data.image_files import SUFFIXES, find_images
from p2p_graph.utils.atomic_write import atomic_write
from p2p_graph.utils.errors import UserError

PARTS = ("train", "test", "val")
_SEED = 0  # the reference's
_ROUNDING = 1e-9  # what sums of fractions may be off by


def split(
    folder: Path,
    train_frac: float,
    test_frac: float,
    val_frac: float | None = None,
    *,
    sort: bool = False,
    copy: bool = False,
) -> dict[str, int]:
    """Moves a folder's images into folders inside it; those that are there already stay.

    Nothing is moved unless all can be.

    Args:
      folder: where the images are.
      train_frac: the share of train, from 0 to 1.
      test_frac: the share of test.
      val_frac: the share of val; None for what is left, as the reference has it.
      sort: whether the first names go to train, the next to test, the last to val, instead of a
        shuffle.
      copy: whether the images are copied instead.

    Returns:
      How many images each part holds then; parts without any are left out.

    Raises:
      UserError: the fractions or a name make it impossible.
    """
    fractions = _fractions(train_frac, test_frac, val_frac)
    places = _places(folder)
    names = sorted(places)
    parts = assign(len(names), fractions, sort=sort, rest="train" if val_frac == 0 else "val")
    counts = {part: parts.count(part) for part in PARTS}
    for part, fraction in fractions.items():
        if fraction and not counts[part]:
            raise UserError(
                f"{part}_frac {fraction:g} of the {len(names)} images in {folder} is none: "
                "raise it, or make it 0"
            )
    todo = []
    for name, part in zip(names, parts, strict=True):
        if _is_to_do(name, folder, part, places[name], copy=copy):
            todo.append((folder / name, folder / part / name))
    for part in PARTS:
        if counts[part]:
            (folder / part).mkdir(exist_ok=True)
    for source, target in todo:
        if copy:
            _copy(source, target)
        else:
            source.rename(target)
    return {part: count for part, count in counts.items() if count}


def assign(
    count: int, fractions: dict[str, float], *, sort: bool = False, rest: str = "val"
) -> list[str]:
    """Says which part each image belongs to, in the order of their names.

    Shares are rounded down, and `rest` gets what is left; the list is shuffled by the reference's
    seed.
    """
    parts = [part for part in ("train", "test") for _ in range(int(fractions[part] * count))]
    left = [rest] * (count - len(parts))
    parts = left + parts if rest == "train" else parts + left
    if not sort:
        random.Random(_SEED).shuffle(parts)
    return parts


def _fractions(train: float, test: float, val: float | None) -> dict[str, float]:
    rest = 1 - train - test
    found = {"train": train, "test": test, "val": rest if val is None else val}
    for part, fraction in found.items():
        # Not-a-numbers are outside, too.
        if (val is not None or part != "val") and not 0 <= fraction <= 1:
            raise UserError(f"{part}_frac {fraction:g} must be from 0 to 1")
    if val is not None and abs(rest - val) > _ROUNDING:
        shown = " + ".join(f"{fraction:g}" for fraction in found.values())
        raise UserError(f"train_frac, test_frac and val_frac must add up to 1, not {shown}")
    if rest < -_ROUNDING:
        raise UserError(f"train_frac {train:g} and test_frac {test:g} must not exceed 1 together")
    return found if found["val"] > _ROUNDING else {**found, "val": 0.0}


def _places(folder: Path) -> dict[str, list[Path]]:
    """Finds where each name stands: in the folder itself, in its parts."""
    for part in PARTS:
        if (folder / part).exists() and not (folder / part).is_dir():
            raise UserError(f"{folder / part} is not a folder: rename it")
    inside = [path for part in PARTS for path in _images(folder / part)]
    # Where all is moved already, the folder itself holds none.
    places: dict[str, list[Path]] = {}
    for path in [*(_images(folder) if inside else find_images(folder, "dir")), *inside]:
        places.setdefault(path.name, []).append(path)
    return places


def _images(folder: Path) -> Sequence[Path]:
    if not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file()]


def _is_to_do(name: str, folder: Path, part: str, places: Sequence[Path], *, copy: bool) -> bool:
    """Whether an image is still to be moved or copied to its part."""
    source, target = folder / name, folder / part / name
    for place in places:
        if place not in (source, target):
            raise UserError(
                f"{place} exists, but this split has {name} in {part}: give the flags of the "
                "earlier split, or move its images back"
            )
    if len(places) == 1:
        return places[0] == source
    if copy and filecmp.cmp(source, target, shallow=False):
        return False
    raise UserError(f"{target} exists already, beside {source}: remove one of them")


def _copy(source: Path, target: Path) -> None:
    """Copies a file, whole or not at all."""
    with atomic_write(target) as temporary:
        shutil.copy2(source, temporary)
