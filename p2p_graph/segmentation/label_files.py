"""Files of true labels: Cityscapes' gtFine, other images of class ids, or coloured images."""

import concurrent.futures
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from p2p_graph.data.image_files import shortened_name
from p2p_graph.imaging.image_arrays import opened, read_contents, read_rgb
from p2p_graph.imaging.palettes import IGNORED_ID, Palette, spread_sample
from p2p_graph.utils.cores import available_cores
from p2p_graph.utils.counted import counted
from p2p_graph.utils.errors import UserError, why_no_folder

Array = np.ndarray[Any, Any]

_PHOTO_SUFFIX = "_leftImg8bit"
# Suffixes of Cityscapes' file names. The first one that an image has is read.
_LABEL_SUFFIXES = ("_gtFine_labelTrainIds", "_gtFine_labelIds", "_gtFine_color")
_, _LABEL_IDS_SUFFIX, _COLOUR_SUFFIX = _LABEL_SUFFIXES
# The ids in labelIds files that are evaluated, in the order of train ids (cityscapesScripts,
# labels.py).
_EVALUATED_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
_OTHER_HALF = 0.5  # as much of a label image's one half has its palette's colours as of the other
_TRAIN_IDS = np.full(256, IGNORED_ID, np.int64)
_TRAIN_IDS[list(_EVALUATED_IDS)] = range(len(_EVALUATED_IDS))


def find(folder: Path, names: Sequence[str]) -> dict[str, Path]:
    """Finds the label files of images in a folder and the folders below.

    Args:
      folder: the folder of label files.
      names: names of the images, with or without Cityscapes' suffix of photos.

    Returns:
      The label file of each name.

    Raises:
      UserError: the folder does not exist, or an image has no label file, or several of one kind.
    """
    if not folder.is_dir():
        raise UserError(f"labels_dir {folder} {why_no_folder(folder)}")
    files = _files_by_stem(folder)
    stems = {name: shortened_name(name.removesuffix(_PHOTO_SUFFIX)) for name in names}
    if missing := [name for name, stem in stems.items() if stem not in files]:
        raise UserError(
            f"no labels NAME.png for {len(missing)} of {counted(len(names), 'image')} in "
            f"labels_dir {folder}:",
            *missing,
        )
    found = {name: files[stem] for name, stem in stems.items()}
    if ambiguous := [", ".join(map(str, paths)) for paths in found.values() if len(paths) > 1]:
        raise UserError(
            f"several labels for {len(ambiguous)} of {counted(len(names), 'image')} in labels_dir "
            f"{folder}, leave one of each:",
            *ambiguous,
        )
    return {name: path for name, (path,) in found.items()}


def _files_by_stem(folder: Path) -> dict[str, list[Path]]:
    """Lists the PNG files of the best kind for each stem, without the kind's suffix."""
    files: dict[str, tuple[int, list[Path]]] = {}
    kinds = (*_LABEL_SUFFIXES, "")
    for path in sorted(folder.rglob("*.png")):
        rank = next(i for i, suffix in enumerate(kinds) if path.stem.endswith(suffix))
        stem = shortened_name(path.stem.removesuffix(kinds[rank]))
        if stem not in files or rank < files[stem][0]:
            files[stem] = rank, [path]
        elif rank == files[stem][0]:
            files[stem][1].append(path)
    return {stem: paths for stem, (_, paths) in files.items()}


class _Inspection(NamedTuple):
    """What `check` finds in a file.

    Attributes:
      problem: why the file cannot be used; empty if it can.
      is_coloured: whether the file has colours rather than class ids.
      has_class: whether a pixel has a class.
    """

    problem: str
    is_coloured: bool = False
    has_class: bool = False


def check(paths: Sequence[Path], palette: Palette) -> None:
    """Reads all label files once, before long work depends on them.

    Raises:
      UserError: some files cannot be decoded or have other colours or classes, or no file has a
        pixel of a class.
    """
    with concurrent.futures.ThreadPoolExecutor(available_cores()) as pool:
        found = list(pool.map(lambda path: _inspect(path, palette), paths))
    if problems := [one.problem for one in found if one.problem]:
        raise UserError(
            f"{len(problems)} of {counted(len(paths), 'label')} cannot be used; palette "
            f"{palette.name} has {len(palette.classes)} classes from 0 on, {IGNORED_ID} is none:",
            *problems,
        )
    coloured = [path for path, one in zip(paths, found, strict=True) if one.is_coloured]
    if coloured:
        sample = [read_rgb(path) for path in spread_sample(coloured)]
        palette.check_coverage(sample, f"labels ({coloured[0]} is one)")
        _refuse_pairs(sample, palette, coloured[0])
    if not any(one.has_class for one in found):
        raise UserError(f"no pixel of {paths[0]}, nor of the other labels, has a class")


def _refuse_pairs(images: Sequence[Array], palette: Palette, first: Path) -> None:
    """Refuses photos and labels side by side: one half has the palette's colours."""
    halves = [np.array_split(image, 2, axis=1) for image in images if image.shape[1] > 1]
    shares = [
        float(np.mean([palette.coverage(half) for half in side]))
        for side in zip(*halves, strict=True)
    ]
    if shares and min(shares) < _OTHER_HALF * max(shares):
        left, right = (f"{share:.0%}" for share in shares)
        raise UserError(
            f"the labels look like pairs, images side by side ({first} is one): {left} of the "
            f"pixels in their left halves and {right} in the right ones match palette "
            f"{palette.name}; name a folder of the labels alone (--labels_dir)"
        )


def _inspect(path: Path, palette: Palette) -> _Inspection:
    classes = len(palette.classes)
    try:
        ids, is_coloured = _decode(path, palette)
    except UserError as error:
        return _Inspection(str(error))
    unknown = ids[(ids >= classes) & (ids != IGNORED_ID)]
    problem = f"{path} has the class {unknown[0]}" if unknown.size and not is_coloured else ""
    return _Inspection(problem, is_coloured, bool(((ids >= 0) & (ids < classes)).any()))


def read(path: Path, palette: Palette) -> Array:
    """Reads class ids from a file.

    A file of one channel holds the ids themselves. In other files, colours stand for classes. A PNG
    with a palette of its own is read by its colours if all of them are classes' or ignored ones;
    otherwise they are for people, as in PASCAL VOC, and its numbers are the ids.

    Args:
      path: a PNG file.
      palette: the classes and their colours.

    Returns:
      int64 [H, W]; values outside [0, classes) are ignored pixels.

    Raises:
      UserError: the file cannot be decoded.
    """
    return _decode(path, palette)[0]


def _decode(path: Path, palette: Palette) -> tuple[Array, bool]:
    """Returns the class ids of a file, and whether they were read from colours."""
    try:
        with opened(read_contents(path)) as image:
            is_coloured = len(image.getbands()) > 1 or path.stem.endswith(_COLOUR_SUFFIX)
            if is_coloured or image.mode == "P":
                rgb = np.asarray(image.convert("RGB"))
                if is_coloured or palette.has_all_colours(rgb):
                    return palette.class_ids(rgb), True
            values: Array = np.asarray(image).astype(np.int64)
    except UserError as error:
        raise UserError(f"{path} {error}") from None
    if path.stem.endswith(_LABEL_IDS_SUFFIX):
        values = _TRAIN_IDS[values.clip(0, IGNORED_ID)]
    return values, False
