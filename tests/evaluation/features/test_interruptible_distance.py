"""The Fréchet distance of many features, in a process of its own."""

import os
import signal
import sys
import threading
import time

import numpy as np
import pytest

from p2p_graph.evaluation.features import interruptible_distance
from p2p_graph.metrics import fid
from p2p_graph.metrics.feature_moments import FeatureMoments
from p2p_graph.utils import child_process, signals
from p2p_graph.utils.errors import UserError


def moments_of(features):
    moments = FeatureMoments(features.shape[1])
    moments.add(features)
    return moments


def test_the_same_distance(rng):
    a, b = (moments_of(rng.normal(size=(20, 300))) for _ in range(2))
    found = interruptible_distance.frechet_distance(a, b)
    assert found == pytest.approx(fid.frechet_distance(a, b), rel=1e-9)


def test_its_errors_are_passed_on(rng):
    one = moments_of(rng.normal(size=(1, 300)))
    with pytest.raises(UserError, match="2 images at least in each set, not 1"):
        interruptible_distance.frechet_distance(one, one)


@pytest.mark.parametrize("number", signals.STOPPING)
def test_a_signal_ends_it(rng, monkeypatch, number):
    """A process that would take a minute stands for a large matrix root."""
    run = child_process.run_program
    slow = [sys.executable, "-c", "import time; time.sleep(60)"]
    monkeypatch.setattr(child_process, "run_program", lambda _, **more: run(slow, **more))
    a = moments_of(rng.normal(size=(20, 300)))
    main = threading.main_thread().ident
    sender = threading.Timer(1, signal.pthread_kill, [main, number])
    sender.start()
    start = time.monotonic()
    with pytest.raises(signals.Interrupted) as caught:
        interruptible_distance.frechet_distance(a, a)
    sender.join()
    assert caught.value.number == number
    assert time.monotonic() - start < 20


def test_the_process_itself_ends_at_once(rng, tmp_path):
    """Within SciPy's code, no handler of Python's would run."""
    for name in "ab":
        moments_of(rng.normal(size=(30, 1200))).save(tmp_path / f"{name}.npz")
    command = [sys.executable, "-m", interruptible_distance.__name__]
    environment = child_process.environment()
    pid = os.posix_spawn(
        sys.executable, [*command, str(tmp_path / "a.npz"), str(tmp_path / "b.npz")], environment
    )
    time.sleep(3)
    os.kill(pid, signal.SIGTERM)
    start = time.monotonic()
    _, status = os.waitpid(pid, 0)
    assert time.monotonic() - start < 2
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0  # a fast machine was done


def test_a_process_that_is_killed(rng, monkeypatch):
    monkeypatch.setattr(child_process, "run_program", lambda *args, **more: 128 + signal.SIGKILL)
    a = moments_of(rng.normal(size=(20, 300)))
    with pytest.raises(UserError, match=r"of 300 features was not computed \(exit code 137\): th"):
        interruptible_distance.frechet_distance(a, a)


def test_a_result_is_one_number(capsys, rng, tmp_path):
    moments = moments_of(np.asarray([[0.0, 1.0], [1.0, 3.0], [2.0, 0.0]]))
    moments.save(tmp_path / "a.npz")
    former = {number: signal.getsignal(number) for number in signals.STOPPING}
    interruptible_distance.main([str(tmp_path / "a.npz")] * 2)
    for number, handler in former.items():
        signal.signal(number, handler)
    assert capsys.readouterr().out.startswith('{"distance": ')
