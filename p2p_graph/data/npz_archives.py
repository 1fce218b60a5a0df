"""Images in an .npz archive, as written by NumPy's savez and savez_compressed."""

import contextlib
import functools
import math
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from tqdm import tqdm

from p2p_graph.data.image_files import SourceImage
from p2p_graph.utils.errors import NPZ_ERRORS, UserError

SUFFIX = ".npz"
# Names of the arrays A and B that are found without --arrays.
_USUAL_NAMES = (
    ("arr_0", "arr_1"),
    ("inputs", "targets"),
    ("input", "target"),
    ("A", "B"),
    ("a", "b"),
)
_CHUNK = 2**24  # bytes read and checked at a time
_LOCAL_HEADER = 30  # bytes before a zip member's name; APPNOTE.TXT, section 4.3.7

Array = np.ndarray[Any, Any]
_Header = tuple[tuple[int, ...], bool, "np.dtype[Any]"]

# Typed here, since NumPy's stubs before 2.3 leave these functions unannotated.
_read_magic: Callable[[IO[bytes]], tuple[int, int]] = np.lib.format.read_magic
_read_header_1_0: Callable[[IO[bytes]], _Header] = np.lib.format.read_array_header_1_0
_read_header_2_0: Callable[[IO[bytes]], _Header] = np.lib.format.read_array_header_2_0


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
        SourceImage(row, width, height, is_16_bit, None if single else row, position, chosen)
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
    if not path.is_file():
        raise UserError(
            f"input_dir {path} {'is not a file' if path.exists() else 'does not exist'}"
        )
    with _reading(path), zipfile.ZipFile(path) as archive:
        return tuple(_choose(path, list(map(_array_name, archive.namelist())), names, single))


@functools.lru_cache(maxsize=2)  # training and validation
def load_arrays(path: Path, names: tuple[str, ...]) -> tuple[Array, ...]:
    """Opens one array of an archive, or two of equal shape.

    An uncompressed uint8 array is memory-mapped. Any other array is read, as uint8 if that is
    exact.

    Args:
      path: the archive.
      names: of the arrays.

    Returns:
      uint8 or float32 [N, H, W, 3 or 1] in [0, 255].

    Raises:
      UserError: the archive cannot be read, or an array does not hold images.
    """
    with _reading(path), zipfile.ZipFile(path) as archive:
        arrays = tuple(_read(path, archive, name) for name in names)
    if len({array.shape[:3] for array in arrays}) > 1:
        shapes = " and ".join(
            f"{name} {list(array.shape)}" for name, array in zip(names, arrays, strict=True)
        )
        raise UserError(
            f"{path}: both arrays must hold equally many images of one size, not {shapes}"
        )
    return arrays


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turns any error of reading an archive into a `UserError` of one line."""
    try:
        yield
    except UserError:
        raise
    except (OSError, *NPZ_ERRORS) as error:
        raise UserError(f"{path} cannot be read as an .npz archive: {error}") from None


def _array_name(member: str) -> str:
    return member.removesuffix(".npy")


def _choose(path: Path, held: list[str], names: str | None, single: bool) -> list[str]:
    """Chooses A and B, or the single array, from the names that the archive holds."""
    wanted = 1 if single else 2
    shown = ", ".join(held) or "nothing"
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


def _read(path: Path, archive: zipfile.ZipFile, name: str) -> Array:
    """Reads or memory-maps one array and checks its shape and values."""
    member = archive.getinfo(f"{name}.npy" if f"{name}.npy" in archive.namelist() else name)
    with archive.open(member) as file:
        shape, fortran, kind = _read_header(file)
        header_size = file.tell()
        if len(shape) == 3:  # grey
            shape = (*shape, 1)
        if len(shape) != 4 or shape[3] not in (1, 3) or 0 in shape or kind.kind not in "uif":
            raise UserError(
                f"{path}: {name} must hold images, numbers of shape [N, H, W, 3], "
                f"not {kind} {list(shape)}"
            )
        if fortran:
            raise UserError(f"{path}: {name} is in Fortran order: save it in C order")
        if kind == np.uint8 and member.compress_type == zipfile.ZIP_STORED:
            start = _find_data(path, member) + header_size
            mapped = np.memmap(path, kind, "r", start, shape)
            _check_range(f"{path}: {name}", _split_into_chunks(mapped))
            return mapped
        return _convert(f"{path}: {name}", _read_chunks(file, shape, kind), shape)


def _read_header(file: IO[bytes]) -> _Header:
    """Reads an array's shape, whether it is in Fortran order, and its type."""
    return _read_header_1_0(file) if _read_magic(file) == (1, 0) else _read_header_2_0(file)


def _find_data(path: Path, member: zipfile.ZipInfo) -> int:
    """Finds a member's first byte: its local header may be longer than its central one."""
    with path.open("rb") as file:
        file.seek(member.header_offset)
        header = file.read(_LOCAL_HEADER)
    lengths = header[26:28], header[28:30]
    return member.header_offset + _LOCAL_HEADER + sum(int.from_bytes(n, "little") for n in lengths)


def _read_chunks(file: IO[bytes], shape: tuple[int, ...], kind: "np.dtype[Any]") -> Iterator[Array]:
    """Reads an array in chunks of images."""
    size = math.prod(shape[1:]) * kind.itemsize
    at_once = max(1, _CHUNK // size)
    with tqdm(total=shape[0], unit="image", disable=not sys.stderr.isatty(), leave=False) as bar:
        for first in range(0, shape[0], at_once):
            count = min(at_once, shape[0] - first)
            contents = file.read(count * size)
            if len(contents) < count * size:
                raise EOFError(f"an array ends after {first} of {shape[0]} images")
            yield np.frombuffer(contents, kind).reshape(count, *shape[1:])
            bar.update(count)
    # Reading past the end makes zipfile compare the checksum.
    if file.read(1):
        raise ValueError("an array is longer than its header says")


def _convert(what: str, chunks: Iterator[Array], shape: tuple[int, ...]) -> Array:
    """Converts chunks to one uint8 array, or to float32 if a value is not an integer.

    Args:
      what: archive and array, for messages.
      chunks: of the array, numbers of any type.
      shape: of the array.
    """
    images: Array = np.empty(shape, np.uint8)
    first, largest = 0, 0.0
    for chunk in chunks:
        low, high = chunk.min(), chunk.max()
        if not (low >= 0 and high <= 255):
            raise UserError(f"{what} must have values in 0..255, not {low}..{high}")
        largest = max(largest, float(high))
        is_exact = images.dtype != np.uint8 or chunk.dtype.kind != "f"
        if not is_exact and (chunk != np.rint(chunk)).any():
            images = images.astype(np.float32)
        images[first : first + len(chunk)] = chunk
        first += len(chunk)
    _check_range(what, [np.float64(largest)])
    return images


def _split_into_chunks(array: Array) -> Iterator[Array]:
    """Splits an array into chunks of images."""
    at_once = max(1, _CHUNK // array[0].nbytes)
    return (array[first : first + at_once] for first in range(0, len(array), at_once))


def _check_range(what: str, chunks: Iterable[Any]) -> None:
    """Refuses images in 0..1, which would be nearly black; reads chunks up to a value above 1."""
    largest = 0.0
    for chunk in chunks:
        largest = max(largest, float(chunk.max()))
        if largest > 1:
            return
    if largest > 0:
        raise UserError(f"{what} must have values in 0..255, not 0..1: multiply by 255")
