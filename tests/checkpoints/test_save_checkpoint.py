"""Which checkpoints of a folder stay."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from p2p_graph.checkpoints import restore_checkpoint, save_checkpoint
from p2p_graph.checkpoints.find_checkpoint import prefix_of_step, replaced_steps
from p2p_graph.checkpoints.save_checkpoint import Retention
from p2p_graph.utils.errors import UserError


@pytest.fixture
def save(tmp_path):
    """A function that saves the checkpoint of a step."""
    with tf.Graph().as_default(), tf.Session() as session:
        step = tf.train.get_or_create_global_step()
        saver = tf.train.Saver([step])

        def save_step(number, *retention):
            session.run(step.assign(number))
            save_checkpoint.save(saver, session, tmp_path, number, Retention(*retention))

        yield save_step


def steps_in(folder):
    return sorted(int(path.stem.partition("-")[2]) for path in folder.glob("model-*.index"))


@pytest.mark.parametrize("newest", [1, 2, 3, 100])
@pytest.mark.parametrize("every", [0, 4, 6])
def test_the_newest_and_those_for_good(save, tmp_path, newest, every):
    saved = [1, 2, 4, 6, 7, 8, 11, 12, 13]
    for number, step in enumerate(saved, 1):
        save(step, newest, every)
        for_good = {step for step in saved[:number] if every and step % every == 0}
        assert set(steps_in(tmp_path)) == for_good | set(saved[:number][-newest:])
        assert restore_checkpoint.find(tmp_path).step() == step
        assert Path(tf.train.latest_checkpoint(tmp_path)).name == f"model-{step}"
    for step in steps_in(tmp_path):
        assert restore_checkpoint.find(prefix_of_step(tmp_path, step)).step() == step


def test_for_good_is_for_good(save, tmp_path):
    """Also where a later run keeps others, and where the last one kept for good is the newest."""
    for step in (3, 6, 9, 12):
        save(step, 2, 6)
    assert steps_in(tmp_path) == [6, 9, 12]
    save(13, 1, 0)
    save(14, 1, 5)
    assert steps_in(tmp_path) == [6, 12, 14]


def test_what_a_kill_has_left_is_removed(save, tmp_path, monkeypatch):
    """A kill between the new checkpoint's rename and the removal of the old one, or of its data."""
    save(1)
    with monkeypatch.context() as killed:
        killed.setattr(save_checkpoint, "_remove_replaced", lambda *args: None)
        save(2)
    assert steps_in(tmp_path) == [1, 2]
    (tmp_path / "model-9.data-00000-of-00001").write_bytes(b"renamed before its index")
    save(3)
    assert names_in(tmp_path) == ["checkpoint", *files_of_step(3)]


def test_a_killed_save_is_completed(save, tmp_path, monkeypatch):
    """Of a run that has reached its last step, no later one does so."""
    save(1)
    with monkeypatch.context() as killed:
        killed.setattr(save_checkpoint, "_remove_replaced", interrupt)
        with pytest.raises(KeyboardInterrupt):
            save(2)
    assert steps_in(tmp_path) == [1, 2]
    save_checkpoint.complete_save(tmp_path)
    assert names_in(tmp_path) == ["checkpoint", *files_of_step(2)]


def test_a_save_whose_end_fails_is_completed(save, tmp_path, monkeypatch):
    """The list of checkpoints cannot be written again, once the former one is removed."""
    save(1)
    write_state, calls = save_checkpoint.write_state, []

    def fail(*args):
        calls.append(args)
        if len(calls) == 2:
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
        write_state(*args)

    monkeypatch.setattr(save_checkpoint, "write_state", fail)
    with pytest.raises(UserError, match=r"model-2 cannot be written \(model-2 there is intact\)"):
        save(2)
    monkeypatch.undo()
    assert replaced_steps(tmp_path) == {1, 2}
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []
    save_checkpoint.complete_save(tmp_path)
    assert replaced_steps(tmp_path) == {2}
    assert steps_in(tmp_path) == [2]
    assert restore_checkpoint.find(tmp_path).step() == 2


def test_an_earlier_checkpoint_that_cannot_be_removed(save, tmp_path, monkeypatch):
    """The message names it, and says that the new one is saved; the next run removes it."""
    save(1)
    unlink = Path.unlink

    def fail(path, *args, **kwargs):
        if path.name.startswith("model-1."):
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))
        unlink(path, *args, **kwargs)

    told = rf"model-2 is saved, but {tmp_path}/model-1\..* of an earlier one cannot be removed: Op"
    with monkeypatch.context() as failing:
        failing.setattr(Path, "unlink", fail)
        with pytest.raises(UserError, match=told):
            save(2)
    assert steps_in(tmp_path) == [1, 2]
    save_checkpoint.complete_save(tmp_path)
    assert names_in(tmp_path) == ["checkpoint", *files_of_step(2)]


