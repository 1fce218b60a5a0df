"""Distortions of photos that a segmenter should notice, and others that it should not."""

import io
from typing import Any

import numpy as np
from PIL import Image

Array = np.ndarray[Any, Any]


def region_means(image: Array, class_ids: Array) -> Array:
    """Fills the pixels of each class with their mean colour.

    A generator that is trained by L1 alone tends to such images: the mean is what minimises the
    squared distance to unknown colours.

    Args:
      image: uint8 [H, W, 3].
      class_ids: integers [H, W]; every number counts as a class.
    """
    _, flat = np.unique(class_ids, return_inverse=True)
    flat = flat.reshape(-1)
    counts = np.bincount(flat)
    channels = np.moveaxis(image, 2, 0).reshape(3, -1)
    means = [np.bincount(flat, channel) / counts for channel in channels]
    colours = np.rint(np.stack(means, 1)).astype(np.uint8)
    filled: Array = colours[flat].reshape(image.shape)
    return filled


def through_size(image: Array, size: int) -> Array:
    """Shrinks an image to a square of `size` pixels, and enlarges the result to the old size.

    Args:
      image: uint8 [H, W, 3].
      size: in pixels.
    """
    height, width = image.shape[:2]
    small = Image.fromarray(image).resize((size, size), Image.Resampling.BOX)
    return np.asarray(small.resize((width, height), Image.Resampling.BILINEAR))


def jpeg(image: Array, quality: int) -> Array:
    """Encodes uint8 [H, W, 3] as a JPEG file of a quality from 0 to 95, and decodes the file."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def with_noise(image: Array, sigma: float, seed: int) -> Array:
    """Adds normal noise of a standard deviation, in units of 1/255, to uint8 [H, W, 3]."""
    noise = np.random.default_rng(seed).normal(0, sigma, image.shape)
    return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)
