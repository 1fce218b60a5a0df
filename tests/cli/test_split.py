"""tools/split.py: the reference's split, interrupted splits, and bad input."""

import random
import shutil
from pathlib import Path

import pytest

from .common import assert_refused, call, succeeded

NAMES = [f"{number}.png" for number in range(1, 11)]


@pytest.fixture
def pile(tmp_path):
    """A folder of ten small files named as images: the tool does not decode them."""
    folder = tmp_path / "pile"
    folder.mkdir()
    for name in NAMES:
        (folder / name).write_text(name)
    (folder / "notes.txt").write_text("stays")
    return folder


def parts(folder):
    return {
        part.name: sorted(path.name for path in part.iterdir())
        for part in sorted(folder.iterdir())
        if part.is_dir()
    }


def references(names, train=0.8, test=0.0):
    """The parts that the reference's tool gives the sorted names, by part."""
    kinds = ["train"] * int(train * len(names)) + ["test"] * int(test * len(names))
    kinds += ["val"] * (len(names) - len(kinds))
    state = random.getstate()
    random.seed(0)
    random.shuffle(kinds)
    random.setstate(state)
    found = {}
    for name, kind in zip(sorted(names), kinds, strict=True):
        found.setdefault(kind, []).append(name)
    return found


@pytest.mark.parametrize("fractions", [(), (0.6, 0.2), (0.85, 0.15), (0.5, 0.25)])
def test_split_is_the_references(fractions, pile):
    flags = [
        part
        for pair in zip(("--train_frac", "--test_frac"), fractions, strict=False)
        for part in pair
    ]
    done = succeeded(call("split", "--dir", pile, *flags))
    wanted = references(NAMES, *fractions)
    assert parts(pile) == wanted
    shown = [(k, wanted[k]) for k in ("train", "test", "val") if k in wanted]
    assert done.stdout.splitlines() == [
        f"{pile / k}: {len(v)} image{'s' if len(v) > 1 else ''}" for k, v in shown
    ]
    assert [path.name for path in pile.iterdir() if path.is_file()] == ["notes.txt"]
    for part, names in wanted.items():
        assert all((pile / part / name).read_text() == name for name in names)


def test_split_with_val_frac_and_other_suffixes(pile):
    (pile / "1.png").rename(pile / "1.JPG")
    (pile / "2.png").rename(pile / "2.jpeg")
    flags = ("--train_frac", 0.55, "--test_frac", 0.45, "--val_frac", 0, "--sort")
    succeeded(call("split", "--dir", pile, *flags))
    names = sorted(["1.JPG", "2.jpeg", *NAMES[2:]])
    assert parts(pile) == {"train": sorted(names[:6]), "test": sorted(names[6:])}


def test_split_that_copies(pile):
    before = sorted(path.name for path in pile.iterdir())
    succeeded(call("split", "--dir", pile, "--copy"))
    assert parts(pile) == references(NAMES)
    assert sorted(path.name for path in pile.iterdir() if path.is_file()) == before


@pytest.mark.parametrize("copy", [False, True])
def test_split_completes_an_interrupted_split(copy, pile):
    flags = ("--dir", pile, "--train_frac", 0.6, "--test_frac", 0.2, *(["--copy"] if copy else []))
    wanted = references(NAMES, 0.6, 0.2)
    # The state after a run was killed in the middle of a copy, after four images.
    (pile / "train").mkdir()
    (pile / "test").mkdir()
    done = [(part, name) for part in ("train", "test") for name in wanted[part][:2]]
    for part, name in done:
        shutil.copy(pile / name, pile / part / name)
        if not copy:
            (pile / name).unlink()
    if copy:
        (pile / "train" / f"{wanted['train'][2]}.unfinished").write_text("h")
    succeeded(call("split", *flags))
    assert parts(pile) == wanted
    succeeded(call("split", *flags))
    assert parts(pile) == wanted


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--train_frac", "0.8", "--test_frac", "0.3"], ["0.8", "0.3", "must not exceed 1"]),
        (["--train_frac", "0.8", "--val_frac", "0.3"], ["add up to 1", "0.8 + 0 + 0.3"]),
        (["--train_frac", "-0.1"], ["train_frac -0.1 must be from 0 to 1"]),
        (["--train_frac", "nan"], ["train_frac nan must be from 0 to 1"]),
        (["--train_frac", "1", "--val_frac", "2"], ["val_frac 2 must be from 0 to 1"]),
        (["--test_frac", "0.05"], ["test_frac 0.05 of 10 images", "is none"]),
        (["--train_frac", "some"], ["--train_frac", "some"]),
        (["--dir", "nowhere"], ["dir nowhere does not exist"]),
        (["--dir", "empty"], ["dir empty holds no images"]),
    ],
)
def test_split_refuses_before_it_moves_anything(flags, words, pile, tmp_path):
    (tmp_path / "empty").mkdir()
    before = sorted(tmp_path.rglob("*"))
    assert_refused(call("split", "--dir", "pile", *flags, cwd=tmp_path), *words)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("copy", [(), ("--copy",)])
def test_split_refuses_a_name_that_exists_at_the_target(copy, pile):
    wanted = references(NAMES)
    (pile / "val").mkdir()
    name = wanted["val"][0]
    (pile / "val" / name).write_text("another")
    before = sorted(pile.rglob("*"))
    done = call("split", "--dir", pile, *copy)
    assert_refused(done, f"{pile / 'val' / name} exists already")
    assert sorted(pile.rglob("*")) == before
    assert (pile / "val" / name).read_text() == "another"


def test_split_refuses_a_folder_in_the_place_of_an_image(pile):
    (pile / "train" / NAMES[0]).mkdir(parents=True)
    before = sorted(pile.rglob("*"))
    done = call("split", "--dir", pile, "--train_frac", 1)
    assert_refused(done, f"{pile / 'train' / NAMES[0]} exists already")
    assert sorted(pile.rglob("*")) == before


def test_split_refuses_to_mix_two_splits(pile):
    succeeded(call("split", "--dir", pile))
    before = sorted(pile.rglob("*"))
    done = call("split", "--dir", pile, "--train_frac", 0.5)
    assert_refused(done, "this split has", "earlier split")
    (pile / "new.png").write_text("new")
    assert_refused(call("split", "--dir", pile, "--train_frac", 0.5), "earlier split")
    (pile / "new.png").unlink()
    assert sorted(pile.rglob("*")) == before


def test_split_refuses_a_file_named_like_a_part(pile):
    (pile / "val").write_text("a file")
    assert_refused(call("split", "--dir", pile), f"{pile / 'val'} is not a folder")
    assert not (pile / "train").exists()

    (pile / "val").unlink()
    (pile / "train").symlink_to("nowhere")
    assert_refused(call("split", "--dir", pile), f"{pile / 'train'} is not a folder: rename it")


def test_split_does_not_break_links(pile, tmp_path):
    name = NAMES[0]
    (pile / name).rename(tmp_path / name)
    (pile / name).symlink_to(Path("..") / name)
    before = sorted(pile.rglob("*"))
    done = call("split", "--dir", pile)
    assert_refused(done, f"{pile / name} is a link with a relative path", "--copy")
    assert sorted(pile.rglob("*")) == before
    succeeded(call("split", "--dir", pile, "--copy"))
    (copied,) = pile.glob(f"*/{name}")
    assert copied.read_bytes() == (tmp_path / name).read_bytes()


def test_split_help():
    assert "usage: " in succeeded(call("split", "--help")).stdout
