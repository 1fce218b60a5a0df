"""Paths that go up from a link, such as data/../test where data is a link."""

import shutil

import pytest

from .common import TINY, file_bytes, run, succeeded


@pytest.fixture
def project(data, tmp_path):
    """A folder with a link to data elsewhere, beside whose target other images lie than here."""
    far, here = tmp_path / "far", tmp_path / "here"
    here.mkdir()
    for folder, images in ((far, "train"), (here, "test")):
        shutil.copytree(data / images, folder / "images")
    (far / "inner").mkdir()
    (here / "link").symlink_to("../far/inner")
    return here


def test_train_and_translate(project, tmp_path):
    """All of it is read from, and written to, where the system finds it."""
    where = ("--input_dir=link/../images", "--output_dir", "link/../run")
    succeeded(run("train", *where, *TINY, "--max_steps", 1, cwd=project))
    assert (tmp_path / "far" / "run" / "checkpoint").exists()
    found = {}
    for name, images in (("a", "link/../images"), ("b", "../far/images")):
        flags = ("--input_dir", images, "--checkpoint", "link/../run", "--output_dir", name)
        succeeded(run("test", *flags, cwd=project))
        found[name] = file_bytes(project / name / "images")
    assert found["a"] == found["b"]


def test_a_manifest(project, model, tmp_path):
    names = sorted(path.name for path in (tmp_path / "far" / "images").iterdir())
    lines = [f"link/../images/{name},link/../images/{name}" for name in names]
    (project / "list.csv").write_text("\n".join(["input,target", *lines, ""]))
    flags = ("--checkpoint", model, "--output_dir")
    succeeded(run("test", "--manifest", "list.csv", *flags, "a", cwd=project))
    far = [line.replace("link/..", "../far") for line in lines]
    (project / "far.csv").write_text("\n".join(["input,target", *far, ""]))
    succeeded(run("test", "--manifest", "far.csv", *flags, "b", cwd=project))
    assert file_bytes(project / "a" / "images") == file_bytes(project / "b" / "images")


def test_a_link_whose_name_has_a_comma(project, tmp_path):
    """And a folder, beside a link that is called like a part of its name."""
    (project / "a,b").symlink_to("../far/inner")
    (project / "c,link").mkdir()
    where = ("--input_dir", "c,link/../images", "--output_dir", "a,b/../run")
    succeeded(run("train", *where, *TINY, "--max_steps", 1, cwd=project))
    assert (tmp_path / "far" / "run" / "checkpoint").exists()
