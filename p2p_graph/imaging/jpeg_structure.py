"""The structure of JPEG files (ITU-T T.81)."""

import re
import struct
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from p2p_graph.imaging import exif
from p2p_graph.imaging.image_structure import CUT_OFF, WRONG_HEADER, ImageStructure
from p2p_graph.utils.errors import UserError

SIGNATURE = b"\xff\xd8\xff"

# As libjpeg finds markers: it skips other bytes, and repeated FF.
_MARKER = re.compile(rb"\xff+([^\x00\xff])", re.DOTALL)
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD8)}
_START, _END, _SCAN = 0xD8, 0xD9, 0xDA
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}
# The metadata that decide the colours, JFIF's and Adobe's, and their least length.
_COLOUR_METADATA = {0xE0: 16, 0xEE: 14}
_METADATA = {*range(0xE0, 0xF0), 0xFE}
_APP1 = 0xE1


class _Segment(NamedTuple):
    """A marker and its parameters: the marker's first byte, and the last byte + 1."""

    marker: int
    first: int
    end: int


def read(contents: bytes) -> ImageStructure:
    """Reads a JPEG file's structure.

    Raises:
      UserError: the file is damaged. The message lacks its subject.
    """
    *headers, scan = _list_segments(contents)
    frames = [segment for segment in headers if segment.marker in _FRAMES]
    frame = contents[frames[-1].first + 4 : frames[-1].end] if frames else b""
    if len(frame) < 6:
        raise UserError(WRONG_HEADER)
    height, width, channels = struct.unpack_from(">HHB", frame, 1)
    if not (width and height):
        raise UserError(WRONG_HEADER)
    has_all_channels = contents[scan.first + 4 : scan.first + 5] == bytes([channels])
    in_one_scan = has_all_channels and frames[-1].marker not in _PROGRESSIVE
    _check_scans(contents, scan.end, in_one_scan=in_one_scan)
    used = [segment for segment in headers if _decides_pixels(segment)]
    return ImageStructure(
        "JPEG",
        width,
        height,
        is_16_bit=False,
        channels=1 if channels == 1 else 3,
        has_alpha=False,
        row_bytes=0,
        parts=(
            (0, 2),
            *((segment.first, segment.end) for segment in used),
            (scan.first, len(contents)),
        ),
        orientation=_orientation(contents, headers),
    )


def _orientation(contents: bytes, headers: Sequence[_Segment]) -> int:
    """EXIF's orientation, in the first segment of the kind that has one."""
    for segment in headers:
        if segment.marker == _APP1:
            found = exif.orientation_in_segment(contents[segment.first + 4 : segment.end])
            if found != exif.UPRIGHT:
                return found
    return exif.UPRIGHT


def _decides_pixels(segment: _Segment) -> bool:
    if segment.marker not in _METADATA:
        return True
    least = _COLOUR_METADATA.get(segment.marker)
    return least is not None and segment.end - segment.first - 2 >= least


def _list_segments(contents: bytes) -> list[_Segment]:
    """Lists the segments up to the first scan, whose header is the last one."""
    segments: list[_Segment] = []
    position = 2
    while not segments or segments[-1].marker != _SCAN:
        found = _MARKER.search(contents, position)
        if not found or found.end() + 2 > len(contents):
            raise UserError(CUT_OFF)
        marker, first, position = found[1][0], found.end() - 2, found.end()
        if marker in _WITHOUT_LENGTH:
            continue
        if marker in (_START, _END):
            raise UserError("cannot be decoded: it holds no image data")
        length = int.from_bytes(contents[position : position + 2], "big")
        if length < 2 and marker not in _METADATA:  # libjpeg skips metadata of any length
            raise UserError(f"cannot be decoded: the length of its segment FF{marker:02X} is wrong")
        position += max(length, 2)
        if position > len(contents):
            raise UserError(CUT_OFF)
        segments.append(_Segment(marker, first, position))
    return segments


def _check_scans(contents: bytes, position: int, *, in_one_scan: bool) -> None:
    """Checks that an image whose first scan begins at a position has an end."""
    if not in_one_scan:
        if contents.find(bytes([0xFF, _END]), position) < 0:
            raise UserError(CUT_OFF)
        return
    data = np.frombuffer(contents, np.uint8, offset=position)
    # FF 00 is a byte of the data, FF FF fills, and D0 to D7 restart the scan.
    marks = np.flatnonzero((data[:-1] == 0xFF) & (data[1:] != 0))
    kinds = data[marks + 1]
    markers = kinds[(kinds != 0xFF) & ((kinds < 0xD0) | (kinds > 0xD7))]
    if not markers.size:
        raise UserError(CUT_OFF)
    if markers[0] != _END:
        # Some decoders stop where the last row should end, others go on to the image's end.
        raise UserError(
            f"cannot be decoded: the marker FF{markers[0]:02X} interrupts its image data"
        )
