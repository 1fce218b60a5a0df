"""SSIM: the structural similarity index.

Wang, Bovik, Sheikh and Simoncelli 2004, "Image Quality Assessment: From Error Visibility to
Structural Similarity".
"""

from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from p2p_graph.utils.errors import UserError

_SIGMA = 1.5  # pixels; section III-B
_RADIUS = 5  # an 11x11 window
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2  # equation 7, K1 = 0.01; equation 9, K2 = 0.03


def ssim(output: "np.ndarray[Any, Any]", target: "np.ndarray[Any, Any]") -> float:
    """The mean of the index (equation 13) over all windows inside the image and all channels.

    Args:
      output: [H, W, C] in [0, 255], uint8 or with fractions, H and W at least 11.
      target: the same.

    Returns:
      In [-1, 1]; 1 for equal images.

    Raises:
      UserError: the images are smaller than a window.
    """
    if min(output.shape[:2]) <= 2 * _RADIUS:
        height, width = output.shape[:2]
        raise UserError(
            f"SSIM needs images of 11 pixels at least, not {width}x{height}: leave ssim out of "
            "--metrics"
        )

    def mean(values: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
        """The Gaussian-weighted mean of each window inside the image (equation 14)."""
        blurred: np.ndarray[Any, Any] = gaussian_filter(
            values, (_SIGMA, _SIGMA, 0), radius=(_RADIUS, _RADIUS, 0)
        )
        return blurred[_RADIUS:-_RADIUS, _RADIUS:-_RADIUS]

    x, y = output.astype(np.float64), target.astype(np.float64)
    mean_x, mean_y = mean(x), mean(y)
    variance_x, variance_y = mean(x * x) - mean_x**2, mean(y * y) - mean_y**2
    covariance = mean(x * y) - mean_x * mean_y
    index = ((2 * mean_x * mean_y + _C1) * (2 * covariance + _C2)) / (
        (mean_x**2 + mean_y**2 + _C1) * (variance_x + variance_y + _C2)
    )
    return float(index.mean())
