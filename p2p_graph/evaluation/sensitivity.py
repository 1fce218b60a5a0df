"""How a segmenter's scores of real photos fall when the photos are distorted.

Scores of a segmenter that does not miss sharpness and texture cannot tell sharp images from blurred
ones: an FCN-score by such a segmenter ranks models wrongly.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from p2p_graph.evaluation.compute_metrics import compute_metrics
from p2p_graph.evaluation.example_images import Example
from p2p_graph.evaluation.fcn_score import FcnScore, scaled_ids
from p2p_graph.imaging.distortions import jpeg, region_means, through_size, with_noise
from p2p_graph.imaging.image_arrays import blurred
from p2p_graph.metrics.registry import DecodedExample, SetMetric

_MOST_IMAGES = 200  # whose scores are known to about .01
_REAL, _MEANS = "real", "each class in its mean colour"
_UNFIT_WITHIN = 0.1  # of the per-pixel accuracy of real photos
_SCORES = ("pixel_accuracy", "class_accuracy", "class_iou")

Array = np.ndarray[Any, Any]

# From a photo, uint8 [H, W, 3], and its class ids, [H, W], to the distorted photo.
_DISTORTIONS: Mapping[str, Callable[[Array, Array], Array]] = MappingProxyType(
    {
        _REAL: lambda photo, ids: photo,
        "blurred, sigma 1": lambda photo, ids: blurred(photo, 1),
        "blurred, sigma 2": lambda photo, ids: blurred(photo, 2),
        "blurred, sigma 4": lambda photo, ids: blurred(photo, 4),
        _MEANS: region_means,
        "through 128 pixels and back": lambda photo, ids: through_size(photo, 128),
        "JPEG of quality 10": lambda photo, ids: jpeg(photo, 10),
        "noise, sigma 25": lambda photo, ids: with_noise(photo, 25, seed=0),
    }
)

Sensitivity = Mapping[str, Mapping[str, float]]  # scores by name, by distortion


def measure(examples: Sequence[Example], fcn_score: FcnScore) -> Sensitivity:
    """Scores up to 200 targets, spread evenly over the examples, under each distortion.

    Raises:
      UserError: an image cannot be decoded, or the segmenter cannot label it.
    """

    def metric(distort: Callable[[Array, Array], Array]) -> SetMetric:
        def distorted(example: DecodedExample) -> Array:
            photo, ids = example.target, fcn_score.true_labels(example)
            return distort(photo, scaled_ids(ids, *photo.shape[:2]))

        return fcn_score.metric(distorted)

    metrics = {name: metric(distort) for name, distort in _DISTORTIONS.items()}
    step = -(-len(examples) // _MOST_IMAGES)
    results = compute_metrics(examples[::step], metrics, repetitions=0, seed=0)
    return {name: result.figures for name, result in results.items()}


def markdown_table(sensitivity: Sensitivity) -> str:
    """Writes the scores as a Markdown table."""
    lines = ["| photos | per-pixel accuracy | per-class accuracy | class IoU |"]
    lines.append("| --- | --- | --- | --- |")
    for name, scores in sensitivity.items():
        cells = " | ".join(f"{scores[score]:.3f}" for score in _SCORES)
        lines.append(f"| {name} | {cells} |")
    return "\n".join(lines)


def notes(sensitivity: Sensitivity, segmenter_name: str) -> list[str]:
    """Says that a segmenter is unfit to compare images, if it hardly misses what photos have.

    Args:
      sensitivity: from `measure`.
      segmenter_name: for the message.
    """
    real, means = (sensitivity[name]["pixel_accuracy"] for name in (_REAL, _MEANS))
    if real - means > _UNFIT_WITHIN:
        return []
    return [
        f"segmenter {segmenter_name} is unfit to compare images: photos in which each class has "
        f"one colour score {means:.2f} per pixel, real ones {real:.2f}"
    ]
