"""`.pict` files: a generator's weights in 8 bits each, for the reference program's browser demo.

A file has three blocks, each a big-endian uint32 length followed by its bytes: JSON
[{"name", "shape"}, ...] sorted by name; a codebook of 256 little-endian float32; one uint8 code a
weight, in the order of the JSON.
"""

import json
import math
import os
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from p2p_graph.utils.atomic_write import atomic_write
from p2p_graph.utils.checked_allocation import allocate
from p2p_graph.utils.counted import counted
from p2p_graph.utils.errors import UserError, printable, why_not_written
from p2p_graph.utils.outside_files import damage_reported, open_regular

Arrays = Mapping[str, "np.ndarray[Any, Any]"]
_MU = 255  # of the mu-law (ITU-T G.711)
_CODES = 256
_LENGTH = struct.Struct(">I")  # of a block, in front of it
_MOST_CODES = 2**32 - 1  # that a length can tell
_LARGEST_JSON = 2**26  # bytes
_LARGEST_RANK = 4  # of a weight


def codebook(values: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """Makes a codebook for values: 256 entries, evenly spaced on a mu-law scale.

    Args:
      values: float32 [n].

    Returns:
      float32 [256], in ascending order.
    """
    largest = np.max(np.abs(values))
    if largest == 0:
        return np.zeros(_CODES, np.float32)
    compressed = np.sign(values) * np.log(1 + _MU * np.abs(values / largest)) / np.log(1 + _MU)
    edges = np.histogram_bin_edges(compressed, _CODES)
    middles = (edges[:-1] + edges[1:]) / 2
    expanded = np.sign(middles) * ((1 + _MU) ** np.abs(middles) - 1) / _MU * largest
    return np.asarray(expanded, np.float32)


def encode(values: "np.ndarray[Any, Any]", book: "np.ndarray[Any, Any]") -> Any:
    """Encodes values as the indices of their nearest codebook entries.

    Args:
      values: float32 [n].
      book: float32 [256], in ascending order.

    Returns:
      uint8 [n]; the lower index where two entries are equally near.
    """
    above = np.clip(np.searchsorted(book, values), 1, len(book) - 1)
    nearer_below = np.abs(values - book[above - 1]) <= np.abs(book[above] - values)
    return (above - nearer_below).astype(np.uint8)


def write(path: Path, arrays: Arrays) -> None:
    """Writes weights atomically.

    Args:
      path: the file.
      arrays: float32, by name.

    Raises:
      UserError: the file cannot be written.
    """
    ordered = sorted(arrays.items())
    shapes = [{"name": name, "shape": list(array.shape)} for name, array in ordered]
    flat = np.concatenate([np.ravel(array) for _, array in ordered]).astype(np.float32)
    if len(flat) > _MOST_CODES:
        raise UserError(
            f"{path} cannot hold {counted(len(flat), 'weight')}: {_MOST_CODES} are the most"
        )
    book = codebook(flat)
    blocks = (
        json.dumps(shapes).encode(),
        book.astype("<f4").tobytes(),
        encode(flat, book).tobytes(),
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as temporary, temporary.open("wb") as file:
            for block in blocks:
                file.write(_LENGTH.pack(len(block)) + block)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {why_not_written(error)}") from None


def read(path: Path) -> dict[str, "np.ndarray[Any, Any]"]:
    """Reads weights.

    Returns:
      float32 arrays, by name.

    Raises:
      UserError: the file cannot be read, or is not a `.pict`.
    """
    try:
        with damage_reported(path, "a .pict file"), open_regular(path) as file:
            shapes, book, codes = _read_blocks(file)
            return _decode(_read_shapes(shapes, len(codes)), book, codes)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None


def _read_blocks(file: IO[bytes]) -> list[bytes]:
    """Reads the three blocks of a file: no more than there is, whatever their lengths claim."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    blocks = []
    for name, most in (
        ("header", _LARGEST_JSON),
        ("codebook", _CODES * 4),
        ("block of codes", size),
    ):
        head = file.read(_LENGTH.size)
        length = _LENGTH.unpack(head)[0] if len(head) == _LENGTH.size else size + 1
        if length > size - file.tell():
            raise ValueError(f"it is cut off in its {name}")
        if length > most:
            raise ValueError(f"its {name} has {counted(length, 'byte')}, more than {most}")
        blocks.append(file.read(length))
    if file.tell() < size:
        raise ValueError("more follows its codes")
    return blocks


def _read_shapes(contents: bytes, count: int) -> dict[str, list[int]]:
    """Reads the shapes of `count` weights by name."""
    entries = json.loads(contents.decode("utf-8"))
    if not isinstance(entries, list):
        raise ValueError("its shapes are no list")
    shapes: dict[str, list[int]] = {}
    for entry in entries:
        name, shape = entry["name"], entry["shape"]
        if not isinstance(name, str) or name in shapes:
            raise ValueError(f"its shapes have the name {name!r}, no text, or a second time")
        if not isinstance(shape, list) or len(shape) > _LARGEST_RANK:
            raise ValueError(f"{printable(name)} has no shape of at most {_LARGEST_RANK} numbers")
        # No length is above the number of weights, so that their product stays small.
        if any(type(length) is not int or not 0 <= length <= count for length in shape):
            raise ValueError(f"{printable(name)} has a shape that is not of integers up to {count}")
        shapes[name] = shape
    if (total := sum(map(math.prod, shapes.values()))) != count:
        raise ValueError(f"it has {counted(count, 'weight')}, but shapes for {total}")
    return shapes


def _decode(
    shapes: Mapping[str, Sequence[int]], book: bytes, codes: bytes
) -> dict[str, "np.ndarray[Any, Any]"]:
    """Looks up each weight's code."""
    values = np.frombuffer(book, "<f4").astype(np.float32)
    if len(values) != _CODES or not np.isfinite(values).all():
        raise ValueError(f"its codebook is not of {_CODES} finite numbers")
    flat = allocate([len(codes)], np.float32)
    np.take(values, np.frombuffer(codes, np.uint8), out=flat)
    arrays, start = {}, 0
    for name, shape in shapes.items():
        size = math.prod(shape)
        arrays[name] = flat[start : start + size].reshape(shape)
        start += size
    return arrays
