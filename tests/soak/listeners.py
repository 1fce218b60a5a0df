"""What a forked training run does after a step: for `arm`'s listener."""

import ctypes
import os
import shutil
import time
from pathlib import Path

_HOUR = 3600.0
_CAPABILITIES_3 = 0x20080522  # _LINUX_CAPABILITY_VERSION_3
_DAC_OVERRIDE, _DAC_READ_SEARCH = 1, 2
_PAGE = os.sysconf("SC_PAGE_SIZE")


def remove_folder(folder, at, step):
    """Removes the run's folder after a step."""
    if step == at:
        shutil.rmtree(folder)


def protect_folder(folder, at, step):
    """Takes the right to write into the run's folders after a step."""
    if step == at:
        for path in (Path(folder), *(path for path in Path(folder).rglob("*") if path.is_dir())):
            path.chmod(0o555)


def respect_modes(*prepared):
    """Gives up root's right to write anywhere, then prepares the points; for `before`.

    Capabilities are those of a thread, and threads that start later take them over.
    """
    header = (ctypes.c_uint32 * 2)(_CAPABILITIES_3, 0)
    data = (ctypes.c_uint32 * 6)()
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.capget(header, data) == 0
    for place in (0, 1):  # effective, permitted
        data[place] &= ~(1 << _DAC_OVERRIDE | 1 << _DAC_READ_SEARCH)
    assert libc.capset(header, data) == 0
    from .points import prepare

    prepare(*prepared)


def set_clock_back(at, step):
    """Sets the clock back by an hour after a step; the monotonic clock goes on."""
    if step != at:
        return
    now, now_ns, local = time.time, time.time_ns, time.localtime
    time.time = lambda: now() - _HOUR
    time.time_ns = lambda: now_ns() - int(_HOUR * 1e9)
    time.localtime = lambda seconds=None: local(now() - _HOUR if seconds is None else seconds)


def sample(path, every, step):
    """Notes the step, the resident memory in bytes and the number of open files."""
    if step % every:
        return
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE
    files = len(list(Path("/proc/self/fd").iterdir()))
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(f"{step} {resident} {files}\n")
