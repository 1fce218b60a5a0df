"""FID: the Frechet Inception distance between two sets of images.

Heusel, Ramsauer, Unterthiner, Nessler and Hochreiter 2017, "GANs Trained by a Two Time-Scale Update
Rule Converge to a Local Nash Equilibrium". The reference implementation is TTUR's fid.py.
"""

import contextlib
import io
import warnings
from typing import Any

import numpy as np
from scipy import linalg

from p2p_graph.metrics.feature_moments import FeatureMoments
from p2p_graph.utils.counted import counted
from p2p_graph.utils.errors import UserError

Array = np.ndarray[Any, Any]

_DIAGONAL_OFFSET = 1e-6  # TTUR's
_ROOT_TOLERANCE = 1e-8  # of |root^2 - A B| over |A| |B|
_IMAGINARY_TOLERANCE = 1e-3  # of the traces; larger imaginary parts are no rounding errors


def frechet_distance(a: FeatureMoments, b: FeatureMoments) -> float:
    """The squared Frechet distance of two Gaussians (Heusel et al. 2017, equation 6).

    |mean_a - mean_b|^2 + trace(A + B - 2 (A B)^(1/2)), with the covariances A and B.

    Args:
      a: the moments of one set.
      b: the moments of the other set.

    Returns:
      At least 0, in squared units of the features; a negative rounding error is made 0.

    Raises:
      UserError: a set has fewer than two images, the numbers of features differ, or a covariance
        is not positive semidefinite.
    """
    if a.dims != b.dims:
        raise UserError(
            f"the sets have {a.dims} and {counted(b.dims, 'feature')} an image: use one network "
            "for both"
        )
    first, second = a.covariance, b.covariance
    difference = a.mean - b.mean
    traces = np.trace(first) + np.trace(second)
    distance = difference @ difference + traces - 2 * _trace_of_root(first, second)
    return max(0.0, float(distance))


def bias_note(count: int, dims: int) -> str | None:
    """A warning for sets of fewer images than features.

    FID's estimate is biased upwards for every finite set, and more for smaller sets (Binkowski et
    al. 2018, section 4). The covariance of fewer than D images has not even full rank.

    Args:
      count: the number of images of the smaller set.
      dims: the number of features of an image, D.

    Returns:
      One line of text, or None if there are enough images.
    """
    if count >= dims:
        return None
    return (
        f"FID of {counted(count, 'image')}, fewer than the {counted(dims, 'feature')}, is biased "
        "upwards: compare it only with FID of as many images, or use KID"
    )


def _trace_of_root(a: Array, b: Array) -> float:
    """The trace of (A B)^(1/2) of two covariances, float64 [D, D].

    As TTUR, this takes SciPy's root of the product. With fewer images than features the product is
    singular, and SciPy's root may not be finite, or may be huge with a square far from the product.
    If the root is not finite, TTUR adds 1e-6 to both diagonals, and so does this function. TTUR
    does not notice a wrong root. This function then takes the trace of (A^(1/2) B A^(1/2))^(1/2),
    which is the same number, computed from symmetric matrices alone.

    Raises:
      UserError: the root is not real.
    """
    root = _matrix_root(a @ b)
    if not np.isfinite(root).all():
        offset = _DIAGONAL_OFFSET * np.eye(len(a))
        a, b = a + offset, b + offset
        root = _matrix_root(a @ b)
    if not _is_root(root, a, b):
        return _symmetric_trace(a, b)
    trace = np.trace(root)
    # An eigenvalue that rounding makes negative has a small imaginary root. On the diagonal of the
    # root of a singular product, which is far from symmetric, imaginary parts may be large and
    # cancel; only their trace is meaningful.
    if abs(trace.imag) > _IMAGINARY_TOLERANCE * (abs(np.trace(a)) + abs(np.trace(b))):
        raise UserError(
            f"the root of the covariances' product has an imaginary part, {abs(trace.imag):.3g} in "
            f"its trace: they are no covariances, compute the statistics again"
        )
    return float(trace.real)


def _matrix_root(product: Array) -> Array:
    """SciPy's matrix square root, without the warnings and prints of some versions."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        root: Array = linalg.sqrtm(product)
    return root


def _is_root(root: Array, a: Array, b: Array) -> bool:
    """Whether a matrix's square is A B up to rounding; the matrix may hold any numbers."""
    with np.errstate(all="ignore"):
        residual = np.linalg.norm(root @ root - a @ b)
    return bool(residual <= _ROOT_TOLERANCE * np.linalg.norm(a) * np.linalg.norm(b))


def _symmetric_trace(a: Array, b: Array) -> float:
    """The trace of (A^(1/2) B A^(1/2))^(1/2), by eigenvalues."""
    values, vectors = linalg.eigh(a)
    root = vectors * np.sqrt(np.maximum(values, 0))
    return float(np.sqrt(np.maximum(linalg.eigvalsh(root.T @ b @ root), 0)).sum())
