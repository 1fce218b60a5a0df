"""How sure a figure over a set of images is (Efron 1979, percentiles)."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

_AT_ONCE = 64  # repetitions


def intervals(
    records: "np.ndarray[Any, Any]",
    figures: Callable[["np.ndarray[Any, Any]"], Mapping[str, float]],
    repetitions: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, tuple[float, float]]:
    """Draws as many images as there are, with replacement, again and again.

    Args:
      records: float64 [n, k], what is known of each image.
      figures: from the mean of records [k] to figures by name.
      repetitions: how often to draw.
      seed: of the draws.
      level: the share of the repetitions' figures that lie within.

    Returns:
      Each figure's lower and upper end, of what draws are not NaN; none where all of them are.
    """
    rng = np.random.default_rng(seed)
    count = len(records)
    drawn: dict[str, list[float]] = {}
    for first in range(0, repetitions, _AT_ONCE):
        draws = min(_AT_ONCE, repetitions - first)
        times = rng.multinomial(count, np.full(count, 1 / count), draws)
        for mean in times / count @ records:
            for name, value in figures(mean).items():
                drawn.setdefault(name, []).append(value)
    tail = 100 * (1 - level) / 2
    return {
        name: (float(np.nanpercentile(v, tail)), float(np.nanpercentile(v, 100 - tail)))
        for name, v in drawn.items()
        if not np.isnan(v).all()
    }
