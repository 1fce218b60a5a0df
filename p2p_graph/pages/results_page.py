"""The page of results: an example a row, with its images and perhaps its figures.

The page is a plain table without JavaScript. With it, rows are sorted and filtered, outputs get a
slider to the target and the difference from it, and images are enlarged.
"""

import json
import math
import os
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from p2p_graph.config.image_size import ImageSize
from p2p_graph.imaging.preview import KINDS
from p2p_graph.pages.html_page import IMAGE_FOLDER, definitions, escaped, write_page

INPUT, OUTPUT, TARGET = KINDS.values()
_SCRIPTS = ("comparison.js", "image_dialog.js", "results_page.js")
_CHUNK = 50  # rows; the script's number, too
_DEFAULT_SIZE = ImageSize(256, 256)  # of rows that are not laid out yet
_DIFFERENCE = "A - B"


class PageImage(NamedTuple):
    """An image of a row.

    Attributes:
      address: relative to the page, percent-encoded, see `relative_address`.
      size: in pixels; with it, nothing on the page moves when the image is there.
    """

    address: str
    size: ImageSize | None = None


class ImageColumn(NamedTuple):
    """A column of images.

    Attributes:
      title: for the reader.
      kind: `INPUT`, `OUTPUT` or `TARGET`: outputs are compared with the row's target.
    """

    title: str
    kind: str


class Figure(NamedTuple):
    """A figure that each row has.

    Attributes:
      name: such as "l1".
      larger_is_better: whether a better output has a larger figure.
    """

    name: str
    larger_is_better: bool


class Row(NamedTuple):
    """An example.

    Attributes:
      name: of the example.
      images: one a column; None where there is none.
      figures: the values of each of the page's figures: one, or those of A and of B.
      anchor: the row's name in addresses; empty for none.
    """

    name: str
    images: Sequence[PageImage | None]
    figures: Sequence[Sequence[float]] = ()
    anchor: str = ""


def write_results_page(
    path: Path,
    title: str,
    metadata: Mapping[str, object],
    columns: Sequence[ImageColumn],
    rows: Sequence[Row],
    figures: Sequence[Figure] = (),
    before: Iterable[str] = (),
) -> None:
    """Writes the page atomically; an earlier page is replaced.

    Args:
      path: of the page.
      title: the page's heading.
      metadata: names and values listed above the table, such as the checkpoint.
      columns: the columns of images.
      rows: the examples.
      figures: what the values of each row's figures are.
      before: lines of HTML between the metadata and the table.

    Raises:
      OSError: the page cannot be written; an earlier page is intact.
    """
    body = [
        *definitions(metadata),
        *before,
        f"{_table_tag(columns, rows, figures)}<thead><tr>",
        *(f"<th>{escaped(text)}</th>" for text in ("name", *(column.title for column in columns))),
        *(["<th>figures</th>"] if figures else []),
        "</tr></thead>",
        *_table_bodies(columns, rows, figures),
        "</table>",
    ]
    write_page(path, title, body, _SCRIPTS)


def relative_address(path: Path, folder: Path) -> str:
    """The address of a file for a page in a folder, percent-encoded.

    Both paths are taken as they are given, with their links: so does who opens the page.
    """
    return urllib.parse.quote(os.fsencode(os.path.relpath(path, folder)))


def own_image(name: str, size: ImageSize | None = None) -> PageImage:
    """An image in the page's folder `images/`."""
    return PageImage(urllib.parse.quote(os.fsencode(f"{IMAGE_FOLDER}/{name}")), size)


def difference(first: float, second: float) -> float:
    """A figure of A less that of B; two infinite ones, of images that equal their target, by 0."""
    return 0.0 if first == second else first - second


