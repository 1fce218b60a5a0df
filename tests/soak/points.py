"""The points at which a program touches its files, wrapped in its forked process.

`arm` is what a fork calls before its program. From then on each call that changes something below a
folder is a point with a name: the operation, and the path. At a point the process can write the
name down (a trace), or suffer a fault. A trace of an undisturbed run is what faults are drawn from.
"""

import builtins
import contextlib
import errno
import functools
import importlib
import io
import multiprocessing
import os
import re
import resource
import signal
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

from ..forked import fork_server

ANY = "*"
_EVENTS = re.compile(r"tfevents\..*")  # with the time and the machine's name
BEFORE, HALF, AFTER = "before", "half", "after"
KILL = 0
# Bytes of a checkpoint's data after which a write by TensorFlow ends: less than the smallest has.
_HALF_OF_DATA = 2000


class Fault(NamedTuple):
    """What happens at a point.

    Attributes:
      operation: of the point; ANY for any.
      path: of the point, relative to the folder; ANY for any.
      count: of the points of this operation and path, the n-th has the fault; where it is an error,
        all later ones have it, too.
      when: BEFORE the call, AFTER it, or with HALF of it done.
      error: the number of the error that the call raises; KILL ends the process with SIGKILL.
    """

    operation: str
    path: str
    count: int
    when: str
    error: int = KILL

    def __str__(self):
        name = errno.errorcode[self.error] if self.error else "SIGKILL"
        return f"{name} {self.when} {self.operation} {self.path} ({self.count})"


class _Points:
    """The points of this process."""

    def __init__(self, folder, fault, trace, listener):
        self._folder = f"{os.path.realpath(folder)}{os.sep}"
        self._fault, self._listener, self._seen = fault, listener, 0
        self._trace = trace and os.open(trace, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._lock = threading.Lock()

    def name_of(self, path):
        """A path relative to the folder; None outside of it."""
        path = Path(os.fsdecode(path))
        full = str(path.parent.resolve() / path.name)
        if not full.startswith(self._folder):
            return None
        return _EVENTS.sub("tfevents", full.removeprefix(self._folder))

    def call(self, operation, path, function, half=None):
        """Calls a function, with a fault if this is the point for it.

        Args:
          operation: of the point.
          path: of the point, absolute or relative to the current folder.
          function: what is called.
          half: does a half of what `function` does; None where there is no half.
        """
        name = self.name_of(path)
        if name is None:
            return function()
        when = self._arrive(operation, name)
        if when == BEFORE or (when == HALF and half is None):
            self._strike()
        elif when == HALF:
            half()
            self._strike()
        result = function()
        if when == AFTER:
            self._strike()
        return result

    def step(self, number):
        """A training step is done."""
        if self._listener:
            self._listener(number)
        if self._arrive("step", str(number)):
            self._strike()

    @property
    def kills(self):
        return self._fault is not None and self._fault.error == KILL

    def _arrive(self, operation, name):
        """Notes a point; returns when its fault comes, or an empty text."""
        with self._lock:
            if self._trace:
                room = os.statvfs(self._folder)
                used = (room.f_blocks - room.f_bfree) * room.f_frsize
                os.write(self._trace, f"{operation}\t{name}\t{used}\n".encode())
            fault = self._fault
            if fault is None or fault.operation not in (ANY, operation):
                return ""
            if fault.path not in (ANY, name):
                return ""
            self._seen += 1
            # A disk that fails goes on to fail: a second way to write the same file is no way out.
            is_here = self._seen == fault.count or (fault.error and self._seen > fault.count)
            return fault.when if is_here else ""

    def _strike(self):
        if self._fault.error == KILL:
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)
        raise OSError(self._fault.error, os.strerror(self._fault.error))


def prepare(program, settings, armed):
    """Gives constants of modules other values, then calls `arm`.

    Args:
      program: the name of the program that will run.
      settings: (module, name, value) of each.
      armed: the arguments of `arm`.
    """
    for module, name, value in settings:
        setattr(importlib.import_module(module), name, value)
    arm(program, *armed)


def arm(program, folder, fault=None, trace=None, listener=None):
    """Wraps the calls of this process that change something below a folder.

    Args:
      program: the name of the program that will run.
      folder: that the program writes to; it may be missing.
      fault: a `Fault`; None for none.
      trace: a file to which a line is added at each point: operation, path, and how many bytes
        the folder's disk then holds; None for none.
      listener: a function `module:function` and its first arguments, called after each training
        step with its number; None for none.
    """
    points = _Points(folder, fault and Fault(*fault), trace, _called(listener))
    _wrap_paths(points)
    _wrap_files(points)
    _wrap_tensorflow(points)
    _wrap_steps(points)
    if program == "reproduce":
        _wrap_children()


def _called(listener):
    if listener is None:
        return None
    function, *args = listener
    module, _, name = function.partition(":")
    return functools.partial(getattr(importlib.import_module(module), name), *args)


# --- the operating system's calls


