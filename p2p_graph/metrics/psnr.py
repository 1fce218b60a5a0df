"""The ratio of the signal's peak to the noise, in decibels."""

import math
from typing import Any

import numpy as np


def psnr(output: "np.ndarray[Any, Any]", target: "np.ndarray[Any, Any]") -> float:
    """10 log10(255^2 / mean squared difference).

    Args:
      output: uint8 [H, W, C].
      target: the same.

    Returns:
      In dB; infinity where both are equal.
    """
    error = float(np.square(output.astype(np.float64) - target).mean())
    return 10 * math.log10(255**2 / error) if error else math.inf
