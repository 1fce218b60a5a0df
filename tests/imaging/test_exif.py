"""The orientation in EXIF metadata, against Pillow."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageOps

from p2p_graph.imaging import exif
from p2p_graph.imaging.read_structure import read_structure


def encoded(kind, orientation):
    found = Image.Exif()
    found[0x010F] = "a camera"
    if orientation is not None:
        found[0x0112] = orientation
    found[0x0131] = "a program"
    memory = io.BytesIO()
    Image.new("RGB", (16, 8)).save(memory, kind, exif=found)
    return memory.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_as_pillow_turns_it(orientation):
    image = np.arange(12, dtype=np.uint8).reshape(3, 4)
    memory, metadata = io.BytesIO(), Image.Exif()
    metadata[0x0112] = orientation
    Image.fromarray(image).save(memory, "PNG", exif=metadata)
    with Image.open(memory) as stored:
        expected = np.asarray(ImageOps.exif_transpose(stored))
    found = exif.upright(image[..., None], orientation)
    np.testing.assert_array_equal(found[..., 0], expected)
    assert exif.swaps_sides(orientation) == (expected.shape == (4, 3))


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_read_from_a_file(kind, orientation):
    assert read_structure(encoded(kind, orientation)).orientation == orientation


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", [None, 0, 9, 65535])
def test_no_orientation(kind, orientation):
    assert read_structure(encoded(kind, orientation)).orientation == 1


def segment(order, entries, first=8):
    mark = {"<": b"II*\0", ">": b"MM\0*"}[order]
    listed = b"".join(struct.pack(f"{order}HHIHH", *entry, 0) for entry in entries)
    body = struct.pack(f"{order}H", len(entries)) + listed
    return b"Exif\0\0" + mark + struct.pack(f"{order}I", first) + body


@pytest.mark.parametrize("order", "<>")
def test_byte_orders(order):
    assert exif.orientation_in_segment(segment(order, [(0x010F, 2, 1, 65), (0x0112, 3, 1, 6)])) == 6


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"Exif\0\0",
        b"http://ns.adobe.com/xap/1.0/\0",
        segment("<", [(0x0112, 4, 1, 6)]),  # of another type
        segment("<", [(0x0112, 3, 2, 6)]),  # two values
        segment("<", [(0x0112, 3, 1, 6)], first=2**31),
        segment("<", [(0x0112, 3, 1, 6)])[:-8],
        segment("<", [(0x0112, 3, 1, 6)]).replace(b"II*", b"IX*"),
    ],
)
def test_damaged_metadata_say_nothing(data):
    assert exif.orientation_in_segment(data) == 1


def test_any_bytes():
    rng = np.random.default_rng(0)
    whole = segment(">", [(0x010F, 2, 1, 65), (0x0112, 3, 1, 6)])
    for _ in range(3000):
        damaged = bytearray(whole)
        for place in rng.integers(0, len(whole), 3):
            damaged[place] = rng.integers(256)
        assert 1 <= exif.orientation_in_segment(bytes(damaged[: rng.integers(len(whole) + 1)])) <= 8
