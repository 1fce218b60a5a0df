"""Makes an image of every image of a folder: grey, resized, with a hole, joined, edges, blurred.

It is what makes data sets of single images: one operation a run, outputs as PNG files of the same
stems. Outputs that exist are left as they are, so that a run that was interrupted is gone on with
by the same command.
"""

import collections
import concurrent.futures
import contextlib
import dataclasses
import itertools
import json
import math
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from tqdm import tqdm

from p2p_graph.data.image_files import Problem, find_images, find_partners
from p2p_graph.imaging.image_arrays import blanked, blurred, grayscale, read_rgb, resized
from p2p_graph.preparation import hed_edges
from p2p_graph.utils.atomic_write import atomic_write
from p2p_graph.utils.errors import UserError, listed

OPERATIONS = ("grayscale", "resize", "blank", "combine", "edges", "blur")
_TEXT = "p2p_graph"  # the key of what a PNG tells of how it was made
_LINE_SECONDS = 10.0  # off a terminal: time between progress lines
_AHEAD = 4  # images that each worker has been given or is about to be
# What NumPy and TensorFlow ask how many threads they may have.
_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)

Array = np.ndarray[Any, Any]


@dataclasses.dataclass(frozen=True)
class Job:
    """What is done to every image.

    Attributes:
      operation: one of `OPERATIONS`.
      size: side of what resize makes, in pixels.
      pad: whether resize makes an image square by a black border, instead of cutting it.
      sigma: of blur, in pixels.
      threshold: of edges, a probability.
      small_edge: of edges, in pixels.
    """

    operation: str
    size: int = 256
    pad: bool = False
    sigma: float = 3.0
    threshold: float = hed_edges.THRESHOLD
    small_edge: int = hed_edges.SMALL_EDGE

    def __post_init__(self) -> None:
        """Checks the values.

        Raises:
          UserError: one is out of its range.
        """
        if self.operation not in OPERATIONS:
            raise UserError(f"operation {self.operation} is none of {', '.join(OPERATIONS)}")
        if self.size < 1:
            raise UserError(f"size {self.size} must be at least 1")
        if not 0 < self.sigma < math.inf:
            raise UserError(f"sigma {self.sigma} must be above 0")
        if not 0 <= self.threshold <= 1:
            raise UserError(f"threshold {self.threshold} must be from 0 to 1")
        if self.small_edge < 0:
            raise UserError(f"small_edge {self.small_edge} must not be negative")


class Task(NamedTuple):
    """One image to make.

    Attributes:
      path: the image that it is made of.
      output: the PNG file to write.
      partner: for combine, the image that goes to the right, or what is wrong with it.
    """

    path: Path
    output: Path
    partner: Path | Problem | None = None


def process(
    input_dir: Path, output_dir: Path, job: Job, *, b_dir: Path | None = None, workers: int = 1
) -> int:
    """Makes all images that are not there yet; names on stderr those that cannot be made.

    Args:
      input_dir: the folder of images.
      output_dir: the folder to write to, made where it does not exist.
      job: what to do.
      b_dir: for combine, the folder of the right halves.
      workers: how many processes work at the same time.

    Returns:
      How many images could not be made.

    Raises:
      UserError: something is wrong that concerns all images.
    """
    if workers < 1:
        raise UserError(f"workers {workers} must be at least 1")
    tasks = _plan(input_dir, output_dir, job, b_dir)
    if job.operation == "edges":
        hed_edges.need_packages()
    _check_made(tasks, job)
    output_dir.mkdir(parents=True, exist_ok=True)
    todo = [task for task in tasks if not task.output.exists()]
    if len(todo) < len(tasks):
        print(f"skipping {len(tasks) - len(todo)} images that are in {output_dir} already")
    print(f"processing {len(todo)} images", flush=True)
    bad = []
    start = said = time.monotonic()
    with (
        contextlib.closing(_results(todo, job, workers)) as results,
        tqdm(total=len(todo), unit="image", disable=not sys.stderr.isatty()) as bar,
    ):
        for done, (task, why) in enumerate(zip(todo, results, strict=True), 1):
            if why:
                bad.append(f"{task.path}: {why}")
            bar.update()
            now = time.monotonic()
            if bar.disable and now - said >= _LINE_SECONDS:
                said = now
                rate = done / (now - start)
                print(f"{done} of {len(todo)} images, {rate:.2f} images/s", flush=True)
    print(f"wrote {len(todo) - len(bad)} images to {output_dir}", flush=True)
    if bad:
        print(f"{len(bad)} of {len(todo)} images failed:\n{listed(bad)}", file=sys.stderr)
    return len(bad)


