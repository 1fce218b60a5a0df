"""Processes every image of a folder: the steps that make data sets of pairs from single images.

One call applies one operation and writes PNG files with the inputs' stems. Outputs that exist are
left as they are, so that the same command completes an interrupted run.
"""

import contextlib
import dataclasses
import functools
import json
import math
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from tqdm import tqdm

from p2p_graph.config.output_folder import claimed
from p2p_graph.data.image_files import Problem, find_images, find_partners
from p2p_graph.imaging import edge_thinning
from p2p_graph.imaging.image_arrays import (
    blanked,
    blurred,
    grayscale,
    read_contents,
    read_rgb,
    resized,
)
from p2p_graph.imaging.read_structure import MOST_PIXELS, read_structure
from p2p_graph.preparation import output_record
from p2p_graph.preparation.hed_edges import draw_edges, require_packages
from p2p_graph.preparation.worker_pool import MOST_WORKERS, map_in_processes
from p2p_graph.utils.atomic_write import atomic_write
from p2p_graph.utils.counted import counted
from p2p_graph.utils.errors import UserError, shortened_list
from p2p_graph.utils.outside_files import real_path

OPERATIONS = ("grayscale", "resize", "blank", "combine", "edges", "blur")
LARGEST_SIZE = math.isqrt(MOST_PIXELS)
LARGEST_SIGMA = 1000  # pixels; the filter is eight times as wide
_LINE_SECONDS = 10.0  # off a terminal: time between progress lines

Array = np.ndarray[Any, Any]


@dataclasses.dataclass(frozen=True)
class ImageOperation:
    """An operation and its parameters. Outputs record all fields.

    Attributes:
      operation: one of `OPERATIONS`.
      size: resize: height and width of the output, in pixels.
      pad: resize: whether to make an image square by a black border instead of by cropping.
      sigma: blur: the Gaussian's standard deviation, in pixels.
      threshold: edges: the least probability of an edge.
      small_edge: edges: lines of fewer pixels are removed.
      upright: whether photos are turned as their EXIF orientation says.
    """

    operation: str
    size: int = 256
    pad: bool = False
    sigma: float = 3.0
    threshold: float = edge_thinning.THRESHOLD
    small_edge: int = edge_thinning.SMALL_EDGE
    upright: bool = False

    def __post_init__(self) -> None:
        """Checks the values.

        Raises:
          UserError: a value is out of its range.
        """
        if self.operation not in OPERATIONS:
            raise UserError(f"operation {self.operation} must be one of {', '.join(OPERATIONS)}")
        if self.size < 1:
            raise UserError(f"size {self.size} must be at least 1")
        if self.size > LARGEST_SIZE:
            raise UserError(
                f"size {self.size} must be at most {LARGEST_SIZE}: images have at most "
                f"{MOST_PIXELS} pixels (2^27)"
            )
        if not 0 < self.sigma <= LARGEST_SIGMA:
            raise UserError(f"sigma {self.sigma} must be above 0 and at most {LARGEST_SIGMA}")
        if not 0 <= self.threshold <= 1:
            raise UserError(f"threshold {self.threshold} must be from 0 to 1")
        if self.small_edge < 0:
            raise UserError(f"small_edge {self.small_edge} must not be negative")

    def to_json(self) -> str:
        """Describes the operation for the outputs' records."""
        fields = dataclasses.asdict(self)
        if not self.upright:
            del fields["upright"]  # as in the records of outputs from before it
        return json.dumps(fields)


class Task(NamedTuple):
    """The files of one output image.

    Attributes:
      path: the input image.
      output: the PNG file to write.
      partner: combine: the right half, or why there is none.
    """

    path: Path
    output: Path
    partner: Path | Problem | None = None

    @property
    def inputs(self) -> list[Path]:
        """The input files."""
        return [path for path in (self.path, self.partner) if isinstance(path, Path)]


class Outcome(NamedTuple):
    """What came of an image.

    Attributes:
      failure: why it failed, or None; the text continues the input's name.
      is_reduced: whether an input has 16 bits or transparency, which the output has not.
    """

    failure: str | None
    is_reduced: bool = False


def process(
    input_dir: Path,
    output_dir: Path,
    operation: ImageOperation,
    *,
    b_dir: Path | None = None,
    workers: int = 1,
) -> int:
    """Writes the outputs that do not exist yet, and lists failed images on stderr.

    Args:
      input_dir: the folder of input images.
      output_dir: the folder of outputs, created if missing.
      operation: the operation for all images.
      b_dir: combine: the folder of the right halves.
      workers: how many processes work at the same time.

    Returns:
      How many images failed.

    Raises:
      UserError: something is wrong that concerns all images.
    """
    if not 1 <= workers <= MOST_WORKERS:
        raise UserError(f"workers {workers} must be at least 1 and at most {MOST_WORKERS}")
    tasks = _plan(input_dir, output_dir, operation, b_dir)
    if operation.operation == "edges":
        require_packages()
    described = operation.to_json()
    for task in tasks:
        output_record.check(task.output, described, task.inputs)
    with claimed(output_dir, "process"):
        return _process(tasks, output_dir, operation, workers)


