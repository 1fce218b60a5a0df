"""Files of true labels: Cityscapes' gtFine, other images of class ids, or coloured ones."""

import concurrent.futures
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from p2p_graph.imaging.image_arrays import read_rgb
from p2p_graph.imaging.palettes import IGNORED_ID, Palette, spread_sample
from p2p_graph.utils.errors import UserError, listed, no_folder

Array = np.ndarray[Any, Any]

_PHOTO = "_leftImg8bit"
# What Cityscapes' file names end in; of several for one photo the first is taken.
_ENDS = ("_gtFine_labelTrainIds", "_gtFine_labelIds", "_gtFine_color")
# From the ids in labelIds files to those that are evaluated (cityscapesScripts, labels.py).
_EVALUATED = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
_TRAIN_IDS = np.full(256, IGNORED_ID, np.int64)
_TRAIN_IDS[list(_EVALUATED)] = range(len(_EVALUATED))


def find(folder: Path, names: Sequence[str]) -> dict[str, Path]:
    """Finds the labels of images, in a folder or the folders in it.

    Args:
      folder: where they are.
      names: of the images; Cityscapes' photos may keep their names' ends, as labels may.

    Returns:
      The labels' file for each name.

    Raises:
      UserError: there is no such folder, or some have none, or several of one kind.
    """
    if not folder.is_dir():
        raise UserError(f"labels_dir {folder} {no_folder(folder)}")
    known: dict[str, tuple[int, list[Path]]] = {}
    for path in sorted(folder.rglob("*.png")):
        rank = next((i for i, end in enumerate(_ENDS) if path.stem.endswith(end)), len(_ENDS))
        stem = path.stem.removesuffix(_ENDS[rank]) if rank < len(_ENDS) else path.stem
        if stem not in known or rank < known[stem][0]:
            known[stem] = rank, [path]
        elif rank == known[stem][0]:
            known[stem][1].append(path)
    stems = {name: name.removesuffix(_PHOTO) for name in names}
    if lost := [name for name, stem in stems.items() if stem not in known]:
        raise UserError(
            f"{len(lost)} of {len(names)} images have no labels NAME.png in labels_dir {folder}:"
            f"\n{listed(lost)}"
        )
    found = {name: known[stem][1] for name, stem in stems.items()}
    if unclear := [", ".join(map(str, paths)) for paths in found.values() if len(paths) > 1]:
        raise UserError(
            f"{len(unclear)} of {len(names)} images have several labels in labels_dir {folder}, "
            f"leave one of each:\n{listed(unclear)}"
        )
    return {name: path for name, (path,) in found.items()}


def check(paths: Sequence[Path], palette: Palette) -> None:
    """Reads all files once, before the long work starts.

    Raises:
      UserError: some cannot be decoded, are in other colours or of other classes, or none has a
        pixel of a class.
    """
    classes = len(palette.classes)

    def look(path: Path) -> tuple[bool, bool, str]:
        """Whether a file has a class, whether it is coloured, and what is wrong with it."""
        try:
            ids, is_coloured = _decoded(path, palette)
        except UserError as error:
            return False, False, str(error)
        strange = ids[(ids >= classes) & (ids != IGNORED_ID)]
        wrong = f"{path} has the class {strange[0]}" if strange.size and not is_coloured else ""
        return bool(((ids >= 0) & (ids < classes)).any()), is_coloured, wrong

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        found = list(pool.map(look, paths))
    if bad := [wrong for *_, wrong in found if wrong]:
        raise UserError(
            f"{len(bad)} of {len(paths)} labels cannot be used; palette {palette.name} has "
            f"{classes} classes from 0 on, {IGNORED_ID} is none:\n{listed(bad)}"
        )
    coloured = [path for path, (_, is_coloured, _) in zip(paths, found, strict=True) if is_coloured]
    if coloured:
        palette.check_coverage(
            map(read_rgb, spread_sample(coloured)), f"labels ({coloured[0]} is one)"
        )
    if not any(has_class for has_class, *_ in found):
        raise UserError(f"no pixel of {paths[0]}, nor of the other labels, has a class")


def read(path: Path, palette: Palette) -> Array:
    """Reads class ids from a file: of one channel, the ids themselves; else by their colours.

    Args:
      path: a PNG file.
      palette: the classes.

    Returns:
      int64 [H, W]; what is not in [0, classes) is ignored.

    Raises:
      UserError: it cannot be decoded.
    """
    return _decoded(path, palette)[0]


def _decoded(path: Path, palette: Palette) -> tuple[Array, bool]:
    """What `read` gives, and whether the file is coloured."""
    try:
        with Image.open(path) as image:
            if len(image.getbands()) > 1 or path.stem.endswith(_ENDS[2]):
                return palette.class_ids(np.asarray(image.convert("RGB"))), True
            values: Array = np.asarray(image).astype(np.int64)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{path} cannot be decoded: {error}") from None
    if path.stem.endswith(_ENDS[1]):
        values = _TRAIN_IDS[values.clip(0, IGNORED_ID)]
    return values, False
