"""Image files: finding them in folders, pairing them by name, naming what is made of them."""

import collections
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from p2p_graph.utils.errors import UserError, why_no_folder

SUFFIXES = (".jpg", ".jpeg", ".png")
_SHOWN = 20
CORRUPT, ODD_WIDTH, MISMATCH = PROBLEMS = ("corrupt", "odd width", "mismatched pair")


class SourceImage(NamedTuple):
    """An image that can be used, or a pair of two images of one size, A and B.

    Attributes:
      path: its file, or A's; in an archive or a shard its name there, behind the archive's path.
      width: in pixels.
      height: in pixels.
      is_16_bit: whether it, or one of the two, has more than 8 bits a channel.
      target: B's path, where A and B are images of their own.
      position: its index in an archive's arrays, or the first byte of its record in a shard.
      arrays: the names of the archive's arrays that hold it, or A and B.
    """

    path: Path
    width: int
    height: int
    is_16_bit: bool
    target: Path | None = None
    position: int | None = None
    arrays: tuple[str, ...] = ()


class Problem(NamedTuple):
    """Why an image cannot be used.

    Attributes:
      kind: "corrupt", "odd width" or "mismatched pair".
      text: a sentence that goes on from the image's name.
    """

    kind: str
    text: str


# An image's file and its partner's, if it is to have one, or what is wrong with that.
Entry = tuple[Path, Path | Problem | None]


def find_images(folder: Path, option: str = "input_dir") -> list[Path]:
    """Lists a folder's images: by number where all names are numbers, else by name.

    Args:
      folder: where they are.
      option: what named the folder, for messages.

    Raises:
      UserError: there is no such folder, or it holds no image.
    """
    if not folder.is_dir():
        raise UserError(f"{option} {folder} {why_no_folder(folder)}")
    try:
        entries = list(folder.iterdir())
    except OSError as error:
        raise UserError(f"{option} {folder} cannot be read: {error.strerror}") from None
    # A link to nowhere is listed, too, so that it is told of as an image that cannot be used.
    paths = [
        path
        for path in entries
        if path.suffix.lower() in SUFFIXES and (path.is_file() or path.is_symlink())
    ]
    if not paths:
        inner = sorted(path.name for path in entries if path.is_dir())
        if inner:
            shown = ", ".join(inner[:_SHOWN])
            raise UserError(
                f"{option} {folder} holds folders but no images: name one of them ({shown})"
            )
        raise UserError(f"{option} {folder} holds no images ({', '.join(SUFFIXES)})")
    if all(path.stem.isdecimal() for path in paths):
        return sorted(paths, key=lambda path: (int(path.stem), path.name))
    return sorted(paths, key=lambda path: path.name)


def output_names(paths: Sequence[Path]) -> list[str]:
    """Names what is made of each image: its stem, or its whole name where stems are equal.

    Where names are equal too, as a list of files may have them, a number stands before each.
    """
    stems = collections.Counter(path.stem for path in paths)
    names = [path.stem if stems[path.stem] == 1 else path.name for path in paths]
    # A stem may be another image's whole name: a.png.jpg beside a.png and a.jpg.
    if len(set(names)) < len(names):
        names = [path.name for path in paths]
    if len(set(names)) < len(names):
        names = [f"{number:05d}_{name}" for number, name in enumerate(names, 1)]
    return names


def find_entries(folder: Path, target_dir: Path | None) -> list[Entry]:
    """Lists a folder's images and, where there is a second folder, their partners in it.

    Partners have the same name; any of the suffixes will do.

    Raises:
      UserError: as `find_images`.
    """
    paths = find_images(folder)
    partners = find_partners(paths, target_dir) if target_dir else [None] * len(paths)
    return list(zip(paths, partners, strict=True))


def find_partners(
    paths: Sequence[Path], folder: Path, option: str = "target_dir"
) -> list[Path | Problem]:
    """Finds each image's partner in another folder, or says what is wrong with it.

    Raises:
      UserError: as `find_images`.
    """
    names = collections.Counter(path.stem for path in paths)
    found: dict[str, list[Path]] = {}
    for path in find_images(folder, option):
        found.setdefault(path.stem, []).append(path)
    partners: list[Path | Problem] = []
    for path in paths:
        named = found.get(path.stem, [])
        if not named:
            partners.append(Problem(MISMATCH, f"has no partner in {folder}"))
        elif len(named) > 1 or names[path.stem] > 1:
            why = f"has a name that stands more than once in its folder or {folder}"
            partners.append(Problem(MISMATCH, why))
        else:
            partners.append(named[0])
    return partners
