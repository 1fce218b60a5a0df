"""The processes of a training run on several hosts: who they are, and whether all of them answer.

The variable TF_CONFIG names them, as for every program that uses `tf.distribute`. Each process is
started with the same command and its own TF_CONFIG.
"""

import contextlib
import errno
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import tensorflow.compat.v1 as tf

from p2p_graph.utils.errors import UserError
from p2p_graph.utils.host_port import HostPort, read_host_port

VARIABLE = "TF_CONFIG"
_JOBS = ("chief", "worker")  # in the order of the workers' numbers
_LONGEST_START = 600.0  # seconds until all processes have started
_REPORT_EVERY = 10.0  # seconds, while others are waited for
_ANSWER_WITHIN = 5.0  # seconds
_SEEN_WITHIN = _ANSWER_WITHIN + 1  # by all others that wait for a process to start
_PROBE_EVERY = 5.0  # seconds
_PROBES = 3  # without an answer, until a process has gone
_STEP_MAY_END = 10.0  # seconds that a Session.run call is given to fail by itself


class Cluster(NamedTuple):
    """The processes of a run.

    Attributes:
      jobs: addresses (HOST:PORT) by job, as TF_CONFIG has them.
      addresses: of all workers, in the order of their numbers; the first one is the chief.
      worker: the number of this process.
    """

    jobs: Mapping[str, Sequence[str]]
    addresses: Sequence[str]
    worker: int

    @property
    def task(self) -> tuple[str, int]:
        """Job and number of this process in the job."""
        chiefs = len(self.jobs.get("chief", ()))
        is_chief = self.worker < chiefs
        return ("chief", self.worker) if is_chief else ("worker", self.worker - chiefs)

    def named(self, worker: int) -> str:
        """A worker as messages name it."""
        return f"worker {worker} ({self.addresses[worker]})"

    def silent(self) -> list[int]:
        """The other workers that do not answer now."""
        others = [worker for worker in range(len(self.addresses)) if worker != self.worker]
        return [worker for worker in others if not _answers(self.addresses[worker])]


def read_cluster(environment: Mapping[str, str] = os.environ) -> Cluster | None:
    """Reads TF_CONFIG.

    Args:
      environment: that may hold the variable.

    Returns:
      The processes; None if there is no TF_CONFIG, or it names this process alone.

    Raises:
      UserError: TF_CONFIG is not as TensorFlow defines it, or has jobs other than chief and worker.
    """
    text = environment.get(VARIABLE, "")
    if not text.strip():
        return None
    try:
        jobs, job, index = _parsed(text)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise _wrong(
            'it must be JSON as in {"cluster": {"worker": ["host1:2222", "host2:2222"]}, '
            '"task": {"type": "worker", "index": 0}}'
        ) from None
    if other := sorted(set(jobs) - set(_JOBS)):
        raise _wrong(f"the job {other[0]} has no part in training here: name workers alone")
    addresses = [address for name in _JOBS for address in jobs.get(name, [])]
    if bad := [one for one in addresses if read_host_port(one) is None]:
        raise _wrong(f"{bad[0]!r} must be HOST:PORT, with a port from 1 to 65535")
    if len(set(addresses)) < len(addresses) or len(jobs.get("chief", [])) > 1:
        raise _wrong("two processes have one address, or there are two chiefs")
    if job not in jobs or not 0 <= index < len(jobs[job]):
        raise _wrong(f"the cluster has no task {index} of type {job}")
    worker = index + (len(jobs.get("chief", [])) if job == "worker" else 0)
    return Cluster(jobs, addresses, worker) if len(addresses) > 1 else None


def _parsed(text: str) -> tuple[Mapping[str, Sequence[str]], str, int]:
    """The addresses of each job, and job and number of this process.

    Raises:
      ValueError, KeyError, TypeError, AttributeError, RecursionError: it is anything else.
    """
    config = json.loads(text)
    jobs, job, index = config["cluster"], config["task"]["type"], config["task"]["index"]
    names = [job, *(address for addresses in jobs.values() for address in addresses)]
    are_lists = all(isinstance(addresses, list) for addresses in jobs.values())
    if not (are_lists and all(isinstance(name, str) for name in names)):
        raise TypeError
    if isinstance(index, bool | float):  # int would take them, and cut a fraction
        raise TypeError
    return jobs, job, int(index)


def _wrong(problem: str) -> UserError:
    return UserError(f"environment variable {VARIABLE}: {problem}")


class Connection(NamedTuple):
    """This process's connection to the others.

    Attributes:
      target: of sessions; empty where this process is the only one.
      watch: over the other processes, if there are any.
    """

    target: str = ""
    watch: "PeerWatch | None" = None