def test_where_no_save_was_killed_nothing_is_removed(save, tmp_path):
    for step in (1, 2):
        save(step, 2)
    save_checkpoint.complete_save(tmp_path, Retention(1))
    assert steps_in(tmp_path) == [1, 2]


def interrupt(*args):
    raise KeyboardInterrupt


def test_all_is_on_the_disk_before_others_are_removed(save, tmp_path, monkeypatch):
    save(1)
    calls, fsync, unlink = [], os.fsync, Path.unlink

    def noted_fsync(handle):
        calls.append(Path(f"/proc/self/fd/{handle}").readlink().name)
        fsync(handle)

    def noted_unlink(path, *args, **kwargs):
        calls.append(f"unlink {path.name}")
        unlink(path, *args, **kwargs)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "unlink", noted_unlink)
    save(2)
    removal = min(calls.index(f"unlink {name}") for name in files_of_step(1))
    flushed = [name for name in calls[:removal] if not name.startswith("unlink")]
    assert flushed == [*files_of_step(2), tmp_path.name]


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def files_of_step(step):
    return [f"model-{step}.data-00000-of-00001", f"model-{step}.index"]


def test_a_disk_that_loses_what_is_written(save, tmp_path, monkeypatch):
    save(1)

    def fail(handle):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(UserError, match=r"model-2 cannot be written \(model-1 there is intact\)"):
        save(2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint", *files_of_step(1)]


def test_steps_after_the_one_that_was_gone_on_from(save, tmp_path):
    """A person has named an earlier one of several as the newest."""
    for step in (1, 2, 3, 4):
        save(step, 3)
    save_checkpoint.write_state(tmp_path, "model-2", replaced_steps(tmp_path))
    assert restore_checkpoint.find(tmp_path).step() == 2
    save(3, 2)
    assert steps_in(tmp_path) == [2, 3]


def test_a_kill_before_the_checkpoint_file_was_written(save, tmp_path, monkeypatch):
    save(1)
    with monkeypatch.context() as killed:
        killed.setattr(save_checkpoint, "write_state", lambda *args: None)
        killed.setattr(save_checkpoint, "_remove_replaced", lambda *args: None)
        save(7)
    assert restore_checkpoint.find(tmp_path).step() == 1
    save(5)
    assert steps_in(tmp_path) == [5]


def test_a_checkpoint_that_no_list_names_is_not_removed(save, tmp_path):
    for step in (1, 2):
        save(step, 2)
    save_checkpoint.write_state(tmp_path, "model-2")
    save(3)
    assert steps_in(tmp_path) == [1, 3]


def test_the_list_may_hold_paths_of_elsewhere(save, tmp_path):
    """The reference writes absolute paths where its output_dir was one."""
    save(1)
    (tmp_path / "checkpoint").write_text(
        'model_checkpoint_path: "/elsewhere/run/model-1"\n'
        'all_model_checkpoint_paths: "/elsewhere/run/model-1"\n'
        'all_model_checkpoint_paths: "../other/export"\n'
    )
    other = tmp_path / "export.index"
    other.write_bytes(np.random.default_rng(0).bytes(9))
    save(2)
    assert steps_in(tmp_path) == [2]
    assert other.exists()


def test_a_step_that_is_not_there(save, tmp_path):
    with pytest.raises(UserError, match=r"has no step 3: it holds no checkpoint$"):
        prefix_of_step(tmp_path, 3)
    for step in range(1, 15):
        save(step, 100)
    with pytest.raises(UserError, match=r"no step 30: it holds 5, 6, .*, 14 and 4 earlier ones"):
        prefix_of_step(tmp_path, 30)
    with pytest.raises(UserError, match="is no folder: --step needs that of a training run"):
        prefix_of_step(tmp_path / "model-3", 3)


def test_the_files_of_a_saver(tmp_path, rng):
    """Bytes of what a tf.train.Saver writes, of fewer operations."""
    contents, sizes = [], []
    weights, large = np.float32(rng.normal(size=(3, 4))), np.float32(rng.normal(size=(500, 300)))
    for name, saver_of in (("ours", save_checkpoint.saver_of), ("theirs", tf.train.Saver)):
        folder = tmp_path / name
        folder.mkdir()
        with tf.Graph().as_default() as graph, tf.Session() as session:
            tf.train.get_or_create_global_step()
            tf.get_variable("z/filter", initializer=weights)
            tf.get_variable("a/scale", initializer=large)
            session.run(tf.global_variables_initializer())
            before = len(graph.get_operations())
            saver = saver_of(tf.global_variables())
            sizes.append(len(graph.get_operations()) - before)
            save_checkpoint.save(saver, session, folder, 3)
        contents.append({p.name: p.read_bytes() for p in folder.iterdir()})
    assert contents[0] == contents[1]
    assert sorted(contents[0]) == ["checkpoint", "model-3.data-00000-of-00001", "model-3.index"]
    assert sizes[0] < sizes[1]
