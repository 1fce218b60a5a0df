"""CIE Lab under D65: the reference's constants (Torch's image package), and Lab in NumPy."""

from typing import Any

import numpy as np

RGB_TO_XYZ = [
    # X, Y, Z
    [0.412453, 0.212671, 0.019334],  # R
    [0.357580, 0.715160, 0.119193],  # G
    [0.180423, 0.072169, 0.950227],  # B
]
WHITE = [0.950456, 1.0, 1.088754]  # D65
DELTA = 6 / 29  # below it, CIE's cube root goes on as a straight line


def to_lab(image: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """Converts sRGB to Lab.

    Args:
      image: uint8 [..., 3].

    Returns:
      float64 [..., 3]: L in [0, 100], a and b within about [-110, 110].
    """
    values = np.arange(256) / 255
    curve = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    xyz = curve[image] @ np.array(RGB_TO_XYZ) / WHITE
    root = np.where(xyz <= DELTA**3, xyz / (3 * DELTA**2) + 4 / 29, np.cbrt(xyz))
    x, y, z = np.moveaxis(root, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)
