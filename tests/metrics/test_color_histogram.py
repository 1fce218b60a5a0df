"""Lab in NumPy against scikit-image and the graph's, and histograms against slow ones."""

import math

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from skimage.color import rgb2lab

from p2p_graph.data import lab_color
from p2p_graph.imaging.lab import to_lab
from p2p_graph.metrics.color_histogram import histogram_intersections, lab_histograms
from p2p_graph.metrics.registry import DecodedExample, color_histogram_metric

BINS = {"l": range(100), "a": range(-128, 128), "b": range(-128, 128)}
STARTS = {"l": 0, "a": 100, "b": 356}


def colours():
    """A cube of all kinds of colours, all greys, and dark ones."""
    levels = np.arange(0, 256, 15)
    cube = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(-1, 3)
    greys = np.arange(256)[:, None].repeat(3, 1)
    dark = np.stack(np.meshgrid(*3 * [np.arange(0, 24, 3)]), -1).reshape(-1, 3)
    return np.uint8(np.concatenate([cube, greys, dark]))


def counted_slowly(image):
    """The share of an image's pixels in each bin, by channel."""
    pixels = to_lab(image).reshape(-1, 3).tolist()
    shares = {}
    for channel, (name, lows) in enumerate(BINS.items()):
        shares[name] = dict.fromkeys(lows, 0.0)
        for pixel in pixels:
            low = min(math.floor(pixel[channel]), lows[-1])
            shares[name][low] += 1 / len(pixels)
    return shares


def intersection_slowly(ours, theirs):
    """Of the pixels of all images of a set."""
    ours, theirs = (counted_slowly(np.concatenate(images)) for images in (ours, theirs))
    return {
        f"histogram_{name}": sum(min(ours[name][low], theirs[name][low]) for low in lows)
        for name, lows in BINS.items()
    }


def figures(outputs, targets):
    metric = color_histogram_metric()
    pairs = zip(outputs, targets, strict=True)
    statistics = [metric.statistics(DecodedExample(str(i), *pair)) for i, pair in enumerate(pairs)]
    return metric.figures(np.mean(statistics, 0))


def plain(*colour):
    return np.full((4, 5, len(colour)), colour, np.uint8)


def draw(rng, low, high, count=4):
    """Images of colours within a range."""
    return rng.integers(low, high, (count, 6, 7, 3), np.uint8)


def test_lab_is_scikit_images():
    """Whose white differs in the fifth digit."""
    np.testing.assert_allclose(to_lab(colours()), rgb2lab(colours()), atol=0.02)


def test_lab_is_the_graphs(graph):
    with tf.Session() as session:
        wanted = session.run(lab_color.rgb_to_lab(tf.constant(colours() / 255, tf.float32)))
    np.testing.assert_allclose(to_lab(colours()), wanted, atol=2e-4)


def test_lab_keeps_the_shape():
    assert to_lab(np.zeros((2, 3, 4, 3), np.uint8)).shape == (2, 3, 4, 3)
    assert to_lab(np.zeros((2, 3), np.uint8)).dtype == np.float64


def test_every_colour_has_its_bin():
    """The widest that sRGB has, too: none falls out."""
    corners = 255 * np.stack(np.meshgrid([0, 1], [0, 1], [0, 1]), -1).reshape(1, -1, 3)
    for image in (np.uint8(corners), colours()[None]):
        for part in np.split(lab_histograms(image), [100, 356]):
            assert part.sum() == image.size // 3


def test_histograms(rng):
    image = draw(rng, 0, 256)[0]
    wanted = [share for shares in counted_slowly(image).values() for share in shares.values()]
    np.testing.assert_allclose(lab_histograms(image) / (6 * 7), wanted, atol=1e-12)


@pytest.mark.parametrize(("value", "l_bin"), [(0, 0), (255, 99)])
def test_black_and_white(value, l_bin):
    """Lie in L's first and last bin; neither has a colour."""
    found = lab_histograms(plain(value, value, value))
    wanted = np.zeros(612)
    wanted[[l_bin, STARTS["a"] + 128, STARTS["b"] + 128]] = 4 * 5
    np.testing.assert_array_equal(found, wanted)


def test_no_grey_has_a_colour():
    """Zero is where two bins meet: rounding must not choose between them."""
    found = np.array([lab_histograms(plain(value)) for value in range(256)])
    wanted = np.zeros(512)
    wanted[[128, 256 + 128]] = 4 * 5
    np.testing.assert_array_equal(found[:, 100:], np.tile(wanted, (256, 1)))


def test_images_of_one_channel(rng):
    grey = rng.integers(0, 256, (6, 7, 1), np.uint8)
    np.testing.assert_array_equal(lab_histograms(grey), lab_histograms(grey.repeat(3, 2)))


def test_intersections(rng):
    outputs, targets = draw(rng, 0, 200), draw(rng, 40, 256)
    found = figures(outputs, targets)
    assert found == pytest.approx(intersection_slowly(outputs, targets), abs=1e-12)
    assert list(found) == ["histogram_l", "histogram_a", "histogram_b"]
    assert all(0.05 < value < 0.95 for value in found.values())


def test_every_pixel_counts_alike():
    """Of a small image as of a large one."""
    large, small = plain(90, 90, 90).repeat(3, 0), plain(160, 160, 160)
    found = figures([large, small], [large, plain(90, 90, 90)])
    assert found["histogram_l"] == pytest.approx(3 / 4)


def test_channels_are_apart():
    """A change of brightness alone, and one of colour alone."""
    found = histogram_intersections(lab_histograms(plain(90)), lab_histograms(plain(160)))
    assert found == {"histogram_l": 0, "histogram_a": 1, "histogram_b": 1}
    left = lab_histograms(np.concatenate([plain(90), plain(160)]))
    assert histogram_intersections(left, lab_histograms(plain(160)))[
        "histogram_l"
    ] == pytest.approx(0.5)


def test_equal_sets(rng):
    images = draw(rng, 0, 256)
    found = figures(images, images)
    assert found == pytest.approx(dict.fromkeys(found, 1), abs=1e-12)


def test_disjoint_colours():
    found = figures([plain(200, 30, 30)], [plain(30, 60, 200)])
    assert found == {"histogram_l": 0, "histogram_a": 0, "histogram_b": 0}


def test_how_images_are_paired_does_not_matter(rng):
    outputs, targets = draw(rng, 0, 200), draw(rng, 40, 256)
    assert figures(outputs, targets[::-1]) == pytest.approx(figures(outputs, targets))
    ones = figures(outputs, outputs[::-1])
    assert ones == pytest.approx(dict.fromkeys(ones, 1))
