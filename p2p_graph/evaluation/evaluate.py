"""Evaluates translated images: the function that tools/evaluate.py calls."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

from p2p_graph.config.data_options import RGB
from p2p_graph.config.output_folder import claimed
from p2p_graph.evaluation import evaluation_report, sensitivity
from p2p_graph.evaluation.compute_metrics import MetricResult, compute_metrics
from p2p_graph.evaluation.evaluate_options import EvaluateOptions
from p2p_graph.evaluation.evaluation_report import Evaluation
from p2p_graph.evaluation.example_images import Example, find_examples
from p2p_graph.evaluation.fcn_score import PHOTOS
from p2p_graph.evaluation.features.feature_distances import compute_all, open_networks
from p2p_graph.evaluation.metric_selection import MetricSelection, make_metrics, select_metrics
from p2p_graph.evaluation.sensitivity import Sensitivity
from p2p_graph.imaging.image_arrays import read_contents
from p2p_graph.imaging.read_structure import read_structure
from p2p_graph.metrics.registry import FCN
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
    examples = find_examples(options)
    channels = examples[0].channels
    selection = select_metrics(options, channels)
    folder = options.report_folder
    evaluation_report.check_report_folder(folder, examples, options.labels_dir)
    if options.target_statistics:
        _check_cache_file(options.target_statistics)
    with claimed(folder, "evaluate", evaluation_report.REPORT_FILES):
        evaluation = _compute(options, examples, selection, channels)
        evaluation_report.write_report(folder, evaluation)
    print(evaluation_report.markdown_table(evaluation))
    for note in evaluation.all_notes:
        print(f"note: {note}")
    print("wrote", folder / INDEX_FILE)


def _compute(
    options: EvaluateOptions,
    examples: Sequence[Example],
    selection: MetricSelection,
    channels: int,
) -> Evaluation:
    """Computes all metrics."""
    metrics = make_metrics(selection, options, examples)
    bootstrap = options.bootstrap, options.seed
    with contextlib.ExitStack() as cleanup:
        # A wrong network is refused here, before the long work.
        networks = open_networks(
            options.inception, options.features, selection.names, len(examples), cleanup
        )
        photo_results = {}
        measured: Sensitivity = {}
        notes = _notes_on(channels, examples[0])
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
    )


def _notes_on(channels: int, example: Example) -> list[str]:
    """What is compared, and shown, of images that are not RGB."""
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
