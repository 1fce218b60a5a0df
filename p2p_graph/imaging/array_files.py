"""Images of any number of channels: NumPy's .npy files, and TIFF files by tifffile."""

import contextlib
import importlib.util
import io
import logging
import math
import re
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from p2p_graph.config.listed_values import MOST_CHANNELS
from p2p_graph.imaging.image_structure import ARRAY, ImageStructure
from p2p_graph.imaging.read_structure import MOST_PIXELS
from p2p_graph.utils.atomic_write import atomic_write
from p2p_graph.utils.counted import counted
from p2p_graph.utils.errors import UserError, one_line_reason
from p2p_graph.utils.npz_files import read_npy_header

ARRAY_SUFFIX = ".npy"
_NPY = b"\x93NUMPY"
# Version 1.0, two bytes of length, and what NumPy writes for a simple type.
_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '([<>|][a-z][0-9]{1,2})', 'fortran_order': (True|False), "
    rb"'shape': \(([0-9]{1,9}(?:, [0-9]{1,9})*,?)\), \} *\n",
    re.DOTALL,
)
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_MOST_PAGES = 2**12
_DTYPES = (np.uint8, np.uint16, np.float16, np.float32, np.float64)
_MOST_BYTES = 2**30
MISSING = "holds TIFF, which needs tifffile: pip install -c constraints.txt -e '.[tiff]'"
# Axes of a TIFF file's shape, by tifffile's letters: rows, columns, and what may be channels:
# samples of a pixel, pages, and what has no name in an array that tifffile has written.
_ROWS, _COLUMNS, _CHANNELS, _UNKNOWN = "Y", "X", "SCIQ", "Q"
_AS_THEY_ARE = ("MINISBLACK", "RGB", "SEPARATED")  # photometric interpretations

Array = np.ndarray[Any, Any]


def is_array(contents: bytes) -> bool:
    """Whether a file's contents begin as those of a .npy or TIFF file."""
    return contents.startswith((_NPY, *_TIFF))


def lacks_reader(path: Path) -> bool:
    """Whether a file is of a format whose package is not installed."""
    return path.suffix.lower() != ARRAY_SUFFIX and importlib.util.find_spec("tifffile") is None


def decode_array(contents: bytes) -> Array:
    """Decodes the contents of a .npy or TIFF file, and checks all values.

    Integers of 8 and 16 bits take their whole range; other numbers are in [0, 1].

    Returns:
      uint8, uint16 or float32 [H, W, C]; [H, W] of the file has one channel.

    Raises:
      UserError: the contents cannot be decoded, or are no image. The message lacks its subject: the
        caller puts the file's name in front.
    """
    try:
        if contents.startswith(_NPY):
            image = _decode_npy(contents)
        elif contents.startswith(_TIFF):
            image = _decode_tiff(contents)
        else:
            raise UserError("is neither a NumPy array nor TIFF" if contents else "is empty")
    except UserError:
        raise
    except MemoryError:
        raise UserError("cannot be decoded: it takes more memory than there is") from None
    except Exception as error:  # which one depends on the damage
        raise UserError(f"cannot be decoded: {one_line_reason(error)}") from error
    if np.issubdtype(image.dtype, np.integer):
        return image.astype(image.dtype.newbyteorder("="), copy=False)
    low, high = image.min(), image.max()
    if not np.isfinite([low, high]).all():
        raise UserError("holds values that are not finite (NaN or infinity)")
    if low < 0 or high > 1:
        raise UserError(f"holds values in {low:g}..{high:g}: numbers with fractions are in 0..1")
    values: Array = image.astype(np.float32)
    return values


def structure_of(contents: bytes) -> ImageStructure:
    """Decodes a file as `decode_array` does; gives what is known of its image."""
    image = decode_array(contents)
    height, width, channels = image.shape
    is_deep = image.dtype != np.uint8
    return ImageStructure(ARRAY, width, height, is_deep, channels, False, 0, ())