def _wrap_paths(points):
    def of_one(name):
        original = getattr(os, name)

        def call(path, *args, dir_fd=None, **kwargs):
            if dir_fd is not None:
                kwargs["dir_fd"] = dir_fd
            shown = path if dir_fd is None else _path_of(dir_fd) / path
            if name == "mkdir" and Path(os.fsdecode(shown)).is_dir():
                return original(path, *args, **kwargs)  # changes nothing: no disk makes it fail
            return points.call(name, shown, lambda: original(path, *args, **kwargs))

        return call

    def of_two(name):
        original = getattr(os, name)

        def call(source, target, **kwargs):
            def half():
                if Path(source).is_file():
                    os.truncate(source, Path(source).stat().st_size // 2)

            return points.call(name, target, lambda: original(source, target, **kwargs), half)

        return call

    def fsync(handle):
        handle = handle if isinstance(handle, int) else handle.fileno()
        return points.call("fsync", _path_of(handle), lambda: original_fsync(handle))

    def sendfile(target, source, offset, count):
        def half():
            original_sendfile(target, source, 0, os.fstat(source).st_size // 2)

        call = lambda: original_sendfile(target, source, offset, count)  # noqa: E731
        return points.call("write", _path_of(target), call, half)

    for name in ("unlink", "remove", "mkdir", "rmdir"):
        setattr(os, name, of_one(name))
    for name in ("rename", "replace"):
        setattr(os, name, of_two(name))
    original_fsync, original_sendfile = os.fsync, os.sendfile
    os.fsync, os.sendfile = fsync, sendfile


def _path_of(handle):
    return Path(f"/proc/self/fd/{handle}").readlink()


# --- Python's files


def _wrap_files(points):
    original = io.open

    class Watched(io.FileIO):
        """A file whose writes and whose end are points."""

        def write(self, data):
            data = memoryview(data).cast("B")

            def half():
                super(Watched, self).write(data[: len(data) // 2])

            return points.call("write", self.name, lambda: super(Watched, self).write(data), half)

        def close(self):
            if self.closed:
                return
            name = self.name
            points.call("close", name, super().close, super().close)

    def watched_open(
        file,
        mode="r",
        buffering=-1,
        encoding=None,
        errors=None,
        newline=None,
        closefd=True,
        opener=None,
    ):
        is_path = isinstance(file, (str, bytes, os.PathLike))
        if not set(mode) & set("wax+") or not is_path or points.name_of(file) is None:
            return original(file, mode, buffering, encoding, errors, newline, closefd, opener)
        raw = Watched(os.fspath(file), mode.replace("b", "").replace("t", ""), closefd, opener)
        if buffering == 0:
            return raw
        buffer = (io.BufferedRandom if "+" in mode else io.BufferedWriter)(raw)
        if "b" in mode:
            return buffer
        text = io.TextIOWrapper(buffer, encoding, errors, newline, line_buffering=buffering == 1)
        text.mode = mode
        return text

    io.open = builtins.open = watched_open


# --- TensorFlow's files


def _wrap_tensorflow(points):
    import tensorflow.compat.v1 as tf

    saver, writer = tf.train.Saver, tf.io.TFRecordWriter
    save, begin = saver.save, writer.__init__

    def limited_save(self, session, path, **kwargs):
        def half():
            with _small_files(killed=points.kills):
                save(self, session, path, **kwargs)

        return points.call("save", path, lambda: save(self, session, path, **kwargs), half)

    def begin_writer(self, path, *args, **kwargs):
        self.watched_path = path
        begin(self, path, *args, **kwargs)

    def wrapped(name):
        original = getattr(writer, name)

        def call(self, *args):
            return points.call(name, self.watched_path, lambda: original(self, *args))

        return call

    saver.save, writer.__init__ = limited_save, begin_writer
    for name in ("write", "flush", "close"):
        setattr(writer, name, wrapped(name))


@contextlib.contextmanager
def _small_files(killed):
    """Ends each write of a file at `_HALF_OF_DATA`: by a signal that kills, or by an error."""
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    if killed:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_FSIZE, (_HALF_OF_DATA, former[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)


def _wrap_steps(points):
    from p2p_graph.training.hooks.losses_log import LogLosses

    report = LogLosses.report

    def watched(self, step, values, session):
        report(self, step, values, session)
        points.step(step)

    LogLosses.report = watched


def _wrap_children():
    """Makes the programs that reproduce.py starts forks with the same points.

    They are forks of a process that is forked here, before TensorFlow has threads. It ends with
    this process, and its forks with it, by the same means as children of `run_program`.
    """
    from p2p_graph.utils import child_process

    ours, theirs = multiprocessing.Pipe()
    spawner = os.fork()
    if not spawner:
        ours.close()
        _end_with(child_process, os.getppid())
        with contextlib.suppress(EOFError):  # this process has ended
            while True:
                theirs.send(_run_fork(child_process, *theirs.recv()))
        os._exit(0)
    theirs.close()

    def run_program(command, *, on_line=None, stderr=None, env=None):
        # [Python, -m, p2p_graph.cli.PROGRAM, *flags]
        assert on_line is None, "only `reproduce --budget MINUTES` reads a child's lines"
        sys.stdout.flush()
        ours.send((command[2].rpartition(".")[2], command[3:]))
        code = ours.recv()
        return 128 - code if code < 0 else code

    child_process.run_program = run_program


def _end_with(child_process, parent):
    """Lets this process end with its parent."""
    os.environ[child_process._PARENT] = str(parent)
    child_process.end_with_parent()


def _run_fork(child_process, program, flags):
    """Runs a program in a fork of this process; returns its code."""
    os.environ[child_process._PARENT] = str(os.getpid())
    pid = os.fork()
    if not pid:
        fork_server.run_program(program, [f"tools/{program}.py", *flags])
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
