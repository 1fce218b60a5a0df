"""Inspects every image of a data set before training: what stops training, and what is unusual."""

import concurrent.futures
import functools
import hashlib
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from p2p_graph.config.data_options import ImageSource
from p2p_graph.data.decode_check import verifying_session
from p2p_graph.data.image_files import CORRUPT, MISMATCH, PROBLEMS, Entry, Problem, SourceImage
from p2p_graph.data.image_sources import is_archive, is_packed, list_entries, list_images
from p2p_graph.data.packed import npz_archives, tfrecord_shards
from p2p_graph.data.packed.record_checks import read_any_structure
from p2p_graph.data.usable_images import Verify, check_image, decode_contents, unlike
from p2p_graph.imaging import exif
from p2p_graph.imaging.array_files import as_bytes, decode_array
from p2p_graph.imaging.image_arrays import decode_rgb, read_contents
from p2p_graph.imaging.image_structure import ARRAY
from p2p_graph.utils.cores import available_cores
from p2p_graph.utils.errors import UserError, escaped

_RGB = 3  # channels
_NAMED_IMAGES = 3  # names per finding in the table
_SQUARE_TOLERANCE = 0.02  # how far width / height of a square image may be from 1
_FEW_COLORS = 12  # as many as the facades' labels have
_COLOR_STEP = 8  # levels that count as one: JPEG blurs label maps
_SWAPPED_SHARE = 0.9  # of the images, to report that A and B are swapped

# What training does with images that are unusual but usable, in the order of the table.
_WARNINGS = {
    "alpha": "transparency is dropped, unless the channels are 4",
    "16 bits": "kept in full",
    "turned by EXIF": "taken as it is stored; --upright turns it as viewers do",
    "A is grey": "repeated in three channels, unless the channels are 1",
    "B is grey": "repeated in three channels, unless the channels are 1",
    "A is of one colour": "teaches nothing",
    "B is of one colour": "teaches nothing",
    "not square": "scaled to a square, unless --crop_size is HEIGHTxWIDTH",
    "duplicate": "seen more often",
}

Array = np.ndarray[Any, Any]


class Finding(NamedTuple):
    """A property that some images share.

    Attributes:
      what: "corrupt", "alpha", ...
      stops: whether training stops because of these images.
      names: the images' names, each followed by the reason where training stops.
      advice: what training does with these images, or what a person can do.
    """

    what: str
    stops: bool
    names: list[str]
    advice: str


class Inspection(NamedTuple):
    """The result of inspecting one image or pair.

    Attributes:
      name: the image's path.
      image: the image, unless there is a problem.
      problem: why the image cannot be used, or None.
      warnings: the keys of `_WARNINGS` that hold.
      digest: SHA-256 of the pixels; empty where there is a problem.
      color_shares: for A and B each, the share of pixels that have one of the 12 most frequent
        colours, in (0, 1]; empty where there is a problem.
    """

    name: str
    image: SourceImage | None
    problem: Problem | None
    warnings: tuple[str, ...] = ()
    digest: bytes = b""
    color_shares: tuple[float, ...] = ()


def inspect_images(
    source: ImageSource, few_colors: str | None, *, single: bool
) -> tuple[int, list[Finding]]:
    """Inspects every image of a source.

    Args:
      source: where the images are.
      few_colors: the half, "A" or "B", that should have few colours; None if neither should.
      single: whether they are single images, not pairs.

    Returns:
      The number of images, and the findings: first those that stop training.

    Raises:
      UserError: there are no images, or the images cannot be listed.
    """
    inspections = _with_unlike(list(_inspect_all(source, single=single)))
    findings = []
    for kind in PROBLEMS:
        names = [
            f"{inspection.name}: {inspection.problem.text}"
            for inspection in inspections
            if inspection.problem and inspection.problem.kind == kind
        ]
        findings.append(Finding(kind, True, names, "mend or remove, or --skip_bad"))
    names_of: dict[str, list[str]] = {what: [] for what in _WARNINGS}
    for inspection in inspections:
        for what in inspection.warnings:
            names_of[what].append(inspection.name)
    names_of["duplicate"] = _duplicates(inspections)
    findings += [Finding(what, False, names_of[what], advice) for what, advice in _WARNINGS.items()]
    if few_colors is not None and _is_swapped(inspections, few_colors):
        advice = f"{few_colors} should have few colours: give the other --which_direction"
        names = [inspection.name for inspection in inspections]
        findings.append(Finding("A and B look swapped", False, names, advice))
    return len(inspections), [finding for finding in findings if finding.names]


def table(findings: Sequence[Finding]) -> str:
    """Lays findings out in columns."""
    rows = [("finding", "images", "stops training", "in training", "which")]
    for finding in findings:
        unnamed = len(finding.names) - _NAMED_IMAGES
        which = ", ".join(map(escaped, finding.names[:_NAMED_IMAGES]))
        which += f", and {unnamed} more" if unnamed > 0 else ""
        stops = "yes" if finding.stops else "no"
        rows.append((finding.what, str(len(finding.names)), stops, finding.advice, which))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return "\n".join(lines)


def _inspect_all(source: ImageSource, *, single: bool) -> Iterator[Inspection]:
    """Inspects the images in their order, several at the same time."""
    with verifying_session() as verify:
        inspect, items = _inspection(source, verify, single=single)
        with concurrent.futures.ThreadPoolExecutor(available_cores()) as pool:
            shown = sys.stderr.isatty()
            yield from tqdm(pool.map(inspect, items), "inspecting", len(items), disable=not shown)


