"""Files of true labels: Cityscapes' gtFine, other pictures of class ids, or coloured ones."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from p2p_graph.errors import UserError, listed
from p2p_graph.metrics.palettes import Palette

Array = np.ndarray[Any, Any]

_PHOTO = "_leftImg8bit"
# What Cityscapes' file names end in; of several for one photo the first is taken.
_ENDS = ("_gtFine_labelTrainIds", "_gtFine_labelIds", "_gtFine_color")
_NONE = 255
# From the ids in labelIds files to those that are evaluated (cityscapesScripts, labels.py).
_EVALUATED = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
_TRAIN_IDS = np.full(256, _NONE, np.int64)
_TRAIN_IDS[list(_EVALUATED)] = range(len(_EVALUATED))


def find(folder: Path, names: Sequence[str]) -> dict[str, Path]:
    """Finds the labels of pictures, in a folder or the folders in it.

    Args:
      folder: where they are.
      names: of the pictures; Cityscapes' photos may keep their names' ends, as labels may.

    Returns:
      The labels' file for each name.

    Raises:
      UserError: there is no such folder, or some have none.
    """
    if not folder.is_dir():
        raise UserError(f"labels_dir {folder} does not exist")
    known: dict[str, tuple[int, Path]] = {}
    for path in sorted(folder.rglob("*.png")):
        rank = next((i for i, end in enumerate(_ENDS) if path.stem.endswith(end)), len(_ENDS))
        stem = path.stem.removesuffix(_ENDS[rank]) if rank < len(_ENDS) else path.stem
        if stem not in known or rank < known[stem][0]:
            known[stem] = rank, path
    stems = {name: name.removesuffix(_PHOTO) for name in names}
    if lost := [name for name, stem in stems.items() if stem not in known]:
        raise UserError(
            f"{len(lost)} of {len(names)} pictures have no labels NAME.png in labels_dir {folder}:"
            f"\n{listed(lost)}"
        )
    return {name: known[stem][1] for name, stem in stems.items()}


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
    try:
        with Image.open(path) as image:
            if len(image.getbands()) > 1 or path.stem.endswith(_ENDS[2]):
                return palette.ids(np.asarray(image.convert("RGB")))
            values: Array = np.asarray(image).astype(np.int64)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{path} cannot be decoded: {error}") from None
    if path.stem.endswith(_ENDS[1]):
        values = _TRAIN_IDS[values.clip(0, _NONE)]
    return values
