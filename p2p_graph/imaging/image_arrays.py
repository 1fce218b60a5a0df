"""Decodes image files with Pillow, operations on one uint8 RGB array, and PNG files."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError
from scipy.ndimage import gaussian_filter

from p2p_graph.utils.errors import UserError

Array = np.ndarray[Any, Any]

_COMPRESSION = 2  # of PNGs: files 3 % larger than at Pillow's 6, in a third of the time


def read_rgb(path: Path) -> Array:
    """Decodes an image file to uint8 RGB [H, W, 3], as `decode_rgb` does.

    Raises:
      UserError: the file cannot be read or decoded. The message lacks its subject: the caller
        puts the file's name in front.
    """
    try:
        contents = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot be decoded: {error.strerror}") from None
    return decode_rgb(contents)


def decode_rgb(contents: bytes) -> Array:
    """Decodes the contents of a JPEG or PNG file to uint8 RGB [H, W, 3].

    Grey is repeated in all channels. Palettes and CMYK are converted. Alpha is dropped. 16-bit
    images keep their upper 8 bits, as TensorFlow's decoder does.

    Raises:
      UserError: the contents cannot be decoded. The message lacks its subject, as `read_rgb`'s.
    """
    try:
        with Image.open(io.BytesIO(contents), formats=("JPEG", "PNG")) as image:
            image.info.pop("transparency", None)
            if image.mode.startswith("I"):
                # `convert` clips 16-bit values instead of scaling them.
                grey = np.asarray(image) >> 8
                return np.stack([grey.astype(np.uint8)] * 3, axis=-1)
            return np.asarray(image.convert("RGB"))
    except UnidentifiedImageError:
        reason = "is neither a JPEG nor a PNG image" if contents else "is empty"
        raise UserError(reason) from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        detail = getattr(error, "strerror", None) or error
        raise UserError(f"cannot be decoded: {detail}") from None


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
    """Writes uint8 [H, W, 3 or 1] to a PNG file."""
    pil_image = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    pil_image.save(path, "PNG", compress_level=_COMPRESSION)