def _check_made(tasks: Sequence[Task], job: Job) -> None:
    """Refuses a folder in which images were made otherwise: they would be skipped."""
    for task in tasks:
        if not task.output.exists():
            continue
        try:
            with Image.open(task.output) as image:
                how = image.info.get(_TEXT)
        except (OSError, SyntaxError):  # somebody's own
            continue
        if how is not None and how != _described(job):
            raise UserError(
                f"output_dir {task.output.parent} holds images made otherwise "
                f"({task.output.name}: {how}): name another, or remove them"
            )


def _described(job: Job) -> str:
    """What an image's text tells of how it was made."""
    return json.dumps(dataclasses.asdict(job))


def _plan(input_dir: Path, output_dir: Path, job: Job, b_dir: Path | None) -> list[Task]:
    """Says which file is made of which."""
    if job.operation != "combine":
        b_dir = None
    elif b_dir is None:
        raise UserError("operation combine needs the folder of the right halves (--b_dir)")
    paths = find_images(input_dir)
    for option, folder in {"input_dir": input_dir, "b_dir": b_dir}.items():
        if folder and output_dir.resolve() == folder.resolve():
            raise UserError(f"output_dir {output_dir} is {option}: name another folder")
    if output_dir.exists() and not output_dir.is_dir():
        raise UserError(f"output_dir {output_dir} is not a folder")
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


def _results(tasks: Sequence[Task], job: Job, workers: int) -> Generator[str | None, None, None]:
    """Makes all images; gives what `make` says of each, in their order."""
    if workers == 1:
        for task in tasks:
            yield make(task, job)
        return
    pool = concurrent.futures.ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), initializer=_end_with_parent
    )
    rest = iter(tasks)
    try:
        with _starting(workers):
            waiting = collections.deque(
                pool.submit(make, task, job) for task in itertools.islice(rest, _AHEAD * workers)
            )
        while waiting:
            yield waiting.popleft().result()
            waiting.extend(pool.submit(make, task, job) for task in itertools.islice(rest, 1))
    except BrokenProcessPool:
        raise UserError(
            "a worker was killed, perhaps for want of memory: run the same command again with "
            "fewer workers (--workers)"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _starting(workers: int) -> Iterator[None]:
    """Has the processes started meanwhile share the cores, and leave Ctrl-C to this one."""
    share = str(max(1, (os.cpu_count() or 1) // workers))
    mine = [name for name in _THREADS if name not in os.environ]
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.update(dict.fromkeys(mine, share))
    try:
        yield
    finally:
        for name in mine:
            del os.environ[name]
        signal.signal(signal.SIGINT, handler)


def _end_with_parent() -> None:
    """Has a worker end when the program is killed, for which it would wait for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def make(task: Task, job: Job) -> str | None:
    """Makes an image, whole or not at all.

    Returns:
      What is wrong with the images that it is made of, if anything.

    Raises:
      OSError: it cannot be written.
    """
    try:
        image = _made(task, job)
    except UserError as error:
        return str(error)
    told = PngInfo()
    told.add_text(_TEXT, _described(job))
    with atomic_write(task.output) as temporary:
        Image.fromarray(image).save(temporary, "PNG", pnginfo=told)
    return None


def _made(task: Task, job: Job) -> Array:
    if isinstance(task.partner, Problem):
        raise UserError(task.partner.text)
    image = read_rgb(task.path)
    if job.operation == "grayscale":
        return grayscale(image)
    if job.operation == "resize":
        return resized(image, job.size, pad=job.pad)
    if job.operation == "blank":
        return blanked(image)
    if job.operation == "edges":
        return hed_edges.drawn(image, job.threshold, job.small_edge)
    if job.operation == "blur":
        return blurred(image, job.sigma)
    assert task.partner is not None
    try:
        partner = read_rgb(task.partner)
    except UserError as error:
        raise UserError(f"has the partner {task.partner}, which {error}") from None
    if image.shape != partner.shape:
        (height, width, _), (other_height, other_width, _) = image.shape, partner.shape
        raise UserError(
            f"is {width}x{height} pixels, its partner {task.partner} {other_width}x{other_height}"
        )
    return np.concatenate([image, partner], axis=1)
