"""sRGB and Lab against the formulas of IEC 61966-2-1 and CIE 15 in NumPy."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from p2p_graph.data import lab_color

pytestmark = pytest.mark.usefixtures("graph")

# CIE xy of sRGB's red, green and blue, and of the white D65.
PRIMARIES = [(0.64, 0.33), (0.30, 0.60), (0.15, 0.06)]
D65 = (0.3127, 0.3290)
# sRGB and Lab, as published for D65.
KNOWN = {
    "white": ((1, 1, 1), (100, 0, 0)),
    "black": ((0, 0, 0), (0, 0, 0)),
    "grey": ((0.5, 0.5, 0.5), (53.39, 0, 0)),
    "red": ((1, 0, 0), (53.24, 80.09, 67.20)),
    "green": ((0, 1, 0), (87.73, -86.18, 83.18)),
    "blue": ((0, 0, 1), (32.30, 79.19, -107.86)),
    "cyan": ((0, 1, 1), (91.11, -48.09, -14.13)),
    "magenta": ((1, 0, 1), (60.32, 98.23, -60.82)),
    "yellow": ((1, 1, 0), (97.14, -21.55, 94.48)),
}


def run(function, *arrays):
    with tf.Session() as session:
        return session.run(function(*(tf.constant(a, tf.float32) for a in arrays)))


def cube(steps=18):
    """All sRGB colours with `steps` levels a channel."""
    levels = np.linspace(0, 1, steps)
    return np.stack(np.meshgrid(levels, levels, levels), axis=-1)


def xyz_of_xy(x, y):
    return np.array([x / y, 1, (1 - x - y) / y])


def xyz_of_rgb():
    """The matrix from linear sRGB: primaries scaled so that their sum is white."""
    columns = np.stack([xyz_of_xy(*xy) for xy in PRIMARIES], axis=1)
    return columns * np.linalg.solve(columns, xyz_of_xy(*D65))


def rgb_to_lab(srgb):
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    ratios = linear @ xyz_of_rgb().T / xyz_of_xy(*D65)
    low = ratios <= 216 / 24389
    fx, fy, fz = np.moveaxis(
        np.where(low, (24389 / 27 * ratios + 16) / 116, ratios ** (1 / 3)), -1, 0
    )
    return np.stack([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)], axis=-1)


def lab_to_rgb(lab):
    lightness, a, b = np.moveaxis(lab, -1, 0)
    fy = (lightness + 16) / 116
    f = np.stack([fy + a / 500, fy, fy - b / 200], axis=-1)
    xyz = np.where(f > 6 / 29, f**3, (116 * f - 16) / (24389 / 27)) * xyz_of_xy(*D65)
    linear = np.clip(xyz @ np.linalg.inv(xyz_of_rgb()).T, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("name", KNOWN)
def test_known_colours(name):
    srgb, lab = KNOWN[name]
    np.testing.assert_allclose(rgb_to_lab(np.array(srgb)), lab, atol=0.05)
    np.testing.assert_allclose(run(lab_color.rgb_to_lab, srgb), lab, atol=0.1)
    np.testing.assert_allclose(run(lab_color.lab_to_rgb, lab), srgb, atol=0.002)


def test_rgb_to_lab():
    actual = run(lab_color.rgb_to_lab, cube())
    assert actual.shape == (18, 18, 18, 3)
    np.testing.assert_allclose(actual, rgb_to_lab(cube()), atol=0.05)


def test_lab_to_rgb():
    lab = np.stack(
        np.meshgrid(
            np.linspace(0, 100, 15), np.linspace(-100, 100, 15), np.linspace(-100, 100, 15)
        ),
        axis=-1,
    )
    expected = lab_to_rgb(lab)
    assert 0.2 < np.mean((expected > 0) & (expected < 1)) < 0.8  # many inside of sRGB, many outside
    np.testing.assert_allclose(run(lab_color.lab_to_rgb, lab), expected, atol=0.004)


def test_dark_colours():
    dark = cube() * 0.05  # around the thresholds of both curves
    np.testing.assert_allclose(run(lab_color.rgb_to_lab, dark), rgb_to_lab(dark), atol=0.005)
    np.testing.assert_allclose(run(lab_color.lab_to_rgb, rgb_to_lab(dark)), dark, atol=1e-4)


def test_round_trip():
    back = run(lambda srgb: lab_color.lab_to_rgb(lab_color.rgb_to_lab(srgb)), cube())
    np.testing.assert_allclose(back, cube(), atol=1e-3)


def test_colours_outside_of_srgb_are_clipped():
    outside = [[50, 110, -110], [50, -110, 110], [100, 110, 110], [0, -110, -110], [120, 0, 0]]
    srgb = run(lab_color.lab_to_rgb, outside)
    assert srgb.min() == 0
    np.testing.assert_allclose(srgb.max(), 1, atol=1e-6)
    assert srgb.max() <= 1 + 1e-6
    np.testing.assert_allclose(srgb, lab_to_rgb(np.array(outside)), atol=0.004)
    np.testing.assert_allclose(srgb[-1], 1, atol=1e-6)


def test_split_lab_is_scaled_to_about_1():
    scaled = run(lab_color.split_lab, cube())
    np.testing.assert_allclose(
        scaled, (rgb_to_lab(cube()) - [50, 0, 0]) / [50, 110, 110], atol=0.001
    )
    assert np.abs(scaled).max() < 1.0001
    np.testing.assert_allclose([scaled[..., 0].min(), scaled[..., 0].max()], [-1, 1], atol=1e-4)


def test_join_lab_undoes_split_lab():
    def round_trip(srgb):
        scaled = lab_color.split_lab(srgb)
        return lab_color.join_lab(scaled[..., :1], scaled[..., 1:])

    np.testing.assert_allclose(run(round_trip, cube()), cube(), atol=1e-3)


def test_join_lab_over_the_range_of_outputs():
    values = np.array([-1, -0.5, 0, 0.5, 1])
    lightness, a, b = np.meshgrid(values, values, values)
    srgb = run(lab_color.join_lab, lightness[..., None], np.stack([a, b], axis=-1))
    lab = np.stack([50 * lightness + 50, 110 * a, 110 * b], axis=-1)
    np.testing.assert_allclose(srgb, lab_to_rgb(lab), atol=0.004)
    assert srgb.min() >= 0
    assert srgb.max() <= 1 + 1e-6
