"""A checkpoint that training replaces by a newer one while another program reads it."""

import itertools

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from p2p_graph.checkpoints import restore_checkpoint
from p2p_graph.utils.errors import UserError


def write(folder, step):
    """What training does: writes the checkpoint of a step, then removes the earlier one."""
    earlier = list(folder.glob("model-*"))
    with tf.Graph().as_default(), tf.Session() as session:
        written = tf.raw_ops.SaveV2(
            prefix=str(folder / f"model-{step}"),
            tensor_names=["global_step", "weight"],
            shape_and_slices=["", ""],
            tensors=[tf.constant(np.int64(step)), tf.constant(np.full(3, step, np.float32))],
        )
        session.run(written)
    (folder / "checkpoint").write_text(f'model_checkpoint_path: "model-{step}"\n')
    for path in earlier:
        path.unlink()


@pytest.fixture
def folder(tmp_path):
    """A folder with the checkpoint of step 3."""
    write(tmp_path, 3)
    return tmp_path


@pytest.fixture
def before(monkeypatch):
    """A function that lets something happen before each call of a function of TensorFlow."""

    def happen(owner, name, event):
        former = getattr(owner, name)

        def wrapped(*args, **named):
            event()
            return former(*args, **named)

        monkeypatch.setattr(owner, name, wrapped)

    return happen


def once(folder, step):
    """An event that happens once: the checkpoint of another step replaces the present one."""
    steps = iter([step])

    def event():
        for step in steps:
            write(folder, step)

    return event


def restored(checkpoint):
    """Restores the weight; returns it, and the checkpoint's step."""
    with tf.Graph().as_default(), tf.Session() as session:
        weight = tf.get_variable("weight", [3])
        checkpoint.restorer([weight])(session)
        return session.run(weight).tolist(), checkpoint.step()


def test_replaced_between_its_name_and_its_index(folder, before):
    before(tf.train, "load_checkpoint", once(folder, 7))
    found = restore_checkpoint.find(folder)
    assert (found.prefix.name, found.step()) == ("model-7", 7)


def test_replaced_before_it_is_restored(folder, before):
    before(tf.raw_ops, "RestoreV2", once(folder, 7))
    assert restore_checkpoint.with_newest(folder, restored) == ([7, 7, 7], 7)


def test_replaced_after_it_is_restored(folder, before):
    """Weights and step are of one checkpoint, so that a report names the right one."""
    before(restore_checkpoint.Checkpoint, "step", once(folder, 7))
    assert restore_checkpoint.with_newest(folder, restored) == ([7, 7, 7], 7)


def test_replaced_at_every_reading(folder, before):
    steps = itertools.count(4)
    before(tf.raw_ops, "RestoreV2", lambda: write(folder, next(steps)))
    with pytest.raises(UserError, match=r"model-\d+ was removed while it was read: ") as caught:
        restore_checkpoint.with_newest(folder, restored)
    assert "cannot be read" not in str(caught.value)
    assert next(steps) < 20


def test_a_removed_checkpoint_is_not_damaged(folder):
    found = restore_checkpoint.find(folder)
    write(folder, 7)
    with pytest.raises(UserError, match="model-3 was removed while it was read: "):
        restored(found)


def test_a_named_checkpoint_is_not_replaced_by_another(folder, before):
    before(tf.raw_ops, "RestoreV2", once(folder, 7))
    with pytest.raises(UserError, match="model-3 does not exist"):
        restore_checkpoint.with_newest(folder / "model-3", restored)


def test_damage_is_reported_at_once(folder, before):
    [data] = folder.glob("*.data-*")
    data.write_bytes(data.read_bytes()[:-1])
    attempts = []
    before(tf.raw_ops, "RestoreV2", lambda: attempts.append(1))
    with pytest.raises(UserError, match="model-3 cannot be read: "):
        restore_checkpoint.with_newest(folder, restored)
    assert len(attempts) == 1
