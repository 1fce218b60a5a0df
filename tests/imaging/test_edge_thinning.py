"""Edge thinning: each step against its formula written slowly, and lines of hand-made maps."""

import numpy as np
import pytest

from p2p_graph.imaging.edge_thinning import (
    convolve,
    edge_normals,
    suppress_non_maxima,
    thin_edges,
    triangle_kernel,
)

SHAPES = [(2, 2), (3, 9), (12, 7), (17, 20)]


@pytest.fixture
def need_skimage():
    pytest.importorskip("skimage", reason="the extra `edges` is not installed")


def mirrored(index, size):
    """The index inside that a mirrored image shows at one outside; the border pixel twice."""
    while not 0 <= index < size:
        index = -1 - index if index < 0 else 2 * size - 1 - index
    return index


def slow_triangle(image, radius):
    height, width = image.shape
    weights = [radius + 1 - abs(i) for i in range(-radius, radius + 1)]
    smooth = np.zeros((height, width))
    for y, x in np.ndindex(height, width):
        for i, down in enumerate(weights):
            for j, right in enumerate(weights):
                row, column = mirrored(y + i - radius, height), mirrored(x + j - radius, width)
                smooth[y, x] += down * right * image[row, column]
    return smooth / (radius + 1) ** 4


def slow_gradient(image):
    """Along x and y: central differences, one-sided ones at the borders."""
    height, width = image.shape
    along_x, along_y = np.zeros((height, width)), np.zeros((height, width))
    for y, x in np.ndindex(height, width):
        left, right = max(x - 1, 0), min(x + 1, width - 1)
        above, below = max(y - 1, 0), min(y + 1, height - 1)
        along_x[y, x] = (image[y, right] - image[y, left]) / (right - left)
        along_y[y, x] = (image[below, x] - image[above, x]) / (below - above)
    return along_x, along_y


def slow_normals(image):
    ox, oy = slow_gradient(slow_triangle(image, 4))
    oxx, _ = slow_gradient(ox)
    oxy, oyy = slow_gradient(oy)
    return np.mod(np.arctan(oyy * np.sign(-oxy) / (oxx + 1e-5)), np.pi)


def slow_suppressed(image, angles):
    height, width = image.shape

    def at(x, y):
        x = 0 if x < 0 else min(x, width - 1.001)
        y = 0 if y < 0 else min(y, height - 1.001)
        x0, y0 = int(x), int(y)
        a, b = x - x0, y - y0
        return (
            image[y0, x0] * (1 - a) * (1 - b)
            + image[y0, x0 + 1] * a * (1 - b)
            + image[y0 + 1, x0] * (1 - a) * b
            + image[y0 + 1, x0 + 1] * a * b
        )

    maxima = np.zeros((height, width))
    for y, x in np.ndindex(height, width):
        cosine, sine = np.cos(angles[y, x]), np.sin(angles[y, x])
        beside = [at(x + way * cosine, y + way * sine) for way in (-1, 1)]
        maxima[y, x] = 0 if 1.01 * image[y, x] < max(beside) else image[y, x]
    reach = min(5, width // 2, height // 2)
    for i in range(reach):
        for line in (maxima[i], maxima[height - 1 - i], maxima[:, i], maxima[:, width - 1 - i]):
            line *= i / reach
    return maxima


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("radius", [1, 4])
def test_triangle_filter(shape, radius, rng):
    image = np.float32(rng.random(shape))
    found = convolve(image, triangle_kernel(radius))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, slow_triangle(image, radius), atol=1e-6)


def test_channels_are_filtered_alone(rng):
    image = np.float32(rng.random((9, 7, 3)))
    found = convolve(image, triangle_kernel(2))
    for channel in range(3):
        wanted = convolve(image[..., channel], triangle_kernel(2))
        np.testing.assert_array_equal(found[..., channel], wanted)


def angles_apart(a, b):
    """Differences of directions: 0 and pi are one."""
    apart = abs(a - b) % np.pi
    return np.minimum(apart, np.pi - apart)


@pytest.mark.parametrize("shape", SHAPES)
def test_normals(shape, rng):
    """In float64, so that a second difference near 0 does not change its sign by rounding."""
    image = rng.random(shape)
    found = edge_normals(image)
    assert found.min() >= 0
    assert found.max() <= np.pi
    assert angles_apart(found, slow_normals(image)).max() < 1e-4


