"""KID against its formula, written as loops."""

import numpy as np
import pytest

from p2p_graph.metrics.kid import kid, squared_mmd
from p2p_graph.utils.errors import UserError


def slow(a, b):
    """Binkowski et al. 2018, equation 4, with the kernel of section 4."""

    def kernel(x, y):
        return (sum(u * v for u, v in zip(x, y, strict=True)) / len(x) + 1) ** 3

    def within(x):
        total = 0.0
        for i in range(len(x)):
            for j in range(len(x)):
                if i != j:
                    total += kernel(x[i], x[j])
        return total / (len(x) * (len(x) - 1))

    between = 0.0
    for x in a:
        for y in b:
            between += kernel(x, y)
    return within(a) + within(b) - 2 * between / (len(a) * len(b))


@pytest.mark.parametrize(("n", "m", "dims"), [(2, 2, 1), (5, 5, 3), (4, 9, 6)])
def test_squared_mmd(rng, n, m, dims):
    a, b = rng.normal(size=(n, dims)), rng.normal(size=(m, dims)) + 1
    assert squared_mmd(a, b) == pytest.approx(slow(a.tolist(), b.tolist()), rel=1e-10)


def test_float32_is_summed_in_float64(rng):
    """In float32, the kernel's cubes would be 1e-7 of themselves off."""
    a, b = (rng.uniform(20, 21, (6, 4)).astype(np.float32) for _ in range(2))
    wanted = slow(a.astype(float).tolist(), b.astype(float).tolist())
    assert squared_mmd(a, b) == pytest.approx(wanted, rel=1e-6)


def test_subsets_as_large_as_the_sets(rng):
    """Subsets as large as the sets are the sets."""
    a, b = rng.normal(size=(6, 3)), rng.normal(size=(6, 3)) * 2
    found = kid(a, b, subsets=4)
    assert found.subset_size == 6
    assert found.mean == pytest.approx(slow(a, b), rel=1e-10)
    assert found.deviation == pytest.approx(0, abs=1e-10)


def test_subsets(rng):
    """Each value is that of some subset, without an image twice; mean and deviation of all."""
    a, b = rng.normal(size=(3, 2)), rng.normal(size=(2, 2))
    possible = [slow(a[list(pair)], b) for pair in ((0, 1), (0, 2), (1, 2))]
    one = [kid(a, b, subsets=1, seed=seed).mean for seed in range(40)]
    assert {round(value, 9) for value in one} == {round(value, 9) for value in possible}
    many = kid(a, b, subsets=4000)
    assert many.subset_size == 2
    assert many.mean == pytest.approx(np.mean(possible), abs=0.1 * np.std(possible))
    assert many.deviation == pytest.approx(np.std(possible), rel=0.05)


def test_subset_sizes(rng):
    a, b = rng.normal(size=(1200, 2)), rng.normal(size=(1100, 2))
    assert kid(a, b, subsets=1).subset_size == 1000
    assert kid(a, b[:700], subsets=1).subset_size == 700
    assert kid(a[:600], b, subsets=1).subset_size == 600
    assert kid(a, b, subsets=2, subset_size=50).subset_size == 50


def test_seed(rng):
    a, b = rng.normal(size=(2, 40, 3))
    first = kid(a, b, subsets=3, subset_size=10, seed=5)
    assert kid(a, b, subsets=3, subset_size=10, seed=5) == first
    assert kid(a, b, subsets=3, subset_size=10, seed=6) != first
    assert kid(a, b, subsets=3, subset_size=10) == kid(a, b, subsets=3, subset_size=10, seed=0)


def test_unbiased():
    """Of equal distributions the mean is 0, also of few images."""
    rng = np.random.default_rng(3)
    values = [squared_mmd(*rng.normal(size=(2, 5, 4))) for _ in range(4000)]
    error = np.std(values) / np.sqrt(len(values))
    assert abs(np.mean(values)) < 3 * error
    # With each image compared with itself, the mean would be some 2 * (E k(x, x) - 1) / 5.
    assert 20 * error < 2 * (8 - 1) / 5
    assert min(values) < 0


def test_other_distributions(rng):
    near, far = (kid(rng.normal(size=(300, 4)), rng.normal(size=(300, 4)) + by) for by in (0.2, 2))
    assert far.mean > 5 * near.mean


def test_wrong_sets(rng):
    good = rng.normal(size=(5, 3))
    for count in (0, 1):
        for pair in ((good[:count], good), (good, good[:count])):
            with pytest.raises(UserError, match=f"2 images at least in each set, not {count}"):
                kid(*pair)
    bad = good.copy()
    bad[3, 0] = np.nan
    for pair in ((bad, good), (good, bad)):
        with pytest.raises(UserError, match="features of image 4 are not finite"):
            kid(*pair)
    with pytest.raises(UserError, match="3 and 2 features an image: use one network"):
        kid(good, good[:, :2])
    for wrong in ({"subsets": 0}, {"subset_size": 1}):
        with pytest.raises(UserError, match="KID needs a subset at least, of 2 at least"):
            kid(good, good, **wrong)
