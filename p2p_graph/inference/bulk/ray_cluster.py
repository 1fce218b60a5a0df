"""Ray, quietly: a cluster of this machine or an existing one, and workers that translate shards.

Ray Data distributes the shards among its pool of workers, starts a worker anew that has died, and
gives it its shard again, as often as that happens: the worker counts its attempts. Ray Data
neither reads nor writes images here. Its readers cut data into blocks by size, and its writers name
files by a run, so that a rerun would not find the same shards; and a block that is tried again
would be written twice. A row of the data set is therefore the description of a fixed shard, and the
worker reads, translates and writes it, and records that it is done.
"""

import contextlib
import logging
import os
import re
import signal
import socket
import tempfile
import threading
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from p2p_graph.inference.bulk.cluster_address import place_of
from p2p_graph.inference.bulk.shard_translator import RayWorker, WorkerSetup
from p2p_graph.utils import child_process, signals
from p2p_graph.utils.cores import available_cores
from p2p_graph.utils.counted import counted
from p2p_graph.utils.errors import UserError, one_line_reason
from p2p_graph.utils.hidden_stderr import hidden_stderr

_STORE_BYTES = 2**27  # of objects that processes share: descriptions of shards alone
_MOST_BLOCKS = 4096  # of rows
_LONGEST_SHARD = 7 * 24 * 3600  # seconds without progress
_CONNECT_SECONDS = 10
_ANSWER_SECONDS = 60
_LOGGERS = ("ray", "ray.data")
_COLOR = re.compile("\x1b\\[[0-9;]*m")
_NEVER_FREED: list[Any] = []
# No telemetry, no warning of how Ray hides GPUs, this program's priority for the workers, and none
# of the lines that Ray prints for its processes, such as of a worker that has died.
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_worker_niceness": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",
}


class Machines(NamedTuple):
    """What a cluster has.

    Attributes:
      machines: their number.
      cores: of all together.
      gpus: of all together.
    """

    machines: int
    cores: int
    gpus: int


class Pool(NamedTuple):
    """The workers.

    Attributes:
      workers: their number.
      cores: of each, which are its threads.
      on_gpu: whether each has a GPU.
    """

    workers: int
    cores: int
    on_gpu: bool


class ShardResult(NamedTuple):
    """What came of a shard: numbers of images, and what ends the run."""

    images: int
    failed: int
    error: str


@contextlib.contextmanager
def started(address: str | None) -> Iterator[Machines]:
    """Starts Ray on this machine, or connects to a cluster; ends it, or the connection.

    After an error the process is to end at once (os._exit), and Ray's processes end with it: Ray
    may wait forever for work that is under way. A signal within the context ends the process so.

    Args:
      address: of an existing cluster, see `place_of`; None for this machine.

    Raises:
      UserError: there is no such cluster, or Ray does not start.
    """
    os.environ.update(_ENVIRONMENT)
    import ray.data

    for name in _LOGGERS:  # after the import, which sets their levels
        logging.getLogger(name).setLevel(logging.CRITICAL)

    with signals.at_once(), hidden_stderr():  # of what Ray's C++ code writes; its log files have it
        try:
            if address:
                _connect(ray, address)
            else:
                with _handlers_kept():
                    _init(ray, None)
        except Exception as error:  # Ray raises this class itself where its processes do not start
            where = f"connect to the cluster at {address}" if address else "start on this machine"
            advice = (
                "; it must run; if it has a token, this machine needs it, and RAY_AUTH_MODE=token"
                if address
                else f" (its files are in {tempfile.gettempdir()}/ray, which needs room)"
            )
            reason = getattr(error, "strerror", None) or one_line_reason(error)
            raise UserError(f"Ray cannot {where}: {reason}{advice}") from None
        found = ray.cluster_resources()
        alive = [node for node in ray.nodes() if node["Alive"]]
        yield Machines(len(alive), int(found.get("CPU", 0)), int(found.get("GPU", 0)))
        ray.shutdown()


