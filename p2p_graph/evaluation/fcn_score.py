"""The FCN-score: labels that a segmenter reads off images, against the true labels.

Isola et al. 2017, section 4.1 and Table 1, with any segmenter. The scores' formulas are in
`metrics.label_scores`.
"""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from p2p_graph.evaluation.example_images import Example, read_image
from p2p_graph.imaging.palettes import Palette, spread_sample
from p2p_graph.metrics.registry import FCN, DecodedExample, SetMetric, label_score_metric
from p2p_graph.segmentation import label_files
from p2p_graph.segmentation.segmenters import Segmenter
from p2p_graph.utils.errors import UserError

Array = np.ndarray[Any, Any]

PHOTOS = "photos"  # the segmenter's scores on the targets, the paper's row "Ground truth"


class FcnScore:
    """Metrics of what a segmenter reads off images; for one evaluation's examples.

    Attributes:
      true_labels: from an example to its true class ids, int64 [H, W].
    """

    def __init__(
        self,
        examples: Sequence[Example],
        palette: Palette,
        segmenter: Segmenter,
        labels_dir: Path | None,
    ) -> None:
        """Finds the true labels.

        Args:
          examples: the images.
          palette: the classes, and the colours of true labels that are images.
          segmenter: what reads labels off photos.
          labels_dir: the folder of true labels; None if the inputs are label images.

        Raises:
          UserError: true labels are missing, or do not fit the palette.
        """
        self.true_labels = _true_labels(examples, palette, labels_dir)
        self._segmenter, self._num_classes = segmenter, len(palette.classes)
        self._one_at_a_time = threading.Lock()

    def metric(self, image_of: Callable[[DecodedExample], Array], prefix: str = "") -> SetMetric:
        """Makes the metric of some image of each example.

        Args:
          image_of: from an example to uint8 [H, W, 3].
          prefix: what the figures' names begin with.
        """

        def read_labels(example: DecodedExample) -> tuple[Array, Array]:
            image = image_of(example)
            with self._one_at_a_time:
                predicted = self._segmenter(image)
            return _to_common_size(predicted, self.true_labels(example))

        return label_score_metric(read_labels, self._num_classes, prefix)

    def of_outputs(self) -> SetMetric:
        """The metric of the outputs, with figures "fcn_*"."""
        return self.metric(lambda example: example.output, f"{FCN}_")

    def of_photos(self) -> SetMetric:
        """The metric of the targets, with figures "photos_*"."""
        return self.metric(lambda example: example.target, f"{PHOTOS}_")


def _true_labels(
    examples: Sequence[Example], palette: Palette, labels_dir: Path | None
) -> Callable[[DecodedExample], Array]:
    """Gives the function from an example to its true class ids, int64 [H, W]."""
    if labels_dir:
        files = label_files.find(labels_dir, [example.name for example in examples])
        label_files.check(list(files.values()), palette)
        return lambda example: label_files.read(files[example.name], palette)
    inputs = [example.input for example in examples if example.input]
    if len(inputs) < len(examples):
        raise UserError(
            "metrics fcn needs the true labels: name the images' inputs (--inputs_dir), or files "
            "of class ids (--labels_dir)"
        )
    palette.check_coverage(map(read_image, spread_sample(inputs)), "inputs")

    def labels_of_input(example: DecodedExample) -> Array:
        assert example.input is not None
        return palette.class_ids(example.input)

    return labels_of_input


def _to_common_size(first: Array, second: Array) -> tuple[Array, Array]:
    """Enlarges two labellings [H, W] to the larger height and width."""
    height, width = np.maximum(first.shape, second.shape)
    return scaled_ids(first, height, width), scaled_ids(second, height, width)


def scaled_ids(ids: Array, height: int, width: int) -> Array:
    """Scales class ids [H, W] to another height and width by nearest neighbour."""
    y, x = np.arange(height)[:, None], np.arange(width)
    scaled: Array = ids[y * ids.shape[0] // height, x * ids.shape[1] // width]
    return scaled
