"""Checks that every image file can be decoded and used, before any work starts."""

import concurrent.futures
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from p2p_graph.data.image_files import CORRUPT, MISMATCH, ODD_WIDTH, Entry, Problem, SourceImage
from p2p_graph.imaging import array_files, exif
from p2p_graph.imaging.image_arrays import read_contents
from p2p_graph.imaging.image_structure import ARRAY, ImageStructure
from p2p_graph.imaging.read_structure import read_structure
from p2p_graph.utils.cores import available_cores
from p2p_graph.utils.counted import counted
from p2p_graph.utils.errors import UserError, shortened_list
from p2p_graph.utils.file_names import ARRAY_SUFFIXES, why_not_utf8

_MANY = 5000  # images; larger sets take long enough for a progress bar
_TOGETHER = 32  # images that a thread checks together
_MOST_BYTES = 2**24  # of files that a thread holds, unless one is larger


class EncodedImage(NamedTuple):
    """The contents of a JPEG or PNG file, and what they say of the image."""

    contents: bytes
    structure: ImageStructure


SKIP_BAD_ADVICE = ", or leave them out with --skip_bad"

# Decodes files; gives for each the reason why it cannot be decoded to the size in its structure, or
# None. The work after the check should use the same decoder: decoders differ in what they accept.
Verify = Callable[[Sequence[EncodedImage]], list[str | None]]


def usable_images(
    entries: Sequence[Entry],
    where: object,
    verify: Verify,
    *,
    pairs: bool,
    skip_bad: bool,
    upright: bool = False,
) -> list[SourceImage]:
    """Decodes every image once, and lists the usable ones.

    Args:
      entries: the images, at least one.
      where: folder or manifest that names the images, for messages.
      verify: decodes files.
      pairs: whether an image without a partner is a pair, two halves side by side.
      skip_bad: whether unusable images are left out and reported on stderr, instead of an error.
      upright: whether photos are to be turned as their EXIF orientation says.

    Raises:
      UserError: images are unusable; the message lists the first 20, one a line.
    """
    results = inspect_images(entries, verify, pairs=pairs, upright=upright)
    first = next((image for image in results if isinstance(image, SourceImage)), None)
    results = [alike(image, first) for image in results]
    report_problems(entries, results, where, skip_bad=skip_bad)
    return [image for image in results if isinstance(image, SourceImage)]


def report_problems(
    entries: Sequence[Entry],
    results: Sequence[SourceImage | Problem],
    where: object,
    *,
    skip_bad: bool,
    needs_one: bool = True,
) -> None:
    """Says on stderr which images are left out.

    Args:
      entries: the images.
      results: what `inspect_images` found of them.
      where: folder or manifest that names the images, for messages.
      skip_bad: see `usable_images`.
      needs_one: whether one of them must be usable.

    Raises:
      UserError: see `usable_images`.
    """
    bad = _lines_of_problems(entries, results)
    if not bad:
        return
    count = f"{len(bad)} of {counted(len(entries), 'image')} in {where} cannot be used"
    if not skip_bad:
        raise UserError(f"{count}; mend or remove them{SKIP_BAD_ADVICE}:", *bad)
    if needs_one and len(bad) == len(entries):
        raise UserError(f"{count}, so no image remains:", *bad)
    print(f"{count}, continuing without them:\n{shortened_list(bad)}", file=sys.stderr)


def alike(image: SourceImage | Problem, first: SourceImage | None) -> SourceImage | Problem:
    """An image; or its problem, if its arrays have other channels than those of the first one."""
    if first is None or isinstance(image, Problem) or image.channels == first.channels:
        return image
    return Problem(MISMATCH, unlike(image, first))


def unlike(image: SourceImage, first: SourceImage) -> str:
    """Why an image cannot be used beside the first one, whose arrays have other channels."""
    for number, path in enumerate(image.columns):
        found, wanted = image.channels_of(number), first.channels_of(number)
        if found != wanted:
            which = "" if path == image.path else f"goes with {path}, which "
            if not (found and wanted):
                return f"{which}is {'an array' if found else 'no array'}, unlike the first image"
            return f"{which}has {counted(found, 'channel')}, and the first image {wanted}"
    raise AssertionError(image)


def check_images(
    entries: Sequence[Entry], verify: Verify, *, pairs: bool, upright: bool = False
) -> tuple[list[SourceImage], list[str]]:
    """Decodes every image once; the arguments are those of `inspect_images`.

    Returns:
      The usable images, and one line for each unusable one: its path and the reason.
    """
    results = inspect_images(entries, verify, pairs=pairs, upright=upright)
    good = [result for result in results if isinstance(result, SourceImage)]
    return good, _lines_of_problems(entries, results)


def inspect_images(
    entries: Sequence[Entry], verify: Verify, *, pairs: bool, upright: bool = False
) -> list[SourceImage | Problem]:
    """Decodes every image once; gives each usable image, or its problem.

    Args:
      entries: the images.
      verify: decodes files.
      pairs: as in `usable_images`.
      upright: as in `usable_images`.
    """
    chunks = [entries[first : first + _TOGETHER] for first in range(0, len(entries), _TOGETHER)]
    is_shown = len(entries) > _MANY and sys.stderr.isatty()
    results: list[SourceImage | Problem] = []
    with (
        concurrent.futures.ThreadPoolExecutor(available_cores()) as pool,
        tqdm(desc="checking", total=len(entries), disable=not is_shown) as bar,
    ):
        for checked in pool.map(
            lambda chunk: _check_chunk(chunk, verify, pairs=pairs, upright=upright), chunks
        ):
            results += checked
            bar.update(len(checked))
    return results


