"""A reproduced table beside the paper's: Markdown, JSON, a figure and an HTML page."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from p2p_graph.config.image_size import ImageSize
from p2p_graph.evaluation.evaluation_report import files_digest
from p2p_graph.evaluation.example_images import read_image
from p2p_graph.imaging import image_grid
from p2p_graph.imaging.preview import KINDS
from p2p_graph.pages.html_page import IMAGE_FOLDER, INDEX_FILE, translated_names
from p2p_graph.pages.results_page import (
    ImageColumn,
    PageImage,
    Row,
    own_image,
    write_results_page,
)
from p2p_graph.reproduction.paper_tables import TABLES, Table
from p2p_graph.reproduction.row_results import (
    RowResult,
    RunResult,
    by_row,
    check_figures,
    check_written_here,
    evaluation_of,
    real_photo_figures,
)
from p2p_graph.utils.atomic_write import atomic_write, copy_file, write_json
from p2p_graph.utils.counted import counted
from p2p_graph.utils.errors import UserError
from p2p_graph.utils.json_values import without_non_finite
from p2p_graph.utils.outside_files import read_json

_FIGURE_ROWS = 8  # images in a table's figure
_FIGURE_FILE = "figure.png"
_TABLE_IMAGE = re.compile(r"-\d+\.png$")  # of a column's number


def check_folder(folder: Path, name: str) -> None:
    """Refuses a folder with files that the table would replace, if they are not of such a table.

    Args:
      folder: where the table is to be written; it may be missing.
      name: a key of `TABLES`.

    Raises:
      UserError: one of the files is there, and NAME.json is not that of a table.
    """
    record = folder / f"{name}.json"
    if _is_record(record):
        return
    written = (record.name, f"{name}.md", _FIGURE_FILE, INDEX_FILE, IMAGE_FOLDER)
    if foreign := next((file for file in written if os.path.lexists(folder / file)), None):
        raise UserError(
            f"{folder / foreign} is in the way: it is not what tools/reproduce.py writes: remove "
            "it, or name another --output_dir"
        )


def _is_record(path: Path) -> bool:
    try:
        record = read_json(path)
    except (FileNotFoundError, UserError):
        return False
    return isinstance(record, dict) and "rows" in record


def write(folder: Path, name: str, results: Sequence[RunResult], train_flags: str) -> None:
    """Writes a table beside the paper's figures, with a figure and a page, and prints it.

    Args:
      folder: an existing folder for NAME.md, NAME.json, figure.png and index.html.
      name: a key of `TABLES`.
      results: the finished runs. Runs of one row with several seeds become one row.
      train_flags: the flags that all rows were given.
    """
    table = TABLES[name]
    rows = by_row(results)
    check_figures(rows, table.figures)
    check_written_here(rows)
    metadata = _metadata(rows, train_flags)
    text = _markdown(table, rows, metadata)
    # First: the folder is known as a table's by it.
    write_json(folder / f"{name}.json", {**metadata, **_record(table, rows)})
    with atomic_write(folder / f"{name}.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    _draw(table, rows, metadata, folder)
    print(text)
    print("wrote", folder / INDEX_FILE)


def _record(table: Table, rows: Sequence[RowResult]) -> dict[str, Any]:
    """The rows, and the real photos, as NAME.json has them."""
    photos = real_photo_figures(table, rows)
    return {
        "rows": [
            {
                "name": row.row.name,
                "figures": without_non_finite(row.figures),
                "apart": row.spread,
                **_comparison(table, row.figures, row.row.paper_figures),
                "seconds": [run.training["seconds"] for run in row.runs],
                "options": row.options,
            }
            for row in rows
        ],
        "real photos": {"figures": photos, **_comparison(table, photos, table.ground_truth)}
        if photos
        else None,
    }


def _comparison(
    table: Table, figures: Mapping[str, float], paper_figures: Sequence[float | None]
) -> dict[str, Any]:
    """The paper's figures, and the differences: ours less the paper's."""
    paper = dict(zip(table.figures, paper_figures, strict=True))
    difference = {name: figures[name] - value for name, value in paper.items() if value is not None}
    return {"paper": paper, "difference": without_non_finite(difference)}


def _metadata(rows: Sequence[RowResult], train_flags: str) -> dict[str, Any]:
    """How the rows were trained and evaluated, row by row where the rows differ."""
    evaluation = evaluation_of(rows[0].runs[0])
    # One run's evaluation has the notes of the real photos.
    all_notes = [evaluation_of(run)["notes"] for row in rows for run in row.runs]
    notes = dict.fromkeys(note for notes in all_notes for note in notes)
    trained = {row.row.name: _training_options(row) for row in rows}
    hardware = {run.training["hardware"] for row in rows for run in row.runs}
    seconds = (f"{row.row.name} " + ", ".join(map(_training_seconds, row.runs)) for row in rows)
    same = len(set(trained.values())) == 1
    return {
        "trained": next(iter(trained.values()))
        if same
        else "; ".join(f"{name}: {options}" for name, options in trained.items()),
        "flags for all rows": train_flags or "none",
        "hardware": "; ".join(sorted(hardware)),
        "seconds of training": "; ".join(seconds),
        "test images": evaluation["images"],
        **({"segmenter": evaluation["segmenter"]} if evaluation["segmenter"] else {}),
        **{f"note {number}": note for number, note in enumerate(notes, 1)},
    }


def _training_seconds(run: RunResult) -> str:
    seconds = run.training["seconds"]
    return "unknown" if seconds is None else f"{seconds:.0f}"


def _training_options(row: RowResult) -> str:
    first = row.options[0]
    seeds = ", ".join(str(options["seed"]) for options in row.options)
    return (
        f"{counted(first['max_steps'], 'step')}, batch {first['batch_size']}, "
        f"{first['crop_size']} pixels, ngf {first['ngf']}, ndf {first['ndf']}, "
        f"{first['precision']}, preset {first['preset']}, seed {seeds}"
    )


def _markdown(table: Table, rows: Sequence[RowResult], metadata: Mapping[str, Any]) -> str:
    """The columns of the paper's table, then all figures."""
    lines = [f"## {table.title}", "", *(f"{key}: {value}  " for key, value in metadata.items()), ""]
    if any(value is not None for row in rows for value in row.row.paper_figures):
        lines += ["Each cell: ours / the paper's (difference).", ""]
    cells = {
        row.row.name: [
            _cell(row.figures[name], paper)
            for name, paper in zip(table.figures, row.row.paper_figures, strict=True)
        ]
        for row in rows
    }
    if photos := real_photo_figures(table, rows):
        cells["real photos"] = list(map(_cell, photos.values(), table.ground_truth))
    lines += _markdown_table(table.figures, cells)
    lines += ["", "All figures, with 95 % of samples of the images, or ± over seeds:", ""]
    names = [name for name in rows[0].figures if not name.startswith("photos_")]
    all_cells = {
        row.row.name: [
            f"{row.figures[name]:.4g}" + (f" ({row.spread[name]})" if name in row.spread else "")
            for name in names
        ]
        for row in rows
    }
    lines += _markdown_table(names, all_cells)
    return "\n".join(lines) + "\n"


