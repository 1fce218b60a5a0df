"""Colour histogram intersection in Lab (Isola et al. 2017, section 4.2 and Figure 7).

The intersection is Swain and Ballard's (1991, "Color Indexing").
"""

from typing import Any

import numpy as np

from p2p_graph.imaging.lab import to_lab

Array = np.ndarray[Any, Any]

# Bins of one unit; a and b of sRGB lie within [-108, 99].
_LIGHTNESS_EDGES, _COLOUR_EDGES = np.arange(101), np.arange(-128, 129)
_EDGES = {"l": _LIGHTNESS_EDGES, "a": _COLOUR_EDGES, "b": _COLOUR_EDGES}


def lab_histograms(image: Array) -> Array:
    """Counts an image's pixels in each bin of L, a and b.

    Args:
      image: uint8 [H, W, 3], or [H, W, 1] of grey.

    Returns:
      float64 [612]: 100 bins of L, 256 of a and 256 of b.
    """
    lab = to_lab(np.broadcast_to(image, (*image.shape[:2], 3))).reshape(-1, 3)
    # Rounding errors put the a and b of greys on either side of 0, where two bins meet.
    lab = lab.round(9)
    lab[:, 0] = lab[:, 0].clip(0, 100)  # the rounded L of white is above 100
    counts = [np.histogram(v, edges)[0] for v, edges in zip(lab.T, _EDGES.values(), strict=True)]
    histograms: Array = np.concatenate(counts).astype(np.float64)
    return histograms


def histogram_intersections(first: Array, second: Array) -> dict[str, float]:
    """The intersection of the histograms of two sets of images, per channel.

    Args:
      first: the sum or mean of `lab_histograms` over one set.
      second: the sum or mean over the other set.

    Returns:
      For L, a and b, in [0, 1]: the sum over bins of the smaller share of all pixels.
    """
    ends = np.cumsum([len(edges) - 1 for edges in _EDGES.values()])[:-1]
    channels = zip(_EDGES, np.split(first, ends), np.split(second, ends), strict=True)
    return {
        f"histogram_{channel}": float(np.minimum(one / one.sum(), other / other.sum()).sum())
        for channel, one, other in channels
    }
