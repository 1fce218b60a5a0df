"""Which images of a source a process translates: its shard's, without those that are done."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from p2p_graph.config.data_options import ImageSource
from p2p_graph.data.decode_check import verifying_session
from p2p_graph.data.image_files import Entry, Problem, SourceImage, files_of
from p2p_graph.data.usable_images import (
    Verify,
    alike,
    check_image,
    inspect_images,
    report_problems,
)
from p2p_graph.inference.folder.failed_images import FailedImage


class Choice(NamedTuple):
    """The images that a process translates.

    Attributes:
      images: in their order.
      numbers: of each, its place among all images of the source.
      failed: images that cannot be used, which are left out.
      done_before: how many are left out since they are done.
    """

    images: list[SourceImage]
    numbers: list[int]
    failed: list[FailedImage]
    done_before: int


def numbers_of_part(
    count: int, part: tuple[int, int] | None, batch_size: int, max_batches: int | None
) -> list[int]:
    """The numbers, from 0 on, of the images in a part of all batches.

    Args:
      count: of all images.
      part: the part's number, from 1 on, and the number of parts; None for all images. Of N parts,
        number I has every N-th batch from the I-th on: batches are those of all images.
      batch_size: images in a batch.
      max_batches: at most so many of the part; None for all.
    """
    number, parts = part or (1, 1)
    batches = range(number - 1, -(-count // batch_size), parts)[:max_batches]
    return [
        image
        for batch in batches
        for image in range(batch * batch_size, min(count, (batch + 1) * batch_size))
    ]


def numbers_to_do(
    numbers: Sequence[int], batch_size: int, is_done: Callable[[int], bool]
) -> list[int]:
    """Leaves out the batches of which every image is done: the others are as they were."""
    to_do: list[int] = []
    batch: list[int] = []
    for number in numbers:
        if batch and batch[0] // batch_size != number // batch_size:
            to_do += _unless_done(batch, is_done)
            batch = []
        batch.append(number)
    return to_do + _unless_done(batch, is_done)


def _unless_done(batch: list[int], is_done: Callable[[int], bool]) -> list[int]:
    return [] if all(map(is_done, batch)) else batch


def choose_images(
    listed: Sequence[Entry | SourceImage],
    numbers: Sequence[int],
    source: ImageSource,
    *,
    single: bool,
    done_before: int,
    needs_one: bool,
) -> Choice:
    """Checks images, and lists those that can be used.

    Args:
      listed: all images of the source, from `list_unchecked`.
      numbers: of those to check.
      source: that they are from.
      single: whether they are single, not pairs.
      done_before: how many are done.
      needs_one: whether one of them must be usable.

    Raises:
      UserError: images cannot be used, without `skip_bad`; or none of them can, and one must.
    """
    chosen = [listed[number] for number in numbers]
    entries = [image for image in chosen if isinstance(image, Entry)]
    if not entries:
        images = [image for image in chosen if isinstance(image, SourceImage)]
        return Choice(images, list(numbers), [], done_before)
    with verifying_session() as verify:
        results = inspect_images(entries, verify, pairs=not single, upright=source.upright)
        first = _first_usable(listed, numbers, results, verify, source, single=single)
    results = [alike(image, first) for image in results]
    report_problems(entries, results, source.path, skip_bad=source.skip_bad, needs_one=needs_one)
    found = [(n, image) for n, image in zip(numbers, results, strict=True) if _is_image(image)]
    failed = [
        FailedImage(number, str(entry.path), problem.text)
        for number, entry, problem in zip(numbers, entries, results, strict=True)
        if isinstance(problem, Problem)
    ]
    images = [image for _, image in found if isinstance(image, SourceImage)]
    return Choice(images, [number for number, _ in found], failed, done_before)


def _is_image(result: SourceImage | Problem) -> bool:
    return isinstance(result, SourceImage)


def _first_usable(
    listed: Sequence[Entry | SourceImage],
    numbers: Sequence[int],
    results: Sequence[SourceImage | Problem],
    verify: Verify,
    source: ImageSource,
    *,
    single: bool,
) -> SourceImage | None:
    """The source's first usable image, whose channels those of all others must be."""
    place = 0
    for number, entry in enumerate(listed):
        found: SourceImage | Problem | Entry = entry
        if place < len(numbers) and numbers[place] == number:
            found = results[place]
            place += 1
        elif isinstance(entry, Entry):
            found = check_image(entry, verify, pairs=not single, upright=source.upright)
        if isinstance(found, SourceImage):
            return found
    return None


def files_read(listed: Sequence[Entry | SourceImage]) -> Iterator[Path]:
    """The files of all images, as `files_of`; of images that have not been checked, too."""
    for image in listed:
        if isinstance(image, SourceImage):
            yield from files_of([image])
            continue
        yield from (
            path for path in (image.path, image.partner, *image.more) if isinstance(path, Path)
        )
