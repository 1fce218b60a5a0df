import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from p2p_graph.config.data_options import ImageSource
from p2p_graph.config.options import Options
from p2p_graph.data.image_files import Entry, SourceImage
from p2p_graph.data.image_sources import (
    digest_of,
    list_images,
    names_digest,
    read_manifest,
    split_indices,
)
from p2p_graph.utils.errors import UserError


def list_source(options, **how):
    return list_images(options.data.source, single=options.data.task.is_single, **how)


@pytest.fixture
def manifest(tmp_path):
    """Three pairs in folders `a` and `b`, listed in another order than by name."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        for name in ("1", "2", "3"):
            Image.new("RGB", (8, 6)).save(tmp_path / folder / f"{name}.png")
    path = tmp_path / "pairs.csv"
    path.write_text("input,target\na/3.png,b/1.png\na/1.png,b/2.png\na/2.png,b/3.png\n")
    return path


def refusal(**options):
    with pytest.raises(UserError) as caught:
        list_source(Options.of(**options))
    return str(caught.value)


def paths_of(manifest, **options):
    found = list_source(Options.of(manifest=str(manifest), **options))
    return [(p.path.name, p.target and p.target.name) for p in found]


# Lists of files


def test_manifest(manifest, tmp_path, monkeypatch):
    wanted = [("3.png", "1.png"), ("1.png", "2.png"), ("2.png", "3.png")]
    assert paths_of(manifest) == wanted
    monkeypatch.chdir("/")  # names are relative to the manifest's folder
    assert paths_of(manifest) == wanted
    manifest.write_text(f"input,target\n{tmp_path}/a/1.png,b/2.png\n")
    assert paths_of(manifest) == [("1.png", "2.png")]


def test_manifest_of_other_programs(manifest):
    """A byte order mark, carriage returns, quotes, more columns, spaces, an empty line."""
    manifest.write_bytes(
        b'\xef\xbb\xbftarget, note, input\r\n"b/1.png", "x, y", a/2.png\r\n\r\nb/2.png,,a/1.png\r\n'
    )
    assert paths_of(manifest) == [("2.png", "1.png"), ("1.png", "2.png")]


def test_manifest_of_single_images(manifest):
    manifest.write_text("input\na/3.png\n")
    assert paths_of(manifest, lab_colorization=True) == [("3.png", None)]
    manifest.write_text("input,target\na/3.png,b/3.png\n")
    message = refusal(manifest=str(manifest), inputs_only=True)
    assert "lists pairs, but this task takes single images" in message


@pytest.mark.parametrize(
    ("text", "message_part"),
    [
        ("", "has no column 'input': its first line must name input,target"),
        ("a/1.png,b/1.png\n", "has no column 'input'"),
        ("input,output\na/1.png,b/1.png\n", "has no column 'target'"),
        ("input,target\n", "lists no images"),
        ("input,target\na/1.png,b/1.png\na/2.png\n", "line 3: no target"),
        ("input,target\n,b/1.png\n", "line 2: no input"),
    ],
)
def test_bad_manifests(manifest, text, message_part):
    manifest.write_text(text)
    message = refusal(manifest=str(manifest))
    assert message.startswith(f"manifest {manifest}")
    assert message_part in message
    assert "\n" not in message


def test_unreadable_manifests(manifest, tmp_path):
    assert "does not exist" in refusal(manifest=str(tmp_path / "none.csv"))
    assert "is a folder, not a regular file" in refusal(manifest=str(tmp_path))
    manifest.write_bytes(b"input,target\n\xff\xfe,b\n")
    assert "cannot be read" in refusal(manifest=str(manifest))


def test_files_of_a_manifest_are_checked(manifest, tmp_path):
    Image.new("RGB", (8, 5)).save(tmp_path / "b" / "2.png")
    (tmp_path / "a" / "2.png").unlink()
    first, *rest = refusal(manifest=str(manifest)).splitlines()
    assert first.startswith(f"2 of 3 images in {manifest} cannot be used")
    assert rest == [
        f"  {tmp_path / 'a' / '1.png'}: is 8x6 pixels, its partner {tmp_path / 'b' / '2.png'} 8x5",
        f"  {tmp_path / 'a' / '2.png'}: does not exist",
    ]
    assert paths_of(manifest, skip_bad=True) == [("3.png", "1.png")]


def test_entries_of_a_manifest(manifest, tmp_path):
    assert read_manifest(manifest, single=False)[0] == (
        tmp_path / "a" / "3.png",
        tmp_path / "b" / "1.png",
        (),
    )


def test_names_digest_distinguishes_images(manifest, tmp_path):
    def digest(**options):
        return names_digest(Options.of(**options).data.source, single=False)

    digest_of_all = digest(manifest=str(manifest))
    assert digest_of_all == digest(manifest=str(manifest), split=0.5)
    assert digest_of_all.startswith("3 ")
    folder = {"input_dir": str(tmp_path / "a"), "target_dir": str(tmp_path / "b")}
    before = digest(**folder)
    assert before != digest_of_all, "the order counts"
    (tmp_path / "a" / "3.png").rename(tmp_path / "a" / "4.png")
    assert digest(**folder) != before


# Splits


@pytest.mark.parametrize(("count", "share", "seed"), [(500, 0.8, 23), (7, 0.5, 0), (10, 0.25, 5)])
def test_split_is_numpys_shuffle_of_the_names(count, share, seed):
    """As the deblurring article writes it."""
    names = np.array([f"{number}.jpg" for number in range(count)])
    shuffled = np.copy(names)
    np.random.seed(seed)
    np.random.shuffle(shuffled)
    trained, rest = split_indices(count, share, seed)
    assert sorted(names[trained]) == sorted(shuffled[: round(count * share)])
    assert sorted(names[rest]) == sorted(shuffled[round(count * share) :])
    assert trained == sorted(trained)
    assert rest == sorted(rest)


def test_parts_of_a_split(manifest):
    both = [
        [p.path.name for p in list_source(config, held_out=held_out)]
        for config in [Options.of(manifest=str(manifest), split=0.6, split_seed=1)]
        for held_out in (False, True)
    ]
    assert [len(part) for part in both] == [2, 1]
    assert sorted(both[0] + both[1]) == ["1.png", "2.png", "3.png"]


def test_only_the_selected_part_of_a_split_is_checked(manifest, tmp_path):
    config = Options.of(manifest=str(manifest), split=0.6, split_seed=1)
    [held_out] = list_source(config, held_out=True)
    held_out.path.write_bytes(b"bad")
    assert len(list_source(config)) == 2


@pytest.mark.parametrize(
    ("share", "held_out", "message_part"),
    [(0.1, False, "leaves none to train on"), (0.9, True, "leaves none to test")],
)
def test_split_that_leaves_no_image(manifest, share, held_out, message_part):
    with pytest.raises(UserError, match=message_part):
        list_source(Options.of(manifest=str(manifest), split=share), held_out=held_out)


def test_at_most_counts_usable_images(manifest, tmp_path, capsys):
    (tmp_path / "a" / "3.png").unlink()
    with pytest.raises(UserError, match="1 of 1"):
        list_source(Options.of(manifest=str(manifest)), at_most=1)
    [found] = list_source(Options.of(manifest=str(manifest), skip_bad=True), at_most=1)
    assert found.path.name == "1.png"
    assert "1 of 3" in capsys.readouterr().err


def test_at_most(manifest):
    found = list_source(Options.of(manifest=str(manifest)), at_most=2)
    assert [image.path.name for image in found] == ["3.png", "1.png"]


# Contradictions


@pytest.mark.parametrize(
    ("options", "message_part"),
    [
        ({"input_dir": "a", "manifest": "b.csv"}, "input_dir and manifest contradict"),
        ({"target_dir": "a", "manifest": "b.csv"}, "target_dir and manifest contradict"),
        ({"arrays": "a,b", "manifest": "b.csv"}, "arrays and manifest contradict"),
        ({"input_dir": "a.npz", "target_dir": "b"}, "a.npz already holds A and B"),
        ({"input_dir": "a", "target_dir": "./a"}, "input_dir and target_dir are both a"),
        ({"input_dir": "a\udcff"}, "is not UTF-8"),
        ({"input_dir": "a", "split": 0.0}, "split must be over 0 and at most 1, not 0.0"),
        ({"input_dir": "a", "split": 1.5}, "split must be over 0 and at most 1, not 1.5"),
        (
            {"input_dir": "a", "arrays": "x,y"},
            "arrays goes with an .npz archive only: a is not one",
        ),
    ],
)
def test_contradictions(options, message_part):
    assert message_part in refusal(**options)


def test_manifests_that_are_no_files(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to("loop")
    for name, reason in {
        "fifo": "is a FIFO, not a regular file",
        "/dev/zero": "is a device, not a regular file",
        "loop": "Too many levels of symbolic links",
    }.items():
        message = refusal(manifest=str(tmp_path / name))
        assert message.startswith(f"manifest {tmp_path / name} ")
        assert reason in message


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (b"/dev/zero", "/dev/zero: is a device, not a regular file"),
        (b"fifo.png", "fifo.png: is a FIFO, not a regular file"),
        (b"loop.png", "loop.png: cannot be read: Too many levels of symbolic links"),
        (b'"a\nb.png"', r"a\nb.png: does not exist"),
        (b"x" * 300, "cannot be read: File name too long"),
        (b".", "is a folder, not a regular file"),
    ],
)
def test_names_in_a_manifest(tmp_path, name, reason):
    os.mkfifo(tmp_path / "fifo.png")
    (tmp_path / "loop.png").symlink_to("loop.png")
    path = tmp_path / "list.csv"
    path.write_bytes(b"input\n" + name + b"\n")
    message = refusal(manifest=str(path), inputs_only=True)
    assert message.splitlines()[1].endswith(reason)
    assert message.count("\n") == 1


def test_a_zero_byte_in_a_manifest(tmp_path):
    path = tmp_path / "list.csv"
    path.write_bytes(b"input\na\0b.png\n")
    message = refusal(manifest=str(path), inputs_only=True)
    if sys.version_info < (3, 11):  # its module csv reads no such line
        assert message == f"manifest {path} cannot be read as CSV: line contains NUL"
    else:
        assert message.splitlines()[1].endswith(r"a\x00b.png: has a zero byte in its name")
        assert message.count("\n") == 1


def test_a_manifest_with_a_field_over_the_limit(tmp_path):
    path = tmp_path / "list.csv"
    path.write_bytes(b"input\n" + b"x" * 140_000 + b"\n")
    message = refusal(manifest=str(path), inputs_only=True)
    assert "cannot be read as CSV: field larger than field limit" in message
    path.write_bytes(b"x," * 2**20)
    assert "has no column 'input'" in refusal(manifest=str(path), inputs_only=True)


def test_an_image_file_over_the_limit(tmp_path):
    with (tmp_path / "a.png").open("wb") as file:
        file.truncate(2**30 + 1)
    message = refusal(input_dir=str(tmp_path))
    assert "a.png: has more than 1073741824 bytes, the most that is read" in message


def test_the_digest_of_names_is_that_of_any_locale(monkeypatch):
    """Names in a folder are decoded by the locale, those in a manifest or in shards are UTF-8."""
    folder, manifest = ImageSource(input_dir="images"), ImageSource(manifest="list.csv")
    names = ("1.png", "\u00e4.png")
    entries = [Entry(Path(name)) for name in names]
    records = [SourceImage(Path(name), 1, 1, is_16_bit=False, position=0) for name in names]
    wanted = digest_of(entries, folder)
    monkeypatch.setattr(os, "fsencode", lambda name: name.encode("latin-1"))
    found = [Entry(Path(name.encode().decode("latin-1"))) for name in names]
    assert digest_of(found, folder) == digest_of(entries, manifest) == wanted
    assert digest_of(records, folder) == wanted
