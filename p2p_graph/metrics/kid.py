"""KID: the Kernel Inception distance between two sets of images.

Binkowski, Sutherland, Arbel and Gretton 2018, "Demystifying MMD GANs".
"""

from typing import Any, NamedTuple

import numpy as np

from p2p_graph.metrics.feature_moments import check_finite_features
from p2p_graph.utils.counted import counted
from p2p_graph.utils.errors import UserError

Array = np.ndarray[Any, Any]


class KidEstimate(NamedTuple):
    """An estimate of KID from random subsets of both sets.

    Attributes:
      mean: the mean over subsets; unbiased, and so possibly negative.
      deviation: the standard deviation over subsets. Subsets of sets that are not much larger
        overlap. Subsets of sets that are no larger are identical, and the deviation is void.
      subset_size: the number of images of each set in a subset.
    """

    mean: float
    deviation: float
    subset_size: int


def kid(
    a: Array, b: Array, *, subsets: int = 100, subset_size: int = 1000, seed: int = 0
) -> KidEstimate:
    """Estimates KID over random subsets of both sets, as the paper does (section 4).

    Args:
      a: features of one set, numbers [n, D].
      b: features of the other set, numbers [m, D].
      subsets: the number of subsets.
      subset_size: the number of images of each set in a subset, drawn without replacement; at
        most n and m are taken.
      seed: the subsets' seed.

    Raises:
      UserError: a set has fewer than two images, a feature is not finite, the numbers of features
        differ, `subsets` is below 1, or `subset_size` below 2.
    """
    for features in (a, b):
        if len(features) < 2:
            raise UserError(f"KID needs 2 images at least in each set, not {len(features)}")
        check_finite_features(features)
    if a.shape[1] != b.shape[1]:
        raise UserError(
            f"the sets have {a.shape[1]} and {counted(b.shape[1], 'feature')} an image: "
            f"use one network for both"
        )
    if subsets < 1 or subset_size < 2:
        raise UserError(
            f"KID needs a subset at least, of 2 at least, not {subsets} of {subset_size}"
        )
    subset_size = min(subset_size, len(a), len(b))
    rng = np.random.default_rng(seed)
    values = [
        squared_mmd(*(x[rng.choice(len(x), subset_size, replace=False)] for x in (a, b)))
        for _ in range(subsets)
    ]
    return KidEstimate(float(np.mean(values)), float(np.std(values)), subset_size)


def squared_mmd(a: Array, b: Array) -> float:
    """The unbiased estimate of the squared MMD (Binkowski et al. 2018, equation 4).

    The kernel is (x.y / D + 1)^3. An image is not compared with itself.

    Args:
      a: numbers [n, D], n at least 2.
      b: numbers [m, D], m at least 2.
    """
    a, b = a.astype(np.float64), b.astype(np.float64)
    return _mean_within(a) + _mean_within(b) - 2 * float(_kernel(a, b).mean())


def _mean_within(x: Array) -> float:
    """The kernel's mean over all pairs of two different images."""
    values = _kernel(x, x)
    return float((values.sum() - np.trace(values)) / (len(x) * (len(x) - 1)))


def _kernel(x: Array, y: Array) -> Array:
    """The cubic polynomial kernel, [n, D] and [m, D] => [n, m]."""
    values: Array = (x @ y.T / x.shape[1] + 1) ** 3
    return values
