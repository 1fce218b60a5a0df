"""Scores of a segmenter on validation photos, while it is trained and at the end."""

import json
import sys
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow.compat.v1 as tf
from tqdm import tqdm

from p2p_graph.data.image_files import SourceImage
from p2p_graph.metrics.label_scores import confusion_matrix, label_scores
from p2p_graph.segmentation.segmenter_training import labelled_pairs
from p2p_graph.segmentation.segmenter_training.class_loss import class_ids
from p2p_graph.segmentation.segmenter_training.labelled_pairs import ValidationPairs
from p2p_graph.segmentation.segmenter_training.training_options import TrainingOptions
from p2p_graph.segmentation.segmenter_training.training_step import fetched, logits
from p2p_graph.utils.atomic_write import atomic_write
from p2p_graph.utils.json_values import without_non_finite
from p2p_graph.utils.outside_files import damage_reported, read_bytes

_CURVE_FILE = "validation.jsonl"


class Scorer:
    """Compares the network's labels of the validation photos with the true ones."""

    def __init__(self, pairs: Sequence[SourceImage], options: TrainingOptions) -> None:
        """Builds the graph, beside that of the training step."""
        self._count, self._num_classes = len(pairs), len(options.palette.classes)
        self._pairs = ValidationPairs(pairs, options)
        predicted = tf.argmax(logits(self._pairs.photo, options), -1)
        self._ids = [predicted, class_ids(self._pairs.label_image, options.palette)]

    def score(self, session: tf.Session) -> dict[str, float]:
        """Returns the scores by name, as in `label_scores`."""
        self._pairs.restart(session)
        total = np.zeros((self._num_classes, self._num_classes + 1))
        for _ in tqdm(range(self._count), "scoring", disable=not sys.stderr.isatty()):
            predicted, truth = fetched(session, self._ids)
            total += confusion_matrix(predicted, truth, self._num_classes)
        return label_scores(total)


class LearningCurve:
    """The scores during training, in a file of one JSON object a line."""

    def __init__(self, options: TrainingOptions, done: int) -> None:
        """Reads the lines up to a step, after which training goes on.

        Says so where they are scores on other images.
        """
        self._path = options.output_dir / _CURVE_FILE
        self._lines: list[str] = []
        self._images = ""
        if options.val_dir and options.val_freq:
            self._images = labelled_pairs.digest(options, options.val_dir)
        if self._path.exists():
            with damage_reported(self._path, "what tools/train_segmenter.py writes"):
                lines = read_bytes(self._path).decode().splitlines()
                self._lines = [line for line in lines if json.loads(line)["step"] <= done]
                last = json.loads(self._lines[-1]) if self._lines else {}
            if self._images and last.get("images", self._images) != self._images:
                print(
                    f"note: the scores up to step {last['step']} in {self._path} are of other "
                    "validation images",
                    flush=True,
                )

    def add(self, step: int, scores: Mapping[str, float]) -> None:
        """Writes the scores after a step, and prints them."""
        print(f"step {step}, {shown(scores)}", flush=True)
        line = {"step": step, **without_non_finite(scores), "images": self._images}
        self._lines.append(json.dumps(line))
        with atomic_write(self._path) as temporary:
            temporary.write_text("".join(f"{line}\n" for line in self._lines), encoding="utf-8")


def shown(scores: Mapping[str, float]) -> str:
    """Words scores for a line of output."""
    return ", ".join(f"{name} {value:.3f}" for name, value in scores.items())
