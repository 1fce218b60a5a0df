"""The Frechet distance between two sets of images, by their features: FID.

Heusel, Ramsauer, Unterthiner, Nessler and Hochreiter 2017, "GANs Trained by a Two Time-Scale Update
Rule Converge to a Local Nash Equilibrium", and its authors' program, TTUR's fid.py.
"""

import contextlib
import io
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy import linalg

from p2p_graph.utils.atomic_write import atomic_write
from p2p_graph.utils.errors import UserError

Array = np.ndarray[Any, Any]

_OFFSET = 1e-6  # to the diagonals, as TTUR's
_WRONG = 1e-8  # by how much of its factors' norms a root's square may miss the product
_IMAGINARY = 1e-3  # of the traces: more is not rounding


class Moments:
    """Count, mean and covariance of features, taken in as they come.

    Sums are float64, and parts are joined by their means and scatters (Chan, Golub and LeVeque
    1983, equation 2.1): no squares of large numbers are subtracted, as from a sum of squares.

    Args:
      dims: how many features an image has, D.

    Attributes:
      count: how many images.
      mean: float64 [D]; zeros before the first image.
      scatter: float64 [D, D], the sum of (x - mean)(x - mean)' over all images.
    """

    def __init__(self, dims: int):
        self.count = 0
        self.mean: Array = np.zeros(dims)
        self.scatter: Array = np.zeros((dims, dims))

    @property
    def dims(self) -> int:
        """How many features an image has."""
        return len(self.mean)

    @property
    def covariance(self) -> Array:
        """Float64 [D, D], divided by count - 1, as TTUR's.

        Raises:
          UserError: there are fewer than two images.
        """
        if self.count < 2:
            raise UserError(f"FID needs 2 images at least in each set, not {self.count}")
        return self.scatter / (self.count - 1)

    def add(self, features: Array) -> None:
        """Takes in more images.

        Args:
          features: numbers [n, D]; n may be 0.

        Raises:
          UserError: a feature is not finite.
          ValueError: the shape is another one.
        """
        if features.ndim != 2 or features.shape[1] != self.dims:
            raise ValueError(f"features must be [n, {self.dims}], not {list(features.shape)}")
        check_finite(features, self.count)
        if not len(features):
            return
        part = Moments(self.dims)
        part.count = len(features)
        part.mean = features.mean(axis=0, dtype=np.float64)
        centred = features - part.mean
        part.scatter = centred.T @ centred
        self.merge(part)

    def merge(self, other: "Moments") -> None:
        """Takes in all that another one has taken in, which stays as it is.

        Raises:
          ValueError: it has another number of features.
        """
        if other.dims != self.dims:
            raise ValueError(f"moments of {other.dims} features do not join those of {self.dims}")
        count = self.count + other.count
        if not other.count:
            return
        apart = other.mean - self.mean
        self.scatter = self.scatter + other.scatter
        self.scatter += np.outer(apart, apart) * (self.count * other.count / count)
        self.mean = self.mean + apart * (other.count / count)
        self.count = count

    def save(self, path: Path, **others: Any) -> None:
        """Writes an .npz file, whole or not at all.

        Args:
          path: the file, which is replaced.
          others: more arrays to write, by name.

        Raises:
          UserError: the file cannot be written.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path) as temporary, temporary.open("wb") as file:
                np.savez(file, count=self.count, mean=self.mean, scatter=self.scatter, **others)
        except OSError as error:
            raise UserError(f"{path} cannot be written: {error.strerror}") from None

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, Any]) -> "Moments":
        """Takes the arrays that `save` writes, to the bit; others are left alone.

        Raises:
          ValueError: they are no moments.
          KeyError: one is missing.
        """
        count, mean, scatter = (np.asarray(arrays[name]) for name in ("count", "mean", "scatter"))
        shapes = (count.shape, mean.shape, scatter.shape)
        if shapes != ((), (mean.size,), (mean.size, mean.size)) or count.dtype.kind != "i":
            raise ValueError(f"count, mean and scatter have the shapes {shapes}")
        if {mean.dtype, scatter.dtype} != {np.dtype(np.float64)} or count < 0:
            raise ValueError(f"they are {count} images' {mean.dtype} and {scatter.dtype}")
        if not (np.isfinite(mean).all() and np.isfinite(scatter).all()):
            raise ValueError("its values are not finite")
        moments = cls(0)
        moments.count, moments.mean, moments.scatter = int(count), mean, scatter
        return moments


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Mapping[str, Any]]:
    """Opens an .npz file that `Moments.save` wrote; its arrays are read as they are asked for.

    Raises:
      UserError: it cannot be read, or, while it is open, it lacks or holds what it should not.
    """
    try:
        if not zipfile.is_zipfile(path):
            path.open("rb").close()  # where it cannot be read, this says why
            raise ValueError("it is not an .npz file")
        with np.load(path, allow_pickle=False) as arrays:
            yield arrays
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None
    except (
        KeyError,
        ValueError,
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
    ) as error:
        # A KeyError's text is its argument in quotes.
        reason = error.args[0] if isinstance(error, KeyError) else error
        raise UserError(
            f"{path} does not hold a set's statistics: {reason}; name another file"
        ) from None


def check_finite(features: Array, first: int = 0) -> None:
    """Refuses features that are not finite.

    Args:
      features: numbers [n, D].
      first: the number of the first image, from 0 on, for the message.

    Raises:
      UserError: some are not; the message counts images from 1.
    """
    bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if len(bad):
        raise UserError(f"the features of image {first + bad[0] + 1} are not finite: leave it out")


def frechet_distance(a: Moments, b: Moments) -> float:
    """The squared distance of two Gaussians with these moments (Heusel et al. 2017, equation 6).

    |mean_a - mean_b|^2 + trace(A + B - 2 (A B)^(1/2)).

    Args:
      a: one set's moments.
      b: the other's.

    Returns:
      At least 0, in squared units of the features; what rounding brings below is 0.

    Raises:
      UserError: a set has fewer than two images, the numbers of features differ, or a covariance
        is none.
    """
    if a.dims != b.dims:
        raise UserError(
            f"the sets have {a.dims} and {b.dims} features an image: use one network for both"
        )
    first, second = a.covariance, b.covariance
    apart = a.mean - b.mean
    traces = np.trace(first) + np.trace(second)
    return max(0.0, float(apart @ apart + traces - 2 * _trace_of_root(first, second)))


def bias_note(count: int, dims: int) -> str | None:
    """A line of warning, where there are fewer images than features.

    FID's estimate is too high for any finite set, and the more the smaller it is (Binkowski et al.
    2018, section 4); below D images the covariance has not even full rank.

    Args:
      count: how many images the smaller set has.
      dims: how many features an image has.
    """
    if count >= dims:
        return None
    return (
        f"FID of {count} images, fewer than the {dims} features, is biased upwards: "
        f"compare it only with FID of as many images, or use KID"
    )


def _trace_of_root(a: Array, b: Array) -> float:
    """The trace of (A B)^(1/2) of two covariances, float64 [D, D].

    As TTUR's, with SciPy's root of the product. With fewer images than features the product is
    singular, and the root may come out as not finite, or as huge numbers whose square is far from
    the product. For the first, TTUR adds 1e-6 to both diagonals, and so does this. The second it
    does not notice; here the trace is then that of (A^(1/2) B A^(1/2))^(1/2), which is the same
    and is computed from symmetric matrices alone.

    Raises:
      UserError: the root is not real.
    """
    root = _root(a @ b)
    if not np.isfinite(root).all():
        offset = _OFFSET * np.eye(len(a))
        a, b = a + offset, b + offset
        root = _root(a @ b)
    if not _is_root(root, a, b):
        return _symmetric_trace(a, b)
    trace = np.trace(root)
    # What rounding moves below 0 has a small imaginary root. On the diagonal they may be large, and
    # cancel: of singular products, which are far from symmetric, the trace alone says something.
    if abs(trace.imag) > _IMAGINARY * (abs(np.trace(a)) + abs(np.trace(b))):
        raise UserError(
            f"the root of the covariances' product has an imaginary part, {abs(trace.imag):.3g} in "
            f"its trace: they are no covariances, make the statistics again"
        )
    return float(trace.real)


def _root(product: Array) -> Array:
    """SciPy's root of a matrix, whatever it says: some versions warn, some print."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        root: Array = linalg.sqrtm(product)
    return root


def _is_root(root: Array, a: Array, b: Array) -> bool:
    """Whether a matrix's square is A B, but for rounding; it may hold anything."""
    with np.errstate(all="ignore"):
        missed = np.linalg.norm(root @ root - a @ b)
    return bool(missed <= _WRONG * np.linalg.norm(a) * np.linalg.norm(b))


def _symmetric_trace(a: Array, b: Array) -> float:
    values, vectors = linalg.eigh(a)
    root = vectors * np.sqrt(np.maximum(values, 0))
    return float(np.sqrt(np.maximum(linalg.eigvalsh(root.T @ b @ root), 0)).sum())
