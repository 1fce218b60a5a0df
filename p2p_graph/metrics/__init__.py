"""How far pictures are from what they should be; each metric in a module of its own.

All take two uint8 pictures of one shape, [H, W, 3] or [H, W, 1].
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from p2p_graph.metrics.l1 import l1
from p2p_graph.metrics.psnr import psnr
from p2p_graph.metrics.ssim import ssim


class Metric(NamedTuple):
    """A metric of one picture.

    Attributes:
      compute: from an output and its target to a number.
      larger_is_better: which way it goes.
    """

    compute: Callable[["np.ndarray[Any, Any]", "np.ndarray[Any, Any]"], float]
    larger_is_better: bool


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        "l1": Metric(l1, larger_is_better=False),
        "psnr": Metric(psnr, larger_is_better=True),
        "ssim": Metric(ssim, larger_is_better=True),
    }
)
