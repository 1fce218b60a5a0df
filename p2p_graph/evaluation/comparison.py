"""Compares two translations of the same images, A and B, image by image."""

import filecmp
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from p2p_graph.evaluation.compute_metrics import MetricResult, figures_of
from p2p_graph.evaluation.evaluate_options import EvaluateOptions
from p2p_graph.evaluation.example_images import (
    Example,
    find_examples,
    list_examples,
    read_image,
    with_sizes,
)
from p2p_graph.metrics.bootstrap import percentile_intervals
from p2p_graph.metrics.registry import SetMetric
from p2p_graph.pages.results_page import difference
from p2p_graph.utils.counted import counted
from p2p_graph.utils.errors import UserError

Array = np.ndarray[Any, Any]


class Comparison(NamedTuple):
    """What A's outputs are compared with.

    Attributes:
      folder: B's: compare_dir.
      examples: B's, of the same names and in the same order as A's.
      results: metric name -> result, of B's outputs.
      distances: B's FID, KID and their like, by name.
      intervals: the 95 % bootstrap intervals of A's figures less B's, by name.
    """

    folder: Path
    examples: Sequence[Example]
    results: Mapping[str, MetricResult]
    distances: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]

    @property
    def figures(self) -> dict[str, float]:
        """B's figures by name."""
        return figures_of(self.results, self.distances)

    def differences(self, figures: Mapping[str, float]) -> dict[str, float]:
        """A's figures less B's, of those that both have."""
        own = self.figures
        return {
            name: difference(value, own[name]) for name, value in figures.items() if name in own
        }


def find_both(options: EvaluateOptions) -> tuple[list[Example], list[Example], list[str]]:
    """Finds the examples that A and B both have, and decodes every image once.

    Returns:
      A's examples, B's in the same order, and notes on those that only one of them has. Without
      compare_dir, B has none.

    Raises:
      UserError: as `find_examples`, or A and B have no image in common, or differ in sizes,
        channels or targets.
    """
    if options.compare_dir is None:
        return find_examples(options), [], []
    folders = options.evaluated_folder, options.compare_dir
    first = list_examples(options, folders[0])
    second = {e.name: e for e in list_examples(options, folders[1], "compare_dir")}
    common = [example for example in first if example.name in second]
    if not common:
        raise UserError(
            f"compare_dir {folders[1]} has no image of the same name as one in {folders[0]}: name "
            "a translation of the same images"
        )
    others = [second[example.name] for example in common]
    if common[0].channels != others[0].channels:
        raise UserError(
            f"compare_dir {folders[1]} holds images of {counted(others[0].channels, 'channel')}, "
            f"and {folders[0]} of {common[0].channels}: name a translation to the same images"
        )
    common, others = with_sizes(common), with_sizes(others)
    # The true labels of A and of B are those of the same inputs.
    others = [
        b._replace(input=a.input, input_size=a.input_size)
        for a, b in zip(common, others, strict=True)
    ]
    for pair in zip(common, others, strict=True):
        _check_alike(*pair, options.compare_dir)
    left_out = [
        f"{counted(count - len(common), 'image')} of {folder} left out: the other folder lacks them"
        for folder, count in zip(folders, (len(first), len(second)), strict=True)
        if count > len(common)
    ]
    return common, others, left_out


def _check_alike(first: Example, second: Example, folder: Path) -> None:
    """Refuses two outputs that are not of the same size and target."""
    if first.size != second.size:
        raise UserError(
            f"compare_dir {folder}: its image {first.name} is {_text(second)} pixels, and that of "
            f"the other folder {_text(first)}: translate both at one size (--crop_size)"
        )
    if first.arrays and second.arrays:  # of which the targets are previews
        is_same = filecmp.cmp(first.arrays[1], second.arrays[1], shallow=False)
    else:
        is_same = filecmp.cmp(first.target, second.target, shallow=False) or np.array_equal(
            read_image(first.target), read_image(second.target)
        )
    if not is_same:
        raise UserError(
            f"compare_dir {folder}: its target of image {first.name} is another one than in the "
            "other folder: name a translation of the same images in the same direction"
        )


def _text(example: Example) -> str:
    assert example.size
    return f"{example.size.width}x{example.size.height}"


def difference_intervals(
    metrics: Mapping[str, SetMetric],
    first: Mapping[str, MetricResult],
    second: Mapping[str, MetricResult],
    repetitions: int,
    seed: int,
) -> dict[str, tuple[float, float]]:
    """The 95 % bootstrap intervals of A's figures less B's, by name.

    A sample has the same images of A and of B: most of what makes images hard or easy is common to
    both, and falls out of the difference.

    Args:
      metrics: metric name -> metric.
      first: metric name -> result, of A.
      second: the same of B, with the images in the same order.
      repetitions: the number of bootstrap samples; 0 for no intervals.
      seed: the bootstrap's seed.
    """
    intervals: dict[str, tuple[float, float]] = {}
    for name, metric in metrics.items():
        statistics = np.concatenate([first[name].statistics, second[name].statistics], axis=1)
        if repetitions and len(statistics) > 1 and np.isfinite(statistics).all():
            intervals |= percentile_intervals(
                statistics, _difference_of(metric.figures), repetitions, seed
            )
    return intervals


def _difference_of(
    figures: Callable[[Array], dict[str, float]],
) -> Callable[[Array], dict[str, float]]:
    def differences(mean: Array) -> dict[str, float]:
        own, other = (figures(half) for half in np.split(mean, 2))
        return {name: value - other[name] for name, value in own.items()}

    return differences


def json_record(
    comparison: Comparison, figures: Mapping[str, float], digest: str
) -> dict[str, Any]:
    """What evaluation.json says of B.

    Args:
      comparison: with B.
      figures: A's, by name.
      digest: of B's files.
    """
    differences = comparison.differences(figures)
    return {
        "outputs": str(comparison.folder),
        "digest": digest,
        "figures": {
            name: {
                "value": value,
                "difference": differences.get(name, math.nan),
                "difference_interval_95": comparison.intervals.get(name),
            }
            for name, value in comparison.figures.items()
        },
    }


def table_cells(
    comparison: Comparison, figures: Mapping[str, float]
) -> dict[str, tuple[str, str, str, str]]:
    """The table's cells by figure: A, B, their difference, and its interval; its head as ""."""
    cells = {"": ("A", "B", "A - B", "95% of samples of A - B")}
    own = comparison.figures
    for name, value in comparison.differences(figures).items():
        low, high = comparison.intervals.get(name, (math.nan, math.nan))
        interval = f"{low:+.4g} to {high:+.4g}" if math.isfinite(low) else ""
        cells[name] = (f"{figures[name]:.4g}", f"{own[name]:.4g}", f"{value:+.4g}", interval)
    return cells