@contextlib.contextmanager
def joined(cluster: Cluster | None, config: tf.ConfigProto) -> Iterator[Connection]:
    """Starts this process's server, and waits until all processes have started theirs.

    Args:
      cluster: the processes; None for this one alone.
      config: of the sessions.

    Yields:
      The connection.

    Left before a session was made, the context ends late enough for the others to have seen this
    process.

    Raises:
      UserError: this process's address is of another machine or cannot be used, or another process
        does not start within ten minutes.
    """
    if cluster is None:
        yield Connection()
        return
    job, index = cluster.task
    own = cluster.addresses[cluster.worker]
    _refuse_other_machine(cluster)
    if _answers(own):
        raise UserError(f"{cluster.named(cluster.worker)}: another program has this port already")
    try:
        server = tf.train.Server(
            tf.train.ClusterSpec(cluster.jobs), job_name=job, task_index=index, config=config
        )
    except tf.errors.OpError as error:
        raise UserError(
            f"{cluster.named(cluster.worker)}: this address cannot be used ({error.message})"
        ) from None
    _wait_for_all(cluster)
    watch = PeerWatch(cluster)
    try:
        yield Connection(server.target, watch)
    except UserError:
        watch.stay_until_seen()
        raise
    else:
        watch.stay_until_seen()
    finally:
        watch.close()


def _refuse_other_machine(cluster: Cluster) -> None:
    """Refuses an address of another machine: the server would start, and nobody would find it."""
    host = _place(cluster.addresses[cluster.worker]).host
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)
    except OSError:
        return  # a name that is known later, such as of a pod that has just started
    if not any(_is_own(family, address) for family, _, _, _, address in found):
        raise UserError(
            f"{cluster.named(cluster.worker)}: this is no address of this machine: check "
            f'"index" in {VARIABLE}, or name the address that this machine has'
        )


def _is_own(family: int, address: Any) -> bool:
    try:
        with socket.socket(family, socket.SOCK_STREAM) as one:
            one.bind(address)
    except OSError as error:
        return error.errno != errno.EADDRNOTAVAIL
    return True


def _wait_for_all(cluster: Cluster) -> None:
    start = reported = time.monotonic()
    while missing := cluster.silent():
        names = ", ".join(map(cluster.named, missing))
        now = time.monotonic()
        if now - start > _LONGEST_START:
            raise UserError(
                f"{names} did not start within {_LONGEST_START:.0f} s: start all processes with "
                "the same command, and let the hosts reach each other's ports"
            )
        if now - reported > _REPORT_EVERY or reported == start:
            print(f"waiting for {names}", flush=True)
            reported = now
        time.sleep(0.5)


class PeerWatch(tf.train.SessionRunHook):
    """Notices, while a `Session.run` call or a new session waits, that another process has gone.

    A process that ends closes its connections, and the call of every other process fails. A host
    that vanishes from the network closes nothing, and a process that refuses its part before it has
    a session has no connection: a thread here connects to every process now and then, and ends this
    process where it would wait forever.
    """

    def __init__(self, cluster: Cluster) -> None:
        """Starts the thread."""
        self._cluster = cluster
        self._met = time.monotonic()
        self._had_session = False
        self._in_call = False
        self._ended = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def begin(self) -> None:
        """A session is about to be made, which waits for all processes."""
        self._in_call = True

    def after_create_session(self, session: tf.Session, coord: tf.train.Coordinator) -> None:
        """The session has been made, and all processes are in it."""
        self._had_session = True
        self._in_call = False

    def before_run(self, run_context: tf.train.SessionRunContext) -> None:
        """A call begins."""
        self._in_call = True

    def after_run(self, run_context: tf.train.SessionRunContext, run_values: Any) -> None:
        """A call has ended."""
        self._in_call = False

    def stay_until_seen(self) -> None:
        """Waits until all others have seen this process: they would wait for it to start."""
        if not self._had_session:
            time.sleep(max(0, self._met + _SEEN_WITHIN - time.monotonic()))

    def close(self) -> None:
        """Ends the thread."""
        self._ended.set()

    def why(self) -> str | None:
        """Says which processes have gone, after a call has failed; None if all of them answer."""
        for _ in range(2 * _PROBES):  # a process that has just failed may not have ended yet
            if silent := self._cluster.silent():
                return self._gone(silent)
            time.sleep(1)
        return None

    def _gone(self, silent: Sequence[int]) -> str:
        names = ", ".join(map(self._cluster.named, silent))
        return f"{names} {'do' if len(silent) > 1 else 'does'} not answer any more"

    def _watch(self) -> None:
        misses: dict[int, int] = {}
        while not self._ended.wait(_PROBE_EVERY):
            silent = self._cluster.silent()
            misses = {worker: misses.get(worker, 0) + 1 for worker in silent}
            gone = [worker for worker, count in misses.items() if count >= _PROBES]
            if gone and self._in_call and not self._ended.wait(_STEP_MAY_END) and self._in_call:
                self._end(self._gone(gone))

    def _end(self, reason: str) -> NoReturn:
        text = (
            f"{reason}: its own output says why; start all processes again with the same command\n"
        )
        print(f"{Path(sys.argv[0]).name}: {text}", end="", file=sys.stderr, flush=True)
        os._exit(2)


def _place(address: str) -> HostPort:
    place = read_host_port(address)
    assert place is not None  # `read_cluster` refuses others
    return place


def _answers(address: str) -> bool:
    try:
        socket.create_connection(_place(address), _ANSWER_WITHIN).close()
    except OSError:
        return False
    return True