def as_bytes(image: Array) -> Array:
    """Converts an image of `decode_array` to uint8."""
    if image.dtype == np.uint8:
        return image
    in_bytes: Array = np.rint(as_values(image) * 255).astype(np.uint8)
    return in_bytes


def as_values(image: Array) -> Array:
    """Converts an image of `decode_array` to float32 in [0, 1]."""
    if image.dtype == np.float32:
        return image
    # By the reciprocal, as TensorFlow's `convert_image_dtype`.
    values: Array = image.astype(np.float32) * np.float32(1 / np.iinfo(image.dtype).max)
    return values


def save_npy(path: Path, image: Array) -> None:
    """Writes an image to a .npy file atomically.

    Raises:
      OSError: the file cannot be written; an earlier file is intact.
    """
    with atomic_write(path) as temporary:
        temporary.write_bytes(encode_npy(image))


def encode_npy(image: Array) -> bytes:
    """Makes the contents of a .npy file."""
    stream = io.BytesIO()
    np.save(stream, np.ascontiguousarray(image), allow_pickle=False)
    return stream.getvalue()


def npy_size(head: bytes) -> int | None:
    """The bytes that a .npy file has whose first ones these are; None if NumPy wrote no such file.

    Args:
      head: with all of the file's header.
    """
    try:
        shape, _, dtype, start = _read_header(head)
    except (UserError, ValueError):
        return None
    return start + math.prod(shape) * int(dtype.itemsize)


def _decode_npy(contents: bytes) -> Array:
    shape, is_fortran, dtype, start = _read_header(contents)
    _check_form(shape, dtype)
    if len(contents) - start != math.prod(shape) * dtype.itemsize:
        raise UserError(
            f"cannot be decoded: its header says {dtype} {list(shape)}, and it has "
            f"{counted(len(contents) - start, 'byte')} of values"
        )
    values = np.frombuffer(contents, dtype, offset=start)
    image = values.reshape(shape, order="F" if is_fortran else "C")
    return image[..., None] if len(shape) == 2 else image


def _read_header(contents: bytes) -> tuple[tuple[int, ...], bool, Any, int]:
    """Reads the shape, order and type of a .npy file, and where its values start.

    NumPy parses the header as Python source. Before Python 3.13, parsers in several threads disturb
    each other (SystemError: AST constructor recursion depth mismatch), and the input graph decodes
    in several threads. The header that NumPy writes is therefore read without.
    """
    if found := _HEADER.match(contents):
        description, order, lengths = (part.decode() for part in found.groups())
        shape = tuple(int(length) for length in lengths.split(",") if length.strip())
        end = 10 + int.from_bytes(contents[8:10], "little")
        if found.end() == end:
            return shape, order == "True", np.dtype(description), end
    stream = io.BytesIO(contents)
    return *read_npy_header(stream), stream.tell()


def _decode_tiff(contents: bytes) -> Array:
    try:
        import tifffile
    except ImportError:
        raise UserError(MISSING) from None
    with _logged_damage_raised(), tifffile.TiffFile(io.BytesIO(contents)) as file:
        _check_pages(contents, file.tiff)
        whole = [series for series in file.series if not series.keyframe.is_reduced]
        if len(whole) != 1:
            raise UserError(f"holds {counted(len(whole), 'image')}, not one")
        series = whole[0]
        kind = series.keyframe.photometric.name
        if kind not in _AS_THEY_ARE:
            raise UserError(
                f"is TIFF of the kind {kind}, which is not read: save it as RGB or grey"
            )
        axes, shape = series.axes, series.shape
        if axes == _UNKNOWN + _ROWS + _COLUMNS:
            # The fewest of an image's rows, columns and channels are its channels.
            axes = "YXS" if shape[2] < shape[0] else "SYX"
        is_image = axes.count(_ROWS) == axes.count(_COLUMNS) == 1
        other = set(axes) - {_ROWS, _COLUMNS, *_CHANNELS}
        if not is_image or other or len(axes) > 3:
            raise UserError(
                f"is TIFF with the axes {axes}, which is not read: it should have rows, columns "
                "and channels"
            )
        lengths = dict(zip(axes, shape, strict=True))
        height, width = lengths.pop(_ROWS), lengths.pop(_COLUMNS)
        _check_form((height, width, math.prod(lengths.values())), series.dtype)
        values = series.asarray(maxworkers=1)  # in this thread, for its messages
    # Rows and columns first, in this order.
    last = values.reshape(shape)
    order = [axes.index(_ROWS), axes.index(_COLUMNS)]
    order += [axis for axis in range(len(axes)) if axis not in order]
    return np.ascontiguousarray(last.transpose(order)).reshape(height, width, -1)


