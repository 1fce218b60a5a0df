"""Thins a map of edge probabilities to lines of one pixel (Isola et al. 2017).

The steps are those of PostprocessHED.m, one of the paper's scripts. The script calls P. Dollar's
toolboxes for edges (edgesDetect.m, edgesNms) and images (convTri).
"""

from typing import Any

import numpy as np
from scipy.ndimage import convolve1d

THRESHOLD = 25 / 255  # the least probability of an edge
SMALL_EDGE = 5  # pixels; shorter lines are removed

# PostprocessHED.m's values.
_SMOOTHING_RADIUS = 4  # pixels
_DAMPED_BORDER = 5  # pixels
_MARGIN = 1.01  # a neighbour suppresses a pixel only if it is higher by this factor
_EPSILON = np.float32(1e-5)  # keeps the denominator of the slope off 0

Array = np.ndarray[Any, Any]


def thin_edges(edges: Array, threshold: float = THRESHOLD, small_edge: int = SMALL_EDGE) -> Array:
    """Draws the lines of an edge map: black, one pixel wide, on white.

    The function imports scikit-image, which only the extra `edges` installs.

    Args:
      edges: float32 [H, W] in [0, 1], at least 2x2.
      threshold: the least probability of an edge, where the map is highest across the line.
      small_edge: lines of fewer pixels are removed. Pixels that touch at a corner belong to one
        line.

    Returns:
      uint8 [H, W], 0 on a line and 255 elsewhere.
    """
    from skimage import measure, morphology

    ridges = suppress_non_maxima(edges, edge_normals(edges))
    thin = morphology.thin(ridges >= max(threshold, np.finfo(np.float64).eps))
    labels = measure.label(thin, connectivity=2)
    lines = thin & (np.bincount(labels.ravel()) >= small_edge)[labels]
    drawing: Array = np.where(lines, np.uint8(0), np.uint8(255))
    return drawing


def edge_normals(edges: Array) -> Array:
    """Estimates the direction across the edge at every pixel (edgesDetect.m).

    Args:
      edges: float32 [H, W].

    Returns:
      float32 [H, W], angles in [0, pi] from the x axis (along a row) towards the y axis.
    """
    dy, dx = np.gradient(convolve(edges, triangle_kernel(_SMOOTHING_RADIUS)))
    dxx = np.gradient(dx, axis=1)
    dyy, dxy = np.gradient(dy)
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = dyy * np.sign(-dxy) / (dxx + _EPSILON)
    angles: Array = np.mod(np.arctan(np.nan_to_num(slope)), np.float32(np.pi))
    return angles


def suppress_non_maxima(edges: Array, normals: Array) -> Array:
    """Sets pixels that are not highest across their edge to 0 (edgesNms).

    A pixel becomes 0 where the map is more than 1 % higher one pixel further along the normal, on
    either side. Values near the borders are damped linearly, down to 0 at the outermost pixels.

    Args:
      edges: float32 [H, W].
      normals: float32 [H, W], angles as `edge_normals` returns them.

    Returns:
      float32 [H, W].
    """
    y, x = np.indices(edges.shape, np.float32)
    dy, dx = np.sin(normals), np.cos(normals)
    neighbours = [_interpolate(edges, y + way * dy, x + way * dx) for way in (-1, 1)]
    maxima = np.where(edges * np.float32(_MARGIN) < np.maximum(*neighbours), 0, edges)
    height, width = edges.shape
    reach = min(_DAMPED_BORDER, height // 2, width // 2)
    damped: Array = maxima * _ramp(height, reach)[:, None] * _ramp(width, reach)
    return damped


def triangle_kernel(radius: int) -> Array:
    """Makes a triangle filter, float32 [2 radius + 1], whose weights add up to 1 (convTri)."""
    offsets = np.arange(-radius, radius + 1)
    weights = (radius + 1 - abs(offsets)) / (radius + 1) ** 2
    return weights.astype(np.float32)


def convolve(image: Array, kernel: Array) -> Array:
    """Filters an image along columns and rows; the borders are mirrored.

    Args:
      image: float32 [H, W, ...].
      kernel: float32 [2 r + 1], symmetric.

    Returns:
      float32 [H, W, ...].
    """
    for axis in (0, 1):
        image = convolve1d(image, kernel, axis, mode="reflect")
    return image


def _interpolate(image: Array, y: Array, x: Array) -> Array:
    """Interpolates [H, W] bilinearly at positions y, x; the borders extend outwards."""
    height, width = image.shape
    y, x = np.clip(y, 0, height - 1.001), np.clip(x, 0, width - 1.001)
    top, left = np.intp(y), np.intp(x)
    down, right = y - top, x - left
    upper = image[top, left] * (1 - right) + image[top, left + 1] * right
    lower = image[top + 1, left] * (1 - right) + image[top + 1, left + 1] * right
    values: Array = upper * (1 - down) + lower * down
    return values


def _ramp(size: int, reach: int) -> Array:
    """Makes factors along an axis: 0 at both ends, rising to 1 over `reach` pixels."""
    positions = np.arange(size)
    ramp: Array = np.minimum(np.minimum(positions, positions[::-1]) / reach, 1).astype(np.float32)
    return ramp
