"""PSNR: the peak signal-to-noise ratio, in decibels.

Huynh-Thu and Ghanbari 2008, "Scope of validity of PSNR in image/video quality assessment".
"""

import math
from typing import Any

import numpy as np


def psnr(output: "np.ndarray[Any, Any]", target: "np.ndarray[Any, Any]") -> float:
    """10 log10(255^2 / mean squared difference).

    Args:
      output: [H, W, C] in [0, 255], uint8 or with fractions.
      target: the same.

    Returns:
      The ratio in dB; infinity for equal images.
    """
    squared_error = float(np.square(output.astype(np.float64) - target).mean())
    return 10 * math.log10(255**2 / squared_error) if squared_error else math.inf
