"""Splits a folder of images into train, test and val, as the reference's tool does.

The split is a function of all names, including those already in train, test and val. The same
command therefore completes an interrupted split.
"""

import filecmp
import os
import random
import shutil
from collections.abc import Sequence
from pathlib import Path

from p2p_graph.data.image_files import find_images
from p2p_graph.utils import file_lock
from p2p_graph.utils.atomic_write import atomic_write
from p2p_graph.utils.counted import counted
from p2p_graph.utils.errors import UserError, why_no_folder
from p2p_graph.utils.file_names import IMAGE_SUFFIXES
from p2p_graph.utils.outside_files import UnreadableError, open_regular

PARTS = ("train", "test", "val")
_SEED = 0  # the reference's
_TOLERANCE = 1e-9  # for rounding in sums of fractions


def split(
    folder: Path,
    train_frac: float,
    test_frac: float,
    val_frac: float | None = None,
    *,
    sort: bool = False,
    copy: bool = False,
) -> dict[str, int]:
    """Moves a folder's images into its subfolders train, test and val.

    Images that are in their subfolder already stay. Nothing is moved unless everything can be.

    Args:
      folder: the folder of images.
      train_frac: the share of train, from 0 to 1.
      test_frac: the share of test.
      val_frac: the share of val; None for the remainder, as in the reference.
      sort: whether to split the sorted names (train first, val last) instead of shuffled ones.
      copy: whether to copy the images instead of moving them.

    Returns:
      The number of images in each part that has any.

    Raises:
      UserError: the fractions are wrong, or an image is in the way of another.
    """
    fractions = _check_fractions(train_frac, test_frac, val_frac)
    if not folder.is_dir():
        raise UserError(f"dir {folder} {why_no_folder(folder)}")
    with file_lock.held(folder):
        rest = "train" if val_frac == 0 else "val"
        return _split(folder, fractions, sort=sort, rest=rest, copy=copy)


def _split(
    folder: Path, fractions: dict[str, float], *, sort: bool, rest: str, copy: bool
) -> dict[str, int]:
    """Moves or copies the images of a folder that no other program works in."""
    paths = _find_paths(folder)
    names = sorted(paths)
    parts = assign(len(names), fractions, sort=sort, rest=rest)
    counts = {part: parts.count(part) for part in PARTS}
    for part, fraction in fractions.items():
        if fraction and not counts[part]:
            raise UserError(
                f"{part}_frac {fraction:g} of {counted(len(names), 'image')} in {folder} is none: "
                "raise it, or set it to 0"
            )
    moves = []
    for name, part in zip(names, parts, strict=True):
        if _must_move(name, folder, part, paths[name], copy=copy):
            moves.append((folder / name, folder / part / name))
    for source, _ in moves:
        _check_regular(source)
        if not copy and source.is_symlink() and not source.readlink().is_absolute():
            raise UserError(
                f"{source} is a link with a relative path, which moving breaks: copy (--copy)"
            )
    for part in PARTS:
        if counts[part]:
            (folder / part).mkdir(exist_ok=True)
    for source, target in moves:
        if copy:
            _copy(source, target)
        else:
            source.rename(target)
    return {part: count for part, count in counts.items() if count}


def assign(
    count: int, fractions: dict[str, float], *, sort: bool = False, rest: str = "val"
) -> list[str]:
    """Assigns a part to each image, in the order of the names.

    Shares are rounded down, and `rest` gets the remainder. The reference's seed shuffles the list.

    Args:
      count: the number of images.
      fractions: the share of each part.
      sort: whether to leave the list unshuffled: train, test, val.
      rest: "train" or "val".

    Returns:
      `count` names of parts.
    """
    parts = [part for part in ("train", "test") for _ in range(int(fractions[part] * count))]
    remainder = [rest] * (count - len(parts))
    parts = remainder + parts if rest == "train" else parts + remainder
    if not sort:
        random.Random(_SEED).shuffle(parts)
    return parts


def _check_fractions(train: float, test: float, val: float | None) -> dict[str, float]:
    """Returns the share of each part, val's included.

    Raises:
      UserError: a fraction is outside of [0, 1], or the sum is not 1.
    """
    remainder = 1 - train - test
    fractions = {"train": train, "test": test, "val": remainder if val is None else val}
    for part, fraction in fractions.items():
        # The comparison refuses nan, too.
        if (val is not None or part != "val") and not 0 <= fraction <= 1:
            raise UserError(f"{part}_frac {fraction:g} must be from 0 to 1")
    if val is not None and abs(remainder - val) > _TOLERANCE:
        shown = " + ".join(f"{fraction:g}" for fraction in fractions.values())
        raise UserError(f"train_frac, test_frac and val_frac must add up to 1, not {shown}")
    if remainder < -_TOLERANCE:
        raise UserError(f"train_frac {train:g} and test_frac {test:g} must not exceed 1 together")
    return fractions if fractions["val"] > _TOLERANCE else {**fractions, "val": 0.0}


def _find_paths(folder: Path) -> dict[str, list[Path]]:
    """Finds all files of each name: in the folder itself and in train, test and val."""
    for part in PARTS:
        path = folder / part
        if os.path.lexists(path) and not path.is_dir():
            raise UserError(f"{path} is not a folder: rename it")
    in_parts = [path for part in PARTS for path in _images(folder / part)]
    # After a complete split the folder itself holds no images, which `find_images` refuses.
    outside = _images(folder) if in_parts else find_images(folder, "dir")
    paths: dict[str, list[Path]] = {}
    for path in [*outside, *in_parts]:
        paths.setdefault(path.name, []).append(path)
    return paths


def _images(folder: Path) -> Sequence[Path]:
    if not folder.is_dir():
        return []
    return [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and (path.is_symlink() or not path.is_dir())
    ]


def _must_move(name: str, folder: Path, part: str, paths: Sequence[Path], *, copy: bool) -> bool:
    """Whether an image is still to be moved or copied to its part.

    Raises:
      UserError: the image is in another part, or its place in its part is taken.
    """
    source, target = folder / name, folder / part / name
    for path in paths:
        if path not in (source, target):
            raise UserError(
                f"{path} exists, but this split has {name} in {part}: give the flags of the "
                "earlier split; if images have been added since, move the earlier ones back first"
            )
    if source not in paths:
        return False
    if not os.path.lexists(target):
        return True
    if copy and filecmp.cmp(source, target, shallow=False):
        return False
    raise UserError(f"{target} exists already, beside {source}: remove one of them")


def _check_regular(path: Path) -> None:
    """Refuses what is no file: a FIFO, a folder behind a link, a link to nothing."""
    try:
        open_regular(path).close()
    except UnreadableError as error:
        raise UserError(f"{path} {error}: remove it") from None
    except FileNotFoundError:
        raise UserError(f"{path} is a link that leads nowhere: remove it") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None


def _copy(source: Path, target: Path) -> None:
    """Copies a file atomically."""
    with atomic_write(target) as temporary:
        shutil.copy2(source, temporary)
