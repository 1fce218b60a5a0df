"""L1: the mean absolute difference, in the units of the training loss."""

from typing import Any

import numpy as np


def l1(output: "np.ndarray[Any, Any]", target: "np.ndarray[Any, Any]") -> float:
    """The L1 loss of a generator's output (Isola et al. 2017, equation 3), averaged over values.

    Args:
      output: [H, W, C] in [0, 255], uint8 or with fractions.
      target: the same.

    Returns:
      In [0, 2], as the networks' images are in [-1, 1].
    """
    return float(np.abs(output.astype(np.float64) - target).mean() / 127.5)
