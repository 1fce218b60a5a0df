"""Arrays in .npz files: checked before memory is allocated, and against their checksums.

NumPy allocates what a header claims before it reads a value, and a memory map of an uncompressed
array reads no checksum. Here, a header that does not fit its member's size is damage, and all bytes
of a member are compared with the checksum once.
"""

import contextlib
import math
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from p2p_graph.utils.checked_allocation import allocate
from p2p_graph.utils.counted import counted
from p2p_graph.utils.outside_files import open_regular

_SUFFIX = ".npy"
_BLOCK = 2**24  # bytes read at a time
_MOST_DEFLATED = 1032  # bytes that a byte can stand for; zlib's technical details
_ENCRYPTED = 0x1  # flag of a zip member; APPNOTE.TXT, section 4.4.4
_LOCAL_HEADER = 30  # bytes before a zip member's name; section 4.3.7
_VERSIONS = ((1, 0), (2, 0), (3, 0))

Array = np.ndarray[Any, Any]
_Header = tuple[tuple[int, ...], bool, "np.dtype[Any]"]

# Typed here, since NumPy's stubs before 2.3 leave these functions unannotated.
_read_magic: Callable[[IO[bytes]], tuple[int, int]] = np.lib.format.read_magic
_read_header_1_0: Callable[[IO[bytes]], _Header] = np.lib.format.read_array_header_1_0
_read_header_2_0: Callable[[IO[bytes]], _Header] = np.lib.format.read_array_header_2_0


class StoredArray(NamedTuple):
    """An array in an open .npz file, of which the header was read and checked.

    Attributes:
      member: the array's file in the archive.
      shape: integers, 0 or more.
      is_fortran: whether the first index changes fastest.
      dtype: of the values.
      header_size: bytes before the values.
      start: the first byte of the values in the .npz file; None if they are compressed.
    """

    member: zipfile.ZipInfo
    shape: tuple[int, ...]
    is_fortran: bool
    dtype: "np.dtype[Any]"
    header_size: int
    start: int | None

    @property
    def size(self) -> int:
        """Bytes of all values."""
        return math.prod(self.shape) * self.dtype.itemsize


class NpzFile:
    """An open .npz file.

    Every method may raise any error of `zipfile` or NumPy for a damaged file: use it in
    `damage_reported`.

    Attributes:
      names: of the arrays, in the file's order.
    """

    def __init__(self, file: IO[bytes]) -> None:
        """Reads the archive's directory; the file stays open until the caller closes it."""
        self._file = file
        self._archive = zipfile.ZipFile(file)
        self._members = self._archive.infolist()
        self.names = [member.filename.removesuffix(_SUFFIX) for member in self._members]

    def find(self, name: str) -> StoredArray:
        """Reads an array's header.

        Raises:
          ValueError: there is no such array, or its header does not fit its size.
        """
        found = [m for m, held in zip(self._members, self.names, strict=True) if held == name]
        if not found:
            raise ValueError(f"it has no array {name}")
        if len(found) > 1:
            raise ValueError(f"it has several arrays {name}")
        member = found[0]
        if member.flag_bits & _ENCRYPTED:
            raise ValueError(f"{name} is encrypted")
        start = self._find_data(member)
        with self._archive.open(member) as stream:
            shape, is_fortran, dtype = read_npy_header(stream)
            header_size = stream.tell()
        stored = member.compress_type == zipfile.ZIP_STORED
        data = start + header_size if stored else None
        array = StoredArray(member, shape, is_fortran, dtype, header_size, data)
        # Objects are pickled: their size is not known, and nothing here reads them.
        if not dtype.hasobject and header_size + array.size != member.file_size:
            raise ValueError(
                f"the header of {name} says {dtype} {list(shape)}, "
                f"{counted(array.size, 'byte')}, and there are {member.file_size - header_size}"
            )
        return array

    def blocks(self, array: StoredArray, size: int = _BLOCK) -> Iterator[bytes]:
        """Reads an array's values in blocks; the last one ends with the checksum's comparison.

        Args:
          array: of this file.
          size: of a block, in bytes; the last block may be smaller.
        """
        with self._archive.open(array.member) as stream:
            stream.read(array.header_size)
            for first in range(0, array.size, size):
                wanted = min(size, array.size - first)
                block = stream.read(wanted)
                if len(block) < wanted:
                    raise EOFError(
                        f"it ends after {first + len(block)} of {counted(array.size, 'byte')}"
                    )
                yield block
            stream.read(1)  # so that the checksum of no values is compared, too

    def __contains__(self, name: str) -> bool:
        """Whether there is an array of this name."""
        return name in self.names

    def __getitem__(self, name: str) -> Array:
        """Reads an array that holds no Python objects, and compares it with its checksum."""
        array = self.find(name)
        if array.dtype.hasobject:
            raise ValueError(f"{name} holds Python objects")
        values = allocate([math.prod(array.shape)], array.dtype)
        flat, first = values.view(np.uint8), 0
        for block in self.blocks(array):
            flat[first : first + len(block)] = np.frombuffer(block, np.uint8)
            first += len(block)
        return values.reshape(array.shape, order="F" if array.is_fortran else "C")

    def map(self, array: StoredArray) -> Array:
        """Maps an uncompressed array in C order into memory, read-only."""
        assert array.start is not None
        return np.memmap(self._file, array.dtype, "r", array.start, array.shape)

    def _find_data(self, member: zipfile.ZipInfo) -> int:
        """Finds a member's first byte, and checks that its last one lies before what follows."""
        self._file.seek(member.header_offset)
        header = self._file.read(_LOCAL_HEADER)
        # The local header may be longer than the one in the directory: zip programs pad it.
        lengths = (int.from_bytes(header[at : at + 2], "little") for at in (26, 28))
        start = member.header_offset + _LOCAL_HEADER + sum(lengths)
        others = (other.header_offset for other in self._members)
        following = [offset for offset in others if offset > member.header_offset]
        if start + member.compress_size > min([self._archive.start_dir, *following]):
            raise zipfile.BadZipFile("it overlaps what lies behind it in the archive")
        is_stored = member.compress_type == zipfile.ZIP_STORED
        if is_stored and member.compress_size != member.file_size:
            raise zipfile.BadZipFile("it has two sizes")
        most = (member.compress_size + 1) * _MOST_DEFLATED
        if member.compress_type == zipfile.ZIP_DEFLATED and member.file_size > most:
            raise zipfile.BadZipFile("it claims more bytes than its compressed ones can hold")
        return start


@contextlib.contextmanager
def open_npz(path: Path) -> Iterator[NpzFile]:
    """Opens an .npz file. Use this in `damage_reported`: any error of a damaged file is raised."""
    with open_regular(path) as file:
        yield NpzFile(file)


def read_npy_header(file: IO[bytes]) -> _Header:
    """Reads an array's shape, whether it is in Fortran order, and its type.

    Any error of a damaged header is raised: use this in `damage_reported`, or catch them all.
    """
    version = _read_magic(file)
    if version not in _VERSIONS:
        raise ValueError(f"its format has the unknown version {version[0]}.{version[1]}")
    with warnings.catch_warnings():
        # NumPy warns of headers from Python 2, and Python of odd literals in a damaged header.
        warnings.simplefilter("ignore")
        # Version 3.0 differs in the names of fields alone.
        shape, is_fortran, dtype = (
            _read_header_1_0(file) if version == (1, 0) else _read_header_2_0(file)
        )
    if any(type(length) is not int or length < 0 for length in shape):
        raise ValueError(f"its shape {shape} is not of integers from 0 on")
    return shape, is_fortran, dtype
