"""Reads the structure of image files.

Decoders differ in what they make of a damaged file, and of parts that are not pixels. Here a file's
structure is read once, by the formats' rules, before any decoder sees the file.
"""

import re

from p2p_graph.imaging import jpeg_structure, png_structure
from p2p_graph.imaging.image_structure import ImageStructure
from p2p_graph.utils.errors import UserError

MOST_PIXELS = 2**27  # of an image that is read: 400 MB of 8-bit RGB

# The first bytes of other formats; a dot stands for any byte.
_OTHER_FORMATS = {
    "GIF": rb"GIF8[79]a",
    "BMP": rb"BM.{4}\0\0\0\0",
    "WEBP": rb"RIFF.{4}WEBP",
    "TIFF": rb"II\*\0|MM\0\*",
    "JPEG 2000": rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51",
    "AVIF or HEIC": rb".{4}ftyp(avi|hei|hev|mif|msf)",
    "PPM": rb"P[1-6][ \t\r\n]",
    "PDF": rb"%PDF-",
}


class TooLargeError(UserError):
    """An image with more pixels than are read. The message lacks its subject."""


def read_structure(contents: bytes) -> ImageStructure:
    """Reads and checks the structure of an image file, without decoding pixels.

    Args:
      contents: of the file.

    Raises:
      UserError: the file is no JPEG or PNG file, is damaged, or has more than `MOST_PIXELS`. The
        message lacks its subject: the caller puts the file's name in front.
    """
    if contents.startswith(png_structure.SIGNATURE):
        structure = png_structure.read(contents)
    elif contents.startswith(jpeg_structure.SIGNATURE):
        structure = jpeg_structure.read(contents)
    else:
        raise UserError(_why_no_image(contents))
    width, height = structure.width, structure.height
    if width * height > MOST_PIXELS:
        raise TooLargeError(
            f"is {width}x{height} pixels, more than the {MOST_PIXELS} (2^27) that are read"
        )
    return structure


def _why_no_image(contents: bytes) -> str:
    for name, start in _OTHER_FORMATS.items():
        if re.match(start, contents, re.DOTALL):
            return f"is {name}, neither JPEG nor PNG"
    return "is not an image" if contents else "is empty"
