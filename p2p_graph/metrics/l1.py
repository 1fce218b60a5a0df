"""The mean absolute difference, in the units of the networks' L1 loss."""

from typing import Any

import numpy as np


def l1(output: "np.ndarray[Any, Any]", target: "np.ndarray[Any, Any]") -> float:
    """Isola et al. 2017, equation 3, as a mean over all values.

    Args:
      output: uint8 [H, W, C].
      target: the same.

    Returns:
      In [0, 2], as the networks' images are in [-1, 1].
    """
    return float(np.abs(output.astype(np.float64) - target).mean() / 127.5)
