"""Damaged files: what the check accepts is what decoders decode, and to the size that it says."""

import contextlib
import struct
import zlib

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from p2p_graph.data import decode
from p2p_graph.data.decode_check import verifying_session
from p2p_graph.data.image_files import Entry
from p2p_graph.data.usable_images import check_images
from p2p_graph.imaging import image_arrays
from p2p_graph.imaging.read_structure import MOST_PIXELS, read_structure
from p2p_graph.utils.errors import UserError
from p2p_graph.utils.hidden_stderr import hidden_stderr

from .damaged_images import (
    SIGNATURE,
    any_jpeg,
    chunk,
    corpus,
    damage_the_scan,
    header,
    joined,
    png,
    rows,
)

# What the check refuses although TensorFlow decodes it. Other decoders of the project do not.
STRICTER = (
    "has a wrong checksum in its chunk tEXt, which holds no pixels: save the image again",
    "interrupts its image data",
)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """300 damaged files by path."""
    folder = tmp_path_factory.mktemp("damaged")
    for name, contents in corpus(300):
        (folder / name).write_bytes(contents)
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def checked(files):
    """The images that the check accepts, and its reasons against the others, by path."""
    with verifying_session() as verify:
        good, bad = check_images([Entry(path) for path in files], verify, pairs=False)
    reasons = dict(line.split(": ", 1) for line in bad)
    return {image.path: image for image in good}, reasons


@pytest.fixture(scope="module")
def decoded_sizes(files):
    """The sizes to which the input graph decodes the files; None for those that it refuses."""

    def size_of(path):
        try:
            return session.run(size, {contents: path.read_bytes()}).tolist()
        except tf.errors.InvalidArgumentError:
            return None

    with tf.Graph().as_default(), tf.Session() as session, hidden_stderr():
        contents = tf.placeholder(tf.string, [])
        size = tf.shape(decode.decode_file(contents))
        return {path: size_of(path) for path in files}


def test_the_check_accepts_what_the_input_graph_decodes(files, checked, decoded_sizes):
    good, reasons = checked
    assert len(good) > 60
    assert len(reasons) > 120
    assert len(good) + len(reasons) == len(files)
    for path in files:
        if path in good:
            image = good[path]
            assert decoded_sizes[path] == [image.height, image.width, 3], path.name
        elif decoded_sizes[path]:
            assert any(text in reasons[str(path)] for text in STRICTER), (path.name, reasons)


def test_pillow_decodes_what_the_check_accepts(files, checked):
    good, _ = checked
    for path, image in good.items():
        found = image_arrays.read_rgb(path)
        assert found.shape == (image.height, image.width, 3), path.name
    for path in set(files) - set(good):
        with contextlib.suppress(UserError):  # and no other error
            assert image_arrays.read_rgb(path).dtype == np.uint8


def test_both_decode_the_same_pixels(checked):
    """Of files whose metadata are damaged, too: a PNG's pixels need no metadata."""
    good, _ = checked
    with tf.Graph().as_default(), tf.Session() as session:
        contents = tf.placeholder(tf.string, [])
        rgb = decode.decode_rgb(contents, tf.uint8)
        for path in [path for path in good if path.suffix == ".png"]:
            wanted = session.run(rgb, {contents: path.read_bytes()})
            np.testing.assert_array_equal(image_arrays.read_rgb(path), wanted, path.name)


def test_a_good_file_among_bad_ones_and_many_good_ones(tmp_path):
    """JPEGs are decoded several in a call, which fails as a whole."""
    entries = []
    for number in range(70):
        contents = any_jpeg(np.random.default_rng(number))
        path = tmp_path / f"{number}.jpg"
        path.write_bytes(contents[:-40] if number in (33, 66) else contents)
        entries.append(Entry(path))
    with verifying_session() as verify:
        good, bad = check_images(entries, verify, pairs=False)
    assert [line.split(": ")[0] for line in bad] == [str(entries[i][0]) for i in (33, 66)]
    assert [image.path for image in good] == [
        e.path for e in entries if e.path.stem not in ("33", "66")
    ]


def test_libjpeg_writes_nothing(tmp_path, capfd):
    """Its messages name no file: "Corrupt JPEG data: premature end of data segment"."""
    for number in range(8):
        rng = np.random.default_rng(number)
        (tmp_path / f"{number}.jpg").write_bytes(damage_the_scan(any_jpeg(rng), rng))
    with verifying_session() as verify:
        check_images([Entry(path) for path in tmp_path.iterdir()], verify, pairs=False)
    assert capfd.readouterr() == ("", "")


RNG = np.random.default_rng(3)
PARTS = png(9, 12, RNG)


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        (
            SIGNATURE + b"".join(chunk(*part, checksum=7 if part[0] == b"tEXt" else None)
                                 for part in PARTS),
            "has a wrong checksum in its chunk tEXt, which holds no pixels: save the image again",
        ),
        (joined([*PARTS[:2], (b"ABCD", b""), *PARTS[2:]]), "it has the unknown chunk ABCD"),
        (
            joined([*PARTS[:2], (b"aB\n1", b""), *PARTS[2:]]),
            r"cannot be decoded: it has the unknown chunk aB\n1",
        ),
        (joined(png(9, 12, RNG, 8, 3)[:1] + png(9, 12, RNG, 8, 3)[2:]), "it lacks its palette"),
        (joined([*PARTS[:2], PARTS[-1]]), "it holds no image data"),
        (joined([*PARTS[:3], PARTS[-1]]), "its image data ends too early"),
        (joined(PARTS[:-1]), "it is cut off"),
        (joined(PARTS[1:]), "its header is wrong"),
    ],
)  # fmt: skip
def test_reasons(tmp_path, contents, reason):
    """Most of these files pass Pillow's decoder."""
    path = tmp_path / "a.png"
    path.write_bytes(contents)
    with verifying_session() as verify:
        _, [line] = check_images([Entry(path)], verify, pairs=False)
    assert reason in line
    with pytest.raises(UserError) as caught:
        image_arrays.read_rgb(path)
    assert f"{path}: {caught.value}" == line


def huge(width, height):
    """A PNG whose header claims a size; its data is of few pixels."""
    return SIGNATURE + header(width, height) + joined(PARTS[1:])[len(SIGNATURE) :]


def huge_jpeg(width, height):
    contents = any_jpeg(np.random.default_rng(0))
    place = max(contents.find(b"\xff\xc0"), contents.find(b"\xff\xc2"))
    return contents[: place + 5] + struct.pack(">HH", height, width) + contents[place + 9 :]


@pytest.mark.parametrize("contents", [huge(2**14, 2**14), huge_jpeg(20_000, 20_000)])
def test_decompression_bombs(contents):
    with pytest.raises(UserError, match=rf"is \d+x\d+ pixels, more than the {MOST_PIXELS} \(2\^27"):
        image_arrays.decode_rgb(contents)


def test_large_images_are_opened_without_a_warning():
    """Pillow's own limit is lower, and warns once for all images, whatever thread reads them."""
    side = 9600
    data = rows(side, side, 1, 0, False, np.random.default_rng(0), filters=1)
    contents = joined([
        (b"IHDR", header(side, side, 1, 0)[8:-4]),
        (b"IDAT", zlib.compress(data, 1)),
        (b"IEND", b""),
    ])  # fmt: skip
    assert read_structure(contents)[1:3] == (side, side)
    with image_arrays.opened(contents) as image:
        assert image.size == (side, side)
