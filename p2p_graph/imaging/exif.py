"""The orientation of a photo, as a camera's EXIF metadata tell it (Exif 2.32, section 4.6.4)."""

import struct
from typing import Any

import numpy as np

UPRIGHT = 1
_START = b"Exif\0\0"
_BYTE_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_ORIENTATION, _SHORT = 0x0112, 3


def orientation_in_segment(segment: bytes) -> int:
    """Reads the orientation in an APP1 segment of a JPEG file, which may hold something else.

    Args:
      segment: the data of the segment.

    Returns:
      As `orientation`.
    """
    return orientation(segment.removeprefix(_START)) if segment.startswith(_START) else UPRIGHT


def orientation(tiff: bytes) -> int:
    """Reads the orientation in EXIF metadata.

    Args:
      tiff: the metadata, as a chunk eXIf of a PNG file holds them.

    Returns:
      1 to 8; 1, upright, also where the metadata hold no orientation or are damaged.
    """
    order = _BYTE_ORDERS.get(tiff[:4])
    if order is None:
        return UPRIGHT
    try:
        [first] = struct.unpack_from(f"{order}I", tiff, 4)
        [count] = struct.unpack_from(f"{order}H", tiff, first)
        for entry in range(count):
            tag, kind, values, value = struct.unpack_from(
                f"{order}HHIH", tiff, first + 2 + 12 * entry
            )
            if (tag, kind, values) == (_ORIENTATION, _SHORT, 1):
                return value if 1 <= value <= 8 else UPRIGHT
    except struct.error:
        pass
    return UPRIGHT


def swaps_sides(orientation: int) -> bool:
    """Whether the upright photo is as wide as the stored one is high."""
    return orientation >= 5


def steps_to_upright(orientation: int) -> tuple[bool, bool, bool]:
    """How a stored photo becomes upright.

    Returns:
      Whether rows and columns are swapped; then whether rows are reversed; then columns.
    """
    return (
        swaps_sides(orientation),
        orientation in (3, 4, 7, 8),
        orientation in (2, 3, 6, 7),
    )


def upright(image: "np.ndarray[Any, Any]", orientation: int) -> "np.ndarray[Any, Any]":
    """Turns an image [H, W, C] upright."""
    swap, reverse_rows, reverse_columns = steps_to_upright(orientation)
    image = image.swapaxes(0, 1) if swap else image
    image = image[::-1] if reverse_rows else image
    return image[:, ::-1] if reverse_columns else image
