"""Moments of features against NumPy's, and their files."""

import os

import numpy as np
import pytest

from p2p_graph.metrics.feature_moments import FeatureMoments, open_moments_file
from p2p_graph.metrics.fid import frechet_distance
from p2p_graph.utils.errors import UserError


def moments_of(features):
    moments = FeatureMoments(features.shape[1])
    moments.add(features)
    return moments


@pytest.mark.parametrize(
    "sizes", [(40,), (1,) * 40, (1, 39), (39, 1), (7, 0, 20, 13), (20, 20)], ids=str
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_streaming(rng, sizes, dtype):
    features = (rng.normal(size=(40, 6)) * 3 + 1).astype(dtype)
    moments = FeatureMoments(6)
    for part in np.split(features, np.cumsum(sizes)[:-1]):
        moments.add(part)
    assert moments.count == 40
    wide = features.astype(np.float64)
    np.testing.assert_allclose(moments.mean, wide.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(moments.covariance, np.cov(wide, rowvar=False), rtol=1e-11)


def test_streaming_far_from_zero(rng):
    """A sum of squares would lose all digits: 1e18 against 1e4."""
    features = np.rint(rng.normal(size=(200, 3)) * 100) + 1e9
    moments = FeatureMoments(3)
    for part in np.split(features, 50):
        moments.add(part)
    np.testing.assert_allclose(moments.covariance, np.cov(features.T - 1e9), rtol=1e-6)


def test_merge_of_nothing():
    moments = FeatureMoments(2)
    moments.merge(FeatureMoments(2))
    assert moments.count == 0
    assert (moments.mean == 0).all()


@pytest.mark.parametrize("sizes", [(30, 12), (12, 30), (0, 42), (42, 0), (1, 41)], ids=str)
def test_merge(rng, sizes):
    features = rng.normal(size=(42, 4))
    first, second = (moments_of(part) for part in np.split(features, [sizes[0]]))
    before = second.mean.copy(), second.scatter.copy(), second.count
    first.merge(second)
    assert first.count == 42
    np.testing.assert_allclose(first.mean, features.mean(axis=0), atol=1e-14)
    np.testing.assert_allclose(first.covariance, np.cov(features.T), rtol=1e-11, atol=1e-14)
    # What was merged is nobody else's.
    first.add(rng.normal(size=(5, 4)))
    assert (second.mean == before[0]).all()
    assert (second.scatter == before[1]).all()
    assert second.count == before[2]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_features_that_are_not_finite(rng, value):
    moments = moments_of(rng.normal(size=(9, 3)))
    features = rng.normal(size=(5, 3))
    features[2, 1] = value
    with pytest.raises(UserError, match="features of image 12 are not finite"):
        moments.add(features)
    assert moments.count == 9


def loaded(path):
    with open_moments_file(path) as arrays:
        return FeatureMoments.from_arrays(arrays)


def test_save_and_load(rng, tmp_path):
    moments = moments_of(rng.normal(size=(9, 3)))
    path = tmp_path / "new" / "of_a.b"
    moments.save(path, more=np.arange(3))
    again = loaded(path)
    assert again.count == moments.count
    assert (again.mean == moments.mean).all()
    assert (again.scatter == moments.scatter).all()
    assert [entry.name for entry in path.parent.iterdir()] == ["of_a.b"]
    # It goes on where it was.
    more = rng.normal(size=(4, 3))
    again.add(more)
    moments.add(more)
    assert frechet_distance(again, moments) == pytest.approx(0, abs=1e-7)


def test_save_is_atomic(rng, tmp_path):
    path = tmp_path / "moments.npz"
    moments = moments_of(rng.normal(size=(9, 3)))
    moments.save(path)
    before = path.read_bytes()

    class Fails:
        def __array__(self, dtype=None, copy=None):
            raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match=r"moments.npz cannot be written: No space left"):
        moments_of(rng.normal(size=(7, 3))).save(path, more=Fails())
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(UserError, match="inner cannot be written"):
        moments.save(path / "inner")


def test_load_needs_moments(rng, tmp_path):
    path = tmp_path / "moments.npz"
    with pytest.raises(UserError, match="cannot be read: No such file"):
        loaded(path)
    with pytest.raises(UserError, match="is a folder, not a regular file; name"):
        loaded(tmp_path)
    path.write_bytes(b"not a zip file")
    with pytest.raises(UserError, match="cannot be read as a set's statistics: File is not a zip"):
        loaded(path)
    np.savez(path, count=3, mean=np.zeros(2))
    with pytest.raises(UserError, match="statistics: it has no array scatter; name"):
        loaded(path)
    intact = {"count": 3, "mean": np.zeros(2), "scatter": np.eye(2)}
    for name, value in {
        "count": 1.5,
        "mean": np.zeros(3),
        "scatter": np.full((2, 2), np.nan),
    }.items():
        np.savez(path, **{**intact, name: value})
        with pytest.raises(UserError, match="cannot be read as a set's statistics"):
            loaded(path)
    np.savez(path, **{**intact, "mean": np.zeros(2, object)})
    with pytest.raises(UserError, match="cannot be read as a set's statistics"):
        loaded(path)


@pytest.mark.parametrize(
    "changed",
    [
        {"count": -1},
        {"count": True},
        {"count": np.array([3])},
        {"count": "3"},
        {"mean": np.array(["a", "b"])},
        {"mean": np.zeros(2, np.float32)},
        {"mean": np.array([0, np.inf])},
        {"scatter": -np.eye(2)},
        {"scatter": np.full((2, 2), 1e300)},
        {"mean": np.full(2, 1e300)},
        {"scatter": np.eye(3)},
        {"mean": np.array([{}, None])},
    ],
    ids=str,
)
def test_moments_that_are_none(tmp_path, changed):
    path = tmp_path / "moments.npz"
    intact = {"count": 3, "mean": np.zeros(2), "scatter": np.eye(2)}
    np.savez(path, **intact)
    assert loaded(path).count == 3
    np.savez(path, **intact | changed)
    with pytest.raises(UserError, match=f"^{path} cannot be read as a set's .*; name another file"):
        loaded(path)


def test_a_file_that_is_no_regular_one(tmp_path):
    path = tmp_path / "moments.npz"
    os.mkfifo(path)
    with pytest.raises(UserError, match="is a FIFO, not a regular file; name another file"):
        loaded(path)


def test_a_header_that_claims_more_than_there_is(rng, tmp_path):
    """It is refused before memory is allocated."""
    path = tmp_path / "moments.npz"
    moments_of(rng.normal(size=(9, 30))).save(path)
    contents = path.read_bytes()
    assert contents.count(b"(30, 30), }  ") == 1
    path.write_bytes(contents.replace(b"(30, 30), }  ", b"(30, 9000), }"))
    with pytest.raises(
        UserError, match=r"the header of scatter says float64 \[30, 9000\], 2160000"
    ):
        loaded(path)


def test_load_sees_damage(rng, tmp_path):
    path = tmp_path / "moments.npz"
    moments_of(rng.normal(size=(9, 30))).save(path)
    contents = bytearray(path.read_bytes())
    contents[len(contents) // 2] ^= 1
    path.write_bytes(contents)
    with pytest.raises(UserError, match="statistics: Bad CRC-32"):
        loaded(path)
