"""What is measured of images: the measures that are asked for, once it is certain they fit."""

import contextlib
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from p2p_graph.evaluation import example_files
from p2p_graph.evaluation.example_files import Example
from p2p_graph.imaging import palettes
from p2p_graph.imaging.palettes import Palette
from p2p_graph.metrics import fid, kid, registry
from p2p_graph.metrics.registry import EvaluatedImage, SetMetric
from p2p_graph.runtime.quiet_import import tensorflow_import
from p2p_graph.segmentation import label_files
from p2p_graph.segmentation.segmenters import Segmenter
from p2p_graph.utils.errors import UserError

if TYPE_CHECKING:  # it takes TensorFlow's import, which few metrics need
    from p2p_graph.evaluation.inception_features import Inception

Array = np.ndarray[Any, Any]

EACH = ("l1", "psnr", "ssim", "histogram")
LABELS, FCN, FID, KID = "labels", "fcn", "fid", "kid"
ALL = (*EACH, LABELS, FCN, FID, KID)
PHOTOS = "photos"  # what the segmenter reads off the targets: the ground-truth row


class Request(NamedTuple):
    """What is to be evaluated, and how.

    Attributes:
      examples: the images.
      names: of `ALL`.
      palette: of label images, for "labels" and "fcn".
      segmenter: for "fcn".
      labels_dir: where true labels are; None if they are the inputs.
      self_check: whether the segmenter reads the targets, first of all.
      inception: the graph's file, for "fid" and "kid".
      target_statistics: a file for what it makes of the targets.
      repetitions: of the bootstrap; 0 for none.
      seed: of the bootstrap and KID's draws.
    """

    examples: Sequence[Example]
    names: Sequence[str]
    palette: Palette | None = None
    segmenter: Segmenter | None = None
    labels_dir: Path | None = None
    self_check: bool = False
    inception: Path | None = None
    target_statistics: Path | None = None
    repetitions: int = 1000
    seed: int = 0


def measures_of(request: Request) -> tuple[dict[str, SetMetric], dict[str, SetMetric]]:
    """Makes the measures that are asked for, after a look at whether the images fit them.

    Returns:
      Those of the outputs, and what the segmenter is tried on first, if it is.

    Raises:
      UserError: the images do not fit.
    """
    made: dict[str, SetMetric] = {}
    photos: dict[str, SetMetric] = {}
    for name in request.names:
        if name in registry.METRICS:
            made[name] = registry.mean_of(name)
        elif name == "histogram":
            made[name] = registry.color_histogram()
        elif name == LABELS:
            assert request.palette is not None
            targets = palettes.some([e.target for e in request.examples])
            request.palette.check_fit(map(example_files.read, targets), "targets")
            made[name] = registry.label_accuracy(request.palette)
        elif name == FCN:
            made[name], photos[PHOTOS] = _read_by_segmenter(request)
    return made, photos if request.self_check else {}


def _read_by_segmenter(request: Request) -> tuple[SetMetric, SetMetric]:
    """Labels that the segmenter reads off outputs, and off targets, against the true ones."""
    palette, segmenter = request.palette, request.segmenter
    assert palette is not None
    assert segmenter is not None
    truth = _truth(request, palette)
    one_at_a_time = threading.Lock()

    def reading(image_of: Callable[[EvaluatedImage], Array], prefix: str) -> SetMetric:
        def both(shown: EvaluatedImage) -> tuple[Array, Array]:
            with one_at_a_time:
                predicted = segmenter(image_of(shown))
            return _same_size(predicted, truth(shown))

        return registry.agreement(both, len(palette.classes), prefix)

    return reading(lambda s: s.output, f"{FCN}_"), reading(lambda s: s.target, f"{PHOTOS}_")


def _truth(request: Request, palette: Palette) -> Callable[[EvaluatedImage], Array]:
    """Makes what gives an image's true class ids: from files of labels, or off its input."""
    if request.labels_dir:
        files = label_files.find(request.labels_dir, [e.name for e in request.examples])
        label_files.check(list(files.values()), palette)
        return lambda shown: label_files.read(files[shown.name], palette)
    inputs = [e.input for e in request.examples if e.input]
    if len(inputs) < len(request.examples):
        raise UserError(
            "metrics fcn needs the true labels: the images' inputs (--inputs_dir), or files of "
            "class ids (--labels_dir)"
        )
    palette.check_fit(map(example_files.read, palettes.some(inputs)), "inputs")

    def off_input(shown: EvaluatedImage) -> Array:
        assert shown.input is not None
        return palette.ids(shown.input)

    return off_input


def _same_size(*labellings: Array) -> tuple[Array, Array]:
    """Enlarges the smaller of two labellings [H, W] to the other's size, by repeating."""
    height, width = (max(sizes) for sizes in zip(*(each.shape for each in labellings), strict=True))
    rows, columns = np.arange(height), np.arange(width)
    one, other = (
        each[rows[:, None] * each.shape[0] // height, columns * each.shape[1] // width]
        for each in labellings
    )
    return one, other


def open_inception(request: Request, cleanup: contextlib.ExitStack) -> "Inception | None":
    """Opens Inception's graph, if a metric asks for it."""
    wanted = [name for name in request.names if name in (FID, KID)]
    if not wanted:
        return None
    assert request.inception is not None
    if len(request.examples) < 2:
        raise UserError(f"metrics {wanted[0]} needs 2 images at least, not 1")
    with tensorflow_import():
        from p2p_graph.evaluation.inception_features import Inception
    return cleanup.enter_context(Inception(request.inception))


def distances(request: Request, inception: "Inception") -> tuple[dict[str, float], list[str]]:
    """FID and KID between outputs and targets, and what is to be said of them."""
    from p2p_graph.evaluation.inception_features import statistics_of

    print(f"features of {2 * len(request.examples)} images, {inception.device}", flush=True)
    keep = KID in request.names
    # The targets' first: their file may be another's.
    theirs = statistics_of(
        [e.target for e in request.examples], inception, request.target_statistics, keep=keep
    )
    ours = statistics_of([e.output for e in request.examples], inception, keep=keep)
    figures: dict[str, float] = {}
    notes = []
    if FID in request.names:
        figures[FID] = fid.frechet_distance(ours.moments, theirs.moments)
        note = fid.bias_note(len(request.examples), ours.moments.dims)
        notes += [note] if note else []
    if keep:
        assert ours.features is not None
        assert theirs.features is not None
        found = kid.kid(ours.features, theirs.features, seed=request.seed)
        figures[KID] = found.mean
        if found.size < len(request.examples):  # else each subset is all of them
            figures["kid_deviation"] = found.deviation
    return figures, notes
