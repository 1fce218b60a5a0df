"""Signals within `raised` and `held`; tests/cli/test_signals.py has those during imports."""

import contextlib
import signal
import subprocess
import sys

import pytest

from p2p_graph.utils import signals
from p2p_graph.utils.signals import Interrupted, StopSignals, held, raised


@pytest.fixture(autouse=True)
def handled():
    signals.handle()


def number_raised(function):
    """Calls a function within `raised`; returns the number of the signal that ends it."""

    def run():
        with raised():
            function()

    with pytest.raises(Interrupted) as error:
        run()
    return error.value.number


def test_a_signal_is_raised_at_once():
    done = []

    def work():
        signal.raise_signal(signal.SIGTERM)
        done.append("after")

    assert number_raised(work) == signal.SIGTERM
    assert not done


def test_a_held_signal_is_raised_at_the_end():
    done = []

    def work():
        with held():
            with held():
                signal.raise_signal(signal.SIGINT)
                done.append("inner")
            done.append("outer")
        done.append("after")

    assert number_raised(work) == signal.SIGINT
    assert done == ["inner", "outer"]


def test_what_a_signal_causes_is_the_signal():
    """C++ code may replace an exception from a signal handler by another one."""

    def work():
        try:
            signal.raise_signal(signal.SIGTERM)
        except Interrupted:
            raise AttributeError("_type_spec") from None

    assert number_raised(work) == signal.SIGTERM


def test_other_exceptions_stay():
    with pytest.raises(AttributeError), raised():
        raise AttributeError("_type_spec")
    with raised(), held():
        pass


def test_a_lost_signal_stops_long_work_before_it_starts():
    """C++ code may also catch the exception."""

    def work():
        with contextlib.suppress(Interrupted):
            signal.raise_signal(signal.SIGTERM)
        StopSignals().take()

    assert number_raised(work) == signal.SIGTERM
    stop = StopSignals()
    with raised():
        stop.take()
        stop.give_back()


def test_a_signal_is_forgotten_after_raised():
    """What is built later, in the same process, is not ended by it."""
    assert number_raised(lambda: signal.raise_signal(signal.SIGTERM)) == signal.SIGTERM
    with held():
        pass
    stop = StopSignals()
    stop.take()
    stop.give_back()


def test_a_second_held_signal_ends_the_process():
    code = (
        "import signal\nfrom p2p_graph.utils.signals import handle, held, raised\nhandle()\n"
        "with raised(), held():\n"
        "    signal.raise_signal(signal.SIGTERM)\n    print('held', flush=True)\n"
        "    signal.raise_signal(signal.SIGTERM)\n    print('after', flush=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, "held\n")


def test_a_silent_process_leaves_the_line_to_its_parent():
    code = (
        "import signal\nfrom p2p_graph.utils.signals import handle\nhandle(silent=True)\n"
        "handle()\nsignal.raise_signal(signal.SIGTERM)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (128 + signal.SIGTERM, "")
