"""The losses that a run logs, also when it is killed."""

import errno
import io
import json
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from p2p_graph.training.hooks.loss_check import CheckLosses
from p2p_graph.training.hooks.losses_log import LOSSES_FILE, LogLosses
from p2p_graph.training.session_calls import Schedule, SessionCall
from p2p_graph.utils.errors import UserError, one_line_reason


def lines(folder):
    return (folder / LOSSES_FILE).read_text().splitlines()


def record(step):
    return json.dumps({"step": step, "epoch": 1, "discrim_loss": 0.5})


def test_killed_run_keeps_its_losses(tmp_path):
    """Nothing is closed or flushed here, as when the process is killed."""
    (tmp_path / LOSSES_FILE).write_text("".join(record(step) + "\n" for step in (1, 2, 3, 4)))
    hooks = []
    for _ in range(2):
        with tf.Graph().as_default():
            hooks.append(LogLosses(call_of(1, 1), tmp_path, 5, Schedule(10)))
        hooks[-1].begin_at(3)
        assert lines(tmp_path) == [record(step) for step in (1, 2, 3)]
    for hook in hooks:
        hook.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == [LOSSES_FILE]


def call_of(count, batch_size):
    """A `Session.run` call of `count` steps that computes nothing."""
    return SessionCall(None, None, tf.zeros([count, 3]), tf.constant([[""] * batch_size] * count))


def test_losses_that_are_not_finite_within_a_call(tmp_path):
    """The message names the step within the call, and its images."""
    with tf.Graph().as_default():
        checking = CheckLosses(call_of(3, 2), tmp_path, Schedule(12, 3))
        losses = np.ones([3, 3])
        results = {"losses": losses, "paths": np.array([[b"a", b"b"], [b"c", b"d"], [b"e", b"f"]])}
        checking.report(9, SimpleNamespace(results=results), None)
        losses[1, 2] = np.nan
        with pytest.raises(UserError, match=r"losses of step 8 .*gen_loss_L1 nan\) on c, d;"):
            checking.report(9, SimpleNamespace(results=results), None)


def losses_of_a_step(value=0.5):
    return SimpleNamespace(results=np.full([1, 3], value))


def test_losses_that_cannot_be_written(tmp_path):
    """The message names the file, and closing it is no second error."""
    resource = pytest.importorskip("resource", reason="a limit for files needs Unix")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with tf.Graph().as_default():
        hook = LogLosses(call_of(1, 1), tmp_path, 5, Schedule(10))
    hook.begin_at(0)
    hook.report(1, losses_of_a_step(), None)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        with pytest.raises(UserError) as caught:
            hook.end(None)
        hook.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert str(caught.value) == f"{tmp_path / LOSSES_FILE} cannot be written: File too large"


def test_a_disk_that_is_full_only_when_a_file_is_closed(tmp_path, monkeypatch):
    """The error comes before the checkpoint is saved, and later lines are written again."""

    class Unclosable(io.StringIO):
        def close(self):
            if not self.closed:
                super().close()
                raise OSError(errno.EDQUOT, "Disk quota exceeded")

    with tf.Graph().as_default():
        hook = LogLosses(call_of(1, 1), tmp_path, 5, Schedule(10))
    hook.begin_at(0)
    with monkeypatch.context() as full:
        full.setattr(Path, "open", lambda *args, **kwargs: Unclosable())
        hook.report(1, losses_of_a_step(), None)
        with pytest.raises(
            UserError, match=r"losses\.jsonl cannot be written: Disk quota exceeded"
        ):
            hook.flush()
    hook.report(2, losses_of_a_step(), None)
    hook.flush()
    assert [json.loads(line)["step"] for line in lines(tmp_path)] == [2]
    hook.close()


def test_a_log_that_an_editor_has_saved_with_a_byte_order_mark(tmp_path):
    (tmp_path / LOSSES_FILE).write_text(record(1) + "\n", encoding="utf-8-sig")
    with tf.Graph().as_default():
        hook = LogLosses(call_of(1, 1), tmp_path, 5, Schedule(10))
    hook.begin_at(1)
    hook.close()
    assert lines(tmp_path) == [record(1)]


def test_a_log_that_is_no_text(tmp_path):
    """What is a line of a step stays; a FIFO is refused by name."""
    path = tmp_path / LOSSES_FILE
    path.write_bytes(record(1).encode() + b"\n\xff\xfe\n")
    with tf.Graph().as_default():
        hook = LogLosses(call_of(1, 1), tmp_path, 5, Schedule(10))
        hook.begin_at(1)
        hook.close()
        assert lines(tmp_path) == [record(1)]
        path.unlink()
        os.mkfifo(path)
        with pytest.raises(UserError, match=r"losses\.jsonl is a FIFO, not a regular file"):
            LogLosses(call_of(1, 1), tmp_path, 5, Schedule(10))


def test_reasons_of_tensorflows_errors(tmp_path):
    missing_file = tmp_path / "a.png"
    with tf.Graph().as_default(), tf.Session() as session:
        cases = {
            tf.io.read_file(str(missing_file)): f"{missing_file}; No such file or directory",
            tf.io.decode_png(b"no"): "Unknown image file format. ",
            tf.ensure_shape(tf.placeholder_with_default([1], None), [2]): "Shape of tensor ",
        }
        data = tf.data.Dataset.range(1).map(lambda _: tf.io.read_file(str(missing_file)))
        cases[tf.data.make_one_shot_iterator(data).get_next()] = f"{missing_file}; No such file"
        for fetch, reason in cases.items():
            with pytest.raises(tf.errors.OpError) as caught:
                session.run(fetch)
            assert one_line_reason(caught.value).startswith(reason)
            assert "\n" not in one_line_reason(caught.value)


def test_reasons_of_other_errors():
    assert one_line_reason(ValueError("no\nmore")) == "no"
    assert one_line_reason(RuntimeError()) == "RuntimeError"
