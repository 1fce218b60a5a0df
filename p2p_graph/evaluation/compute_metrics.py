"""Computes set metrics over all examples, with bootstrap intervals."""

import concurrent.futures
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from p2p_graph.evaluation.decoded_examples import decode_example
from p2p_graph.evaluation.example_images import Example
from p2p_graph.metrics.bootstrap import percentile_intervals
from p2p_graph.metrics.registry import SetMetric
from p2p_graph.utils.cores import available_cores
from p2p_graph.utils.errors import UserError

Array = np.ndarray[Any, Any]


class MetricResult(NamedTuple):
    """What a metric gives for a set of images.

    Attributes:
      statistics: per-image statistics, float64 [n, k].
      figures: the figures of the set, by name.
      intervals: the 95 % bootstrap interval of each figure; empty for a single image, or if a
        statistic is not finite.
    """

    statistics: Array
    figures: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]


def figures_of(
    results: Mapping[str, MetricResult], distances: Mapping[str, float]
) -> dict[str, float]:
    """All figures by name: those of the metrics, then FID, KID and their like."""
    figures: dict[str, float] = {}
    for result in results.values():
        figures |= result.figures
    return figures | dict(distances)


def compute_metrics(
    examples: Sequence[Example], metrics: Mapping[str, SetMetric], repetitions: int, seed: int
) -> dict[str, MetricResult]:
    """Decodes every example once, and computes all metrics.

    Args:
      examples: the images.
      metrics: metric name -> metric.
      repetitions: the number of bootstrap samples; 0 for no intervals.
      seed: the bootstrap's seed.

    Returns:
      Metric name -> result.

    Raises:
      UserError: an image cannot be decoded, or does not fit a metric.
    """
    statistics = _per_image_statistics(examples, metrics)
    results = {}
    for name, metric in metrics.items():
        intervals: Mapping[str, tuple[float, float]] = {}
        if repetitions and len(examples) > 1 and np.isfinite(statistics[name]).all():
            intervals = percentile_intervals(statistics[name], metric.figures, repetitions, seed)
        figures = metric.figures(statistics[name].mean(0))
        results[name] = MetricResult(statistics[name], figures, intervals)
    return results


def _per_image_statistics(
    examples: Sequence[Example], metrics: Mapping[str, SetMetric]
) -> dict[str, Array]:
    """Gives each metric's statistics of all examples, float64 [n, k]."""

    def statistics_of(example: Example) -> dict[str, Array]:
        decoded = decode_example(example)
        try:
            return {name: metric.statistics(decoded) for name, metric in metrics.items()}
        except UserError as error:
            raise UserError(f"image {example.name}: {error}") from None

    rows: dict[str, list[Array]] = {name: [] for name in metrics}
    with concurrent.futures.ThreadPoolExecutor(available_cores()) as pool:
        computed = tqdm(
            pool.map(statistics_of, examples),
            "evaluating",
            len(examples),
            disable=not sys.stderr.isatty(),
            unit="image",
        )
        for of_example in computed:
            for name, row in of_example.items():
                rows[name].append(row)
    return {name: np.stack(of_metric) for name, of_metric in rows.items()}
