"""Fréchet distance and KID between outputs and targets, by a network's features."""

import contextlib
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from p2p_graph.evaluation.example_images import Example
from p2p_graph.evaluation.features.interruptible_distance import frechet_distance
from p2p_graph.metrics import fid, kid
from p2p_graph.metrics.registry import FEATURES, FID, KID
from p2p_graph.runtime.quiet_import import tensorflow_import
from p2p_graph.utils.counted import counted
from p2p_graph.utils.errors import UserError

if TYPE_CHECKING:  # imports TensorFlow, which most metrics do without
    from p2p_graph.evaluation.features.feature_statistics import FeatureNetwork

_DEVIATION = "kid_deviation"


class FeatureNetworks(NamedTuple):
    """The networks of an evaluation.

    Attributes:
      inception: for FID and KID; None if neither is asked for.
      other: for the metric features; None if it is not asked for.
      other_name: names the other network's figures.
    """

    inception: "FeatureNetwork | None"
    other: "FeatureNetwork | None"
    other_name: str


def open_networks(
    graph: Path | None,
    other: str | None,
    metrics: Sequence[str],
    image_count: int,
    cleanup: contextlib.ExitStack,
) -> FeatureNetworks:
    """Opens the networks that the metrics need.

    Args:
      graph: Inception's frozen graph; given if FID or KID is asked for.
      other: another network, as `other_features.load` takes it; given if features are asked for.
      metrics: metric names.
      image_count: the number of outputs.
      cleanup: closes the networks.

    Raises:
      UserError: there are fewer than two images, or a network cannot be loaded.
    """
    needing = [name for name in metrics if name in (FID, KID, FEATURES)]
    inception = network = None
    if needing and image_count < 2:
        raise UserError(f"metrics {needing[0]} needs 2 images at least, not {image_count}")
    if FID in needing or KID in needing:
        assert graph is not None
        with tensorflow_import():
            from p2p_graph.evaluation.features.inception_features import Inception
        inception = cleanup.enter_context(contextlib.closing(Inception(graph)))
    if FEATURES in needing:
        assert other is not None
        with tensorflow_import():
            from p2p_graph.evaluation.features import other_features
        network = cleanup.enter_context(contextlib.closing(other_features.load(other)))
    return FeatureNetworks(inception, network, re.sub(r"\W", "_", other or ""))


def compute_all(
    examples: Sequence[Example],
    metrics: Collection[str],
    networks: FeatureNetworks,
    target_statistics: Path | None = None,
    seed: int = 0,
) -> tuple[dict[str, float], list[str]]:
    """Computes the distances by all networks, as `compute_distances` does by one.

    Figures by another network than Inception are named after that network: "frechet_NAME" and
    "kid_NAME". They are no FID and no KID, and compare only with figures by the same network.
    """
    figures: dict[str, float] = {}
    notes: list[str] = []
    if networks.inception:
        figures, notes = compute_distances(
            examples, metrics, networks.inception, target_statistics, seed
        )
    if networks.other:
        found, _ = compute_distances(examples, (FID, KID), networks.other, seed=seed)
        own_names = {FID: "frechet", KID: "kid", _DEVIATION: "kid_deviation"}
        figures |= {f"{own_names[name]}_{networks.other_name}": v for name, v in found.items()}
        notes.append(
            f"distances by {networks.other_name} are no FID or KID: compare only such distances "
            "with each other"
        )
    return figures, notes


def compute_distances(
    examples: Sequence[Example],
    metrics: Collection[str],
    network: "FeatureNetwork",
    target_statistics: Path | None = None,
    seed: int = 0,
) -> tuple[dict[str, float], list[str]]:
    """Computes FID and KID between outputs and targets.

    Args:
      examples: the images, at least two.
      metrics: the names "fid", "kid" or both; other names are ignored.
      network: what computes the features.
      target_statistics: an .npz file that caches the targets' features; None for no file.
      seed: the seed of KID's subsets.

    Returns:
      The figures "fid", "kid" and "kid_deviation" (the latter unless every subset is all images),
      and notes for the report.

    Raises:
      UserError: an image or the cache cannot be read, or the cache cannot be written.
    """
    from p2p_graph.evaluation.features.feature_statistics import feature_statistics

    print(f"features of {counted(2 * len(examples), 'image')}, {network.device}", flush=True)
    with_features = KID in metrics
    # Targets first: their cache may belong to another set, which ends the evaluation.
    targets = feature_statistics(
        [example.target for example in examples],
        network,
        target_statistics,
        with_features=with_features,
    )
    outputs = feature_statistics(
        [example.output for example in examples], network, with_features=with_features
    )
    figures: dict[str, float] = {}
    notes = []
    if FID in metrics:
        figures[FID] = frechet_distance(outputs.moments, targets.moments)
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
