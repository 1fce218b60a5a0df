"""FID against closed forms and eigenvalues."""

import warnings

import numpy as np
import pytest
from scipy import linalg

from p2p_graph.metrics.feature_moments import FeatureMoments
from p2p_graph.metrics.fid import bias_note, frechet_distance
from p2p_graph.utils.errors import UserError


def moments_of(features):
    moments = FeatureMoments(features.shape[1])
    moments.add(features)
    return moments


def given(mean, covariance, count=50):
    moments = FeatureMoments(len(mean))
    moments.count = count
    moments.mean = np.asarray(mean, np.float64)
    moments.scatter = np.asarray(covariance, np.float64) * (count - 1)
    return moments


def exact(a, b):
    """By eigenvalues: those of A B are those of A^(1/2) B A^(1/2), which is symmetric."""
    values, vectors = np.linalg.eigh(a.covariance)
    root = vectors @ np.diag(np.sqrt(np.clip(values, 0, None))) @ vectors.T
    product = np.linalg.eigvalsh(root @ b.covariance @ root)
    traces = np.trace(a.covariance) + np.trace(b.covariance)
    return sum((a.mean - b.mean) ** 2) + traces - 2 * np.sqrt(np.clip(product, 0, None)).sum()


def few_images(seed):
    """Two sets of fewer images than features, small whole numbers, some of them zero."""
    rng = np.random.default_rng(seed)
    dims = rng.integers(6, 12)
    sets = [np.rint(rng.normal(size=(rng.integers(2, 6), dims)) * 1.5) for _ in range(2)]
    return [moments_of(features) for features in sets]


def spread(moments):
    return np.trace(moments.covariance)


def test_one_feature():
    a, b = moments_of(np.array([[1.0], [3.0]])), moments_of(np.array([[0.0], [4.0]]))
    assert a.covariance == [[2]]
    assert frechet_distance(a, b) == pytest.approx((np.sqrt(2) - np.sqrt(8)) ** 2)


def test_diagonal(rng):
    """|m - n|^2 + sum (sqrt(a) - sqrt(b))^2 where both covariances are diagonal."""
    means, variances = rng.normal(size=(2, 7)), rng.uniform(0.1, 9, (2, 7))
    a, b = (given(m, np.diag(v)) for m, v in zip(means, variances, strict=True))
    wanted = sum((means[0] - means[1]) ** 2)
    wanted += sum((np.sqrt(variances[0]) - np.sqrt(variances[1])) ** 2)
    assert frechet_distance(a, b) == pytest.approx(wanted, rel=1e-12)


def test_commuting(rng):
    """The same in any basis that both share."""
    basis = np.linalg.qr(rng.normal(size=(7, 7)))[0]
    variances = rng.uniform(0.1, 9, (2, 7))
    a, b = (given(np.zeros(7), basis @ np.diag(v) @ basis.T) for v in variances)
    wanted = sum((np.sqrt(variances[0]) - np.sqrt(variances[1])) ** 2)
    assert frechet_distance(a, b) == pytest.approx(wanted, rel=1e-10)


@pytest.mark.parametrize("seed", range(5))
def test_random(seed):
    rng = np.random.default_rng(seed)
    a, b = (moments_of(rng.normal(size=(60, 20)) @ rng.normal(size=(20, 20))) for _ in range(2))
    assert frechet_distance(a, b) == pytest.approx(exact(a, b), rel=1e-9)
    assert frechet_distance(b, a) == pytest.approx(frechet_distance(a, b), rel=1e-9)


def test_near_singular(rng):
    """Variances from 1 to 1e-12."""
    scales = np.logspace(0, -6, 12)
    a, b = (moments_of(rng.normal(size=(90, 12)) * scales) for _ in range(2))
    assert frechet_distance(a, b) == pytest.approx(exact(a, b), rel=1e-6)


@pytest.mark.parametrize("count", [2, 5, 60])
def test_equal_sets(rng, count):
    moments = moments_of(rng.normal(size=(count, 20)))
    assert 0 <= frechet_distance(moments, moments) < 1e-6 * spread(moments)


def test_never_negative():
    """Whole numbers, of which rounding makes something below 0."""
    for seed in range(40):
        first, _ = few_images(seed)
        assert 0 <= frechet_distance(first, first) < 0.02 * spread(first)


def test_images_without_variance():
    """A generator that gives one image always: no product has a root of full rank."""
    a, b = moments_of(np.ones((4, 3))), moments_of(np.full((4, 3), 3.0))
    assert frechet_distance(a, a) == 0
    assert frechet_distance(a, b) == 12


