"""FID and KID between outputs and targets, by Inception features."""

import contextlib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from p2p_graph.evaluation.example_images import Example
from p2p_graph.metrics import fid, kid
from p2p_graph.metrics.registry import FID, KID
from p2p_graph.runtime.quiet_import import tensorflow_import
from p2p_graph.utils.counted import counted
from p2p_graph.utils.errors import UserError

if TYPE_CHECKING:  # imports TensorFlow, which most metrics do without
    from p2p_graph.evaluation.inception_features import Inception

_DEVIATION = "kid_deviation"


def open_inception(
    graph: Path | None, metrics: Sequence[str], image_count: int, cleanup: contextlib.ExitStack
) -> "Inception | None":
    """Opens Inception's graph if one of the metrics is FID or KID.

    Args:
      graph: the frozen graph; given if a metric needs the graph.
      metrics: metric names.
      image_count: the number of outputs.
      cleanup: closes the graph's session.

    Returns:
      The network, or None if no metric needs the network.

    Raises:
      UserError: there are fewer than two images, or the graph cannot be read.
    """
    needing = [name for name in metrics if name in (FID, KID)]
    if not needing:
        return None
    assert graph is not None
    if image_count < 2:
        raise UserError(f"metrics {needing[0]} needs 2 images at least, not {image_count}")
    with tensorflow_import():
        from p2p_graph.evaluation.inception_features import Inception
    return cleanup.enter_context(Inception(graph))


def compute_distances(
    examples: Sequence[Example],
    metrics: Collection[str],
    inception: "Inception",
    target_statistics: Path | None = None,
    seed: int = 0,
) -> tuple[dict[str, float], list[str]]:
    """Computes FID and KID between outputs and targets.

    Args:
      examples: the images, at least two.
      metrics: the names "fid", "kid" or both; other names are ignored.
      inception: the network.
      target_statistics: an .npz file that caches the targets' features; None for no file.
      seed: the seed of KID's subsets.

    Returns:
      The figures "fid", "kid" and "kid_deviation" (the latter unless every subset is all images),
      and notes for the report.

    Raises:
      UserError: an image or the cache cannot be read, or the cache cannot be written.
    """
    from p2p_graph.evaluation.inception_features import feature_statistics

    print(f"features of {counted(2 * len(examples), 'image')}, {inception.device}", flush=True)
    with_features = KID in metrics
    # Targets first: their cache may belong to another set, which ends the evaluation.
    targets = feature_statistics(
        [example.target for example in examples],
        inception,
        target_statistics,
        with_features=with_features,
    )
    outputs = feature_statistics(
        [example.output for example in examples], inception, with_features=with_features
    )
    figures: dict[str, float] = {}
    notes = []
    if FID in metrics:
        figures[FID] = fid.frechet_distance(outputs.moments, targets.moments)
        note = fid.bias_note(len(examples), outputs.moments.dims)
        notes += [note] if note else []
    if with_features:
        assert outputs.features is not None
        assert targets.features is not None
        estimate = kid.kid(outputs.features, targets.features, seed=seed)
        figures[KID] = estimate.mean
        if estimate.subset_size < len(examples):
            figures[_DEVIATION] = estimate.deviation
    return figures, notes
