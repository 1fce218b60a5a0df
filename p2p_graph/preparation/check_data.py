"""Looks at every image of a data set before training: what would stop it, and what is odd."""

import concurrent.futures
import functools
import hashlib
import io
import os
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from tqdm import tqdm

from p2p_graph.config.options import Config
from p2p_graph.data import npz_archives, tfrecord_shards
from p2p_graph.data.image_files import PROBLEMS, Entry, Problem, SourceImage, check_image
from p2p_graph.data.image_listing import is_archive, is_packed, is_single, list_entries, list_images
from p2p_graph.imaging.image_arrays import decode_rgb
from p2p_graph.utils.errors import UserError

_NAMED = 3  # images a finding names
_SQUARE = 0.02  # how far an image's sides may be apart and still look square
_PLAIN_COLORS = 12  # as many as the facades' labels have
_PLAIN_STEP = 8  # levels that count as one: JPEG blurs label maps
_SWAPPED = 0.9  # share of the images whose wrong side is the plainer one

# Findings that stop nothing, in the order of the table, and what training makes of them.
_ODD = {
    "alpha": "transparency is dropped",
    "16 bits": "kept in full",
    "A is grey": "repeated in three channels",
    "B is grey": "repeated in three channels",
    "A is of one colour": "teaches nothing",
    "B is of one colour": "teaches nothing",
    "not square": "scaled to a square; see --aspect_ratio",
    "duplicate": "seen more often",
}

Array = np.ndarray[Any, Any]


class Finding(NamedTuple):
    """Something that holds of some images.

    Attributes:
      what: "corrupt", "alpha", ...
      stops: whether training stops because of it.
      names: of the images, each followed by the reason where it stops training.
      advice: what training makes of it, or what to do.
    """

    what: str
    stops: bool
    names: list[str]
    advice: str


class Inspection(NamedTuple):
    """What a look at one image found.

    Attributes:
      name: what it is called.
      problem: why it cannot be used.
      odd: which of the other findings hold.
      digest: of its pixels.
      plain: for A and B each, the share of the most frequent colours.
    """

    name: str
    problem: Problem | None
    odd: tuple[str, ...] = ()
    digest: bytes = b""
    plain: tuple[float, ...] = ()


def check(config: Config, plain_side: str | None) -> tuple[int, list[Finding]]:
    """Looks at every image that `config` names.

    Args:
      config: input_dir and target_dir, or manifest; what kind of images they are.
      plain_side: the side, "A" or "B", that should have few colours; None where neither should.

    Returns:
      How many images there are, and what was found; first what stops training.

    Raises:
      UserError: there are no images, or they cannot be listed.
    """
    looks = list(_looks(config))
    findings = []
    for kind in PROBLEMS:
        bad = [
            f"{look.name}: {look.problem.text}"
            for look in looks
            if look.problem and look.problem.kind == kind
        ]
        findings.append(Finding(kind, True, bad, "mend or remove, or --skip_bad"))
    first: dict[bytes, str] = {}
    odd: dict[str, list[str]] = {what: [] for what in _ODD}
    for look in looks:
        for what in look.odd:
            odd[what].append(look.name)
        same = first.setdefault(look.digest, look.name) if look.digest else look.name
        if same != look.name:
            odd["duplicate"].append(f"{look.name} (as {same})")
    findings += [Finding(what, False, odd[what], advice) for what, advice in _ODD.items()]
    if swapped := _swapped(looks, plain_side):
        findings.append(swapped)
    return len(looks), [finding for finding in findings if finding.names]


def table(findings: Sequence[Finding]) -> str:
    """Lays findings out in columns."""
    rows = [("finding", "images", "stops training", "in training", "which")]
    for finding in findings:
        left = len(finding.names) - _NAMED
        which = ", ".join(finding.names[:_NAMED]) + (f", and {left} more" if left > 0 else "")
        stops = "yes" if finding.stops else "no"
        rows.append((finding.what, str(len(finding.names)), stops, finding.advice, which))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return "\n".join(lines)


