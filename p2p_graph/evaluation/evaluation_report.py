"""The report of an evaluation: evaluation.json, images.csv, a page, and confusion matrices."""

import csv
import hashlib
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from p2p_graph.config.options_file import maker_of, read_options, read_record
from p2p_graph.config.output_folder import EVALUATION_FILE, refuse_data_folder
from p2p_graph.evaluation import comparison as comparisons
from p2p_graph.evaluation.comparison import Comparison
from p2p_graph.evaluation.compute_metrics import MetricResult, figures_of
from p2p_graph.evaluation.evaluate_options import EvaluateOptions
from p2p_graph.evaluation.evaluation_page import EvaluatedImages, write_evaluation_page
from p2p_graph.evaluation.example_images import Example
from p2p_graph.evaluation.fcn_score import PHOTOS
from p2p_graph.evaluation.metric_selection import MetricSelection
from p2p_graph.evaluation.sensitivity import Sensitivity
from p2p_graph.imaging.confusion_plot import save_confusion_matrix
from p2p_graph.imaging.image_arrays import read_contents
from p2p_graph.metrics.label_scores import per_class_scores
from p2p_graph.metrics.registry import FCN, LABELS, SetMetric
from p2p_graph.pages.html_page import IMAGE_FOLDER, INDEX_FILE
from p2p_graph.utils.atomic_write import atomic_write, write_json
from p2p_graph.utils.errors import UserError, why_not_written
from p2p_graph.utils.json_values import without_non_finite
from p2p_graph.utils.outside_files import nearest_existing, real_path
from p2p_graph.version import __version__

Array = np.ndarray[Any, Any]

JSON_FILE, CSV_FILE = EVALUATION_FILE, "images.csv"
_LABEL_RESULTS = (LABELS, FCN, PHOTOS)  # results whose statistics are confusion matrices
_CONFUSION_FILES = {name: f"{name}-confusion.png" for name in _LABEL_RESULTS}
REPORT_FILES = (JSON_FILE, CSV_FILE, INDEX_FILE, IMAGE_FOLDER, *_CONFUSION_FILES.values())


class Evaluation(NamedTuple):
    """A finished evaluation.

    Attributes:
      options: what was asked for.
      examples: the images.
      selection: the metrics' names, the palette and the segmenter.
      metrics: metric name -> the metric of the outputs.
      results: metric name -> result, of the outputs' metrics and, with self_check, of "photos".
      distances: the figures of FID and KID, by name.
      sensitivity: the segmenter's scores of distorted photos; empty unless asked for.
      notes: remarks on the figures, one line each.
      comparison: with the outputs of compare_dir; None without that option.
    """

    options: EvaluateOptions
    examples: Sequence[Example]
    selection: MetricSelection
    metrics: Mapping[str, SetMetric]
    results: Mapping[str, MetricResult]
    distances: Mapping[str, float]
    sensitivity: Sensitivity
    notes: Sequence[str]
    comparison: Comparison | None = None

    @property
    def figures(self) -> dict[str, float]:
        """All figures by name."""
        return figures_of(self.results, self.distances)

    @property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """The 95 % bootstrap intervals of the figures that have one, by name."""
        intervals: dict[str, tuple[float, float]] = {}
        for result in self.results.values():
            intervals |= result.intervals
        return intervals

    @property
    def all_notes(self) -> list[str]:
        """The notes, and one for each infinite figure."""
        figures = [*self.figures.items()]
        figures += self.comparison.figures.items() if self.comparison else []
        infinite = dict.fromkeys(name for name, value in figures if math.isinf(value))
        return [
            *self.notes,
            *(f"{name} is infinite: an image equals its target" for name in infinite),
        ]

    @property
    def confusion_matrices(self) -> dict[str, Array]:
        """The confusion matrix of each label metric, float64 [C, C + 1], by the metric's name."""
        if self.selection.palette is None:
            return {}
        classes = len(self.selection.palette.classes)
        return {
            name: self.results[name].statistics.sum(0).reshape(classes, classes + 1)
            for name in _LABEL_RESULTS
            if name in self.results
        }


