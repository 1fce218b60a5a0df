"""Chooses the metrics of an evaluation, and makes them once the images are known to fit."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from p2p_graph.config.data_options import RGB
from p2p_graph.evaluation.evaluate_options import EvaluateOptions
from p2p_graph.evaluation.example_images import Example, read_image
from p2p_graph.evaluation.fcn_score import FcnScore
from p2p_graph.evaluation.lpips_distance import lpips_metric
from p2p_graph.imaging import palettes
from p2p_graph.imaging.palettes import Palette
from p2p_graph.metrics import registry
from p2p_graph.metrics.registry import (
    FCN,
    FEATURES,
    FID,
    HISTOGRAM,
    KID,
    LABELS,
    LPIPS,
    PAIR_METRICS,
    SetMetric,
)
from p2p_graph.segmentation import segmenters
from p2p_graph.segmentation.segmenters import Segmenter
from p2p_graph.utils.counted import counted
from p2p_graph.utils.errors import UserError


class MetricSelection(NamedTuple):
    """The metrics of an evaluation, and what they read labels with.

    Attributes:
      names: of `METRIC_NAMES`, each once.
      palette: the palette of label images, for the metrics labels and fcn.
      segmenter: what reads labels off photos, for the metric fcn.
    """

    names: tuple[str, ...]
    palette: Palette | None = None
    segmenter: Segmenter | None = None


class SelectedMetrics(NamedTuple):
    """The metrics of a selection that compute per-image statistics.

    Attributes:
      of_outputs: metric name -> the metric of the outputs.
      fcn_score: makes the segmenter's metrics of other images; None without the metric fcn.
    """

    of_outputs: Mapping[str, SetMetric]
    fcn_score: FcnScore | None


def select_metrics(options: EvaluateOptions, channels: int) -> MetricSelection:
    """Loads the palette and the segmenter, and chooses the metrics.

    Args:
      options: of the evaluation.
      channels: of the outputs; metrics of colours are for 3.

    Raises:
      UserError: the palette or the segmenter cannot be loaded, a metric lacks what it needs, or
        an option is given that no metric uses.
    """
    palette = palettes.load(options.palette) if options.palette is not None else None
    segmenter = segmenters.load(options.segmenter) if options.segmenter is not None else None
    if segmenter:
        segmenter = segmenter.with_palette(palette)
        palette = segmenter.palette
    resources = {
        LABELS: palette,
        FCN: segmenter,
        FID: options.inception,
        FEATURES: options.features,
        LPIPS: options.lpips_weights,
    }
    names = _choose(options.metrics, resources)
    if channels != RGB and options.metrics is None:
        names = tuple(name for name in names if name != HISTOGRAM)
    if channels != RGB and (of_colors := set(names) - set(PAIR_METRICS)):
        raise UserError(
            f"metrics {min(of_colors)} needs RGB images, and the outputs have "
            f"{counted(channels, 'channel')}: choose others (--metrics {','.join(PAIR_METRICS)})"
        )
    for option, value, users in (
        ("segmenter", segmenter, {FCN}),
        ("palette", palette, {LABELS, FCN}),
        ("inception", options.inception, {FID, KID}),
        ("features", options.features, {FEATURES}),
        ("lpips_weights", options.lpips_weights, {LPIPS}),
    ):
        if value and not users & set(names):
            raise UserError(
                f"{option} is for metrics {' and '.join(sorted(users))}: leave it out, or name one "
                "of them, too (--metrics)"
            )
    return MetricSelection(names, palette, segmenter)


def _choose(names: Sequence[str] | None, resources: Mapping[str, Any]) -> tuple[str, ...]:
    """Gives the metrics of these names, or all metrics that the resources suffice for."""
    if names is None:
        label_metrics = [FCN] if resources[FCN] else [LABELS] if resources[LABELS] else []
        feature_metrics = [FID, KID] if resources[FID] else []
        feature_metrics += [FEATURES] if resources[FEATURES] else []
        perceptual = [LPIPS] if resources[LPIPS] else []
        names = [*PAIR_METRICS, HISTOGRAM, *perceptual, *label_metrics, *feature_metrics]
    for name in names:
        if name in (LABELS, FCN) and not resources[LABELS]:
            raise UserError(f"metrics {name} needs the labels' colours: name them (--palette)")
        if name == FCN and not resources[FCN]:
            raise UserError(
                f"metrics {name} needs what reads labels off photos: name it (--segmenter)"
            )
        if name in (FID, KID) and not resources[FID]:
            raise UserError(f"metrics {name} needs Inception's graph: name it (--inception)")
        if name == FEATURES and not resources[FEATURES]:
            raise UserError(f"metrics {name} needs a network: name it (--features)")
        if name == LPIPS and not resources[LPIPS]:
            raise UserError(f"metrics {name} needs a network's file: name it (--lpips_weights)")
    return tuple(dict.fromkeys(names))


def make_metrics(
    selection: MetricSelection, options: EvaluateOptions, examples: Sequence[Example]
) -> SelectedMetrics:
    """Makes the metrics that compute per-image statistics.

    Raises:
      UserError: the images do not fit a metric.
    """
    metrics: dict[str, SetMetric] = {}
    fcn_score = None
    for name in selection.names:
        if name in PAIR_METRICS:
            metrics[name] = registry.mean_of_pairs(name)
        elif name == HISTOGRAM:
            metrics[name] = registry.color_histogram_metric()
        elif name == LPIPS:
            assert options.lpips_weights is not None
            metrics[name] = lpips_metric(options.lpips_weights)
        elif name == LABELS:
            assert selection.palette is not None
            targets = palettes.spread_sample([example.target for example in examples])
            selection.palette.check_coverage(map(read_image, targets), "targets")
            metrics[name] = registry.label_image_metric(selection.palette)
        elif name == FCN:
            assert selection.palette is not None
            assert selection.segmenter is not None
            fcn_score = FcnScore(
                examples, selection.palette, selection.segmenter, options.labels_dir
            )
            metrics[name] = fcn_score.of_outputs()
    return SelectedMetrics(metrics, fcn_score)
