"""Translates batch after batch, writes the images, and reports them in their order.

No more is held than the batches under way: it costs the same memory whatever the number of images.
"""

import collections
import concurrent.futures
import contextlib
import heapq
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow.compat.v1 as tf
from tqdm import tqdm

from p2p_graph.imaging.array_files import ARRAY_SUFFIX, save_npy
from p2p_graph.imaging.image_arrays import save_png
from p2p_graph.inference.folder.network import Fetches
from p2p_graph.utils.counted import counted
from p2p_graph.utils.errors import UserError, escaped, one_line_reason, why_not_written

_WAITING = 2  # batches for each thread
_REPORT_INTERVAL = 30.0  # seconds

Images = Mapping[str, Any]  # one image's arrays by kind


def translate_all(
    session: tf.Session,
    fetches: Fetches,
    folder: Path,
    names: Sequence[str],
    *,
    batch_size: int,
    parallel_calls: int,
) -> bytearray:
    """Translates and writes images, and reports each in the images' order.

    Args:
      session: in which the generator is restored.
      fetches: gives the next batch in each `Session.run` call.
      folder: the folder of images.
      names: of the images, in the order of translation.
      batch_size: images in a batch.
      parallel_calls: threads that call `Session.run` and write the results: the network always has
        images to work on while others are encoded.

    Returns:
      A byte an image: 1 if it is written, 0 if the input graph left it out.

    Raises:
      UserError: an image cannot be written, or the memory does not suffice.
    """

    def translate_batch() -> list[int] | None:
        """Translates and writes the next batch; gives its indices, None if there is no more."""
        try:
            indices, *by_kind = session.run(fetches)
        except tf.errors.OutOfRangeError:
            return None
        for place, index in enumerate(indices):
            images, values = ({kind: v[place] for kind, v in f.items()} for f in by_kind)
            _write(folder, names[index], images, values)
        return [int(index) for index in indices]

    written = bytearray(len(names))
    count = -(-len(names) // batch_size)
    window = _WAITING * parallel_calls
    with _readable_errors():
        batches = called_in_parallel(translate_batch, count, parallel_calls, window)
        indices = in_order((index for batch in batches for index in batch), window * batch_size)
        for index in _with_progress(indices, names):
            written[index] = 1
    return written


def called_in_parallel(
    call: Callable[[], list[int] | None], count: int, threads: int, window: int
) -> Iterator[list[int]]:
    """Calls a function `count` times in threads, at most `window` calls ahead; yields the results.

    They end early with the first call that gives None.
    """
    waiting: collections.deque[concurrent.futures.Future[list[int] | None]] = collections.deque()
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        try:
            for _ in range(count):
                waiting.append(pool.submit(call))
                if len(waiting) == window and (result := waiting.popleft().result()) is not None:
                    yield result
            while waiting:
                if (result := waiting.popleft().result()) is not None:
                    yield result
        finally:
            pool.shutdown(cancel_futures=True)


def in_order(indices: Iterable[int], window: int) -> Iterator[int]:
    """Sorts numbers from 0 on that come in order or nearly so; some may never come.

    Args:
      indices: the numbers.
      window: how many are held back at most, for one that has not come.
    """
    held: list[int] = []
    following = 0
    for index in indices:
        heapq.heappush(held, index)
        while held and (held[0] <= following or len(held) > window):
            following = held[0] + 1
            yield heapq.heappop(held)
    while held:
        yield heapq.heappop(held)


def _with_progress(indices: Iterable[int], names: Sequence[str]) -> Iterator[int]:
    """Reports each image, and now and then how many a second; passes the numbers on."""
    start = last = time.monotonic()
    with tqdm(total=len(names), unit="image", disable=not sys.stderr.isatty()) as bar:
        for done, index in enumerate(indices, 1):
            if bar.disable:
                print("evaluated image", escaped(names[index]))
                now = time.monotonic()
                if now - last > _REPORT_INTERVAL:
                    last = now
                    rate = done / (now - start)
                    print(f"{done} of {counted(len(names), 'image')}, {rate:.1f} images/s")
            bar.update()
            yield index


def _write(folder: Path, name: str, images: Images, values: Images) -> None:
    """Writes one image's input, output and target, and the values that files do not hold."""
    for kind, array in values.items():
        _save(save_npy, folder / f"{name}-{kind}{ARRAY_SUFFIX}", array)
    for kind, image in images.items():
        _save(save_png, folder / f"{name}-{kind}.png", image)


def _save(save: Callable[[Path, Any], None], path: Path, image: Any) -> None:
    try:
        save(path, image)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {why_not_written(error)}") from None


@contextlib.contextmanager
def _readable_errors() -> Iterator[None]:
    """Makes a lack of memory one line."""
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        reason = one_line_reason(error)
        raise UserError(
            f"out of memory: {reason}; try a smaller --batch_size or --crop_size"
        ) from None
