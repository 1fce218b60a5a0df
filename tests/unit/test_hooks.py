"""What a run records, above all when it is cut off."""

import json

import pytest
import tensorflow.compat.v1 as tf

from p2p_graph.errors import reason_of
from p2p_graph.hooks import LOSSES_FILE, RecordLosses
from p2p_graph.model import Model
from p2p_graph.stepping import Plan, Run
from p2p_graph.updates import Losses


def lines(folder):
    return (folder / LOSSES_FILE).read_text().splitlines()


def record(step):
    return json.dumps({"step": step, "epoch": 1, "discrim_loss": 0.5})


def test_a_run_that_is_cut_off_at_once_keeps_its_record(tmp_path):
    """Nothing is closed or flushed here, as when the process is killed."""
    (tmp_path / LOSSES_FILE).write_text("".join(record(step) + "\n" for step in (1, 2, 3, 4)))
    hooks = []
    for _ in range(2):
        with tf.Graph().as_default():
            losses = Losses(*(tf.zeros([0]) for _ in Losses._fields))
            model = Model(*[None] * len(Model._fields))._replace(losses=Losses(*[tf.zeros([])] * 3))
            run = Run(model, None, losses, None)
            hooks.append(RecordLosses(run, tmp_path, {}, 5, Plan(10)))
        hooks[-1].begin_at(3)
        assert lines(tmp_path) == [record(step) for step in (1, 2, 3)]
    for hook in hooks:
        hook.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == [LOSSES_FILE]


def test_reasons_of_tensorflows_errors(tmp_path):
    missing = tmp_path / "a.png"
    with tf.Graph().as_default(), tf.Session() as session:
        cases = {
            tf.io.read_file(str(missing)): f"{missing}; No such file or directory",
            tf.io.decode_png(b"no"): "Unknown image file format. ",
            tf.ensure_shape(tf.placeholder_with_default([1], None), [2]): "Shape of tensor ",
        }
        data = tf.data.Dataset.range(1).map(lambda _: tf.io.read_file(str(missing)))
        cases[tf.data.make_one_shot_iterator(data).get_next()] = f"{missing}; No such file"
        for fetch, said in cases.items():
            with pytest.raises(tf.errors.OpError) as caught:
                session.run(fetch)
            assert reason_of(caught.value).startswith(said)
            assert "\n" not in reason_of(caught.value)


def test_reasons_of_other_errors():
    assert reason_of(ValueError("no\nmore")) == "no"
    assert reason_of(RuntimeError()) == "RuntimeError"
