"""Images in an .npz archive, as written by NumPy's savez and savez_compressed."""

import functools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from p2p_graph.config.listed_values import MOST_CHANNELS
from p2p_graph.data.image_files import SourceImage
from p2p_graph.utils import npz_files
from p2p_graph.utils.checked_allocation import allocate
from p2p_graph.utils.errors import UserError, printable
from p2p_graph.utils.npz_files import NpzFile, StoredArray
from p2p_graph.utils.outside_files import damage_reported

# Names of the arrays A and B that are found without --arrays.
_USUAL_NAMES = (
    ("arr_0", "arr_1"),
    ("inputs", "targets"),
    ("input", "target"),
    ("A", "B"),
    ("a", "b"),
)
_CHUNK = 2**24  # bytes read and checked at a time
_SHOWN = 20  # names of arrays in a message
_FORM = "an .npz archive"

Array = np.ndarray[Any, Any]


def archive_images(path: Path, names: str | None, *, single: bool) -> list[SourceImage]:
    """Lists the images of an archive, after checking all of its values.

    Args:
      path: the archive.
      names: comma-separated names of the arrays A and B; None for the usual names.
      single: whether one array holds single images, without B.

    Raises:
      UserError: see `choose_arrays` and `load_arrays`.
    """
    chosen = choose_arrays(path, names, single=single)
    arrays = load_arrays(path, chosen)
    count, height, width = arrays[0].shape[:3]
    is_16_bit = any(array.dtype != np.uint8 for array in arrays)
    rows = [path / f"{row:05d}" for row in range(count)]
    return [
        SourceImage(
            row,
            width,
            height,
            is_16_bit,
            None if single else row,
            position,
            chosen,
            channels=tuple(array.shape[3] for array in arrays),
        )
        for position, row in enumerate(rows)
    ]


def choose_arrays(path: Path, names: str | None, *, single: bool) -> tuple[str, ...]:
    """Finds the names of an archive's arrays that hold A and B, or single images.

    Args:
      path: the archive.
      names: comma-separated names of the arrays A and B; None for the usual names.
      single: whether one array holds single images, without B.

    Raises:
      UserError: the archive cannot be read, or lacks an array.
    """
    try:
        with damage_reported(path, _FORM), npz_files.open_npz(path) as archive:
            return tuple(_choose(path, archive.names, names, single))
    except FileNotFoundError:
        raise UserError(f"input_dir {path} does not exist") from None


def channels_of(path: Path, names: tuple[str, ...]) -> list[int]:
    """Reads the channels of an archive's arrays from their headers.

    Raises:
      UserError: as `load_arrays`.
    """
    with damage_reported(path, _FORM), npz_files.open_npz(path) as archive:
        found = [(f"{path}: {printable(name)}", archive.find(name)) for name in names]
        return [_image_shape(what, array)[3] for what, array in found]


def load_arrays(path: Path, names: tuple[str, ...]) -> tuple[Array, ...]:
    """Opens one array of an archive, or two of equal shape.

    All bytes are compared with the archive's checksums. An uncompressed uint8 array is
    memory-mapped. Any other array is read, as uint8 if that is exact.

    Args:
      path: the archive.
      names: of the arrays.

    Returns:
      uint8 or float32 [N, H, W, C] in [0, 255].

    Raises:
      UserError: the archive cannot be read, or an array does not hold images.
    """
    status = path.stat()
    return _load_arrays(path, names, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=2)  # training and validation
def _load_arrays(path: Path, names: tuple[str, ...], size: int, modified: int) -> tuple[Array, ...]:
    """Opens arrays; they are opened again only if the archive's size or time has changed."""
    del size, modified
    with damage_reported(path, _FORM), npz_files.open_npz(path) as archive:
        arrays = tuple(_read(path, archive, name) for name in names)
    if len({array.shape[:3] for array in arrays}) > 1:
        shapes = " and ".join(
            f"{name} {list(array.shape)}" for name, array in zip(names, arrays, strict=True)
        )
        raise UserError(
            f"{path}: both arrays must hold equally many images of one size, not {shapes}"
        )
    return arrays


