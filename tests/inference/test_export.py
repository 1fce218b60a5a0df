"""An export that fails or is interrupted leaves the former one as it was."""

from pathlib import Path

import pytest
import tensorflow.compat.v1 as tf

from p2p_graph.config.options import Options
from p2p_graph.config.options_file import save_options
from p2p_graph.inference.export import export
from p2p_graph.models.networks import Networks
from p2p_graph.utils.atomic_write import remove
from p2p_graph.utils.errors import UserError


@pytest.fixture
def checkpoint(tmp_path):
    """A folder with a small generator's checkpoint."""
    folder = tmp_path / "run"
    folder.mkdir()
    options = Options.of(ngf=1, ndf=1, crop_size=4)
    with tf.Graph().as_default(), tf.Session() as session:
        networks = Networks(options.model, options.losses, 0, on_cpu=True)
        networks.generate(tf.zeros([1, 4, 4, 3]), 3, tf.constant(0, tf.int64))
        session.run(tf.global_variables_initializer())
        tf.train.Saver().save(session, str(folder / "model-1"), write_meta_graph=False)
    save_options(options, folder)
    return folder


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def exported(checkpoint, tmp_path):
    """An export, and the flags that write another one over it."""
    flags = {"checkpoint": str(checkpoint), "output_dir": str(tmp_path / "exported")}
    export({**flags, "output_filetype": "jpeg"})
    return tmp_path / "exported", {**flags, "output_filetype": "png"}


def failing_replace(monkeypatch, name, kind=None):
    """Lets the move of a new file into the folder fail, as on a full or broken disk."""
    replace = Path.replace

    def fail(self, target):
        if self.parent.name == ".unfinished" and self.name == name:
            raise kind or OSError(28, "No space left on device", str(target))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", fail)


@pytest.mark.parametrize("name", ["saved_model", "export.meta", "options.json", "checkpoint"])
def test_a_failed_export_leaves_the_former_one(exported, monkeypatch, name):
    folder, flags = exported
    before = contents(folder)
    failing_replace(monkeypatch, name)
    with pytest.raises(UserError, match=r"exported cannot be written: .*No space left on device"):
        export(flags)
    assert contents(folder) == before


def test_a_failed_first_export_leaves_nothing(checkpoint, tmp_path, monkeypatch):
    failing_replace(monkeypatch, "export.meta")
    with pytest.raises(UserError, match="cannot be written"):
        export({"checkpoint": str(checkpoint), "output_dir": str(tmp_path / "exported")})
    assert not (tmp_path / "exported").exists()


def test_an_interrupted_export_is_undone_by_the_next(exported, monkeypatch):
    """As after a kill between two moves: the next export puts the former files back first."""
    folder, flags = exported
    before = contents(folder)
    (folder / ".former").mkdir()
    (folder / "saved_model").replace(folder / ".former" / "saved_model")
    failing_replace(monkeypatch, "export.meta")
    with pytest.raises(UserError, match="cannot be written"):
        export(flags)
    assert contents(folder) == before


@pytest.mark.parametrize("name", ["README.md", "saved_model", "export.meta", "options.json"])
def test_a_first_export_that_is_killed_is_replaced_by_the_next(
    checkpoint, tmp_path, monkeypatch, name
):
    """What it has left is known as an export's."""
    flags = {"checkpoint": str(checkpoint), "output_dir": str(tmp_path / "exported")}
    with monkeypatch.context() as killed:
        failing_replace(killed, name, KeyboardInterrupt)
        with pytest.raises(KeyboardInterrupt):
            export(flags)
    assert not (tmp_path / "exported" / name).exists()
    export(flags)
    assert (tmp_path / "exported" / name).exists()
    assert not (tmp_path / "exported" / ".former").exists()


def test_an_export_that_is_killed_while_it_removes_the_former_one(exported, monkeypatch):
    """The new files stay: a part of the former ones is not put back."""
    folder, flags = exported

    def killed(path):
        if path.name == ".former" or (path / ".former").exists():
            raise KeyboardInterrupt
        remove(path)

    monkeypatch.setattr("p2p_graph.inference.export.remove", killed)
    with pytest.raises(KeyboardInterrupt):
        export(flags)
    assert not (folder / ".former").exists()
    assert b'"output_filetype": "png"' in contents(folder)["options.json"]


def test_an_export_replaces_the_former_one(exported):
    folder, flags = exported
    before = contents(folder)
    export(flags)
    after = contents(folder)
    assert after.keys() == before.keys()
    assert b'"output_filetype": "png"' in after["options.json"]
    assert after["saved_model/saved_model.pb"] != before["saved_model/saved_model.pb"]
