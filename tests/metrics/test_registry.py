"""Every metric against scikit-image, or its formula written slowly."""

import math

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from p2p_graph.metrics.l1 import l1
from p2p_graph.metrics.psnr import psnr
from p2p_graph.metrics.registry import PAIR_METRICS
from p2p_graph.metrics.ssim import ssim
from p2p_graph.utils.errors import UserError


@pytest.fixture(params=[(20, 31, 3), (11, 11, 1), (64, 48, 3)], ids=str)
def pair(request, rng):
    """An image and a noisy copy."""
    target = rng.integers(0, 256, request.param, np.uint8)
    noise = rng.normal(0, 20, request.param)
    return np.uint8(np.clip(target + noise, 0, 255)), target


def test_l1(pair):
    """As the networks' loss of the same images in [-1, 1]."""
    output, target = (image / 255 * 2 - 1 for image in pair)
    assert l1(*pair) == pytest.approx(np.mean(abs(output - target)))


def test_psnr(pair):
    assert psnr(*pair) == pytest.approx(peak_signal_noise_ratio(*pair, data_range=255))
    assert psnr(pair[0], pair[0]) == math.inf


def test_ssim(pair):
    wanted = structural_similarity(
        *pair,
        data_range=255,
        channel_axis=2,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert ssim(*pair) == pytest.approx(wanted, abs=1e-9)
    assert ssim(pair[0], pair[0]) == pytest.approx(1)


def test_ssim_of_one_window(rng):
    """Wang et al. 2004, equations 13 to 16, summed over an 11x11 window."""
    x, y = rng.integers(0, 256, (2, 11, 11, 1), np.uint8)
    offsets = np.arange(-5, 6)
    weights = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * 1.5**2))[..., None]
    weights /= weights.sum()
    mean_x, mean_y = (weights * x).sum(), (weights * y).sum()
    variances = [(weights * (p - m) ** 2).sum() for p, m in ((x, mean_x), (y, mean_y))]
    covariance = (weights * (x - mean_x) * (y - mean_y)).sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    wanted = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    wanted /= (mean_x**2 + mean_y**2 + c1) * (sum(variances) + c2)
    assert ssim(x, y) == pytest.approx(wanted)


def test_ssim_needs_a_window(rng):
    small = rng.integers(0, 256, (10, 40, 3), np.uint8)
    with pytest.raises(UserError, match="11 pixels at least, not 40x10"):
        ssim(small, small)


@pytest.mark.parametrize("name", PAIR_METRICS)
def test_which_way_is_better(rng, name):
    target = rng.integers(60, 200, (16, 16, 3), np.uint8)
    near, far = (PAIR_METRICS[name].compute(np.uint8(target + by), target) for by in (1, 50))
    assert (near > far) == PAIR_METRICS[name].larger_is_better
