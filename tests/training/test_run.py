"""A run's folder: locked before the checkpoint to resume from is chosen, and never left empty."""

import types

import numpy as np
import pytest
from PIL import Image

from p2p_graph.checkpoints import restore_checkpoint
from p2p_graph.training.option_precedence import configure
from p2p_graph.training.resume import run_record
from p2p_graph.training.run import _facts, train
from p2p_graph.utils import file_lock
from p2p_graph.utils.errors import UserError


@pytest.fixture
def given(tmp_path):
    """Flags that train a tiny model for two steps."""
    (tmp_path / "pairs").mkdir()
    pixels = np.random.default_rng(1).integers(0, 256, (8, 16, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "pairs" / "1.png")
    return {
        "input_dir": str(tmp_path / "pairs"),
        "output_dir": str(tmp_path / "runs" / "new"),
        "crop_size": 8,
        "ngf": 1,
        "ndf": 1,
        "discriminator": "pixel",
        "max_steps": 2,
        "summary_freq": 0,
    }


def test_the_folder_is_locked_before_its_checkpoint_is_chosen(given, monkeypatch):
    """Without the lock, another run could save, and end, between the choice and the lock."""
    assert train(configure(given), given) == 0
    find, was_locked = restore_checkpoint.find, []

    def find_and_probe(folder):
        with pytest.raises(UserError, match="another program"), file_lock.held(folder):
            pass
        was_locked.append(folder)
        return find(folder)

    monkeypatch.setattr(restore_checkpoint, "find", find_and_probe)
    longer = {**given, "max_steps": 3}
    assert train(configure(longer), longer) == 0
    assert was_locked


def test_a_refused_run_leaves_no_folder(given, tmp_path):
    wrong = {**given, "checkpoint": str(tmp_path / "nowhere")}
    with pytest.raises(UserError, match="nowhere does not exist"):
        train(configure(wrong), wrong)
    assert not (tmp_path / "runs").exists()


def test_a_refused_run_leaves_a_folder_that_was_there(given, tmp_path):
    (tmp_path / "runs").mkdir()
    wrong = {**given, "checkpoint": str(tmp_path / "nowhere")}
    with pytest.raises(UserError):
        train(configure(wrong), wrong)
    assert list((tmp_path / "runs").iterdir()) == []


def test_processes_must_have_the_same_usable_images(given, tmp_path):
    """What `skip_bad` leaves out on one host alone changes the order of all images there."""
    options = configure({**given, "skip_bad": True})
    names = [tmp_path / "pairs" / name for name in ("1.png", "2.png")]
    images = [types.SimpleNamespace(path=path) for path in names]
    run = types.SimpleNamespace(options=options, done=0)
    one, other = (_facts(run, run_record(options, part)) for part in (images, images[:1]))
    assert [name for name in one if one[name] != other[name]] == ["usable images"]
