"""Confidence intervals of figures over a set of images: the percentile bootstrap (Efron 1979)."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

_SAMPLES_AT_ONCE = 64  # bounds the memory of the weights


def percentile_intervals(
    statistics: Array,
    figures: Callable[[Array], Mapping[str, float]],
    repetitions: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, tuple[float, float]]:
    """Resamples the images with replacement and gives percentiles of the samples' figures.

    Args:
      statistics: per-image statistics, float64 [n, k].
      figures: from the mean of the statistics, float64 [k], to figures by name.
      repetitions: the number of samples, of n images each.
      seed: the samples' seed.
      level: the share of the samples' figures inside the interval, in (0, 1).

    Returns:
      Each figure's lower and upper end over the samples in which the figure is not NaN. A figure
      that is NaN in all samples has no interval.
    """
    rng = np.random.default_rng(seed)
    count = len(statistics)
    values: dict[str, list[float]] = {}
    for first in range(0, repetitions, _SAMPLES_AT_ONCE):
        samples = min(_SAMPLES_AT_ONCE, repetitions - first)
        multiplicities = rng.multinomial(count, np.full(count, 1 / count), samples)
        for mean in multiplicities / count @ statistics:
            for name, value in figures(mean).items():
                values.setdefault(name, []).append(value)
    tail = 100 * (1 - level) / 2
    return {
        name: (float(np.nanpercentile(v, tail)), float(np.nanpercentile(v, 100 - tail)))
        for name, v in values.items()
        if not np.isnan(v).all()
    }
