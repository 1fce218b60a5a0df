"""sRGB and CIE Lab under D65 in a graph, with the constants of Torch's image package."""

import tensorflow.compat.v1 as tf

from p2p_graph.imaging.lab import DELTA, RGB_TO_XYZ, WHITE, XYZ_TO_RGB


def rgb_to_lab(srgb: tf.Tensor) -> tf.Tensor:
    """Converts sRGB to Lab.

    Args:
      srgb: float32 [..., 3] in [0, 1].

    Returns:
      float32 [..., 3]: L in [0, 100], a and b within about [-110, 110].
    """
    with tf.name_scope("rgb_to_lab"):
        # tf.where evaluates both branches: clamping keeps pow, and its gradient, from making a NaN.
        curved = ((tf.maximum(srgb, 0.04045) + 0.055) / 1.055) ** 2.4
        linear = tf.where(srgb <= 0.04045, srgb / 12.92, curved)
        xyz = tf.tensordot(linear, tf.constant(RGB_TO_XYZ), 1) / tf.constant(WHITE)
        straight = xyz / (3 * DELTA**2) + 4 / 29
        root = tf.maximum(xyz, DELTA**3) ** (1 / 3)
        fx, fy, fz = tf.unstack(tf.where(xyz <= DELTA**3, straight, root), axis=-1)
        return tf.stack([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)], axis=-1)


def lab_to_rgb(lab: tf.Tensor) -> tf.Tensor:
    """Converts Lab to sRGB; colours outside of sRGB are clipped.

    Args:
      lab: float32 [..., 3]: L in [0, 100], a and b within about [-110, 110].

    Returns:
      float32 [..., 3] in [0, 1].
    """
    with tf.name_scope("lab_to_rgb"):
        lightness, a, b = tf.unstack(lab, axis=-1)
        fy = (lightness + 16) / 116
        f = tf.stack([fy + a / 500, fy, fy - b / 200], axis=-1)
        xyz = tf.where(f <= DELTA, 3 * DELTA**2 * (f - 4 / 29), f**3) * tf.constant(WHITE)
        linear = tf.clip_by_value(tf.tensordot(xyz, tf.constant(XYZ_TO_RGB), 1), 0.0, 1.0)
        curved = 1.055 * tf.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055
        return tf.where(linear <= 0.0031308, 12.92 * linear, curved)


def split_lab(srgb: tf.Tensor) -> tf.Tensor:
    """Converts sRGB to Lab, scaled as the networks see it.

    Args:
      srgb: float32 [..., 3] in [0, 1].

    Returns:
      float32 [..., 3], L, a and b, each in about [-1, 1].
    """
    lightness, a, b = tf.unstack(rgb_to_lab(srgb), axis=-1)
    return tf.stack([lightness / 50 - 1, a / 110, b / 110], axis=-1)


def join_lab(l_channel: tf.Tensor, ab_channels: tf.Tensor) -> tf.Tensor:
    """Inverts `split_lab`.

    Args:
      l_channel: float32 [..., 1] in [-1, 1].
      ab_channels: float32 [..., 2] in about [-1, 1].

    Returns:
      float32 sRGB [..., 3] in [0, 1].
    """
    return lab_to_rgb(tf.concat([(l_channel + 1) / 2 * 100, ab_channels * 110], axis=-1))
