"""`.pict` files: what is read is what was written, and any damage is named."""

import json
import os
import struct

import numpy as np
import pytest

from p2p_graph.checkpoints import pict_files
from p2p_graph.utils.errors import UserError

SHAPES = [{"name": "a", "shape": [2, 3]}, {"name": "b", "shape": []}]
BOOK = np.linspace(-1, 1, 256, dtype="<f4")
CODES = bytes(range(7))


def block(contents, length=None):
    return struct.pack(">I", len(contents) if length is None else length) + contents


def pict(shapes=SHAPES, book=BOOK, codes=CODES):
    text = shapes if isinstance(shapes, bytes) else json.dumps(shapes).encode()
    return block(text) + block(book.tobytes()) + block(codes)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.pict"


def refusal(path):
    with pytest.raises(UserError) as caught:
        pict_files.read(path)
    message = str(caught.value)
    assert message.startswith(f"{path} ")
    assert "\n" not in message
    return message


def test_read(path):
    path.write_bytes(pict())
    found = pict_files.read(path)
    np.testing.assert_array_equal(found["a"], BOOK[:6].reshape(2, 3))
    assert found["b"] == BOOK[6]


def shape(values, name="a"):
    return [{"name": name, "shape": values}]


@pytest.mark.parametrize(
    ("shapes", "reason"),
    [
        (shape([7], 5), "its shapes have the name 5, no text"),
        (shape([7], None), "its shapes have the name None, no text"),
        (shape([7], ["a"]), "its shapes have the name ['a'], no text"),
        (shape([3]) + shape([4]), "its shapes have the name 'a', no text, or a second time"),
        (shape([True] * 3), "a has a shape that is not of integers up to 7"),
        (shape([-7, -1]), "a has a shape that is not of integers up to 7"),
        (shape([7.0]), "a has a shape that is not of integers up to 7"),
        (shape([8]), "a has a shape that is not of integers up to 7"),
        (shape([2**80]), "a has a shape that is not of integers up to 7"),
        (shape([7, 1, 1, 1, 1]), "a has no shape of at most 4 numbers"),
        (shape("7"), "a has no shape of at most 4 numbers"),
        (shape({"7": 7}), "a has no shape of at most 4 numbers"),
        (shape([6]), "it has 7 weights, but shapes for 6"),
        (shape([7, 0]), "it has 7 weights, but shapes for 0"),
        ([{"name": "a"}], "'shape'"),
        ([["a", [7]]], "cannot be read as a .pict file"),
        ({"name": "a", "shape": [7]}, "its shapes are no list"),
        (None, "its shapes are no list"),
        (b"", "Expecting value"),
        (b"[" * 200_000, "it is nested too deep"),
        (b"9" * 5000, "Exceeds the limit"),
        (b'"\xff"', "can't decode byte 0xff"),
        (shape([7] * 999_999), "a has no shape of at most 4 numbers"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_shapes(path, shapes, reason):
    path.write_bytes(pict(shapes))
    assert reason in refusal(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_codebook_that_is_not_finite(path, value):
    book = BOOK.copy()
    book[200] = value  # even where no weight has this code
    path.write_bytes(pict(book=book))
    assert "its codebook is not of 256 finite numbers" in refusal(path)


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        (b"", "it is cut off in its header"),
        (b"\0\0", "it is cut off in its header"),
        (pict(book=BOOK[:255]), "its codebook is not of 256 finite numbers"),
        (pict(book=BOOK[:0]), "its codebook is not of 256 finite numbers"),
        (pict(book=np.tile(BOOK, 2)), "its codebook has 2048 bytes, more than 1024"),
        (pict() + b"\0", "more follows its codes"),
        (pict() + block(b"more"), "more follows its codes"),
        (pict()[:-1], "it is cut off in its block of codes"),
        (block(b"[]", 2**32 - 1), "it is cut off in its header"),
        (block(b"[]") + block(b"", 2**31), "it is cut off in its codebook"),
        (block(b"[]") + block(BOOK.tobytes()), "it is cut off in its block of codes"),
    ],
)
def test_blocks(path, contents, reason):
    path.write_bytes(contents)
    assert reason in refusal(path)


def test_a_length_of_several_gigabytes_allocates_nothing(path):
    """The file has as many bytes as it claims: a hole."""
    path.write_bytes(block(b"", 2**32 - 1))
    with path.open("ab") as file:
        file.truncate(2**32 + 3)
    assert "its header has 4294967295 bytes, more than" in refusal(path)


def test_only_regular_files(path, tmp_path):
    assert "does not exist" in refusal(path)
    assert "is a folder, not a regular file" in refusal(tmp_path)
    os.mkfifo(path)
    assert "is a FIFO, not a regular file" in refusal(path)