def test_normals_of_nothing_are_angles_all_the_same():
    np.testing.assert_array_equal(edge_normals(np.zeros((8, 8), np.float32)), 0)


@pytest.mark.parametrize(("dy", "dx"), [(1, 0), (0, 1), (1, 1), (-1, 1)])
def test_normals_point_across_a_line(dy, dx):
    """A soft line through the middle with the normal (dy, dx)."""
    y, x = np.indices((41, 41)) - 20
    distance = (y * dy + x * dx) / np.hypot(dy, dx)
    angle = edge_normals(np.float32(np.exp(-(distance**2) / 18)))[20, 20]
    if 0 in (dy, dx):  # exactly along an axis, the formula's sign is that of rounding
        assert min(abs(np.sin(angle)), abs(np.cos(angle))) < 0.05
    else:
        assert angles_apart(angle, np.arctan2(dy, dx)) < 0.05


@pytest.mark.parametrize("shape", SHAPES)
def test_suppression(shape, rng):
    image, angles = np.float32(rng.random(shape)), np.float32(rng.uniform(0, np.pi, shape))
    found = suppress_non_maxima(image, angles)
    wanted = slow_suppressed(image, angles)
    assert (wanted == 0).any()
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_suppression_forgives_one_percent():
    image = np.ones((16, 16), np.float32)
    image[:, 8] = 1.009
    angles = np.zeros((16, 16), np.float32)
    assert suppress_non_maxima(image, angles)[8, 7] == 1
    image[:, 8] = 1.011
    assert suppress_non_maxima(image, angles)[8, 7] == 0
    assert suppress_non_maxima(image, angles + np.float32(np.pi / 2))[8, 7] == 1


def black(drawing):
    assert drawing.dtype == np.uint8
    assert set(np.unique(drawing)) <= {0, 255}
    return drawing == 0


@pytest.mark.usefixtures("need_skimage")
class TestLines:
    """Lines of hand-made maps."""

    def test_a_line_stays(self):
        image = np.zeros((40, 40), np.float32)
        image[20, 10:30] = 1
        wanted = image > 0
        np.testing.assert_array_equal(black(thin_edges(image)), wanted)

    def test_a_soft_line_becomes_its_ridge(self):
        distance = np.abs(np.arange(60) - 30)
        image = np.tile(np.float32(np.maximum(0, 1 - distance / 6)), (60, 1))
        drawn = black(thin_edges(image))[10:50]
        assert (drawn.sum(axis=1) == 1).all()
        assert drawn[:, 30].all()

    def test_a_thick_bar_becomes_one_pixel_wide(self):
        image = np.zeros((60, 60), np.float32)
        image[10:50, 25:36] = 1
        drawn = black(thin_edges(image))
        middle = drawn[20:40]
        assert (middle.sum(axis=1) == 1).all()
        assert middle[:, 27:34].any(axis=1).all()
        assert not drawn[:, :25].any()
        assert not drawn[:, 36:].any()

    @pytest.mark.parametrize(("length", "stays"), [(4, False), (5, True)])
    @pytest.mark.parametrize("slanted", [False, True])
    def test_a_speck_goes(self, length, stays, slanted):
        """Pixels that touch at a corner are of one line."""
        image = np.zeros((40, 40), np.float32)
        for i in range(length):
            image[20 + i * slanted, 10 + i] = 1
        drawn = black(thin_edges(image))
        np.testing.assert_array_equal(drawn, (image > 0) & stays)
        np.testing.assert_array_equal(black(thin_edges(image, small_edge=4)), image > 0)

    @pytest.mark.parametrize(("value", "stays"), [(24, False), (25, True)])
    def test_the_threshold_is_an_edge(self, value, stays):
        image = np.zeros((40, 40), np.float32)
        image[20, 10:30] = value / 255
        assert black(thin_edges(image)).any() == stays
        assert black(thin_edges(image, threshold=24 / 255)).any()

    def test_what_is_0_is_never_drawn(self):
        assert not black(thin_edges(np.zeros((20, 20), np.float32), threshold=0)).any()

    def test_the_outermost_pixels_are_never_drawn(self):
        drawn = black(thin_edges(np.ones((30, 30), np.float32), small_edge=0))
        assert not drawn[[0, -1]].any()
        assert not drawn[:, [0, -1]].any()
