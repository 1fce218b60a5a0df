"""Images as arrays: decoded by Pillow, and what can be made of one image."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError
from scipy.ndimage import gaussian_filter

from p2p_graph.utils.errors import UserError

Array = np.ndarray[Any, Any]


def read_rgb(path: Path) -> Array:
    """Decodes an image file, as `decode_rgb`.

    Raises:
      UserError: it cannot be read or decoded; the message goes on from the file's name.
    """
    try:
        contents = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot be decoded: {error.strerror}") from None
    return decode_rgb(contents)


def decode_rgb(contents: bytes) -> Array:
    """Decodes a JPEG or PNG file's contents of any kind to uint8 RGB [H, W, 3].

    Grey is repeated, palettes and CMYK are converted, alpha is dropped; of 16 bits the upper 8 are
    taken, as TensorFlow does.

    Raises:
      UserError: it cannot be decoded; the message goes on from the file's name.
    """
    try:
        with Image.open(io.BytesIO(contents), formats=("JPEG", "PNG")) as image:
            image.info.pop("transparency", None)
            if image.mode.startswith("I"):
                # Pillow would clip 16 bits, instead of scaling them.
                grey = np.asarray(image) >> 8
                return np.stack([grey.astype(np.uint8)] * 3, axis=-1)
            return np.asarray(image.convert("RGB"))
    except UnidentifiedImageError:
        what = "is neither a JPEG nor a PNG image" if contents else "is empty"
        raise UserError(what) from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"cannot be decoded: {reason}") from None


def read_half(path: Path, *, right: bool) -> Array:
    """Decodes one half of a pair side by side, uint8 [H, W / 2, 3]; errors as `read_rgb`."""
    pair = read_rgb(path)
    half = pair.shape[1] // 2
    return pair[:, half:] if right else pair[:, :half]


def grayscale(image: Array) -> Array:
    """Makes uint8 RGB [H, W, 3] grey by BT.601's luma, the same in all three channels."""
    return np.asarray(Image.fromarray(image).convert("L").convert("RGB"))


def resized(image: Array, size: int, *, pad: bool = False) -> Array:
    """Makes an image a square of a given side.

    What shrinks is averaged over each new pixel's area, as the reference does. What grows is
    interpolated by Pillow's bicubic filter: TensorFlow 1's, which the reference has, moves an
    image up and left, by half an old pixel where it grows much.

    Args:
      image: uint8 RGB [H, W, 3].
      size: the new side, in pixels.
      pad: whether it becomes square by a black border, instead of by cutting both its ends.

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
    shares = _shares(side, size)
    return _to_bytes(shares @ np.tensordot(shares, square.astype(np.float32), 1))


def _shares(side: int, size: int) -> Array:
    """How much of each of `size` new pixels lies on each of `side` old ones: [size, side]."""
    step = side / size
    new, old = np.arange(size)[:, None] * step, np.arange(side)
    overlap = np.minimum(new + step, old + 1) - np.maximum(new, old)
    shares: Array = (np.maximum(overlap, 0) / step).astype(np.float32)
    return shares


def blanked(image: Array) -> Array:
    """Makes the middle 30 % of the height and width of uint8 RGB [H, W, 3] white."""
    # As `pairs.with_hole` has it, and the reference for squares, which it insists on.
    height, width, _ = image.shape
    high, wide = int(height * 0.3), int(width * 0.3)
    top, left = (height - high) // 2, (width - wide) // 2
    holed: Array = image.copy()
    holed[top : top + high, left : left + wide] = 255
    return holed


def blurred(image: Array, sigma: float) -> Array:
    """Blurs uint8 RGB [H, W, 3] by a Gaussian, cut off at 4 sigma; its borders are mirrored."""
    how = {"mode": "reflect", "truncate": 4.0}
    return _to_bytes(gaussian_filter(image.astype(np.float32), (sigma, sigma, 0), **how))


def _to_bytes(values: Array) -> Array:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
