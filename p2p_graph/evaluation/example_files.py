"""Evaluation: what metrics say of translated images, of all of them and of the worst and best."""

import concurrent.futures
import csv
import math
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from p2p_graph.data.image_files import Problem, check_images, find_images, find_partners
from p2p_graph.imaging import html_page
from p2p_graph.imaging.image_arrays import read_rgb
from p2p_graph.metrics.bootstrap import intervals
from p2p_graph.metrics.registry import EvaluatedImage, SetMetric
from p2p_graph.utils.atomic_write import atomic_write, write_json
from p2p_graph.utils.errors import UserError, listed, no_folder

Array = np.ndarray[Any, Any]

JSON_FILE, CSV_FILE = "evaluation.json", "images.csv"
_SHOWN = 3  # worst and best images of each metric


class Example(NamedTuple):
    """A translated image and what it should be.

    Attributes:
      name: what it is called.
      output: its file.
      target: the file of what it should be, of the same size.
      input: the file of what it was made from, if that is known.
    """

    name: str
    output: Path
    target: Path
    input: Path | None = None


class Figures(NamedTuple):
    """What a measure says.

    Attributes:
      records: of each image, float64 [n, k].
      of_all: by name.
      intervals: where 95 % of the figures of images drawn anew lie, by name; none for figures
        that are not finite, or of one image.
    """

    records: Array
    of_all: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]


def of_results(folder: Path) -> list[Example]:
    """Lists what `tools/test.py` has written into a folder.

    Raises:
      UserError: that is no such folder, or its images have no targets.
    """
    made = folder / html_page.IMAGE_FOLDER
    if not made.is_dir():
        what = "has no folder images" if folder.is_dir() else no_folder(folder)
        raise UserError(f"results_dir {folder} {what}: name what tools/test.py has written")
    found = [path for path in find_images(made, "results_dir") if path.stem.endswith("-outputs")]
    if not found:
        raise UserError(f"results_dir {folder} holds no images NAME-outputs.png in images")
    examples = []
    for output in found:
        name = output.stem.removesuffix("-outputs")
        target, source = (made / f"{name}-{kind}.png" for kind in ("targets", "inputs"))
        examples.append(Example(name, output, target, source if source.is_file() else None))
    if lost := [example.name for example in examples if not example.target.is_file()]:
        raise UserError(
            f"{len(lost)} of {len(examples)} images in {folder} have no target ({lost[0]}): "
            "translate pairs, not inputs alone"
        )
    return _checked(examples)


def of_folders(outputs: Path, targets: Path, inputs: Path | None = None) -> list[Example]:
    """Pairs the images of two folders, or three, by name.

    Raises:
      UserError: they do not fit together.
    """
    found = find_images(outputs, "outputs_dir")
    wanted = find_images(targets, "targets_dir")
    if len(found) != len(wanted):
        raise UserError(
            f"outputs_dir {outputs} holds {len(found)} images, targets_dir {targets} "
            f"{len(wanted)}: give folders of the same images"
        )
    partners = [find_partners(found, targets, "targets_dir")]
    if inputs:
        partners.append(find_partners(found, inputs, "inputs_dir"))
    examples = []
    for output, *others in zip(found, *partners, strict=True):
        for other in others:
            if isinstance(other, Problem):
                raise UserError(f"{output} {other.text}")
        paths = [other for other in others if isinstance(other, Path)]
        examples.append(Example(output.stem, output, *paths))
    return _checked(examples)


def _checked(examples: list[Example]) -> list[Example]:
    """Decodes every image, before the long work starts."""
    pairs = [(each.output, each.target) for each in examples]
    inputs = [(each.input, None) for each in examples if each.input]
    _, bad = check_images([*pairs, *inputs], pairs=False)
    if bad:
        raise UserError(
            f"{len(bad)} images cannot be evaluated; mend or remove them:\n{listed(bad)}"
        )
    return examples


def read(path: Path) -> Array:
    """Decodes an image to uint8 RGB [H, W, 3].

    Raises:
      UserError: it cannot be read or decoded.
    """
    try:
        return read_rgb(path)
    except UserError as error:
        raise UserError(f"{path} {error}") from None


def measured(
    examples: Sequence[Example],
    measures: Mapping[str, SetMetric],
    repetitions: int,
    seed: int,
) -> dict[str, Figures]:
    """Looks at every image once, and says what each measure makes of all.

    Args:
      examples: the images.
      measures: by name.
      repetitions: of the bootstrap; 0 for no intervals.
      seed: of the bootstrap.
    """
    rows: dict[str, list[Array]] = {name: [] for name in measures}

    def look(example: Example) -> dict[str, Array]:
        paths = (example.output, example.target, example.input)
        shown = EvaluatedImage(example.name, *(read(path) for path in paths if path))
        try:
            return {name: measure.record(shown) for name, measure in measures.items()}
        except UserError as error:
            raise UserError(f"image {example.name}: {error}") from None

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        looks = pool.map(look, examples)
        hidden = not sys.stderr.isatty()
        for found in tqdm(looks, "evaluating", len(examples), disable=hidden, unit="image"):
            for name, row in found.items():
                rows[name].append(row)
    result = {}
    for name, measure in measures.items():
        table = np.stack(rows[name])
        within: Mapping[str, tuple[float, float]] = {}
        if repetitions and len(examples) > 1 and np.isfinite(table).all():
            within = intervals(table, measure.figures, repetitions, seed)
        result[name] = Figures(table, measure.figures(table.mean(0)), within)
    return result


