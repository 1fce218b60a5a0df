"""Finds the images in a folder, and checks that every one can be used before work starts."""

import collections
import concurrent.futures
import io
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image, UnidentifiedImageError
from tqdm import tqdm

from p2p_graph.utils.errors import UserError, listed, no_folder

SUFFIXES = (".jpg", ".jpeg", ".png")
_SHOWN = 20
_CORRUPT, _ODD_WIDTH, _MISMATCH = PROBLEMS = ("corrupt", "odd width", "mismatched pair")
# How the last part of a whole file begins and ends: a JPEG's last scan, all of a PNG.
_ENDS = {"JPEG": (b"\xff\xda", b"\xff\xd9"), "PNG": (b"IHDR", b"IEND\xaeB`\x82")}
_MANY = 5000  # above it, the check takes long enough to show its progress


class SourceImage(NamedTuple):
    """An image that can be used, or two of one size, A and B.

    Attributes:
      path: the file, or A's; in an archive or a shard its name there, after the archive's path.
      width: in pixels.
      height: in pixels.
      deep: whether it has more than 8 bits a channel, or one of the two has.
      target: B's, as `path`, where A and B are images of their own.
      place: its row in an archive, or the first byte of its record in a shard.
    """

    path: Path
    width: int
    height: int
    deep: bool
    target: Path | None = None
    place: int | None = None


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
        raise UserError(f"{option} {folder} {no_folder(folder)}")
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
            partners.append(Problem(_MISMATCH, f"has no partner in {folder}"))
        elif len(named) > 1 or names[path.stem] > 1:
            why = f"has a name that stands more than once in its folder or {folder}"
            partners.append(Problem(_MISMATCH, why))
        else:
            partners.append(named[0])
    return partners


def usable_images(
    entries: Sequence[Entry], where: object, *, pairs: bool, skip_bad: bool
) -> list[SourceImage]:
    """Decodes every image once, and lists those that can be used.

    Args:
      entries: the images, at least one.
      where: what they are of, for messages.
      pairs: whether each without a partner is two halves side by side.
      skip_bad: whether images that cannot be used are left out, and named on stderr.

    Raises:
      UserError: some cannot be used: the first 20 are named, a line each.
    """
    good, bad = check_images(entries, pairs=pairs)
    if bad:
        count = f"{len(bad)} of {len(entries)} images in {where} cannot be used"
        if not skip_bad:
            raise UserError(
                f"{count}; mend or remove them, or go on with --skip_bad:\n{listed(bad)}"
            )
        if not good:
            raise UserError(f"{count}, so none is left:\n{listed(bad)}")
        print(f"{count}, going on without them:\n{listed(bad)}", file=sys.stderr)
    return good


def check_images(entries: Sequence[Entry], *, pairs: bool) -> tuple[list[SourceImage], list[str]]:
    """Decodes every image once; returns those that can be used, and a line for each other."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        checks: Iterable[SourceImage | Problem] = pool.map(
            lambda entry: check_image(*entry, pairs=pairs), entries
        )
        if len(entries) > _MANY:
            checks = tqdm(checks, "checking", len(entries), disable=not sys.stderr.isatty())
        results = list(checks)
    good = [result for result in results if isinstance(result, SourceImage)]
    bad = [
        f"{entry[0]}: {why.text}"
        for entry, why in zip(entries, results, strict=True)
        if isinstance(why, Problem)
    ]
    return good, bad


def check_image(
    path: Path, partner: Path | Problem | None, *, pairs: bool
) -> SourceImage | Problem:
    """Looks at an image, or two; says what is wrong with it, if anything."""
    if isinstance(partner, Problem):
        return partner
    image = _check_file(path, pairs and not partner)
    if partner is None or isinstance(image, Problem):
        return image
    other = _check_file(partner, pairs=False)
    if isinstance(other, Problem):
        return Problem(other.kind, f"has the partner {partner}, which {other.text}")
    if (image.width, image.height) != (other.width, other.height):
        return Problem(
            _MISMATCH,
            f"is {image.width}x{image.height} pixels, its partner {partner} "
            f"{other.width}x{other.height}",
        )
    return image._replace(deep=image.deep or other.deep, target=partner)


def _check_file(path: Path, pairs: bool) -> SourceImage | Problem:
    """Decodes an image; says what is wrong with it, if anything."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return Problem(_CORRUPT, "has a name that is not UTF-8")
    try:
        contents = path.read_bytes()
        with Image.open(io.BytesIO(contents)) as image:
            kind = "JPEG" if image.format == "MPO" else image.format
            width, height = image.size
            if kind == "PNG":
                # Pillow does not look at every checksum when it decodes.
                with Image.open(io.BytesIO(contents)) as again:
                    again.verify()
            # A JPEG is decoded at 1/8 of its size, which reads all of it in half the time.
            image.draft(None, (1, 1))
            image.load()
    except FileNotFoundError:
        return Problem(_CORRUPT, "does not exist")
    except UnidentifiedImageError:
        return Problem(_CORRUPT, "is not an image" if contents else "is empty")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return Problem(_CORRUPT, f"cannot be decoded: {error}")
    if kind not in _ENDS:
        return Problem(_CORRUPT, f"is {kind}, neither JPEG nor PNG")
    last_part, end = _ENDS[kind]
    if contents.rfind(end) < contents.rfind(last_part):
        return Problem(_CORRUPT, "cannot be decoded: it is cut off")
    if pairs and width < 2:
        return Problem(_ODD_WIDTH, f"is {width} pixel wide, too narrow for two halves")
    if pairs and width % 2:
        return Problem(_ODD_WIDTH, f"is {width} pixels wide: two equal halves need an even width")
    # Pillow does not tell how deep the colours of a PNG are; its 25th byte does.
    return SourceImage(path, width, height, deep=kind == "PNG" and contents[24] == 16)
