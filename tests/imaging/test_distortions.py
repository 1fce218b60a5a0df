"""Distortions of photos, against NumPy and by what they must leave."""

import numpy as np
import pytest

from p2p_graph.imaging.distortions import jpeg, region_means, through_size, with_noise


def test_region_means(rng):
    image = rng.integers(0, 256, (7, 9, 3), np.uint8)
    ids = rng.choice([0, 3, 255], (7, 9))
    found = region_means(image, ids)
    wanted = np.empty(image.shape)
    for value in (0, 3, 255):
        wanted[ids == value] = image[ids == value].mean(0)
    np.testing.assert_array_equal(found, np.rint(wanted))
    assert found.dtype == np.uint8


def test_through_size_keeps_means_and_loses_detail(rng):
    """Shrinking by 4 averages blocks of 4x4; enlarging interpolates between them."""
    flat = np.full((32, 32, 3), 77, np.uint8)
    np.testing.assert_array_equal(through_size(flat, 8), flat)
    noise = rng.integers(0, 256, (32, 32, 3), np.uint8)
    found = through_size(noise, 8)
    assert found.shape == noise.shape
    assert found.std() < noise.std() / 3
    blocks = noise.reshape(8, 4, 8, 4, 3).mean((1, 3))
    inner = found.reshape(8, 4, 8, 4, 3)[1:-1, 1:3, 1:-1, 1:3].mean((1, 3))
    assert np.abs(inner - blocks[1:-1, 1:-1]).mean() < 10


def test_jpeg(rng):
    image = rng.integers(0, 256, (16, 24, 3), np.uint8)
    good, bad = (np.abs(jpeg(image, quality) - image.astype(int)).mean() for quality in (95, 10))
    assert 0 < good < bad


def test_noise_has_its_deviation_and_is_the_same_each_time():
    image = np.full((64, 64, 3), 128, np.uint8)
    first, second = (with_noise(image, 25, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert (first - 128.0).std() == pytest.approx(25, rel=0.05)
    assert with_noise(np.full((8, 8, 3), 250, np.uint8), 25, seed=0).max() == 255
