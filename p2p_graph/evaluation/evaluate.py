"""Evaluates translated images: the function that tools/evaluate.py calls."""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from p2p_graph.config.data_options import RGB
from p2p_graph.config.output_folder import claimed
from p2p_graph.evaluation import evaluation_report, sensitivity
from p2p_graph.evaluation.comparison import Comparison, difference_intervals, find_both
from p2p_graph.evaluation.compute_metrics import MetricResult, compute_metrics
from p2p_graph.evaluation.evaluate_options import EvaluateOptions
from p2p_graph.evaluation.evaluation_report import Evaluation
from p2p_graph.evaluation.example_images import Example
from p2p_graph.evaluation.fcn_score import PHOTOS
from p2p_graph.evaluation.features.feature_distances import compute_all, open_networks
from p2p_graph.evaluation.metric_selection import MetricSelection, make_metrics, select_metrics
from p2p_graph.evaluation.sensitivity import Sensitivity
from p2p_graph.imaging.image_arrays import read_contents
from p2p_graph.imaging.read_structure import read_structure
from p2p_graph.metrics.registry import FCN, SetMetric
from p2p_graph.pages.html_page import INDEX_FILE
from p2p_graph.segmentation.segmenters import Segmenter
from p2p_graph.utils.counted import counted
from p2p_graph.utils.errors import UserError

_NOT_FCN8S_NOTE = (
    "fcn and photos are not FCN-8s' scores: they compare models with each other, "
    "not with the paper's tables"
)
# Isola et al. 2017, Table 1: FCN-8s on Cityscapes' own photos, scaled to 256 pixels and back.
_PAPER_ON_PHOTOS = "0.80, 0.26 and 0.21"


def evaluate(options: EvaluateOptions) -> None:
    """Computes the metrics, writes the report, and prints a table of figures.

    All that can be wrong with options, images and folders is checked before the long work, and
    nothing is written before all figures are known.

    Raises:
      UserError: the images do not fit the metrics, or a file cannot be read or written.
    """
    examples, compared, notes = find_both(options)
    selection = select_metrics(options, examples[0].channels)
    folder = options.report_folder
    evaluation_report.check_report_folder(folder, [*examples, *compared], options.labels_dir)
    if options.target_statistics:
        _check_cache_file(options.target_statistics)
    with claimed(folder, "evaluate", evaluation_report.REPORT_FILES):
        evaluation = _compute(options, examples, compared, selection, notes)
        evaluation_report.write_report(folder, evaluation)
    print(evaluation_report.markdown_table(evaluation))
    for note in evaluation.all_notes:
        print(f"note: {note}")
    print("wrote", folder / INDEX_FILE)


def _compute(
    options: EvaluateOptions,
    examples: Sequence[Example],
    compared: Sequence[Example],
    selection: MetricSelection,
    notes: Sequence[str],
) -> Evaluation:
    """Computes all metrics, also of the examples to compare with, if there are any."""
    metrics = make_metrics(selection, options, examples)
    bootstrap = options.bootstrap, options.seed
    with contextlib.ExitStack() as cleanup:
        # A wrong network is refused here, before the long work.
        networks = open_networks(
            options.inception, options.features, selection.names, len(examples), cleanup
        )
        photo_results = {}
        measured: Sensitivity = {}
        notes = [*notes, *_notes_on(examples[0])]
        if metrics.fcn_score:
            assert selection.segmenter is not None
            if options.self_check:
                of_photos = {PHOTOS: metrics.fcn_score.of_photos()}
                photo_results = compute_metrics(examples, of_photos, *bootstrap)
                _print_self_check(selection.segmenter, photo_results[PHOTOS])
            if options.report_sensitivity:
                print(f"sensitivity of {selection.segmenter.name}", flush=True)
                measured = sensitivity.measure(examples, metrics.fcn_score)
                print(sensitivity.markdown_table(measured), flush=True)
                notes += sensitivity.notes(measured, selection.segmenter.name)
        distances, of_distances = compute_all(
            examples, selection.names, networks, options.target_statistics, options.seed
        )
        notes += of_distances
        distances_of_b: dict[str, float] = {}
        if compared:
            distances_of_b, _ = compute_all(compared, selection.names, networks, seed=options.seed)
    if selection.segmenter and not selection.segmenter.is_fcn8s and FCN in metrics.of_outputs:
        notes.append(_NOT_FCN8S_NOTE)
    output_results = compute_metrics(examples, metrics.of_outputs, *bootstrap)
    return Evaluation(
        options,
        examples,
        selection,
        metrics.of_outputs,
        output_results | photo_results,
        distances,
        measured,
        notes,
        _compare(options, compared, metrics.of_outputs, output_results, distances_of_b),
    )


def _compare(
    options: EvaluateOptions,
    compared: Sequence[Example],
    metrics: Mapping[str, SetMetric],
    first: Mapping[str, MetricResult],
    distances: Mapping[str, float],
) -> Comparison | None:
    """Computes the metrics of B, and intervals of the differences; None without compare_dir."""
    if options.compare_dir is None:
        return None
    second = compute_metrics(compared, metrics, 0, options.seed)
    intervals = difference_intervals(metrics, first, second, options.bootstrap, options.seed)
    return Comparison(options.compare_dir, compared, second, distances, intervals)


def _notes_on(example: Example) -> list[str]:
    """What is compared, and shown, of images that are not RGB."""
    channels = example.channels
    if channels == RGB:
        has_alpha = read_structure(read_contents(example.output)).has_alpha
        return ["the images have alpha, which no metric compares"] if has_alpha else []
    notes = [f"the metrics are of {counted(channels, 'channel')}; those of colours are left out"]
    if channels == RGB + 1 and not example.arrays:
        notes = ["the metrics are of red, green, blue and alpha; those of colours are left out"]
    if example.arrays:
        notes.append(
            f"the images shown are previews: {min(channels, 3)} of {counted(channels, 'channel')}"
        )
    return notes


def _check_cache_file(path: Path) -> None:
    """Refuses a path for the targets' statistics that is a folder or cannot be written."""
    if path.is_dir():
        raise UserError(f"target_statistics {path} is a folder: name a file")
    evaluation_report.check_writable(path.parent, f"target_statistics {path}")


def _print_self_check(segmenter: Segmenter, result: MetricResult) -> None:
    """Prints the segmenter's scores on the real photos, beside the paper's for FCN-8s."""
    scores = ", ".join(f"{value:.2f}" for value in result.figures.values())
    line = f"real photos, by {segmenter.name}: {scores} (pixels, classes, IoU)"
    if segmenter.is_fcn8s:
        line += f"; the paper's: {_PAPER_ON_PHOTOS}"
    print(line, flush=True)
