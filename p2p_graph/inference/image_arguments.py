"""The images that a person gives to the Python API, checked and converted to arrays."""

import operator
from typing import Any

import numpy as np
from PIL import Image

from p2p_graph.config.image_size import ImageSize
from p2p_graph.imaging import exif
from p2p_graph.utils.counted import counted
from p2p_graph.utils.errors import UserError, one_line_reason

Array = np.ndarray[Any, Any]

PIL_MODES = {1: "L", 3: "RGB", 4: "RGBA"}  # by the number of channels
_ORIENTATION = 0x0112  # tag of EXIF


def array_of(images: Any, channels: int) -> Array:
    """Checks images that are given as an array.

    Args:
      images: [H, W, C] or [N, H, W, C]; of one channel also [H, W].
      channels: C.

    Returns:
      uint8, uint16 or float of 16, 32 or 64 bits in [0, 1]; [H, W, C] or [N, H, W, C].

    Raises:
      UserError: it is nothing of the kind.
    """
    try:
        array = np.asarray(images)
    except ValueError:
        raise UserError("images of several sizes are no array: give one after the other") from None
    except (TypeError, RuntimeError) as error:  # of another package's arrays, such as PyTorch's
        kind = type(images).__name__
        raise UserError(f"images of type {kind} are no array: {one_line_reason(error)}") from None
    if array.ndim == 2 and channels == 1:
        array = array[..., None]
    if array.ndim not in (3, 4) or 0 in array.shape:
        raise UserError(
            f"an image is [H, W, {channels}], and several are [N, H, W, {channels}], not "
            f"{list(array.shape)}"
        )
    check_channels(array.shape[-1], channels)
    if array.dtype in (np.uint8, np.uint16):
        return array
    if array.dtype.kind != "f":
        raise UserError(f"images are uint8, uint16 or float in 0..1, not {array.dtype}")
    low, high = array.min(), array.max()
    if not (low >= 0 and high <= 1):
        raise UserError(f"float images have values in 0..1, not {low}..{high}")
    return array


def array_of_pil(image: Image.Image, channels: int, *, upright: bool) -> Array:
    """Converts a PIL image.

    Args:
      image: of any mode but those of 32 bits a channel.
      channels: that are wanted, 1, 3 or 4.
      upright: whether it is turned as its EXIF orientation says.

    Returns:
      uint8 [H, W, channels]; of 16-bit grey uint16.

    Raises:
      UserError: the mode is not supported, or the image's file is damaged.
    """
    if image.mode in ("I", "F"):
        raise UserError(
            f"PIL images of mode {image.mode} have no range of their own: give an array, uint16 or "
            "float in 0..1"
        )
    if 0 in image.size:
        raise UserError("the PIL image has no pixels")
    try:
        if image.mode.startswith("I;16"):
            grey = np.asarray(image).astype(np.uint16)[..., None]
            array = np.repeat(grey, min(channels, 3), axis=2)
            if channels == 4:
                array = np.concatenate([array, np.full_like(grey, 65535)], axis=2)
        else:
            array = np.asarray(image.convert(PIL_MODES[channels]))
            array = array[..., None] if array.ndim == 2 else array
        number = image.getexif().get(_ORIENTATION, exif.UPRIGHT) if upright else exif.UPRIGHT
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"the PIL image cannot be decoded: {one_line_reason(error)}") from None
    return exif.upright(array, number if number in range(1, 9) else exif.UPRIGHT)


def check_channels(found: int, wanted: int) -> None:
    """Checks an image's number of channels.

    Raises:
      UserError: it is another one.
    """
    if found != wanted:
        raise UserError(f"the generator takes images of {counted(wanted, 'channel')}, not {found}")


def size_of(size: Any) -> ImageSize:
    """Reads the argument `size`: a number, a pair of them, or a text.

    Raises:
      UserError: it is none of these.
    """
    try:
        if isinstance(size, tuple | list | np.ndarray):
            size = "x".join(map(str, np.asarray(size).tolist()))
        elif isinstance(size, np.integer):
            size = operator.index(size)
        return ImageSize.parse(size)
    except UserError as error:
        raise UserError(f"size {error}") from None


def as_floats(images: Array) -> Array:
    """Converts images of any type to float32 in [0, 1], integers as TensorFlow does."""
    if images.dtype.kind == "f":
        return images.astype(np.float32, copy=False)
    scale_factor = np.float32(1.0 / np.iinfo(images.dtype).max)
    floats: Array = images.astype(np.float32) * scale_factor
    return floats
