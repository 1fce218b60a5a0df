"""Decodes image files with Pillow, operations on one uint8 RGB array, and PNG files."""

import contextlib
import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageChops
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from scipy.ndimage import gaussian_filter

from p2p_graph.imaging import exif
from p2p_graph.imaging.image_structure import ImageStructure
from p2p_graph.imaging.png_structure import SIGNATURE, check_image_data
from p2p_graph.imaging.read_structure import read_structure
from p2p_graph.utils.atomic_write import atomic_write
from p2p_graph.utils.errors import UserError, one_line_reason
from p2p_graph.utils.outside_files import read_bytes

Array = np.ndarray[Any, Any]

# Unlike `Image.open`, these have no limit of their own, which warns on stderr.
_OPENERS = {"JPEG": JpegImageFile, "PNG": PngImageFile}
WRONG_SIZE = "cannot be decoded: its header is wrong about its size"
_COMPRESSION = 2  # of PNGs: files 3 % larger than at Pillow's 6, in a third of the time


def read_rgb(path: Path, *, upright: bool = False) -> Array:
    """Decodes an image file to uint8 RGB [H, W, 3], as `decode_rgb` does.

    Args:
      path: of the file.
      upright: whether a photo is turned as its EXIF orientation says.

    Raises:
      UserError: the file cannot be read or decoded. The message lacks its subject: the caller
        puts the file's name in front.
    """
    contents = read_contents(path)
    structure = read_structure(contents)
    image = decode_rgb(contents, structure)
    return np.ascontiguousarray(exif.upright(image, structure.orientation)) if upright else image


def read_contents(path: Path) -> bytes:
    """Reads an image file, which must be a regular file of at most 1 GiB.

    Raises:
      UserError: the file cannot be read. The message lacks its subject, as `read_rgb`'s.
    """
    try:
        return read_bytes(path)
    except FileNotFoundError:
        raise UserError("does not exist") from None
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}") from None


def decode_rgb(contents: bytes, structure: ImageStructure | None = None) -> Array:
    """Decodes the contents of a JPEG or PNG file to uint8 RGB [H, W, 3].

    Grey is repeated in all channels. Palettes and CMYK are converted. Alpha is dropped. 16-bit
    images keep their upper 8 bits, as TensorFlow's decoder does.

    Args:
      contents: of the file.
      structure: from `read_structure`, if it has been read.

    Raises:
      UserError: the contents cannot be decoded. The message lacks its subject, as `read_rgb`'s.
    """
    with opened(contents, structure) as image:
        return _to_rgb(image)


def why_not_decodable(contents: bytes, structure: ImageStructure) -> str | None:
    """Decodes a file as `decode_rgb` does; gives the reason why that fails, or None.

    Args:
      contents: of the file.
      structure: from `read_structure`.
    """
    try:
        with opened(contents, structure) as image:
            size = _to_rgb(image).shape[:2]
    except UserError as error:
        return str(error)
    return None if size == (structure.height, structure.width) else WRONG_SIZE


@contextlib.contextmanager
def opened(contents: bytes, structure: ImageStructure | None = None) -> Iterator[Image.Image]:
    """Opens the contents of a JPEG or PNG file with Pillow.

    Pillow gets nothing but the parts that decide the pixels: its opinion on metadata differs from
    TensorFlow's.

    Args:
      contents: of the file.
      structure: from `read_structure`, if it has been read.

    Raises:
      UserError: the file cannot be decoded, which may show in the context. The message lacks its
        subject, as `read_rgb`'s.
    """
    structure = structure or read_structure(contents)
    if structure.kind == "PNG":
        check_image_data(contents, structure)
    stream = io.BytesIO(structure.without_metadata(contents))
    try:
        with _OPENERS[structure.kind](stream) as image:
            yield image
    except UserError:
        raise
    except MemoryError:
        raise UserError("cannot be decoded: it takes more memory than there is") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise UserError(f"cannot be decoded: {one_line_reason(error)}") from None


def _to_rgb(image: Image.Image) -> Array:
    if image.mode.startswith("I"):
        # `convert` clips 16-bit values instead of scaling them.
        grey = np.asarray(image) >> 8
        return np.stack([grey.astype(np.uint8)] * 3, axis=-1)
    if image.mode == "CMYK" and "adobe" not in image.info:
        # Adobe's programs store inverted values, with a marker; Pillow inverts them without it.
        image = ImageChops.invert(image)
    return np.asarray(image.convert("RGB"))


def read_half(path: Path, *, right: bool) -> Array:
    """Decodes one half of a side-by-side pair to uint8 RGB [H, W / 2, 3].

    Raises:
      UserError: as `read_rgb`.
    """
    pair = read_rgb(path)
    half = pair.shape[1] // 2
    return pair[:, half:] if right else pair[:, :half]


