"""Which device each of some rows at a time gets."""

import os

import pytest

from p2p_graph.reproduction.side_by_side import row_devices
from p2p_graph.utils.errors import UserError

GPUS = ["A", "B", "C"]
VARIABLE = "CUDA_VISIBLE_DEVICES"
needs_affinities = pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity"), reason="only Linux has affinities"
)


def visible(numbers, count):
    return [device.environment[VARIABLE] for device in row_devices.choose(GPUS, numbers, count)]


def test_a_gpu_each_and_more_rows_share_them_in_turn(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert visible((), 3) == ["0", "1", "2"]
    assert visible((), 2) == ["0", "1"]
    assert visible((), 5) == ["0", "1", "2", "0", "1"]
    assert visible((2, 0), 3) == ["2", "0", "2"]
    [device] = row_devices.choose(GPUS, (1,), 1)
    assert (device.name, device.gpu, device.cores) == ("GPU 1", 1, frozenset())


def test_numbers_count_the_gpus_that_this_process_sees(monkeypatch):
    monkeypatch.setenv(VARIABLE, "4, GPU-f00,6")
    assert visible((1, 2), 2) == ["GPU-f00", "6"]


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ([], "no GPU 2: TensorFlow finds none; --parallel alone divides the cores"),
        (["A"], "no GPU 2: TensorFlow finds 1 GPU, counted from 0 on"),
        (["A", "B"], "no GPU 2: TensorFlow finds 2 GPUs, counted from 0 on"),
    ],
)
def test_gpus_that_do_not_exist(found, message):
    with pytest.raises(UserError, match=f"^devices: there is {message}$"):
        row_devices.choose(found, (0, 2)[not found :], 2)


@needs_affinities
@pytest.mark.parametrize(
    ("cores", "count", "shares"),
    [
        ({0, 1}, 2, [{0}, {1}]),
        ({0, 1, 2, 3, 4}, 2, [{0, 1}, {2, 3, 4}]),
        ({2, 3, 8, 9}, 2, [{2, 3}, {8, 9}]),
        ({0, 1}, 1, [{0, 1}]),
        ({0, 1}, 4, [{0}, {0}, {1}, {1}]),
        ({3}, 2, [{3}, {3}]),
    ],
)
def test_cores_are_divided(monkeypatch, cores, count, shares):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: cores)
    found = row_devices.choose([], (), count)
    assert [device.cores for device in found] == shares
    assert all(not device.environment for device in found)


@needs_affinities
def test_cores_have_names(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 5, 7, 9})
    assert [device.name for device in row_devices.choose([], (), 2)] == [
        "cores 0 to 2",
        "cores 5, 7, 9",
    ]
    assert row_devices.choose([], (), 6)[3].name == "core 5"