def _markdown_table(columns: Sequence[str], rows: Mapping[str, Sequence[str]]) -> list[str]:
    return [
        "| | " + " | ".join(columns) + " |",
        "| --- |" + " --- |" * len(columns),
        *(f"| {name} | " + " | ".join(cells) + " |" for name, cells in rows.items()),
    ]


def _cell(ours: float, paper: float | None) -> str:
    if paper is None:
        return f"{ours:.3f}"
    return f"{ours:.2f} / {paper:.2f} ({ours - paper:+.2f})"


def _draw(
    table: Table, rows: Sequence[RowResult], metadata: Mapping[str, Any], folder: Path
) -> None:
    """Draws the paper's kind of figure: a column for each method, a line for each input."""
    image_folder = folder / IMAGE_FOLDER
    image_folder.mkdir(exist_ok=True)
    for path in image_folder.iterdir():
        if _TABLE_IMAGE.search(path.name):
            path.unlink()
    sources = {row.row.name: row.runs[0].results_folder / IMAGE_FOLDER for row in rows}
    for run in (run for row in rows for run in row.runs):
        _check_evaluated(run.results_folder / IMAGE_FOLDER, evaluation_of(run))
    first = next(iter(sources.values()))
    names = translated_names(first)[:_FIGURE_ROWS]
    columns = {
        "input": (first, "inputs"),
        **{name: (source, "outputs") for name, source in sources.items()},
        "ground truth": (first, "targets"),
    }
    images: dict[str, list[np.ndarray[Any, Any]]] = {column: [] for column in columns}
    shown: dict[str, list[PageImage]] = {name: [] for name in names}
    for number, (column, (source, kind)) in enumerate(columns.items()):
        for name, of_row in shown.items():
            image = _read_translation(source / f"{name}-{kind}.png")
            if images["input"] and image.shape != images["input"][0].shape:
                raise UserError(f"{source} holds images that differ in size: {_again(source)}")
            file = f"{name}-{number}.png"
            copy_file(source / f"{name}-{kind}.png", image_folder / file)
            of_row.append(own_image(file, ImageSize(*image.shape[:2])))
            images[column].append(image)
    image_grid.save_grid(folder / _FIGURE_FILE, table.title, images, names)
    page_columns = [ImageColumn(title, KINDS[kind]) for title, (_, kind) in columns.items()]
    rows_of_page = [Row(*row) for row in shown.items()]
    write_results_page(folder / INDEX_FILE, table.title, metadata, page_columns, rows_of_page)


def _check_evaluated(folder: Path, evaluation: Mapping[str, Any]) -> None:
    """Refuses a folder whose translated images are not those that were evaluated."""
    names, count = translated_names(folder), evaluation["images"]
    if len(names) != count:
        raise UserError(
            f"{folder} holds {counted(len(names), 'translated image')}, and {count} were "
            f"evaluated: {_again(folder)}"
        )
    files = [folder / f"{name}-{kind}.png" for name in names for kind in ("outputs", "targets")]
    # Evaluations of earlier versions have no digest.
    if evaluation.get("digest", "") not in ("", files_digest(files)):
        raise UserError(
            f"{folder} holds images that were changed since they were evaluated: {_again(folder)}"
        )


def _read_translation(path: Path) -> "np.ndarray[Any, Any]":
    """Reads an image that tools/test.py has written.

    Raises:
      UserError: it is missing or damaged.
    """
    try:
        return read_image(path)
    except UserError as error:
        raise UserError(f"{error}; {_again(path.parent)}") from None


def _again(image_folder: Path) -> str:
    return f"remove the folder {image_folder.parent}, and run the same command again"