def test_fewer_images_than_features(capfd):
    """Singular: SciPy's root is not finite, wrong, or has a diagonal that is not real, in some."""
    errors = []
    for seed in range(300):
        a, b = few_images(seed)
        error = frechet_distance(a, b) - exact(a, b)
        errors.append(abs(error) / (spread(a) + spread(b)))
    # Where the root is not finite, 1e-6 is added to all variances.
    assert max(errors) < 0.005
    assert np.median(errors) < 1e-7
    assert capfd.readouterr() == ("", "")


def fake_root(monkeypatch, *values):
    """Has SciPy answer as other versions of it do."""
    answers = list(values)

    def sqrtm(matrix):
        answer = answers.pop(0)
        return answer(matrix) if callable(answer) else answer

    monkeypatch.setattr(linalg, "sqrtm", sqrtm)
    return answers


def test_root_that_is_not_finite(monkeypatch, rng):
    """1e-6 is added to both diagonals, under the root alone, as TTUR does."""
    a, b = (given(rng.normal(size=4), np.diag(rng.uniform(1, 2, 4))) for _ in range(2))
    left = fake_root(monkeypatch, np.full((4, 4), np.nan), linalg.sqrtm)
    found = frechet_distance(a, b)
    assert left == []
    first, second = np.diag(a.covariance), np.diag(b.covariance)
    roots = np.sqrt((first + 1e-6) * (second + 1e-6))
    wanted = sum((a.mean - b.mean) ** 2) + sum(first) + sum(second) - 2 * sum(roots)
    assert found == pytest.approx(wanted, rel=1e-12)
    assert abs(found - exact(a, b)) > 1e-6  # so that this sees a difference


def huge(matrix):
    """Finite, and no root: some versions of SciPy give these, and say so, or print, or neither."""
    print("Failed to find a square root.")
    warnings.warn("Matrix is singular.", linalg.LinAlgWarning, stacklevel=2)
    return np.full(matrix.shape, 1e200)


@pytest.mark.parametrize("wrong", [huge, np.zeros_like, lambda m: linalg.cholesky(m @ m.T)])
def test_root_that_is_wrong(monkeypatch, rng, capfd, wrong):
    a, b = (moments_of(rng.normal(size=(30, 4))) for _ in range(2))
    left = fake_root(monkeypatch, wrong)
    assert frechet_distance(a, b) == pytest.approx(exact(a, b), rel=1e-9)
    assert left == []
    assert capfd.readouterr() == ("", "")


def test_root_that_is_never_finite(monkeypatch, rng):
    a, b = (moments_of(rng.normal(size=(30, 4))) for _ in range(2))
    nothing = np.full((4, 4), np.inf)
    left = fake_root(monkeypatch, nothing, nothing)
    assert frechet_distance(a, b) == pytest.approx(exact(a, b), abs=1e-4)
    assert left == []


def test_imaginary_parts_of_rounding_are_dropped(monkeypatch):
    a, b = given([0, 0], np.diag([4, 1e-20])), given([0, 0], np.diag([9, 1e-20]))
    fake_root(monkeypatch, np.diag([6, 1e-8j]))
    assert frechet_distance(a, b) == pytest.approx(1)


def test_imaginary_parts_of_no_covariance():
    a, b = given([0, 0], np.diag([4, -1])), given([0, 0], np.diag([1, 9]))
    with pytest.raises(UserError, match="imaginary part, 3 in its trace: they are no cov"):
        frechet_distance(a, b)


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_images(rng, count):
    a, b = moments_of(rng.normal(size=(count, 3))), moments_of(rng.normal(size=(9, 3)))
    for pair in ((a, b), (b, a)):
        with pytest.raises(UserError, match=f"2 images at least in each set, not {count}"):
            frechet_distance(*pair)


def test_other_features(rng):
    a, b = moments_of(rng.normal(size=(9, 3))), moments_of(rng.normal(size=(9, 4)))
    with pytest.raises(UserError, match="3 and 4 features an image: use one network"):
        frechet_distance(a, b)
    with pytest.raises(ValueError, match="4 features do not join those of 3"):
        a.merge(b)
    with pytest.raises(ValueError, match=r"must be \[n, 3\], not \[2, 4\]"):
        a.add(np.zeros((2, 4)))


def test_bias_note():
    assert bias_note(2048, 2048) is None
    note = bias_note(2047, 2048)
    assert "2047 images, fewer than the 2048 features, is biased upwards" in note
    assert "\n" not in note


def test_bias_is_upwards():
    """What the note says: sets of one distribution are the farther apart, the smaller they are."""
    rng = np.random.default_rng(0)
    found = [
        frechet_distance(*(moments_of(rng.normal(size=(count, 16))) for _ in range(2)))
        for count in (8, 64, 2000)
    ]
    assert found[0] > 5 * found[1] > 25 * found[2] > 0