def grayscale(image: Array) -> Array:
    """Converts uint8 RGB [H, W, 3] to BT.601 luma, repeated in all three channels."""
    return np.asarray(Image.fromarray(image).convert("L").convert("RGB"))


def resized(image: Array, size: int, *, pad: bool = False) -> Array:
    """Crops or pads an image to a square, then scales the square.

    Shrinking averages over the area of each new pixel, as the reference implementation does.
    Enlarging uses Pillow's bicubic filter. The reference implementation enlarges with TensorFlow
    1's filter, which shifts the image up and left by up to half an old pixel.

    Args:
      image: uint8 RGB [H, W, 3].
      size: the new side, in pixels.
      pad: whether a black border makes the image square; by default its longer side is cropped
        equally at both ends.

    Returns:
      uint8 RGB [size, size, 3].
    """
    height, width, _ = image.shape
    if pad:
        side = max(height, width)
        top, left = (side - height) // 2, (side - width) // 2
        square = np.zeros((side, side, 3), np.uint8)
        square[top : top + height, left : left + width] = image
    else:
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        square = image[top : top + side, left : left + side]
    if side < size:
        return np.asarray(Image.fromarray(square).resize((size, size), Image.Resampling.BICUBIC))
    if side == size:
        return square
    weights = _area_weights(side, size)
    return _to_bytes(weights @ np.tensordot(weights, square.astype(np.float32), 1))


def _area_weights(side: int, size: int) -> Array:
    """The share of each new pixel that each old pixel covers, float32 [size, side]."""
    step = side / size
    new, old = np.arange(size)[:, None] * step, np.arange(side)
    overlap = np.minimum(new + step, old + 1) - np.maximum(new, old)
    weights: Array = (np.maximum(overlap, 0) / step).astype(np.float32)
    return weights


def blanked(image: Array) -> Array:
    """Whitens the middle 30 % of the height and width of uint8 RGB [H, W, 3]."""
    # The hole is the one of `data.image_pairs`; the reference implementation's, too, which takes
    # square images only.
    height, width, _ = image.shape
    hole_height, hole_width = int(height * 0.3), int(width * 0.3)
    top, left = (height - hole_height) // 2, (width - hole_width) // 2
    result: Array = image.copy()
    result[top : top + hole_height, left : left + hole_width] = 255
    return result


def blurred(image: Array, sigma: float) -> Array:
    """Blurs uint8 RGB [H, W, 3] with a Gaussian.

    Args:
      image: the image; its borders are mirrored.
      sigma: the standard deviation, in pixels; the filter ends at 4 sigma.
    """
    values = image.astype(np.float32)
    return _to_bytes(gaussian_filter(values, (sigma, sigma, 0), mode="reflect", truncate=4.0))


def _to_bytes(values: Array) -> Array:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def save_png(path: Path, image: Array) -> None:
    """Writes uint8 or uint16 [H, W, 1, 3 or 4] to a PNG file atomically.

    Raises:
      OSError: the file cannot be written; an earlier file is intact.
    """
    with atomic_write(path) as temporary:
        temporary.write_bytes(encode_png(image))


def encode_png(image: Array) -> bytes:
    """Encodes uint8 or uint16 [H, W, 1, 3 or 4] as the contents of a PNG file."""
    if image.dtype == np.uint16:
        return _encode_16_bits(image)
    contents = io.BytesIO()
    pil_image = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    pil_image.save(contents, "PNG", compress_level=_COMPRESSION)
    return contents.getvalue()


def to_8_bits(image: Array) -> Array:
    """The upper 8 bits of a uint16 image; a uint8 image as it is."""
    return (image >> 8).astype(np.uint8) if image.dtype == np.uint16 else image


def _encode_16_bits(image: Array) -> bytes:
    """Encodes uint16 [H, W, 1, 3 or 4] as PNG (RFC 2083); Pillow does so for one channel alone."""
    height, width, channels = image.shape
    values = image.astype(">u2").reshape(height, -1).view(np.uint8)
    # Filter type 1: each byte less that of the pixel to the left.
    left = np.pad(values, [(0, 0), (2 * channels, 0)])[:, : values.shape[1]]
    rows = np.pad(values - left, [(0, 0), (1, 0)], constant_values=1)
    color_type = {1: 0, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", width, height, 16, color_type, 0, 0, 0)
    data = zlib.compress(rows.tobytes(), _COMPRESSION)
    chunks = [(b"IHDR", header), (b"IDAT", data), (b"IEND", b"")]
    encoded = [SIGNATURE]
    for name, content in chunks:
        checksum = zlib.crc32(name + content)
        encoded += [struct.pack(">I", len(content)), name, content, struct.pack(">I", checksum)]
    return b"".join(encoded)
