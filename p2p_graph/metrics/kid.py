"""The squared maximum mean discrepancy of two sets of images, by their features: KID.

Binkowski, Sutherland, Arbel and Gretton 2018, "Demystifying MMD GANs".
"""

from typing import Any, NamedTuple

import numpy as np

from p2p_graph.metrics.fid import check_finite
from p2p_graph.utils.errors import UserError

Array = np.ndarray[Any, Any]


class Kid(NamedTuple):
    """An estimate of KID.

    Attributes:
      mean: over subsets; unbiased, so that it may be below 0.
      deviation: the standard deviation over subsets. They overlap where the sets are not much
        larger, and are one and the same where both sets are no larger: then it says nothing.
      size: images of each set in a subset.
    """

    mean: float
    deviation: float
    size: int


def kid(a: Array, b: Array, *, subsets: int = 100, size: int = 1000, seed: int = 0) -> Kid:
    """Estimates KID as the paper does, over random subsets of both sets (section 4).

    Args:
      a: one set's features, numbers [n, D].
      b: the other's, [m, D].
      subsets: how many.
      size: images of each set in a subset, drawn without replacement; no more than there are.
      seed: of the draws.

    Raises:
      UserError: a set has fewer than two images, a feature is not finite, the numbers of
        features differ, or there would be no subset or one without a pair.
    """
    for features in (a, b):
        if len(features) < 2:
            raise UserError(f"KID needs 2 images at least in each set, not {len(features)}")
        check_finite(features)
    if a.shape[1] != b.shape[1]:
        raise UserError(
            f"the sets have {a.shape[1]} and {b.shape[1]} features an image: "
            f"use one network for both"
        )
    if subsets < 1 or size < 2:
        raise UserError(f"KID needs a subset at least, of 2 at least, not {subsets} of {size}")
    size = min(size, len(a), len(b))
    random = np.random.default_rng(seed)
    values = [
        discrepancy(*(x[random.choice(len(x), size, replace=False)] for x in (a, b)))
        for _ in range(subsets)
    ]
    return Kid(float(np.mean(values)), float(np.std(values)), size)


def discrepancy(a: Array, b: Array) -> float:
    """The unbiased estimate of the squared MMD (Binkowski et al. 2018, equation 4).

    The kernel is (x.y / D + 1)^3. An image is not compared with itself.

    Args:
      a: numbers [n, D], n at least 2.
      b: numbers [m, D], m at least 2.
    """
    a, b = a.astype(np.float64), b.astype(np.float64)
    return _within(a) + _within(b) - 2 * float(_kernel(a, b).mean())


def _within(x: Array) -> float:
    """The kernel's mean over all pairs of two different images."""
    values = _kernel(x, x)
    return float((values.sum() - np.trace(values)) / (len(x) * (len(x) - 1)))


def _kernel(x: Array, y: Array) -> Array:
    values: Array = (x @ y.T / x.shape[1] + 1) ** 3
    return values
