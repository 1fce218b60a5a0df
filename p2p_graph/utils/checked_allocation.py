"""Memory: large arrays are refused before they are allocated."""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from p2p_graph.utils.outside_files import UnreadableError

_SYSTEM = Path("/proc/meminfo")
_FREE = re.compile(r"^(?:MemAvailable|SwapFree): +(\d+) kB$", re.MULTILINE)
# A container's limit, what the container uses, and how much of that are files, which make room
# when they have to: control groups of version 2, and of version 1.
_CONTAINERS = (
    ("memory.max", "memory.current", r"^(?:in)?active_file (\d+)$"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", r"^total_.*ve_file (\d+)$"),
)
_GROUPS = Path("/sys/fs/cgroup")


def allocate(
    shape: Sequence[int], dtype: "np.typing.DTypeLike", *, besides: int = 0
) -> "np.ndarray[Any, Any]":
    """Makes an uninitialised array if there is memory for it.

    A system that promises more memory than it has would otherwise end the program later.

    Args:
      shape: of the array.
      dtype: of the array.
      besides: bytes that are needed at the same time.

    Raises:
      UnreadableError: there is less memory.
    """
    count = math.prod(shape) * np.dtype(dtype).itemsize
    require_memory(count + besides)
    try:
        return np.empty(shape, dtype)
    except (MemoryError, ValueError):  # ValueError: larger than any memory
        raise UnreadableError(f"takes {count / 1e9:,.1f} GB of memory") from None


def require_memory(count: int) -> None:
    """Checks that `count` bytes can be allocated, where the system tells.

    Raises:
      UnreadableError: there is less memory.
    """
    free = available()
    if free is not None and count > free:
        raise UnreadableError(
            f"takes {count / 1e9:,.1f} GB of memory, and {free / 1e9:,.1f} GB are free"
        )


def available() -> int | None:
    """Bytes that can be allocated, swap included; None where the system does not tell."""
    try:
        free = 1024 * sum(map(int, _FREE.findall(_SYSTEM.read_text(encoding="ascii"))))
    except (OSError, ValueError):
        return None
    rooms = [_room_in_container(*names) for names in _CONTAINERS]
    return int(max(0, min(free, *rooms)))


def _room_in_container(limit: str, used: str, files: str) -> float:
    """Bytes that this process's control group may still use; infinity if there is no limit."""
    try:
        room = int((_GROUPS / limit).read_text()) - int((_GROUPS / used).read_text())
        text = (_GROUPS / limit).with_name("memory.stat").read_text()
    except (OSError, ValueError):  # another version, or "max"
        return float("inf")
    return room + sum(map(int, re.findall(files, text, re.MULTILINE)))
