"""Refuses a run that needs far more memory than the machine has; reports a process's peak."""

import os
import sys

from p2p_graph.runtime.devices import Device
from p2p_graph.utils.errors import UserError

_HOPELESS = 4  # times the machine's memory
_OPTIONS_NEED = (
    "these options need about {needed} GB of memory, and this machine has {present} GB: try a "
    "smaller --batch_size, --crop_size or --ngf"
)


def check_memory(needed: int, device: Device, message: str = _OPTIONS_NEED) -> None:
    """Compares an estimate of memory with what the machine has, before a graph is built.

    Only a CPU is checked: TensorFlow does not report a GPU's memory without taking it.

    Args:
      needed: bytes.
      device: that the graph will run on.
      message: what is said if it has too little, with {needed} and {present} for gigabytes.

    Raises:
      UserError: four times what the machine has would not suffice. Where it has less than is
        needed, a line on stderr warns.
    """
    present = _machine_memory()
    if not device.is_cpu or present is None or needed <= present:
        return
    text = message.format(needed=f"{needed / 1e9:.0f}", present=f"{present / 1e9:.0f}")
    if needed > _HOPELESS * present:
        raise UserError(text)
    print(f"warning: {text}", file=sys.stderr)


def peak_memory() -> str:
    """The peak memory of this process in GB, or "not known" where the system does not report it."""
    try:
        import resource
    except ImportError:  # Windows
        return "not known"
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kilobytes elsewhere
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9:.2f} GB"


def _machine_memory() -> int | None:
    """The machine's memory in bytes, or None where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows; other systems without the names
        return None