def markdown_table(evaluation: Evaluation) -> str:
    """Writes the figures and their intervals as a Markdown table; beside those of B, if any."""
    cells = _table_cells(evaluation)
    head = cells.pop("")
    lines = [f"| metric | {' | '.join(head)} |", "| --- |" + " --- |" * len(head)]
    lines += [f"| {name} | {' | '.join(of_figure)} |" for name, of_figure in cells.items()]
    return "\n".join(lines)


def _table_cells(evaluation: Evaluation) -> dict[str, tuple[str, ...]]:
    """The table's cells of each figure, by its name; its head under ""."""
    if evaluation.comparison:
        return {**comparisons.table_cells(evaluation.comparison, evaluation.figures)}
    intervals = evaluation.intervals
    cells: dict[str, tuple[str, ...]] = {"": ("value", "95% of samples")}
    for name, value in evaluation.figures.items():
        low, high = intervals.get(name, (math.nan, math.nan))
        cells[name] = f"{value:.4g}", f"{low:.4g} to {high:.4g}" if math.isfinite(low) else ""
    return cells


def check_report_folder(folder: Path, examples: Sequence[Example], labels_dir: Path | None) -> None:
    """Refuses a folder for the report, before the long work starts.

    Args:
      folder: the folder.
      examples: the evaluated images.
      labels_dir: the folder of true labels, if there is one.

    Raises:
      UserError: the folder cannot be written, or holds images that are read.
    """
    if labels_dir and real_path(labels_dir) in (real_path(folder), *real_path(folder).parents):
        raise UserError(
            f"output_dir {folder} lies in labels_dir {labels_dir}, in which all folders are "
            "searched for labels: name another folder"
        )
    files = [path for e in examples for path in (e.output, e.target, e.input) if path]
    refuse_data_folder(folder, files, (IMAGE_FOLDER,))
    check_writable(folder, f"output_dir {folder}")


def check_writable(folder: Path, subject: str) -> None:
    """Refuses a folder that cannot be made or written to.

    Args:
      folder: the folder, which may not exist yet.
      subject: what the message is about: an option and its value.

    Raises:
      UserError: the folder, or the nearest existing one above, is a file or read-only.
    """
    nearest = nearest_existing(folder)
    if not (nearest.is_dir() and os.access(nearest, os.W_OK)):
        reason = "may not be written" if nearest.is_dir() else "is a file"
        raise UserError(f"{subject} cannot be written: {nearest} {reason}")


def write_report(folder: Path, evaluation: Evaluation) -> None:
    """Writes evaluation.json, images.csv, the page of all images, confusion matrices.

    Raises:
      UserError: the folder cannot be written.
    """
    record = _json_record(evaluation)
    images = _evaluated_images(evaluation)
    shown = {name: value for name, value in record.items() if name != "digest"}
    metadata = {name: value for name, value in shown.items() if isinstance(value, str | int)}
    title = f"Evaluation of {record['outputs']}"
    if evaluation.comparison:
        title = f"Comparison of {metadata.pop('outputs')} with {evaluation.comparison.folder}"
        metadata = {"A": record["outputs"], "B": str(evaluation.comparison.folder), **metadata}
    metadata |= {f"note {number}": note for number, note in enumerate(record["notes"], 1)}
    try:
        # First: the other files are known as an evaluation's by this one.
        write_json(folder / JSON_FILE, without_non_finite(record))
        _write_csv(folder / CSV_FILE, images)
        write_evaluation_page(folder, title, metadata, images, _table_cells(evaluation))
        _draw_confusion_matrices(folder, evaluation)
    except OSError as error:
        raise UserError(
            f"output_dir {folder} cannot be written: {why_not_written(error)}"
        ) from None


