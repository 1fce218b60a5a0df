"""Maps a function over many items in worker processes, with results in the items' order."""

import collections
import concurrent.futures
import contextlib
import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import resource_tracker
from typing import TypeVar

from p2p_graph.utils import signals, streams
from p2p_graph.utils.cores import available_cores
from p2p_graph.utils.errors import UserError

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

MOST_WORKERS = 256
_QUEUED = 4  # items submitted ahead for each worker
# NumPy and TensorFlow read their number of threads from these variables.
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)


def map_in_processes(
    function: Callable[[_Item], _Result], items: Sequence[_Item], workers: int
) -> Generator[_Result, None, None]:
    """Yields `function(item)` for every item, in order.

    One worker means this process. Closing the generator cancels the items that have not started.

    Args:
      function: a picklable function.
      items: picklable arguments, one a call.
      workers: how many processes work at the same time, at most one an item.

    Raises:
      UserError: a worker process was killed.
    """
    workers = min(workers, len(items))
    if workers <= 1:
        yield from map(function, items)
        return
    remaining = iter(items)
    with _worker_environment(workers):  # in which a process of Python's own starts, too
        pool = concurrent.futures.ProcessPoolExecutor(
            workers, multiprocessing.get_context("spawn"), initializer=_prepare_worker
        )
    try:
        with _worker_environment(workers):
            submitted = collections.deque(
                pool.submit(function, item)
                for item in itertools.islice(remaining, _QUEUED * workers)
            )
        while submitted:
            signals.wait_for([submitted[0]])
            yield submitted.popleft().result()
            submitted.extend(pool.submit(function, item) for item in itertools.islice(remaining, 1))
    except BrokenProcessPool:
        raise UserError(
            "a worker was killed, perhaps for lack of memory: run the same command again with "
            "fewer workers (--workers)"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _worker_environment(workers: int) -> Iterator[None]:
    """Lets the processes that start inside share the cores and ignore Ctrl-C and SIGHUP.

    These come to the whole process group of a terminal. Only this process reacts, and ends the
    pool.
    """
    threads = str(max(1, available_cores() // workers))
    unset = [name for name in _THREAD_VARIABLES if name not in os.environ]
    os.environ.update(dict.fromkeys(unset, threads))
    try:
        with _signals_of_terminal_blocked():
            yield
    finally:
        for name in unset:
            del os.environ[name]


@contextlib.contextmanager
def _signals_of_terminal_blocked() -> Iterator[None]:
    """Blocks them in the processes that start inside; this process receives them at the end."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    of_terminal = {number for number in signals.STOPPING if number != signal.SIGTERM}
    former = signal.pthread_sigmask(signal.SIG_BLOCK, of_terminal)
    try:
        # The start of that process unblocks SIGINT here.
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, of_terminal)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, former)


def _prepare_worker() -> None:
    """Makes a worker exit when its parent dies; without this, the worker would wait for ever."""
    streams.make_safe()
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
