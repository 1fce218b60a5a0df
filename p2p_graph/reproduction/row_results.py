"""The figures of a row: read from the evaluations of its runs, averaged over seeds."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from p2p_graph.config.options_file import OPTIONS_FILE
from p2p_graph.evaluation import evaluation_report
from p2p_graph.reproduction.paper_tables import Row, Table
from p2p_graph.reproduction.row_record import digest
from p2p_graph.utils.errors import UserError
from p2p_graph.utils.json_values import is_number
from p2p_graph.utils.outside_files import read_json

_PHOTOS = "photos_"  # what the names of the real photos' figures begin with
_OPTIONS = ("max_steps", "batch_size", "crop_size", "ngf", "ndf", "precision", "preset", "seed")


class RunResult(NamedTuple):
    """A finished run of a row.

    Attributes:
      row: the row.
      run_folder: the folder of the training run.
      results_folder: the folder of the translated images.
      evaluation_folder: the folder of the evaluation.
      training: the entry "train" of row.json, with seconds and hardware.
      evaluation_digest: of the evaluation's file as this program had it written; empty if unknown.
    """

    row: Row
    run_folder: Path
    results_folder: Path
    evaluation_folder: Path
    training: Mapping[str, Any]
    evaluation_digest: str


class RowResult(NamedTuple):
    """The figures of a row.

    Attributes:
      row: the row.
      figures: means over the runs, by name.
      spread: by name, the standard deviation over the runs, or the 95 % interval of a single run.
      runs: the row's runs, one a seed.
      options: of each run, the options that a table shows.
    """

    row: Row
    figures: Mapping[str, float]
    spread: Mapping[str, str]
    runs: Sequence[RunResult]
    options: Sequence[Mapping[str, Any]]


def by_row(results: Sequence[RunResult]) -> list[RowResult]:
    """Gathers the runs of each row, in the order of the first runs."""
    rows = dict.fromkeys(result.row for result in results)
    return [_row_result(row, [result for result in results if result.row == row]) for row in rows]


def evaluation_of(result: RunResult) -> dict[str, Any]:
    """Reads the evaluation of a run.

    Raises:
      UserError: the evaluation is not what tools/evaluate.py writes.
    """
    path = result.evaluation_folder / evaluation_report.JSON_FILE
    remedy = f"remove {result.evaluation_folder}, and run the same command again"
    try:
        found: dict[str, Any] = read_json(path)
    except UserError as error:
        raise UserError(f"{error}; {remedy}") from None
    if not _is_evaluation(found):
        raise UserError(f"{path} is not what tools/evaluate.py writes: {remedy}")
    return found


def check_figures(rows: Sequence[RowResult], names: Iterable[str]) -> None:
    """Checks that all rows have these figures, and those of the first row.

    Raises:
      UserError: a row lacks a figure.
    """
    wanted = {*names, *(name for name in rows[0].figures if not name.startswith(_PHOTOS))}
    for row in rows:
        if missing := sorted(wanted - set(row.figures)):
            folder = row.runs[0].evaluation_folder
            path = folder / evaluation_report.JSON_FILE
            raise UserError(
                f"{path} lacks the figure {missing[0]}: remove {folder}, and run the same command "
                "again"
            )


def check_written_here(rows: Sequence[RowResult]) -> None:
    """Checks that the evaluations are those that this program's commands have written.

    They name the images that were evaluated by their digest.

    Raises:
      UserError: a file was written by another command, as of another translation.
    """
    for run in (run for row in rows for run in row.runs):
        path = run.evaluation_folder / evaluation_report.JSON_FILE
        if run.evaluation_digest not in ("", digest([path])):
            raise UserError(
                f"{path} is not the evaluation that this command made: remove the folder "
                f"{run.results_folder}, and run the same command again"
            )


def real_photo_figures(table: Table, rows: Sequence[RowResult]) -> dict[str, float]:
    """The FCN-scores of the real photos by the table's columns, from the row that has them.

    Returns:
      Nothing if no row has them.
    """
    names = {name: name.replace("fcn_", "photos_") for name in table.figures}
    for row in rows:
        if table.ground_truth and all(name in row.figures for name in names.values()):
            return {column: row.figures[name] for column, name in names.items()}
    return {}


def _row_result(row: Row, runs: Sequence[RunResult]) -> RowResult:
    evaluations = [evaluation_of(run)["figures"] for run in runs]
    figures, spread = {}, {}
    # Only one of the runs has figures of the real photos.
    for name, first in {name: one[name] for one in evaluations for name in one}.items():
        values = [one[name]["value"] for one in evaluations if name in one]
        finite = [value for value in values if value is not None]
        figures[name] = statistics.fmean(finite) if len(finite) == len(values) else float("nan")
        if len(finite) > 1:
            spread[name] = f"± {statistics.stdev(finite):.3g}"
        elif first["interval_95"] and None not in first["interval_95"]:
            spread[name] = "{:.3g} to {:.3g}".format(*first["interval_95"])
    return RowResult(row, figures, spread, runs, [_options_of(run) for run in runs])


def _options_of(run: RunResult) -> dict[str, Any]:
    """The options of a run that a table shows."""
    path = run.run_folder / OPTIONS_FILE
    found = read_json(path)
    if not isinstance(found, dict):
        raise UserError(f"{path} must hold one JSON object")
    if missing := [name for name in _OPTIONS if name not in found]:
        raise UserError(f"{path} lacks {missing[0]}")
    return {name: found[name] for name in _OPTIONS}


def _is_evaluation(found: Any) -> bool:
    """Whether a value has the form of evaluation.json."""
    return (
        isinstance(found, dict)
        and isinstance(found.get("images"), int)
        and isinstance(found.get("segmenter", 0), str | None)
        and isinstance(found.get("notes"), list)
        and isinstance(found.get("figures"), dict)
        and all(map(_is_figure, found["figures"].values()))
    )


def _is_figure(found: Any) -> bool:
    """Whether a value is a figure of evaluation.json, with or without its interval."""
    if not isinstance(found, dict) or not {"value", "interval_95"} <= set(found):
        return False
    interval = found["interval_95"]
    is_interval = interval is None or (isinstance(interval, list) and len(interval) == 2)
    numbers = [found["value"], *(interval or ())] if is_interval else ["none"]
    return all(number is None or is_number(number) for number in numbers)
