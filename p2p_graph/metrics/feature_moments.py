"""Count, mean and covariance of a set's network features, and the .npz file that stores them."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from p2p_graph.utils import npz_files
from p2p_graph.utils.atomic_write import atomic_write
from p2p_graph.utils.counted import counted
from p2p_graph.utils.errors import UserError, why_not_written
from p2p_graph.utils.npz_files import NpzFile
from p2p_graph.utils.outside_files import damage_reported

Array = np.ndarray[Any, Any]


class FeatureMoments:
    """Count, mean and scatter of features, updated batch by batch.

    Sums are float64. Batches are merged by their means and scatters (Chan, Golub and LeVeque 1983,
    equation 2.1), which, unlike sums of squares, subtracts no large numbers from each other.

    Args:
      dims: the number of features of an image, D.

    Attributes:
      count: the number of images.
      mean: float64 [D]; zeros before the first image.
      scatter: float64 [D, D], the sum of (x - mean)(x - mean)' over all images.
    """

    def __init__(self, dims: int):
        self.count = 0
        self.mean: Array = np.zeros(dims)
        self.scatter: Array = np.zeros((dims, dims))

    @property
    def dims(self) -> int:
        """The number of features of an image."""
        return len(self.mean)

    @property
    def covariance(self) -> Array:
        """The unbiased covariance, float64 [D, D], as in TTUR's fid.py.

        Raises:
          UserError: there are fewer than two images.
        """
        if self.count < 2:
            raise UserError(f"FID needs 2 images at least in each set, not {self.count}")
        return self.scatter / (self.count - 1)

    def add(self, features: Array) -> None:
        """Adds a batch of images.

        Args:
          features: numbers [n, D]; n may be 0.

        Raises:
          UserError: a feature is not finite.
          ValueError: the shape is another one.
        """
        if features.ndim != 2 or features.shape[1] != self.dims:
            raise ValueError(f"features must be [n, {self.dims}], not {list(features.shape)}")
        check_finite_features(features, self.count)
        if not len(features):
            return
        batch = FeatureMoments(self.dims)
        batch.count = len(features)
        batch.mean = features.mean(axis=0, dtype=np.float64)
        centred = features - batch.mean
        batch.scatter = centred.T @ centred
        self.merge(batch)

    def merge(self, other: "FeatureMoments") -> None:
        """Adds all images of another set's moments; `other` is unchanged.

        Raises:
          ValueError: the numbers of features differ.
        """
        if other.dims != self.dims:
            raise ValueError(
                f"moments of {counted(other.dims, 'feature')} do not join those of {self.dims}"
            )
        count = self.count + other.count
        if not other.count:
            return
        difference = other.mean - self.mean
        self.scatter = self.scatter + other.scatter
        self.scatter += np.outer(difference, difference) * (self.count * other.count / count)
        self.mean = self.mean + difference * (other.count / count)
        self.count = count

    def save(self, path: Path, **more_arrays: Any) -> None:
        """Writes an .npz file atomically; an earlier file is replaced.

        Args:
          path: the file.
          more_arrays: further arrays to write, by name.

        Raises:
          UserError: the file cannot be written.
        """
        arrays = {"count": self.count, "mean": self.mean, "scatter": self.scatter, **more_arrays}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path) as temporary, temporary.open("wb") as file:
                np.savez(file, **arrays)
        except OSError as error:
            raise UserError(f"{path} cannot be written: {why_not_written(error)}") from None

    @classmethod
    def from_arrays(cls, arrays: NpzFile) -> "FeatureMoments":
        """Restores moments, bit for bit, from the arrays of `save`; further arrays are ignored.

        Raises:
          ValueError: an array is missing, or the arrays are no moments.
        """
        count, mean, scatter = (np.asarray(arrays[name]) for name in ("count", "mean", "scatter"))
        shapes = (count.shape, mean.shape, scatter.shape)
        if shapes != ((), (mean.size,), (mean.size, mean.size)) or count.dtype.kind != "i":
            raise ValueError(f"count, mean and scatter have the shapes {shapes}")
        if {mean.dtype, scatter.dtype} != {np.dtype(np.float64)} or count < 0:
            raise ValueError(
                f"count is {count}, mean {mean.dtype} and scatter {scatter.dtype}, not float64"
            )
        if not (np.isfinite(mean).all() and np.isfinite(scatter).all()):
            raise ValueError("its values are not finite")
        if (np.diagonal(scatter) < 0).any():
            raise ValueError("its scatter has a negative number on the diagonal")
        # Larger sums than this of squared differences would overflow in FID.
        largest = float(np.finfo(np.float32).max)
        most = (largest, max(1, int(count)) * (2 * largest) ** 2)
        if any(
            np.abs(x).max(initial=0) > most for x, most in zip((mean, scatter), most, strict=True)
        ):
            raise ValueError("its values are larger than features of float32 give")
        moments = cls(0)
        moments.count, moments.mean, moments.scatter = int(count), mean, scatter
        return moments


@contextlib.contextmanager
def open_moments_file(path: Path) -> Iterator[NpzFile]:
    """Opens an .npz file of `FeatureMoments.save`; each array is read when it is accessed.

    Raises:
      UserError: the file cannot be read, or an array that is accessed is missing or damaged, or
        the `with` block raises an error about the contents.
    """
    try:
        with damage_reported(path, "a set's statistics"), npz_files.open_npz(path) as archive:
            yield archive
    except FileNotFoundError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except UserError as error:
        raise UserError(f"{error}; name another file") from None


def check_finite_features(features: Array, first: int = 0) -> None:
    """Refuses features that are not finite.

    Args:
      features: numbers [n, D].
      first: the number of images before these, for the message.

    Raises:
      UserError: a feature is not finite; the message counts images from 1.
    """
    bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if len(bad):
        raise UserError(f"the features of image {first + bad[0] + 1} are not finite: leave it out")
