"""Signals within `raised` and `held`; tests/cli/test_signals.py has those during imports."""

import concurrent.futures
import contextlib
import signal
import subprocess
import sys
import threading

import pytest

from p2p_graph.utils import signals
from p2p_graph.utils.signals import Interrupted, StopSignals, held, raised, wait_for


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


def test_other_threads_hold_nothing():
    """The main thread, which alone runs handlers, is not in their contexts."""
    done, entered, ended = [], threading.Event(), threading.Event()

    def hold():
        with held():
            entered.set()
            ended.wait()

    def work():
        thread = threading.Thread(target=hold)
        thread.start()
        entered.wait()
        try:
            signal.raise_signal(signal.SIGTERM)
            done.append("after")
        finally:
            ended.set()
            thread.join()

    assert number_raised(work) == signal.SIGTERM
    assert not done


def test_a_signal_that_another_thread_takes():
    """The main thread waits meanwhile, and is not woken by it."""
    begun, ended = threading.Event(), threading.Event()

    def take():
        begun.wait()
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
        ended.wait(10)

    def work():
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            taking = pool.submit(take)
            begun.set()
            try:
                wait_for([taking])
            finally:
                was_done.append(taking.done())
                ended.set()

    was_done = []
    assert number_raised(work) == signal.SIGTERM
    assert was_done == [False]


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


def ends(code):
    """Runs Python code that begins with the call of `handle`: exit code, stdout, stderr."""
    names = "handle, held, raised, report_ending"
    start = f"import os, signal\nfrom p2p_graph.utils.signals import {names}\n"
    done = subprocess.run(
        [sys.executable, "-c", start + code],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout, done.stderr


def test_a_second_held_signal_ends_the_process():
    code = (
        "handle()\nwith raised(), held():\n"
        "    signal.raise_signal(signal.SIGTERM)\n    print('held', flush=True)\n"
        "    signal.raise_signal(signal.SIGTERM)\n    print('after', flush=True)\n"
    )
    assert ends(code)[:2] == (-signal.SIGTERM, "held\n")


@pytest.mark.parametrize("numbers", [("TERM", "HUP"), ("INT", "HUP"), ("TERM", "INT", "HUP")])
def test_signals_that_come_together_are_one(numbers):
    """They wait while Python code runs that handles none, as in the first one's handler."""
    kills = "".join(f"    os.kill(os.getpid(), signal.SIG{name})\n" for name in numbers)
    code = (
        "handle()\ntry:\n  with raised():\n"
        "    signal.pthread_sigmask(signal.SIG_BLOCK, {1, 2, 15})\n"
        f"{kills}    signal.pthread_sigmask(signal.SIG_UNBLOCK, {{1, 2, 15}})\n"
        "    for _ in range(10**6): pass\n    print('after')\n"
        "except KeyboardInterrupt as error:\n"
        "  for _ in range(10**6): pass\n  os._exit(report_ending(error))\n"
    )
    code, out, err = ends(code)
    assert (out, err.count("\n")) == ("", 1)
    assert code in [128 + signal.Signals[f"SIG{name}"] for name in numbers]
    assert err in ("interrupted\n", "stopped by SIGTERM\n", "stopped by SIGHUP\n")


def test_a_third_signal_ends_the_process():
    code = (
        "handle()\nwith raised(), held():\n"
        "    signal.raise_signal(signal.SIGTERM)\n    signal.raise_signal(signal.SIGHUP)\n"
        "    print('held', flush=True)\n"
        "    signal.raise_signal(signal.SIGINT)\n    print('after', flush=True)\n"
    )
    assert ends(code) == (-signal.SIGINT, "held\n", "")


def test_a_silent_process_leaves_the_line_to_its_parent():
    code = "handle(silent=True)\nhandle()\nsignal.raise_signal(signal.SIGTERM)\n"
    code, _, err = ends(code)
    assert (code, err) == (128 + signal.SIGTERM, "")