def _connect(ray: Any, address: str) -> None:
    """Connects to a cluster, in a thread: Ray would wait for one that does not answer forever.

    Raises:
      Exception: what Ray raises, or TimeoutError.
    """
    if place := place_of(address):
        socket.create_connection(place, _CONNECT_SECONDS).close()
    failed: list[Exception] = []

    def init() -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                _init(ray, address)
        except Exception as error:
            failed.append(error)

    # A daemon: the process can end while Ray still waits.
    thread = threading.Thread(target=init, daemon=True)
    thread.start()
    thread.join(_ANSWER_SECONDS)
    if thread.is_alive():
        raise TimeoutError(f"it does not answer as a Ray cluster within {_ANSWER_SECONDS} s")
    if failed:
        raise failed[0]


def _init(ray: Any, address: str | None) -> None:
    """Starts Ray; its worker processes find this package, which may be a clone."""
    quiet = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    variables = {"PYTHONPATH": child_process.environment()["PYTHONPATH"]}
    variables["TF_CPP_MIN_LOG_LEVEL"] = "3"
    if address:
        ray.init(address=address, runtime_env={"env_vars": variables}, **quiet)
    else:
        os.environ.update(variables)
        ray.init(
            address="local",
            include_dashboard=False,
            num_cpus=available_cores(),
            object_store_memory=_STORE_BYTES,
            **quiet,
        )


@contextlib.contextmanager
def _handlers_kept() -> Iterator[None]:
    """Installs the handlers of signals again, one of which Ray replaces."""
    former = {number: signal.getsignal(number) for number in signals.STOPPING}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def pool_of(machines: Machines, workers: int | None, device: str) -> Pool:
    """Divides what a cluster has among workers.

    Args:
      machines: of the cluster.
      workers: their number; None for one a GPU, or without GPUs one a machine.
      device: "auto", "cpu" or "gpu".

    Raises:
      UserError: there are fewer GPUs or cores than workers.
    """
    on_gpu = device == "gpu" or (device == "auto" and machines.gpus > 0)
    least = machines.gpus if on_gpu else machines.machines
    count = workers or max(1, least)
    if on_gpu and not machines.gpus:
        raise UserError("device gpu: Ray finds no GPU; take --device cpu")
    if on_gpu and machines.gpus < count:
        raise UserError(
            f"workers {count} need as many GPUs, and Ray finds {machines.gpus}: take fewer, or "
            "--device cpu"
        )
    if machines.cores < count:
        raise UserError(
            f"workers {count} are more than {counted(machines.cores, 'core')}: take fewer"
        )
    return Pool(count, machines.cores // count, on_gpu)


def translate_shards(
    shards: Sequence[str], setup: WorkerSetup, pool: Pool
) -> Iterator[ShardResult]:
    """Lets workers translate shards; yields what came of each when it is done.

    Args:
      shards: texts of `WorkShard.to_json`.
      setup: of the workers.
      pool: the workers.

    Raises:
      UserError: Ray failed.
    """
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.execution_no_progress_timeout_s = _LONGEST_SHARD
    rows = ray.data.from_items(
        [{"shard": text} for text in shards],
        override_num_blocks=min(len(shards), _MOST_BLOCKS),
    )
    done = rows.map_batches(
        RayWorker,
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(
            size=min(pool.workers, len(shards)), max_tasks_in_flight_per_actor=2
        ),
        fn_constructor_args=(setup,),
        num_cpus=pool.cores,
        num_gpus=1 if pool.on_gpu else 0,
    )
    found = iter(done.iter_rows())
    # After an error they would wait, when they are freed, for workers that have gone.
    _NEVER_FREED.extend((done, found))
    try:
        for row in found:
            yield ShardResult(int(row["images"]), int(row["failed"]), str(row["error"]))
    except (ray.exceptions.RayError, ray.exceptions.UserCodeException) as error:
        raise UserError(
            f"a worker has failed: {worker_reason(error)}; the same command goes on with the "
            "shards that are not done"
        ) from None


def worker_reason(error: BaseException) -> str:
    """Why a worker has failed, in one line, without Ray's colours and names of its objects."""
    while isinstance(cause := getattr(error, "cause", None), BaseException):
        error = cause
    lines = [line for line in _COLOR.sub("", str(error)).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    # Ray's own texts begin with the worker, and end with the line of the error.
    return lines[-1 if "ray::" in lines[0] else 0].strip()
