"""What JPEG and PNG files say of their images, and the parts that decide the pixels."""

from typing import NamedTuple

from p2p_graph.imaging import exif

ARRAY = "array"
WRONG_HEADER = "cannot be decoded: its header is wrong"
CUT_OFF = "cannot be decoded: it is cut off"


class ImageStructure(NamedTuple):
    """What a file says of its image.

    Attributes:
      kind: "JPEG", "PNG" or `ARRAY`, whose pixels have been decoded and checked.
      width: in pixels, at least 1.
      height: in pixels, at least 1.
      is_16_bit: whether a channel has more than 8 bits.
      channels: of an array; of image files 1 (grey) or 3, without alpha.
      has_alpha: whether pixels may be transparent.
      row_bytes: PNG: the size of the uncompressed image data; otherwise 0.
      parts: first and last byte + 1 of each part that decides the pixels, in the file's order.
      orientation: EXIF's, 1 to 8 (see `exif`); decoders ignore it.
    """

    kind: str
    width: int
    height: int
    is_16_bit: bool
    channels: int
    has_alpha: bool
    row_bytes: int
    parts: tuple[tuple[int, int], ...]
    orientation: int = exif.UPRIGHT

    def without_metadata(self, contents: bytes) -> bytes:
        """The file with nothing but the parts that decide the pixels."""
        return b"".join(contents[first:end] for first, end in self.parts)
