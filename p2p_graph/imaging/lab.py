"""CIE Lab under the white point D65: the constants of Torch's image package, and NumPy's Lab.

The paper's colourisation converts with Torch; `data.lab_color` uses the same constants in a graph.
"""

from typing import Any

import numpy as np

RGB_TO_XYZ = [
    # X, Y, Z
    [0.412453, 0.212671, 0.019334],  # R
    [0.357580, 0.715160, 0.119193],  # G
    [0.180423, 0.072169, 0.950227],  # B
]
XYZ_TO_RGB = [
    # R, G, B
    [3.2404542, -0.9692660, 0.0556434],  # X
    [-1.5371385, 1.8760108, -0.2040259],  # Y
    [-0.4985314, 0.0415560, 1.0572252],  # Z
]
WHITE = [0.950456, 1.0, 1.088754]  # D65
DELTA = 6 / 29  # CIE's cube root continues as a straight line below DELTA^3


def to_lab(image: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """Converts sRGB to Lab.

    Args:
      image: uint8 [..., 3].

    Returns:
      float64 [..., 3]: L in [0, 100], a and b within about [-110, 110].
    """
    levels = np.arange(256) / 255
    linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    xyz = linear[image] @ np.array(RGB_TO_XYZ) / WHITE
    root = np.where(xyz <= DELTA**3, xyz / (3 * DELTA**2) + 4 / 29, np.cbrt(xyz))
    x, y, z = np.moveaxis(root, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)
