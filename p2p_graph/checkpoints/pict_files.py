"""`.pict` files: a generator's weights in 8 bits each, for the reference program's browser demo.

A file has three blocks, each a big-endian uint32 length followed by its bytes: JSON
[{"name", "shape"}, ...] sorted by name; a codebook of 256 little-endian float32; one uint8 code a
weight, in the order of the JSON.
"""

import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from p2p_graph.utils.atomic_write import atomic_write
from p2p_graph.utils.errors import UserError, why_not_written

Arrays = Mapping[str, "np.ndarray[Any, Any]"]
_MU = 255  # of the mu-law (ITU-T G.711)
_CODES = 256


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
                file.write(struct.pack(">I", len(block)) + block)
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
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    try:
        blocks = []
        while data:
            (length,) = struct.unpack(">I", data[:4])
            if len(data) < 4 + length:
                raise ValueError("the file is cut off")
            blocks.append(data[4 : 4 + length])
            data = data[4 + length :]
        shapes, book, codes = blocks
        flat = np.frombuffer(book, "<f4")[np.frombuffer(codes, np.uint8)]
        arrays, start = {}, 0
        for entry in json.loads(shapes):
            size = math.prod(entry["shape"])
            arrays[entry["name"]] = flat[start : start + size].reshape(entry["shape"])
            start += size
        if start != len(flat):
            raise ValueError(f"the file has {len(flat)} weights, but shapes for {start}")
    except (ValueError, KeyError, TypeError, IndexError, struct.error) as error:
        raise UserError(f"{path} is not a .pict file: {error}") from None
    return arrays
