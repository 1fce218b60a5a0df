"""Images whose names are as long as file names can be, in every program."""

import shutil

import pytest

from .common import TINY, call, images, succeeded

STEMS = ("x" * 250 + "a", "x" * 250 + "b", "é" * 125)


@pytest.fixture
def folder(data, tmp_path):
    """Three pairs; the first two differ in the last letter of their names."""
    folder = tmp_path / "long"
    folder.mkdir()
    for number, stem in enumerate(STEMS, 1):
        shutil.copy(data / "train" / f"{number}.png", folder / f"{stem}.png")
    return folder


def test_train_test_and_evaluate(folder, tmp_path):
    where = ("--input_dir", folder, "--output_dir", tmp_path / "run")
    reports = ("--display_freq", 1, "--sample_freq", 1, "--val_dir", folder)
    succeeded(call("train", *where, *TINY, *reports, "--max_steps", 3))
    assert len(list((tmp_path / "run" / "images").iterdir())) == 9
    where = ("--input_dir", folder, "--output_dir", tmp_path / "out")
    done = succeeded(call("test", *where, "--checkpoint", tmp_path / "run", "--grid"))
    outputs = images(tmp_path / "out")
    assert len(outputs) == 3
    assert all(f"evaluated image {name}\n" in done.stdout for name in outputs)
    flags = ("--metrics", "l1", "--bootstrap", 0)
    succeeded(call("evaluate", "--results_dir", tmp_path / "out", *flags))
    shown = {path.name for path in (tmp_path / "out" / "evaluation" / "images").iterdir()}
    kinds = ("input", "output", "target")
    assert shown == {f"{name}-{kind}.png" for name in outputs for kind in kinds}


def test_evaluate_two_folders(folder, tmp_path):
    """The copies of their images have longer names than they."""
    for path in list(folder.iterdir()):
        path.rename(path.with_name(f"{path.stem[:125]}{path.stem[126:]}.jpeg"))
    shutil.copytree(folder, tmp_path / "targets")
    flags = ("--outputs_dir", folder, "--targets_dir", tmp_path / "targets", "--metrics", "l1")
    succeeded(call("evaluate", *flags, "--output_dir", tmp_path / "report"))
    assert len(list((tmp_path / "report" / "images").iterdir())) == 6


def test_preparation(folder, tmp_path):
    where = ("--input_dir", folder, "--output_dir", tmp_path / "grey", "--operation", "grayscale")
    succeeded(call("process", *where, "--workers", 2))
    assert {path.stem for path in (tmp_path / "grey").iterdir()} == set(STEMS)
    succeeded(call("pack_records", "--input_dir", folder, "--output_dir", tmp_path / "packed"))
    succeeded(call("pack_npz", "--input_dir", folder, "--output_file", tmp_path / "set.npz"))
    split = ("--train_frac", 0.4, "--test_frac", 0, "--copy")
    succeeded(call("split", "--dir", folder, *split))
    assert {path.stem for path in folder.glob("*/*.png")} == set(STEMS)
    for source in (tmp_path / "packed", tmp_path / "set.npz"):
        run = ("--input_dir", source, "--output_dir", tmp_path / f"run_{source.stem}")
        succeeded(call("train", *run, *TINY, "--max_steps", 1, "--display_freq", 1))