def _check_pages(contents: bytes, form: Any) -> None:
    """Refuses pages that lead in a circle: tifffile would follow them for ever.

    A page begins with a number of tags, and behind the tags is the next one's place (TIFF 6.0,
    section 2).

    Args:
      contents: of the file.
      form: tifffile's `TiffFormat`: the sizes and types of these numbers.
    """
    seen: set[int] = set()
    try:
        place = 8 if form.is_bigtiff else 4
        [page] = struct.unpack_from(form.offsetformat, contents, place)
        while page:
            if page in seen:
                raise UserError("cannot be decoded: its pages lead in a circle")
            if len(seen) == _MOST_PAGES:
                raise UserError(f"holds more than {counted(_MOST_PAGES, 'page')}, not one image")
            seen.add(page)
            [tags] = struct.unpack_from(form.tagnoformat, contents, page)
            place = page + form.tagnosize + tags * form.tagsize
            [page] = struct.unpack_from(form.offsetformat, contents, place)
    except struct.error:  # the file ends before, which tifffile reports
        pass


@contextlib.contextmanager
def _logged_damage_raised() -> Iterator[None]:
    """Raises what tifffile reports in this thread: it goes on with zeros in place of missing data.

    Raises:
      UserError: tifffile reported damage. The message lacks its subject.
    """
    with _log.records_of_this_thread() as reported:
        yield
    if reported:
        raise UserError(f"cannot be decoded: {one_line_reason(Exception(reported[0]))}")


class _ThreadLog(logging.Handler):
    """Keeps what tifffile logs, by thread."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._reports: dict[int, list[str]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps a message for the thread that logs it."""
        if (reports := self._reports.get(threading.get_ident())) is not None:
            reports.append(record.getMessage())

    @contextlib.contextmanager
    def records_of_this_thread(self) -> Iterator[list[str]]:
        """Yields the list of messages that this thread logs."""
        logger = logging.getLogger("tifffile")
        if self not in logger.handlers:
            logger.addHandler(self)
            logger.propagate = False
        thread = threading.get_ident()
        reports: list[str] = []
        self._reports[thread] = reports
        try:
            yield reports
        finally:
            del self._reports[thread]


_log = _ThreadLog()


def _check_form(shape: tuple[int, ...], dtype: Any) -> None:
    """Checks that an array is an image of a size that is read, before memory is taken for it."""
    if len(shape) not in (2, 3) or 0 in shape:
        raise UserError(f"has the shape {list(shape)}: an image is [height, width, channels]")
    if np.dtype(dtype).newbyteorder("=") not in _DTYPES:
        names = ", ".join(np.dtype(known).name for known in _DTYPES)
        raise UserError(f"holds values of the type {dtype}: those that are read are {names}")
    if len(shape) == 3 and shape[2] > MOST_CHANNELS:
        raise UserError(f"has {counted(shape[2], 'channel')}, more than {MOST_CHANNELS}")
    height, width = shape[:2]
    if height * width > MOST_PIXELS:
        raise UserError(
            f"is {width}x{height} pixels, more than the {MOST_PIXELS} (2^27) that are read"
        )
    if math.prod(shape) * np.dtype(dtype).itemsize > _MOST_BYTES:
        raise UserError(f"has more than {counted(_MOST_BYTES, 'byte')}, the most that is read")