def _process(
    tasks: Sequence[Task], output_dir: Path, operation: ImageOperation, workers: int
) -> int:
    """Writes the missing outputs; returns how many images failed."""
    missing = [task for task in tasks if not task.output.exists()]
    if len(missing) < len(tasks):
        print(f"skipping {counted(len(tasks) - len(missing), 'image')}, already in {output_dir}")
    print(f"processing {counted(len(missing), 'image')}", flush=True)
    function = functools.partial(process_image, operation=operation)
    with contextlib.closing(map_in_processes(function, missing, workers)) as results:
        outcomes = _collect(missing, results)
    failures = [f"{task.path}: {found.failure}" for task, found in outcomes if found.failure]
    print(f"wrote {counted(len(missing) - len(failures), 'image')} to {output_dir}", flush=True)
    if reduced := sum(outcome.is_reduced for _, outcome in outcomes):
        print(
            f"note: {counted(reduced, 'image')} of 16 bits, or with transparency: outputs are RGB "
            "of 8 bits"
        )
    if failures:
        print(
            f"{len(failures)} of {counted(len(missing), 'image')} failed:\n"
            f"{shortened_list(failures)}",
            file=sys.stderr,
        )
    return len(failures)


def process_image(task: Task, operation: ImageOperation) -> Outcome:
    """Writes one output atomically.

    Raises:
      OSError: the output cannot be written.
    """
    try:
        image = _apply(operation, task)
        text = output_record.make(operation.to_json(), task.inputs)
        is_reduced = any(map(_is_reduced, task.inputs))
    except UserError as error:
        return Outcome(str(error))
    except MemoryError:
        return Outcome("takes more memory than there is")
    with atomic_write(task.output) as temporary:
        Image.fromarray(image).save(temporary, "PNG", pnginfo=text)
    return Outcome(None, is_reduced)


def _is_reduced(path: Path) -> bool:
    """Whether `read_rgb` gives less than the file holds."""
    structure = read_structure(read_contents(path))
    return structure.is_16_bit or structure.has_alpha


def _plan(
    input_dir: Path, output_dir: Path, operation: ImageOperation, b_dir: Path | None
) -> list[Task]:
    """Lists the files of every output image."""
    if operation.operation != "combine":
        b_dir = None
    elif b_dir is None:
        raise UserError("operation combine needs the folder of the right halves (--b_dir)")
    paths = find_images(input_dir)
    for option, folder in {"input_dir": input_dir, "b_dir": b_dir}.items():
        if folder and real_path(output_dir) == real_path(folder):
            raise UserError(f"output_dir {output_dir} is {option}: name another folder")
    if output_dir.exists() and not output_dir.is_dir():
        raise UserError(f"output_dir {output_dir} is not a folder: name another")
    first: dict[str, Path] = {}
    for path in paths:
        other = first.setdefault(path.stem, path)
        if other != path:
            raise UserError(
                f"input_dir {input_dir} holds {other.name} and {path.name}, which would both "
                f"become {path.stem}.png: rename one"
            )
    partners = find_partners(paths, b_dir, "b_dir") if b_dir else [None] * len(paths)
    return [
        Task(path, output_dir / f"{path.stem}.png", partner)
        for path, partner in zip(paths, partners, strict=True)
    ]


def _collect(tasks: Sequence[Task], results: Iterable[Outcome]) -> list[tuple[Task, Outcome]]:
    """Waits for all results while showing progress."""
    found = []
    start = last_line = time.monotonic()
    with tqdm(total=len(tasks), unit="image", disable=not sys.stderr.isatty()) as bar:
        for done, (task, outcome) in enumerate(zip(tasks, results, strict=True), 1):
            found.append((task, outcome))
            bar.update()
            now = time.monotonic()
            if bar.disable and now - last_line >= _LINE_SECONDS:
                last_line = now
                rate = done / (now - start)
                print(f"{done} of {counted(len(tasks), 'image')}, {rate:.2f} images/s", flush=True)
    return found


def _apply(operation: ImageOperation, task: Task) -> Array:
    """Computes one output: uint8 RGB [H, W, 3], or [H, W] for edges.

    Raises:
      UserError: an input cannot be used. The message continues the input's name.
    """
    if isinstance(task.partner, Problem):
        raise UserError(task.partner.text)
    image = read_rgb(task.path, upright=operation.upright)
    match operation.operation:
        case "grayscale":
            return grayscale(image)
        case "resize":
            return resized(image, operation.size, pad=operation.pad)
        case "blank":
            return blanked(image)
        case "edges":
            return draw_edges(image, operation.threshold, operation.small_edge)
        case "blur":
            return blurred(image, operation.sigma)
    assert task.partner is not None
    return _combine(image, task.partner, upright=operation.upright)


def _combine(image: Array, partner_path: Path, *, upright: bool) -> Array:
    """Joins uint8 RGB [H, W, 3] and the image on its right: uint8 [H, 2 W, 3]."""
    try:
        partner = read_rgb(partner_path, upright=upright)
    except UserError as error:
        raise UserError(f"has the partner {partner_path}, which {error}") from None
    if image.shape != partner.shape:
        (height, width, _), (other_height, other_width, _) = image.shape, partner.shape
        raise UserError(
            f"is {width}x{height} pixels, its partner {partner_path} {other_width}x{other_height}"
        )
    return np.concatenate([image, partner], axis=1)