def _looks(config: Config) -> Iterator[Inspection]:
    """Looks at each image, some at a time."""
    look: Callable[[Any], Inspection]
    items: Sequence[Any]
    halves = not is_single(config)
    if is_archive(config):
        arrays = npz_archives.open_archive(Path(config.data), config.arrays, is_single(config))
        items = list_images(config)
        look = functools.partial(_look_at_row, arrays=arrays)
    elif is_packed(config):
        items = list_images(config)
        look = functools.partial(_look_at_record, halves=halves)
    else:
        items = list_entries(config)
        look = functools.partial(_look_at_files, halves=halves)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        shown = sys.stderr.isatty()
        yield from tqdm(pool.map(look, items), "looking", len(items), disable=not shown)


def _look_at_files(entry: Entry, halves: bool) -> Inspection:
    path, partner = entry
    found = check_image(path, partner, pairs=halves)
    if isinstance(found, Problem):
        return Inspection(str(path), found)
    return _look_at(found, [p.read_bytes() for p in (path, found.target) if p], halves)


def _look_at_record(image: SourceImage, halves: bool) -> Inspection:
    return _look_at(image, list(filter(None, tfrecord_shards.stored_files(image))), halves)


def _look_at_row(image: SourceImage, arrays: Sequence[Array]) -> Inspection:
    assert image.place is not None
    sides = [np.broadcast_to(a[image.place], (*a.shape[1:3], 3)) for a in arrays]
    return _look_at_sides(image, [np.rint(side).astype(np.uint8) for side in sides], [])


def _look_at(image: SourceImage, files: Sequence[bytes], halves: bool) -> Inspection:
    try:
        images = [decode_rgb(contents) for contents in files]
    except UserError as error:  # of a record: files were looked at before
        return Inspection(str(image.path), Problem(PROBLEMS[0], str(error)))
    odd = ["alpha"] if any(map(_has_alpha, files)) else []
    if image.deep:
        odd.append("16 bits")
    if halves and len(images) == 1:
        images = np.split(images[0], 2, axis=1)
    return _look_at_sides(image, images, odd)


def _look_at_sides(image: SourceImage, sides: Sequence[Array], odd: Sequence[str]) -> Inspection:
    found = list(odd)
    for name, side in zip("AB", sides, strict=False):
        if (side == side[:1, :1]).all():
            found.append(f"{name} is of one colour")
        elif (side == side[..., :1]).all():
            found.append(f"{name} is grey")
    height, width = sides[0].shape[:2]
    if abs(width / height - 1) > _SQUARE:
        found.append("not square")
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(side).tobytes() for side in sides))
    plain = tuple(_plainness(side) for side in sides)
    return Inspection(str(image.path), None, tuple(found), digest.digest(), plain)


def _has_alpha(contents: bytes) -> bool:
    with Image.open(io.BytesIO(contents)) as image:
        return "A" in image.getbands() or "transparency" in image.info


def _plainness(side: Array) -> float:
    """The share of an image that has one of its most frequent colours."""
    coarse = (side // _PLAIN_STEP).astype(np.int64)
    counts = np.bincount(
        (coarse * [1, 256 // _PLAIN_STEP, (256 // _PLAIN_STEP) ** 2]).sum(2).ravel()
    )
    return float(np.sort(counts)[-_PLAIN_COLORS:].sum() / counts.sum())


def _swapped(looks: Sequence[Inspection], plain_side: str | None) -> Finding | None:
    """Whether the side that should have many colours is the one that has few."""
    plainer = [look.plain[0] > look.plain[1] for look in looks if len(look.plain) == 2]
    share = statistics.mean(a == (plain_side == "B") for a in plainer) if plainer else 0.0
    if plain_side is None or share < _SWAPPED:
        return None
    advice = f"{plain_side} should have few colours: give the other --which_direction"
    return Finding("A and B look swapped", False, [look.name for look in looks], advice)
