"""The number of cores that a process may use."""

import concurrent.futures
import os

import pytest

from p2p_graph.runtime import devices
from p2p_graph.utils.cores import available_cores


def test_all_cores_by_default():
    assert 1 <= available_cores() <= os.cpu_count()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux has affinities")
def test_cores_that_a_thread_may_not_use_do_not_count():
    def restricted():
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        return available_cores(), devices.choose("cpu").name

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        assert pool.submit(restricted).result() == (1, "CPU, 1 core")
