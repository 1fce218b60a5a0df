"""How far pictures are from what they should be; each metric in a module of its own.

A metric of one picture takes two uint8 pictures of one shape, [H, W, 3] or [H, W, 1]. A metric of a
set of pictures is a `Measure`.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from p2p_graph.metrics.histogram import histograms, intersections
from p2p_graph.metrics.l1 import l1
from p2p_graph.metrics.labels import confusion, scores
from p2p_graph.metrics.palettes import Palette
from p2p_graph.metrics.psnr import psnr
from p2p_graph.metrics.ssim import ssim

Array = np.ndarray[Any, Any]


class Metric(NamedTuple):
    """A metric of one picture.

    Attributes:
      compute: from an output and its target to a number.
      larger_is_better: which way it goes.
    """

    compute: Callable[[Array, Array], float]
    larger_is_better: bool


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        "l1": Metric(l1, larger_is_better=False),
        "psnr": Metric(psnr, larger_is_better=True),
        "ssim": Metric(ssim, larger_is_better=True),
    }
)


class Shown(NamedTuple):
    """A picture as it is evaluated, uint8 [H, W, 3] each.

    Attributes:
      name: what it is called.
      output: what was made.
      target: what it should be.
      input: what it was made from, if that is known.
    """

    name: str
    output: Array
    target: Array
    input: Array | None = None


class Measure(NamedTuple):
    """A metric of a set of pictures: figures of the mean of what is recorded of each.

    Attributes:
      record: from a picture to float64 [k].
      figures: from the mean of records, [k], to figures by name; pictures are ranked by the first.
      larger_is_better: which way that one goes.
    """

    record: Callable[[Shown], Array]
    figures: Callable[[Array], dict[str, float]]
    larger_is_better: bool = True


def mean_of(name: str) -> Measure:
    """One of `METRICS` as the mean over pictures."""
    metric = METRICS[name]
    return Measure(
        lambda shown: np.array([metric.compute(shown.output, shown.target)]),
        lambda mean: {name: float(mean[0])},
        metric.larger_is_better,
    )


def color_histogram() -> Measure:
    """How much the colours of all outputs and of all targets have in common."""
    return Measure(
        lambda shown: np.concatenate([histograms(shown.output), histograms(shown.target)]),
        lambda mean: intersections(*np.split(mean, 2)),
    )


def label_accuracy(palette: Palette) -> Measure:
    """How well outputs are labelled, where outputs and targets are pictures of labels."""
    return agreement(
        lambda shown: (palette.ids(shown.output), palette.ids(shown.target)), len(palette.classes)
    )


def agreement(
    labels: Callable[[Shown], tuple[Array, Array]], classes: int, prefix: str = ""
) -> Measure:
    """How well two labellings of each picture agree.

    Args:
      labels: from a picture to the class ids predicted and true, [H, W] each.
      classes: how many there are.
      prefix: of the figures' names.
    """

    def figures(mean: Array) -> dict[str, float]:
        found = scores(mean.reshape(classes, classes + 1))
        return {prefix + name: value for name, value in found.items()}

    return Measure(lambda shown: confusion(*labels(shown), classes).ravel(), figures)