def _evaluated_images(evaluation: Evaluation) -> EvaluatedImages:
    """The images and the figures of each."""

    def of_each(results: Mapping[str, MetricResult]) -> dict[str, list[dict[str, float]]]:
        return {
            name: [metric.figures(row) for row in results[name].statistics]
            for name, metric in evaluation.metrics.items()
        }

    images = EvaluatedImages(evaluation.examples, evaluation.metrics, of_each(evaluation.results))
    other = evaluation.comparison
    if other is None:
        return images
    return images._replace(compared=other.examples, compared_figures=of_each(other.results))


def files_digest(paths: Iterable[Path]) -> str:
    """Identifies files by their names and contents: a SHA-256 digest.

    Raises:
      UserError: a file cannot be read; the message names it.
    """
    digest = hashlib.sha256()
    for path in sorted(paths, key=lambda path: path.name):
        try:
            contents = read_contents(path)
        except UserError as error:
            raise UserError(f"{path} {error}") from None
        digest.update(os.fsencode(path.name) + hashlib.sha256(contents).digest())
    return digest.hexdigest()


def _json_record(evaluation: Evaluation) -> dict[str, Any]:
    """Gives the contents of evaluation.json."""
    options, selection = evaluation.options, evaluation.selection
    intervals = evaluation.intervals
    record: dict[str, Any] = {
        "outputs": str(options.evaluated_folder),
        "images": len(evaluation.examples),
        "digest": _digest(evaluation.examples),
        "made_by": _maker(options.evaluated_folder),
        "figures": {
            name: {"value": value, "interval_95": intervals.get(name)}
            for name, value in evaluation.figures.items()
        },
        "notes": evaluation.all_notes,
        "segmenter": selection.segmenter.name if selection.segmenter else None,
        "palette": selection.palette.name if selection.palette else None,
        "bootstrap": {"repetitions": options.bootstrap, "seed": options.seed},
        "version": __version__,
    }
    if evaluation.comparison:
        record["comparison"] = comparisons.json_record(
            evaluation.comparison, evaluation.figures, _digest(evaluation.comparison.examples)
        )
    if evaluation.sensitivity:
        record["sensitivity"] = evaluation.sensitivity
    for name, matrix in evaluation.confusion_matrices.items():
        assert selection.palette is not None
        scores = zip(selection.palette.classes, *per_class_scores(matrix), strict=True)
        record[f"{name}_classes"] = {
            class_name: {"accuracy": float(accuracy), "iou": float(iou)}
            for class_name, accuracy, iou in scores
        }
        record[f"{name}_confusion"] = matrix.astype(int).tolist()
    return record


def _maker(folder: Path) -> dict[str, Any] | None:
    """What made the images of a folder; None unless tools/test.py made all of them at once."""
    try:
        record = read_record(folder)
        if "earlier_images" in record:
            return None
        return maker_of(read_options(folder), record.get("weights"))
    except UserError:
        return None


def _digest(examples: Sequence[Example]) -> str:
    return files_digest([path for e in examples for path in (e.output, e.target)])


def _write_csv(path: Path, images: EvaluatedImages) -> None:
    """Writes a row per image: the image's name and figures, and those of B with the ending _b."""
    rows: list[dict[str, Any]] = [{"name": example.name} for example in images.examples]
    for suffix, per_image in (("", images.figures), ("_b", images.compared_figures)):
        for of_images in per_image.values():
            for row, figures in zip(rows, of_images, strict=True):
                row |= {name + suffix: value for name, value in figures.items()}
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _draw_confusion_matrices(folder: Path, evaluation: Evaluation) -> None:
    """Draws METRIC-confusion.png, and removes plots of an earlier evaluation's metrics."""
    matrices = evaluation.confusion_matrices
    for name, file in _CONFUSION_FILES.items():
        plot = folder / file
        if name in matrices:
            assert evaluation.selection.palette is not None
            save_confusion_matrix(plot, matrices[name], list(evaluation.selection.palette.classes))
        else:
            plot.unlink(missing_ok=True)