def table(figures: Mapping[str, float], within: Mapping[str, tuple[float, float]]) -> str:
    """Draws figures as a table in Markdown."""
    lines = ["| metric | value | 95% of samples |", "| --- | --- | --- |"]
    for name, value in figures.items():
        low, high = within.get(name, (math.nan, math.nan))
        interval = f"{low:.4g} to {high:.4g}" if math.isfinite(low) else ""
        lines.append(f"| {name} | {value:.4g} | {interval} |")
    return "\n".join(lines)


def check_folder(folder: Path, examples: Sequence[Example]) -> None:
    """Refuses a folder for what is written, before the long work starts.

    Raises:
      UserError: it cannot be written, or holds a page or images that are no evaluation's.
    """
    files = (path for e in examples for path in (e.output, e.target, e.input) if path)
    if (folder / html_page.IMAGE_FOLDER).resolve() in {path.parent.resolve() for path in files}:
        raise UserError(
            f"output_dir {folder} holds the images in {html_page.IMAGE_FOLDER}: name another folder"
        )
    is_ours = any((folder / name).exists() for name in (JSON_FILE, CSV_FILE))
    others = [
        name for name in (html_page.INDEX_FILE, html_page.IMAGE_FOLDER) if (folder / name).exists()
    ]
    if others and not is_ours:
        raise UserError(
            f"output_dir {folder} holds {others[0]}, which is not an evaluation's: name another "
            "folder"
        )
    check_writable(folder, f"output_dir {folder}")


def check_writable(folder: Path, what: str) -> None:
    """Refuses a folder that cannot be made or written to.

    Raises:
      UserError: it cannot; `what` it is to hold stands first.
    """
    there = next(path for path in (folder, *folder.resolve().parents) if path.exists())
    if not (there.is_dir() and os.access(there, os.W_OK)):
        why = "may not be written" if there.is_dir() else "is a file"
        raise UserError(f"{what} cannot be written: {there} {why}")


def write(
    folder: Path,
    facts: Mapping[str, Any],
    examples: Sequence[Example],
    measures: Mapping[str, SetMetric],
    found: Mapping[str, Figures],
) -> None:
    """Writes evaluation.json, images.csv, and a page of the worst and best images.

    Raises:
      UserError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        figures = {
            name: [measure.figures(record) for record in found[name].records]
            for name, measure in measures.items()
        }
        _write_csv(folder / CSV_FILE, _by_image(examples, figures))
        (folder / html_page.IMAGE_FOLDER).mkdir(exist_ok=True)
        html_page.write_index(
            folder,
            "The worst and the best images",
            {
                **{name: value for name, value in facts.items() if isinstance(value, str | int)},
                **{f"note {number}": note for number, note in enumerate(facts["notes"], 1)},
            },
            ("metric", "rank", "value", "name", "input", "output", "target"),
            _extremes(folder, examples, measures, figures),
        )
        write_json(folder / JSON_FILE, finite(facts))
    except OSError as error:
        raise UserError(f"output_dir {folder} cannot be written: {error.strerror}") from None


def _by_image(
    examples: Sequence[Example], figures: Mapping[str, Sequence[Mapping[str, float]]]
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [{"name": example.name} for example in examples]
    for of_images in figures.values():
        for row, found in zip(rows, of_images, strict=True):
            row |= found
    return rows


def _write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _extremes(
    folder: Path,
    examples: Sequence[Example],
    measures: Mapping[str, SetMetric],
    figures: Mapping[str, Sequence[Mapping[str, float]]],
) -> list[list[str]]:
    """The page's rows; copies the images that they show."""
    rows = []
    for path in (folder / html_page.IMAGE_FOLDER).iterdir():
        if path.stem.endswith(tuple(f"-{kind}" for kind in html_page.KINDS)):
            path.unlink()
    for name, measure in measures.items():
        values = [next(iter(found.items())) for found in figures[name]]
        order = sorted(
            (i for i, (_, value) in enumerate(values) if not math.isnan(value)),
            key=lambda i: values[i][1],
            reverse=not measure.larger_is_better,
        )
        ranked = [(f"{rank}. worst", i) for rank, i in enumerate(order[:_SHOWN], 1)]
        left = order[_SHOWN:]
        ranked += [(f"{rank}. best", i) for rank, i in enumerate(left[: -_SHOWN - 1 : -1], 1)]
        for rank, i in ranked:
            figure, value = values[i]
            row = [figure, rank, f"{value:.4g}", examples[i].name]
            example = examples[i]
            for kind in html_page.KINDS:
                source: Path | None = getattr(example, kind)
                row.append("")
                if source:
                    row[-1] = f"{example.name}-{kind}{source.suffix}"
                    shutil.copyfile(source, folder / html_page.IMAGE_FOLDER / row[-1])
            rows.append(row)
    return rows


def finite(value: Any) -> Any:
    """The same with None for what JSON does not have: infinity, and what is not a number."""
    if isinstance(value, Mapping):
        return {name: finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