def _choose(path: Path, held: list[str], names: str | None, single: bool) -> list[str]:
    """Chooses A and B, or the single array, from the names that the archive holds."""
    wanted = 1 if single else 2
    shown = ", ".join(map(printable, held[:_SHOWN])) or "nothing"
    shown += f" and {len(held) - _SHOWN} more" if len(held) > _SHOWN else ""
    if names is not None:
        chosen = [name.strip() for name in names.split(",")]
        if missing := [name for name in chosen if name not in held]:
            raise UserError(f"{path} has no array {missing[0]!r}: it holds {shown}")
        if len(chosen) != wanted:
            raise UserError(f"arrays must name {wanted} of {path}'s arrays, not {names!r}")
        return chosen
    if single:
        if len(held) == 1:
            return held
        raise UserError(
            f"{path} holds {shown}, but this task takes single images: name one (--arrays A)"
        )
    if len(held) < wanted:
        raise UserError(f"{path} must hold two arrays, inputs and targets: it holds {shown}")
    usual = [list(pair) for pair in _USUAL_NAMES if set(pair) <= set(held)]
    if len(usual) != 1:
        raise UserError(f"{path} holds {shown}: name A and B (--arrays A,B)")
    return usual[0]


def _read(path: Path, archive: NpzFile, name: str) -> Array:
    """Reads or memory-maps one array and checks its shape and values."""
    what = f"{path}: {printable(name)}"
    with damage_reported(what, "an array"):
        array = archive.find(name)
        array = array._replace(shape=_image_shape(what, array))
        chunks = _read_chunks(archive, array)
        if array.dtype == np.uint8 and array.start is not None:
            mapped = archive.map(array)
            _check_range(what, max(map(np.max, chunks)))
            return mapped
        return _convert(what, chunks, array.shape)


def _image_shape(what: str, array: StoredArray) -> tuple[int, ...]:
    """Checks that an array can hold images; returns [N, H, W, C]."""
    shape = (*array.shape, 1) if len(array.shape) == 3 else array.shape  # grey
    is_image = len(shape) == 4 and shape[3] <= MOST_CHANNELS and 0 not in shape
    if not is_image or array.dtype.kind not in "uif":
        raise UserError(
            f"{what} must hold images, numbers of shape [N, H, W, C], "
            f"not {array.dtype} {list(shape)}"
        )
    if array.is_fortran:
        raise UserError(f"{what} is in Fortran order: save it in C order")
    return shape


def _read_chunks(archive: NpzFile, array: StoredArray) -> Iterator[Array]:
    """Reads an array in chunks of images, and compares it with its checksum."""
    count, *image_shape = array.shape
    size = array.size // count
    blocks = archive.blocks(array, max(1, _CHUNK // size) * size)
    with tqdm(total=count, unit="image", disable=not sys.stderr.isatty(), leave=False) as bar:
        for block in blocks:
            chunk = np.frombuffer(block, array.dtype).reshape(-1, *image_shape)
            yield chunk
            bar.update(len(chunk))


def _convert(what: str, chunks: Iterator[Array], shape: tuple[int, ...]) -> Array:
    """Converts chunks to one uint8 array, or to float32 if a value is not an integer.

    Args:
      what: archive and array, for messages.
      chunks: of the array, numbers of any type.
      shape: of the array.
    """
    images = allocate(shape, np.uint8)
    first, largest = 0, 0.0
    for chunk in chunks:
        low, high = chunk.min(), chunk.max()
        if not (low >= 0 and high <= 255):
            raise UserError(f"{what} must have values in 0..255, not {low}..{high}")
        largest = max(largest, float(high))
        is_exact = images.dtype != np.uint8 or chunk.dtype.kind != "f"
        if not is_exact and (chunk != np.rint(chunk)).any():
            wide = allocate(shape, np.float32)
            wide[:first] = images[:first]
            images = wide
        images[first : first + len(chunk)] = chunk
        first += len(chunk)
    _check_range(what, largest)
    return images


def _check_range(what: str, largest: float) -> None:
    """Refuses images in 0..1, which would be nearly black."""
    if 0 < largest <= 1:
        raise UserError(f"{what} must have values in 0..255, not 0..1: multiply by 255")
