"""A table of the paper as it came out here: in Markdown and JSON, with a figure and a page."""

import json
import shutil
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from p2p_graph.config.options import OPTIONS_FILE
from p2p_graph.evaluation import evaluation_report
from p2p_graph.evaluation.example_images import read_image
from p2p_graph.imaging import html_page, image_grid
from p2p_graph.reproduction.paper_tables import TABLES, Row, Table
from p2p_graph.utils.atomic_write import atomic_write, write_json
from p2p_graph.utils.json_values import without_non_finite

_SHOWN = 8  # images in a table's figure
_OPTIONS = ("max_steps", "batch_size", "crop_size", "ngf", "ndf", "precision", "preset", "seed")


class Made(NamedTuple):
    """A row with one seed, as it was made.

    Attributes:
      row: which.
      run: the folder of its training.
      results: what tools/test.py has written.
      evaluation: what tools/evaluate.py has written.
      train: what is recorded of its training: seconds, hardware.
    """

    row: Row
    run: Path
    results: Path
    evaluation: Path
    train: Mapping[str, Any]


class _Outcome(NamedTuple):
    """A row as it came out.

    Attributes:
      row: which.
      figures: by name, the means over seeds.
      apart: by name, the standard deviation over seeds, or the 95 % interval of one seed.
      made: its seeds.
      options: of each seed's training.
    """

    row: Row
    figures: Mapping[str, float]
    apart: Mapping[str, str]
    made: Sequence[Made]
    options: Sequence[Mapping[str, Any]]


def write(folder: Path, name: str, made: Sequence[Made], flags: str) -> None:
    """Prints a table beside the paper's figures, and writes it with its figure and page.

    Args:
      folder: where it goes, which is there: NAME.md, NAME.json, figure.png, index.html.
      name: of `TABLES`.
      made: its rows; those of one row with several seeds are one in the table.
      flags: what was given to all rows.
    """
    table = TABLES[name]
    rows = dict.fromkeys(one.row for one in made)
    outcomes = [_outcome(row, [one for one in made if one.row == row]) for row in rows]
    facts = _facts(outcomes, flags)
    text = _markdown(table, outcomes, facts)
    print(text)
    with atomic_write(folder / f"{name}.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    record = [
        {
            "name": outcome.row.name,
            "figures": without_non_finite(outcome.figures),
            "apart": outcome.apart,
            **_beside(table, outcome.figures, outcome.row.paper),
            "seconds": [one.train["seconds"] for one in outcome.made],
            "options": outcome.options,
        }
        for outcome in outcomes
    ]
    photos = _photos(table, outcomes)
    real = {"figures": photos, **_beside(table, photos, table.photos)} if photos else None
    write_json(folder / f"{name}.json", {**facts, "rows": record, "real photos": real})
    _draw(table, outcomes, facts, folder)
    print("wrote", folder / html_page.INDEX_FILE)


def _outcome(row: Row, made: Sequence[Made]) -> _Outcome:
    found = [_read(one.evaluation / evaluation_report.JSON_FILE)["figures"] for one in made]
    figures, apart = {}, {}
    # Real photos are read with one of the seeds alone.
    for name, first in {name: one[name] for one in found for name in one}.items():
        values = [one[name]["value"] for one in found if name in one]
        known = [value for value in values if value is not None]
        figures[name] = statistics.fmean(known) if len(known) == len(values) else float("nan")
        if len(known) > 1:
            apart[name] = f"± {statistics.stdev(known):.3g}"
        elif first["interval_95"]:
            apart[name] = "{:.3g} to {:.3g}".format(*first["interval_95"])
    trained = [_read(one.run / OPTIONS_FILE) for one in made]
    options = [{name: one[name] for name in _OPTIONS} for one in trained]
    return _Outcome(row, figures, apart, made, options)


def _photos(table: Table, outcomes: Sequence[_Outcome]) -> dict[str, float]:
    """The table's figures of real photos, which one of the rows has; else none."""
    names = {name: name.replace("fcn_", "photos_") for name in table.figures}
    for outcome in outcomes:
        if table.photos and all(seen in outcome.figures for seen in names.values()):
            return {name: outcome.figures[seen] for name, seen in names.items()}
    return {}


