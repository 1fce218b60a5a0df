"""How alike the colours of two sets of pictures are (Isola et al. 2017, section 4.2, Figure 7)."""

from typing import Any

import numpy as np

from p2p_graph.lab import to_lab

_CHANNELS = ("l", "a", "b")
# Bins of one unit; a and b of sRGB lie within [-108, 99].
_EDGES = (np.arange(101), *2 * (np.arange(-128, 129),))


def histograms(picture: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """The shares of a picture's pixels in each bin of L, a and b.

    Args:
      picture: uint8 [H, W, 3], or [H, W, 1] of grey.

    Returns:
      float64 [612]: 100 bins of L, 256 of a and 256 of b; each channel's add up to 1.
    """
    values = to_lab(np.broadcast_to(picture, (*picture.shape[:2], 3))).reshape(-1, 3)
    values = values.round(9)  # greys have an a and b of 0 and a rounding, where two bins meet
    values[:, 0] = values[:, 0].clip(0, 100)  # white is 100 and a rounding
    counts = [np.histogram(v, edges)[0] for v, edges in zip(values.T, _EDGES, strict=True)]
    return np.concatenate(counts) / len(values)


def intersections(ours: "np.ndarray[Any, Any]", theirs: "np.ndarray[Any, Any]") -> dict[str, float]:
    """How much of the histograms of two sets of pictures is common, channel by channel.

    Args:
      ours: the mean of `histograms` over some pictures, all of one size.
      theirs: the same over others.

    Returns:
      In [0, 1], for L, a and b: the sum over bins of the smaller share (Swain and Ballard 1991).
    """
    common = np.minimum(ours, theirs)
    ends = np.cumsum([len(edges) - 1 for edges in _EDGES])[:-1]
    return {
        f"histogram_{channel}": float(part.sum())
        for channel, part in zip(_CHANNELS, np.split(common, ends), strict=True)
    }