def _lines_of_problems(
    entries: Sequence[Entry], results: Sequence[SourceImage | Problem]
) -> list[str]:
    return [
        f"{entry.path}: {why.text}"
        for entry, why in zip(entries, results, strict=True)
        if isinstance(why, Problem)
    ]


def check_image(
    entry: Entry, verify: Verify, *, pairs: bool, upright: bool
) -> SourceImage | Problem:
    """Decodes an image and what goes with it; returns the usable image, or its problem."""
    return _check_chunk([entry], verify, pairs=pairs, upright=upright)[0]


def decode_contents(contents: bytes, verify: Verify) -> None:
    """Decodes one file's contents, an image or an array.

    Raises:
      UserError: the file cannot be decoded. The message lacks its subject.
    """
    if array_files.is_array(contents):
        array_files.decode_array(contents)
        return
    [reason] = verify([EncodedImage(contents, read_structure(contents))])
    if reason is not None:
        raise UserError(reason)


def _check_chunk(
    entries: Sequence[Entry], verify: Verify, *, pairs: bool, upright: bool
) -> list[SourceImage | Problem]:
    """Decodes images and what goes with them; returns each usable image, or its problem."""
    paths = [
        path
        for entry in entries
        for path in (entry.path, entry.partner, *entry.more)
        if isinstance(path, Path)
    ]
    files = {
        path: found if isinstance(found, Problem) else _as_taken(found, upright=upright)
        for path, found in zip(paths, _decode_files(paths, verify), strict=True)
    }
    return [_check_entry(entry, files, pairs=pairs) for entry in entries]


def _check_entry(
    entry: Entry, files: Mapping[Path, ImageStructure | Problem], *, pairs: bool
) -> SourceImage | Problem:
    """Whether an image fits its task and what goes with it, once the files have been decoded."""
    path, partner, more = entry
    for file in (partner, *more):
        if isinstance(file, Problem):
            return file
    image = files[path]
    if isinstance(image, Problem):
        return image
    if partner is None and pairs and image.width < 2:
        why = f"is {image.width} pixel wide, too narrow for two halves"
        return Problem(ODD_WIDTH, why)
    if partner is None and pairs and image.width % 2:
        why = f"is {counted(image.width, 'pixel')} wide: two equal halves need an even width"
        return Problem(ODD_WIDTH, why)
    columns = [image]
    halves = 2 if partner is None and pairs else 1
    for file, role, width in (
        *[(partner, "partner", image.width)] * (partner is not None),
        *((file, "further input", image.width // halves) for file in more),
    ):
        assert isinstance(file, Path)
        other = files[file]
        if isinstance(other, Problem):
            return Problem(other.kind, f"has the {role} {file}, which {other.text}")
        if (width, image.height) != (other.width, other.height):
            return Problem(
                MISMATCH,
                f"is {width}x{image.height} pixels{' in each half' * (halves - 1)}, its {role} "
                f"{file} {other.width}x{other.height}",
            )
        columns.append(other)
    orientations = tuple(column.orientation for column in columns)
    channels = tuple(column.channels * (column.kind == ARRAY) for column in columns)
    assert not isinstance(partner, Problem)
    return SourceImage(
        path,
        image.width,
        image.height,
        any(column.is_16_bit for column in columns),
        partner,
        orientations=orientations if any(o != exif.UPRIGHT for o in orientations) else (),
        more=tuple(file for file in more if isinstance(file, Path)),
        channels=channels if any(channels) else (),
    )


def _as_taken(structure: ImageStructure, *, upright: bool) -> ImageStructure:
    """What is known of an image that is turned upright; otherwise its orientation is ignored."""
    if not upright:
        return structure._replace(orientation=exif.UPRIGHT)
    if not exif.swaps_sides(structure.orientation):
        return structure
    return structure._replace(width=structure.height, height=structure.width)


def _decode_files(paths: Sequence[Path], verify: Verify) -> list[ImageStructure | Problem]:
    """Decodes files; returns what each says of its image, or the problem."""
    results: list[ImageStructure | Problem] = []
    held: dict[int, EncodedImage] = {}

    def decode_held() -> None:
        for place, reason in zip(held, verify(list(held.values())), strict=True):
            if reason is not None:
                results[place] = Problem(CORRUPT, reason)
        held.clear()

    for path in paths:
        try:
            encoded = _read_file(path)
        except UserError as error:
            results.append(Problem(CORRUPT, str(error)))
            continue
        if encoded.structure.kind == ARRAY:  # it has been decoded for that
            results.append(encoded.structure)
            continue
        held[len(results)] = encoded
        results.append(encoded.structure)
        if sum(len(image.contents) for image in held.values()) > _MOST_BYTES:
            decode_held()
    decode_held()
    return results


def _read_file(path: Path) -> EncodedImage:
    if why := why_not_utf8(str(path)):
        raise UserError(f"has a name that is {why}")
    contents = read_contents(path)
    if path.suffix.lower() in ARRAY_SUFFIXES:
        return EncodedImage(b"", array_files.structure_of(contents))
    return EncodedImage(contents, read_structure(contents))