def _beside(
    table: Table, figures: Mapping[str, float], paper: Sequence[float | None]
) -> dict[str, Any]:
    """The paper's figures, and by how much ours are larger."""
    theirs = dict(zip(table.figures, paper, strict=True))
    apart = {name: figures[name] - value for name, value in theirs.items() if value is not None}
    return {"paper": theirs, "difference": without_non_finite(apart)}


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _facts(outcomes: Sequence[_Outcome], flags: str) -> dict[str, Any]:
    """What is known of the rows; where they differ, of each."""
    judged = _read(outcomes[0].made[0].evaluation / evaluation_report.JSON_FILE)
    trained = {outcome.row.name: _trained(outcome) for outcome in outcomes}
    hardware = {one.train["hardware"] for outcome in outcomes for one in outcome.made}
    seconds = (
        f"{outcome.row.name} " + ", ".join(_seconds(one) for one in outcome.made)
        for outcome in outcomes
    )
    same = len(set(trained.values())) == 1
    return {
        "trained": next(iter(trained.values()))
        if same
        else "; ".join(f"{name}: {how}" for name, how in trained.items()),
        "flags for all rows": flags or "none",
        "hardware": "; ".join(sorted(hardware)),
        "seconds of training": "; ".join(seconds),
        "test images": judged["images"],
        **({"segmenter": judged["segmenter"]} if judged["segmenter"] else {}),
        **{f"note {number}": note for number, note in enumerate(judged["notes"], 1)},
    }


def _seconds(made: Made) -> str:
    seconds = made.train["seconds"]
    return "unknown" if seconds is None else f"{seconds:.0f}"


def _trained(outcome: _Outcome) -> str:
    one = outcome.options[0]
    seeds = ", ".join(str(options["seed"]) for options in outcome.options)
    return (
        f"{one['max_steps']} steps, batch {one['batch_size']}, {one['crop_size']} pixels, "
        f"ngf {one['ngf']}, ndf {one['ndf']}, {one['precision']}, preset {one['preset']}, "
        f"seed {seeds}"
    )


def _markdown(table: Table, outcomes: Sequence[_Outcome], facts: Mapping[str, Any]) -> str:
    """The table: in each cell ours, the paper's, and the difference; then all figures."""
    lines = [f"## {table.title}", "", *(f"{name}: {fact}  " for name, fact in facts.items()), ""]
    if any(value is not None for outcome in outcomes for value in outcome.row.paper):
        lines += ["Each cell: ours / the paper's (difference).", ""]
    rows = [
        (outcome.row.name, [outcome.figures[name] for name in table.figures], outcome.row.paper)
        for outcome in outcomes
    ]
    if photos := _photos(table, outcomes):
        rows.append(("real photos", list(photos.values()), table.photos))
    lines += _rows(
        table.figures,
        {name: list(map(_cell, ours, paper)) for name, ours, paper in rows},
    )
    names = [name for name in outcomes[0].figures if not name.startswith("photos_")]
    lines += ["", "All figures, with 95 % of samples of the images, or ± over seeds:", ""]
    lines += _rows(
        names,
        {
            outcome.row.name: [
                f"{outcome.figures[name]:.4g}"
                + (f" ({outcome.apart[name]})" if name in outcome.apart else "")
                for name in names
            ]
            for outcome in outcomes
        },
    )
    return "\n".join(lines) + "\n"


def _rows(columns: Sequence[str], rows: Mapping[str, Sequence[str]]) -> list[str]:
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
    table: Table, outcomes: Sequence[_Outcome], facts: Mapping[str, Any], folder: Path
) -> None:
    """Draws the paper's kind of figure: a column a method, the same inputs in each."""
    image_folder = folder / html_page.IMAGE_FOLDER
    image_folder.mkdir(exist_ok=True)
    for path in image_folder.iterdir():
        path.unlink()
    made = {
        outcome.row.name: outcome.made[0].results / html_page.IMAGE_FOLDER for outcome in outcomes
    }
    first = next(iter(made.values()))
    names = [
        path.name.removesuffix("-outputs.png") for path in sorted(first.glob("*-outputs.png"))
    ][:_SHOWN]
    columns = {
        "input": (first, "inputs"),
        **{name: (source, "outputs") for name, source in made.items()},
        "ground truth": (first, "targets"),
    }
    images: dict[str, list[np.ndarray[Any, Any]]] = {column: [] for column in columns}
    rows = [[name] for name in names]
    for number, (column, (source, kind)) in enumerate(columns.items()):
        for row in rows:
            row.append(f"{row[0]}-{number}.png")
            shutil.copyfile(source / f"{row[0]}-{kind}.png", image_folder / row[-1])
            images[column].append(read_image(image_folder / row[-1]))
    image_grid.save_grid(folder / "figure.png", table.title, images, names)
    html_page.write_index(
        folder, table.title, facts, ("name", *columns), rows, image_columns=columns
    )