def _table_tag(
    columns: Sequence[ImageColumn], rows: Sequence[Row], figures: Sequence[Figure]
) -> str:
    """Opens the table; it tells the script by which values rows are sorted, in their order."""
    sizes = [image.size for row in rows for image in row.images if image and image.size]
    sizes = sizes or [_DEFAULT_SIZE]
    width, height = max(size.width for size in sizes), max(size.height for size in sizes)
    is_compared = any(len(values) > 1 for row in rows[:1] for values in row.figures)
    suffixes = (" of A", " of B", f": {_DIFFERENCE}") if is_compared else ("",)
    sorts = [
        [figure.name + suffix, figure.larger_is_better] for figure in figures for suffix in suffixes
    ]
    style = f"--images: {len(columns)}; --width: {width}px; --height: {height}px"
    if figures:
        style += "; --least: 20.5rem; --side: 23rem" if is_compared else "; --side: 17rem"
    return f'<table class="results" style="{style}" data-sorts="{escaped(json.dumps(sorts))}">'


def _table_bodies(
    columns: Sequence[ImageColumn], rows: Sequence[Row], figures: Sequence[Figure]
) -> Iterator[str]:
    """Yields the rows in chunks: a browser passes over thousands of rows chunk by chunk."""
    for first in range(0, len(rows), _CHUNK):
        of_chunk = rows[first : first + _CHUNK]
        yield f'<tbody style="--rows: {len(of_chunk)}">'
        yield from (_table_row(columns, row, figures) for row in of_chunk)
        yield "</tbody>"


def _table_row(columns: Sequence[ImageColumn], row: Row, figures: Sequence[Figure]) -> str:
    has_target = any(
        image and column.kind == TARGET for column, image in zip(columns, row.images, strict=True)
    )
    cells = [
        _image_cell(column, image, row.name, is_compared=has_target and column.kind == OUTPUT)
        for column, image in zip(columns, row.images, strict=True)
    ]
    tag, values = "<tr", [_with_difference(of_figure) for of_figure in row.figures]
    if row.anchor:
        tag += f' id="{escaped(row.anchor)}"'
    if figures:
        numbers = " ".join(_number(value) for of_figure in values for value in of_figure)
        tag += f' data-values="{numbers}"'
        cells.append(_figures_cell(figures, values))
    return f'{tag}><th scope="row">{escaped(row.name)}</th>{"".join(cells)}</tr>'


def _image_cell(
    column: ImageColumn, image: PageImage | None, name: str, *, is_compared: bool
) -> str:
    if image is None:
        return f'<td class="{column.kind}"></td>'
    address, title, size = escaped(image.address), escaped(column.title), ""
    if image.size:
        size = f' width="{image.size.width}" height="{image.size.height}"'
    return (
        f'<td class="{column.kind}{" compared" * is_compared}" data-title="{title}">'
        f'<a href="{address}"><img src="{address}"{size} loading="lazy" '
        f'alt="{title} of {escaped(name)}"></a></td>'
    )


def _figures_cell(figures: Sequence[Figure], values: Sequence[Sequence[float]]) -> str:
    """Lists the figures as text in columns: elements of their own would be most of a page."""
    lines = [
        [figure.name, *(_shown(value, number) for number, value in enumerate(of_figure))]
        for figure, of_figure in zip(figures, values, strict=True)
    ]
    if any(len(of_figure) > 1 for of_figure in values):
        lines.insert(0, ["", "A", "B", _DIFFERENCE])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    texts = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
    # A parser drops a newline that follows the tag; here it leaves an empty first name alone.
    return '<td class="figures"><pre>\n' + escaped("\n".join(texts)) + "</pre></td>"


def _with_difference(values: Sequence[float]) -> Sequence[float]:
    if len(values) == 1:
        return values
    return *values, difference(*values)


def _shown(value: float, number: int) -> str:
    return f"{value:+.2g}" if number == 2 else f"{value:.4g}"


def _number(value: float) -> str:
    """A number as JavaScript reads it."""
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return "NaN" if math.isnan(value) else repr(float(value))
