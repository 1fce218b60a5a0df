"""How alike the colours of two sets of images are (Isola et al. 2017, section 4.2, Figure 7)."""

from typing import Any

import numpy as np

from p2p_graph.imaging.lab import to_lab

# Bins of one unit; a and b of sRGB lie within [-108, 99].
_LIGHTNESS, _COLOUR = np.arange(101), np.arange(-128, 129)
_EDGES = {"l": _LIGHTNESS, "a": _COLOUR, "b": _COLOUR}


def histograms(image: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """Counts an image's pixels in each bin of L, a and b.

    Args:
      image: uint8 [H, W, 3], or [H, W, 1] of grey.

    Returns:
      float64 [612]: 100 bins of L, 256 of a and 256 of b.
    """
    values = to_lab(np.broadcast_to(image, (*image.shape[:2], 3))).reshape(-1, 3)
    values = values.round(9)  # greys have an a and b of 0 and a rounding, where two bins meet
    values[:, 0] = values[:, 0].clip(0, 100)  # white is 100 and a rounding
    counts = [np.histogram(v, edges)[0] for v, edges in zip(values.T, _EDGES.values(), strict=True)]
    return np.concatenate(counts).astype(np.float64)


def intersections(ours: "np.ndarray[Any, Any]", theirs: "np.ndarray[Any, Any]") -> dict[str, float]:
    """How much of the histograms of two sets of images is common, channel by channel.

    Args:
      ours: the sum of `histograms` over some images, or their mean.
      theirs: the same over others.

    Returns:
      In [0, 1], for L, a and b: the sum over bins of the smaller share of all pixels (Swain and
      Ballard 1991).
    """
    ends = np.cumsum([len(edges) - 1 for edges in _EDGES.values()])[:-1]
    parts = zip(_EDGES, np.split(ours, ends), np.split(theirs, ends), strict=True)
    return {
        f"histogram_{channel}": float(np.minimum(one / one.sum(), other / other.sum()).sum())
        for channel, one, other in parts
    }
