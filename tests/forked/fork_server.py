"""The server's side of `forked_programs`: it imports once, and forks for every run."""

import atexit
import contextlib
import faulthandler
import gc
import importlib
import os
import pkgutil
import re
import resource
import select
import signal
import socket
import sys
import tempfile
import threading
import time
import traceback
import warnings
from multiprocessing.connection import Connection
from pathlib import Path

from p2p_graph.utils.errors import UserError

from .verdicts import (
    ACCEPTED,
    FAILED,
    REFUSED,
    Answer,
    Run,
    answer_of_refusal,
    failed,
    failure_of,
    place_in_dump,
)

_LARGEST_FILE = 2**30  # bytes
_CALLS_OF_A_WORKER = 500  # so that what TensorFlow never frees does not add up
# Python shows no warnings of these kinds by default.
_HIDDEN_WARNINGS = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)


class _Worker:
    """A fork that calls functions, as seen by the server."""

    def __init__(self, memory):
        ours, theirs = socket.socketpair()
        self._dump = tempfile.TemporaryFile()  # noqa: SIM115  closed with the worker
        self.calls = 0
        self._pid = os.fork()
        if not self._pid:
            with _no_return():
                ours.close()
                _limit(memory)
                _answer_calls(Connection(theirs.detach()), self._dump, memory)
        theirs.close()
        self._connection = Connection(ours.detach())

    def call(self, function, args, seconds):
        self.calls += 1
        self._connection.send((function, args, seconds))
        if self._connection.poll(seconds):
            try:
                return self._connection.recv()
            except EOFError:
                return self._death()
        self.close()
        self._dump.seek(0)
        dump = self._dump.read().decode(errors="replace")
        return failed(f"hangs in {place_in_dump(dump)}", dump)

    def close(self):
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
        self._pid = 0

    def alive(self):
        return bool(self._pid)

    def _death(self):
        _, status = os.waitpid(self._pid, 0)
        self._pid = 0
        self._dump.seek(0)
        dump = self._dump.read().decode(errors="replace")
        if os.WIFSIGNALED(status):
            return failed(f"killed by signal {os.WTERMSIG(status)}", dump)
        return failed("ends the process", dump)


def serve(handle):
    """Answers requests until the client closes the connection, a socket's descriptor."""
    _import_all()
    connection = Connection(handle)
    worker = None
    while True:
        try:
            kind, request = connection.recv()
        except EOFError:
            break
        if kind == "run":
            connection.send(_run(*request))
            continue
        function, args, seconds, memory = request
        if worker and worker.calls >= _CALLS_OF_A_WORKER:
            worker.close()
        if not worker or not worker.alive():
            worker = _Worker(memory)
        connection.send(worker.call(function, args, seconds))
    if worker:
        worker.close()


def _run(program, argv, folder, seconds, memory, before=None, kill_after=None):
    """Runs a program in a fork; returns its `Run`."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        start = time.monotonic()
        pid = os.fork()
        if not pid:
            with _no_return():
                os.setsid()  # its own processes end with it
                _limit(memory)
                os.chdir(folder)
                _redirect(out, err)
                if before:  # while the process has one thread, and may be forked again
                    function, *args = before
                    _find(function)(*args)
                faulthandler.dump_traceback_later(seconds * 0.9, file=err)
                run_program(program, argv)
        if kill_after is not None and not _ends(pid, kill_after):
            os.kill(pid, signal.SIGKILL)
        timed_out = not _ends(pid, seconds)
        if timed_out:
            os.kill(pid, signal.SIGTERM)
            if not _ends(pid, 1 + seconds / 10):
                os.kill(pid, signal.SIGKILL)
        _, status, usage = os.wait4(pid, 0)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read(2**20).decode(errors="backslashreplace"))
        code = os.waitstatus_to_exitcode(status)
        return Run(argv, code, *texts, time.monotonic() - start, usage.ru_maxrss * 1024, timed_out)


def run_program(program, argv):
    """Runs a program's entry point, and ends this process as the interpreter would end."""
    sys.argv = argv
    code = 0
    try:
        importlib.import_module(f"p2p_graph.cli.{program}").run()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    # The end of the interpreter itself would free all of TensorFlow's modules, which takes longer
    # than most runs.
    threading._shutdown()
    atexit._run_exitfuncs()
    faulthandler.cancel_dump_traceback_later()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(code & 0xFF)


def _redirect(out, err):
    """Makes stdin empty, and stdout and stderr two files."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (out.fileno(), 1), (err.fileno(), 2)):
        os.dup2(source, target)


@contextlib.contextmanager
def _no_return():
    """Ends the process at the end of the block: a fork never goes on with the server's work."""
    try:
        yield
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(70)


def _ends(pid, seconds):
    """Waits for a process; returns whether it ended in time. It is still to be waited for."""
    handle = os.pidfd_open(pid)
    try:
        return bool(select.select([handle], [], [], seconds)[0])
    finally:
        os.close(handle)


def _limit(memory):
    """Limits this process's memory and files; it leaves no core file."""
    allowed = _status("VmData") + memory
    resource.setrlimit(resource.RLIMIT_DATA, (allowed, allowed))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_LARGEST_FILE, _LARGEST_FILE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _status(name):
    """One of this process's figures in /proc/self/status, in bytes."""
    text = Path("/proc/self/status").read_text()
    return int(re.search(rf"^{name}:\s+(\d+) kB$", text, re.MULTILINE)[1]) * 1024


def _answer_calls(connection, dump, memory):
    """Calls functions until the server closes the connection."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for target in (0, 1, 2):
        os.dup2(nothing, target)
    while True:
        try:
            function, args, seconds = connection.recv()
        except EOFError:
            return
        dump.seek(0)
        dump.truncate()
        faulthandler.enable(dump)
        faulthandler.dump_traceback_later(seconds * 0.9, file=dump)
        answer = _call(function, args, memory)
        faulthandler.cancel_dump_traceback_later()
        connection.send(answer)


def _call(function, args, memory):
    """Calls a function; returns its `Answer`."""
    Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM
    before = _status("VmRSS")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for category in _HIDDEN_WARNINGS:
            warnings.simplefilter("ignore", category)
        answer = _answer_of(function, args)
    used = _status("VmHWM") - before
    if answer.kind != FAILED and used > memory:
        return failed("takes too much memory", f"{used / 2**20:.0f} MiB")
    if answer.kind != FAILED and caught:
        first = caught[0]
        return failed(f"prints a {first.category.__name__}", str(first.message))
    return answer


def _find(function):
    """The function that `module:function` names."""
    module, _, name = function.partition(":")
    return getattr(importlib.import_module(module), name)


def _answer_of(function, args):
    try:
        _find(function)(*args)
    except UserError as error:
        return answer_of_refusal(str(error))
    except MemoryError:
        return Answer(REFUSED, "not enough memory")
    except OSError as error:
        if error.errno is None:
            return failure_of(error)
        return Answer(REFUSED, f"{error.filename}: {os.strerror(error.errno)}")
    except BaseException as error:
        return failure_of(error)
    return Answer(ACCEPTED)


def _import_all():
    """Imports TensorFlow and every module of the package."""
    import tensorflow.compat.v1  # noqa: F401

    import p2p_graph

    for module in pkgutil.walk_packages(p2p_graph.__path__, "p2p_graph."):
        importlib.import_module(module.name)
    gc.collect()
    gc.freeze()  # forks share what is not touched
