"""How far images are from what they should be; each metric in a module of its own.

A metric of one image takes two uint8 images of one shape, [H, W, 3] or [H, W, 1]. A metric of a
set of images is a `Measure`.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from p2p_graph.imaging.palettes import Palette
from p2p_graph.metrics.color_histogram import histograms, intersections
from p2p_graph.metrics.l1 import l1
from p2p_graph.metrics.label_accuracy import confusion, scores
from p2p_graph.metrics.psnr import psnr
from p2p_graph.metrics.ssim import ssim

Array = np.ndarray[Any, Any]


class ImageMetric(NamedTuple):
    """A metric of one image.

    Attributes:
      compute: from an output and its target to a number.
      larger_is_better: which way it goes.
    """

    compute: Callable[[Array, Array], float]
    larger_is_better: bool


METRICS: Mapping[str, ImageMetric] = MappingProxyType(
    {
        "l1": ImageMetric(l1, larger_is_better=False),
        "psnr": ImageMetric(psnr, larger_is_better=True),
        "ssim": ImageMetric(ssim, larger_is_better=True),
    }
)


class EvaluatedImage(NamedTuple):
    """An image as it is evaluated, uint8 [H, W, 3] each.

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


class SetMetric(NamedTuple):
    """A metric of a set of images: figures of the mean of what is recorded of each.

    Attributes:
      record: from an image to float64 [k].
      figures: from the mean of records, [k], to figures by name; images are ranked by the first.
      larger_is_better: which way that one goes.
    """

    record: Callable[[EvaluatedImage], Array]
    figures: Callable[[Array], dict[str, float]]
    larger_is_better: bool = True


def mean_of(name: str) -> SetMetric:
    """One of `METRICS` as the mean over images."""
    metric = METRICS[name]
    return SetMetric(
        lambda shown: np.array([metric.compute(shown.output, shown.target)]),
        lambda mean: {name: float(mean[0])},
        metric.larger_is_better,
    )


def color_histogram() -> SetMetric:
    """How much the colours of all outputs and of all targets have in common."""
    return SetMetric(
        lambda shown: np.concatenate([histograms(shown.output), histograms(shown.target)]),
        lambda mean: intersections(*np.split(mean, 2)),
    )


def label_accuracy(palette: Palette) -> SetMetric:
    """How well outputs are labelled, where outputs and targets are images of labels."""
    return agreement(
        lambda shown: (palette.ids(shown.output), palette.ids(shown.target)), len(palette.classes)
    )


def agreement(
    labels: Callable[[EvaluatedImage], tuple[Array, Array]], classes: int, prefix: str = ""
) -> SetMetric:
    """How well two labellings of each image agree.

    Args:
      labels: from an image to the class ids predicted and true, [H, W] each.
      classes: how many there are.
      prefix: of the figures' names.
    """

    def figures(mean: Array) -> dict[str, float]:
        found = scores(mean.reshape(classes, classes + 1))
        return {prefix + name: value for name, value in found.items()}

    return SetMetric(lambda shown: confusion(*labels(shown), classes).ravel(), figures)
