"""The registry of metrics: their names, and what each computes.

A `PairMetric` compares one output with its target. A `SetMetric` evaluates a set of images by the
mean of per-image statistics. FID and KID compare sets of network features, see `fid` and `kid`.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from p2p_graph.imaging.palettes import Palette
from p2p_graph.metrics.color_histogram import histogram_intersections, lab_histograms
from p2p_graph.metrics.l1 import l1
from p2p_graph.metrics.label_scores import confusion_matrix, label_scores
from p2p_graph.metrics.psnr import psnr
from p2p_graph.metrics.ssim import ssim

Array = np.ndarray[Any, Any]


class PairMetric(NamedTuple):
    """A metric of one output and its target.

    Attributes:
      compute: from an output and its target, in [0, 255], [H, W, C] with C of 1 or 3, to a number.
      larger_is_better: whether a better output has a larger number.
    """

    compute: Callable[[Array, Array], float]
    larger_is_better: bool


PAIR_METRICS: Mapping[str, PairMetric] = MappingProxyType(
    {
        "l1": PairMetric(l1, larger_is_better=False),
        "psnr": PairMetric(psnr, larger_is_better=True),
        "ssim": PairMetric(ssim, larger_is_better=True),
    }
)
HISTOGRAM = "histogram"  # Lab histogram intersections of all outputs and all targets
LABELS = "labels"  # scores of outputs that are label images
FCN = "fcn"  # scores of labels that a segmenter reads off outputs: the paper's FCN-score
FID, KID = "fid", "kid"
FEATURES = "features"  # Fréchet distance and KID by another network than Inception
LPIPS = "lpips"
METRIC_NAMES = (*PAIR_METRICS, HISTOGRAM, LPIPS, LABELS, FCN, FID, KID, FEATURES)


class DecodedExample(NamedTuple):
    """The images of one example, uint8 [H, W, 3] each.

    Attributes:
      name: the example's name.
      output: the translated image.
      target: the ground truth.
      input: what the output is translated from, if known.
      exact: where the files have 16 bits, output and target in [0, 255] with fractions.
    """

    name: str
    output: Array
    target: Array
    input: Array | None = None
    exact: tuple[Array, Array] | None = None


class SetMetric(NamedTuple):
    """A metric of a set of images: figures of the mean of per-image statistics.

    Attributes:
      statistics: from an example to its per-image statistics, float64 [k].
      figures: from the mean of the statistics, float64 [k], to figures by name; the first figure
        of single images ranks the images.
      larger_is_better: whether better images have a larger first figure.
    """

    statistics: Callable[[DecodedExample], Array]
    figures: Callable[[Array], dict[str, float]]
    larger_is_better: bool = True


def mean_of_pairs(name: str) -> SetMetric:
    """The mean of one of `PAIR_METRICS` over all images."""
    metric = PAIR_METRICS[name]
    return SetMetric(
        lambda example: np.array(
            [metric.compute(*(example.exact or (example.output, example.target)))]
        ),
        lambda mean: {name: float(mean[0])},
        metric.larger_is_better,
    )


def color_histogram_metric() -> SetMetric:
    """Lab histogram intersections of all outputs and all targets."""
    return SetMetric(
        lambda example: np.concatenate(
            [lab_histograms(example.output), lab_histograms(example.target)]
        ),
        lambda mean: histogram_intersections(*np.split(mean, 2)),
    )


def label_image_metric(palette: Palette) -> SetMetric:
    """Label scores of outputs that are label images, as their targets are."""
    return label_score_metric(
        lambda example: (palette.class_ids(example.output), palette.class_ids(example.target)),
        len(palette.classes),
    )


def label_score_metric(
    read_labels: Callable[[DecodedExample], tuple[Array, Array]], classes: int, prefix: str = ""
) -> SetMetric:
    """Label scores of two labellings of each example.

    Args:
      read_labels: from an example to predicted and true class ids, integer [H, W] each.
      classes: the number of classes.
      prefix: what the figures' names begin with.
    """

    def statistics(example: DecodedExample) -> Array:
        return confusion_matrix(*read_labels(example), classes).ravel()

    def figures(mean: Array) -> dict[str, float]:
        scores = label_scores(mean.reshape(classes, classes + 1))
        return {prefix + name: value for name, value in scores.items()}

    return SetMetric(statistics, figures)
