"""The number of cores that this process may use."""

import os


def available_cores() -> int:
    """The cores that this thread and those it starts may use.

    They are fewer than the machine's under `taskset`, in some jobs of clusters and containers, and
    in a row that tools/reproduce.py runs beside others. TensorFlow counts them in the same way.
    """
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return os.cpu_count() or 1