def _inspection(
    source: ImageSource, verify: Verify, *, single: bool
) -> tuple[Callable[[Any], Inspection], Sequence[Any]]:
    """The function that inspects one item of a source, and the items."""
    inspect: Callable[[Any], Inspection]
    items: Sequence[Any]
    if is_archive(source):
        items = list_images(source, single=single)
        arrays = npz_archives.load_arrays(Path(source.path), items[0].arrays)
        inspect = functools.partial(_inspect_archive_image, arrays=arrays)
    elif is_packed(source):
        items = list_images(source, single=single)
        inspect = functools.partial(_inspect_record, verify=verify, pairs=not single)
    else:
        items = list_entries(source, single=single)
        inspect = functools.partial(_inspect_files, verify=verify, pairs=not single)
    return inspect, items


def _inspect_files(entry: Entry, verify: Verify, pairs: bool) -> Inspection:
    """Inspects an image file, or the two files of a pair."""
    path = entry.path
    image = check_image(entry, verify, pairs=pairs, upright=False)
    if isinstance(image, Problem):
        return Inspection(str(path), None, image)
    try:
        files = [read_contents(path) for path in image.columns]
        return _inspect_encoded(image, files, pairs)
    except UserError as error:  # the file has changed since the check
        return Inspection(str(path), None, Problem(CORRUPT, str(error)))


def _inspect_record(image: SourceImage, verify: Verify, pairs: bool) -> Inspection:
    """Inspects the files in a shard's record."""
    files = list(filter(None, tfrecord_shards.stored_files(image)))
    try:
        for contents in files:
            decode_contents(contents, verify)
        return _inspect_encoded(image, files, pairs)
    except UserError as error:
        return Inspection(str(image.path), None, Problem(CORRUPT, str(error)))


def _inspect_archive_image(image: SourceImage, arrays: Sequence[Array]) -> Inspection:
    """Inspects an image in an archive; arrays: [N, H, W, C] in [0, 255], of A and B."""
    assert image.position is not None
    halves = [np.rint(array[image.position]).astype(np.uint8) for array in arrays]
    return _inspect_pixels(image, halves, [])


def _inspect_encoded(image: SourceImage, files: Sequence[bytes], pairs: bool) -> Inspection:
    """Inspects one image, or A and B and further inputs, from the contents of files.

    Raises:
      UserError: a file cannot be decoded. The message lacks its subject.
    """
    structures = [read_any_structure(contents) for contents in files]
    images = [
        as_bytes(decode_array(contents)) if s.kind == ARRAY else decode_rgb(contents, s)
        for contents, s in zip(files, structures, strict=True)
    ]
    warnings = ["alpha"] if any(structure.has_alpha for structure in structures) else []
    if image.is_16_bit:
        warnings.append("16 bits")
    if any(structure.orientation != exif.UPRIGHT for structure in structures):
        warnings.append("turned by EXIF")
    if pairs and image.target is None:
        images[:1] = np.split(images[0], 2, axis=1)
    return _inspect_pixels(image, images, warnings)


def _inspect_pixels(
    image: SourceImage, halves: Sequence[Array], warnings: Sequence[str]
) -> Inspection:
    """Inspects pixels.

    Args:
      image: names the image.
      halves: A and B, or one image, and further inputs; uint8 [H, W, C] each.
      warnings: what holds according to the files.
    """
    found = list(warnings)
    for name, half in zip("AB", halves, strict=False):
        if (half == half[:1, :1]).all():
            found.append(f"{name} is of one colour")
        elif half.shape[2] == _RGB and (half == half[..., :1]).all():
            found.append(f"{name} is grey")
    height, width = halves[0].shape[:2]
    if abs(width / height - 1) > _SQUARE_TOLERANCE:
        found.append("not square")
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(half).tobytes() for half in halves))
    shares = tuple(_few_colors_share(half) for half in halves if half.shape[2] == _RGB)
    return Inspection(str(image.path), image, None, tuple(found), digest.digest(), shares)


def _few_colors_share(image: Array) -> float:
    """Computes the share of pixels, uint8 [H, W, 3], with one of the most frequent colours."""
    levels = 256 // _COLOR_STEP
    coarse = (image // _COLOR_STEP).astype(np.int64)
    counts = np.bincount((coarse * [1, levels, levels**2]).sum(2).ravel())
    return float(np.sort(counts)[-_FEW_COLORS:].sum() / counts.sum())


def _with_unlike(inspections: Sequence[Inspection]) -> list[Inspection]:
    """Makes a problem of images whose arrays have other channels than the first one's."""
    first = next((one.image for one in inspections if one.image), None)
    return [
        one._replace(problem=Problem(MISMATCH, unlike(one.image, first)))
        if first and one.image and one.image.channels != first.channels
        else one
        for one in inspections
    ]


def _duplicates(inspections: Sequence[Inspection]) -> list[str]:
    """Names every image whose pixels an earlier image has, and the first such image."""
    first: dict[bytes, str] = {}
    names = []
    for name, digest in ((i.name, i.digest) for i in inspections if i.digest):
        if (same := first.get(digest)) is None:
            first[digest] = name
        else:
            names.append(f"{name} ({'listed before' if same == name else f'as {same}'})")
    return names


def _is_swapped(inspections: Sequence[Inspection], few_colors: str) -> bool:
    """Whether the half that should have many colours has fewer, in most pairs."""
    pairs = [i.color_shares for i in inspections if len(i.color_shares) == 2]
    if not pairs:
        return False
    wrong = [(a > b) == (few_colors == "B") for a, b in pairs]
    return statistics.mean(wrong) >= _SWAPPED_SHARE
