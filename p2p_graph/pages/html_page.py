"""The page `index.html` that shows the images in the folder `images/` beside it."""

import functools
import html
import urllib.parse
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from p2p_graph.imaging.preview import KINDS
from p2p_graph.utils.atomic_write import atomic_write

INDEX_FILE, IMAGE_FOLDER = "index.html", "images"
_OUTPUT = "-outputs.png"  # ends the name of a translated image


def translated_names(image_folder: Path) -> list[str]:
    """The names of the translated images in a folder: NAME of NAME-outputs.png, sorted."""
    paths = sorted(image_folder.glob(f"*{_OUTPUT}"))
    return [path.name.removesuffix(_OUTPUT) for path in paths]


def write_index(
    folder: Path,
    title: str,
    metadata: Mapping[str, object],
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    image_columns: Collection[str] = tuple(KINDS.values()),
) -> Path:
    """Writes index.html atomically; an earlier page is replaced.

    Args:
      folder: where the page goes; its images lie in `images/` below.
      title: the page's heading.
      metadata: names and values listed above the table, such as the checkpoint.
      columns: the table's column titles.
      rows: the table's cells, row by row.
      image_columns: titles of the columns whose cells name files in `images/`; an empty cell
        shows no image.

    Returns:
      The page's path.

    Raises:
      OSError: the page cannot be written; an earlier page is intact.
    """
    path = folder / INDEX_FILE
    body = [
        "<dl>",
        *(f"<dt>{escaped(name)}</dt><dd>{escaped(value)}</dd>" for name, value in metadata.items()),
        "</dl>",
        "<table><thead><tr>",
        *(f"<th>{escaped(column)}</th>" for column in columns),
        "</tr></thead><tbody>",
        *(_table_row(columns, row, image_columns) for row in rows),
        "</tbody></table>",
    ]
    write_page(path, title, body)
    return path


def write_page(
    path: Path,
    title: str,
    body: Iterable[str],
    scripts: Sequence[str] = (),
    head: Sequence[str] = (),
) -> None:
    """Writes a page atomically, as one file: style and scripts are inside.

    Args:
      path: of the page; an earlier page is replaced.
      title: the page's heading, as text.
      body: lines of HTML below the heading.
      scripts: names of JavaScript files of this package, which run in this order at the end.
      head: further lines of HTML in the page's head.

    Raises:
      OSError: the page cannot be written; an earlier page is intact.
    """
    heading = escaped(title)
    lines = [
        "<!DOCTYPE html>",
        '<html lang="en">',
        '<head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{heading}</title><style>{packaged_text('style.css')}</style>",
        *head,
        "</head>",
        f"<body><main><h1>{heading}</h1>",
        *body,
        "</main>",
        *(f"<script>{packaged_text(name)}</script>" for name in scripts),
        "</body></html>",
    ]
    with atomic_write(path) as temporary:
        # Names of files and folders may hold bytes that are not UTF-8.
        text = "\n".join(lines) + "\n"
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def escaped(value: object) -> str:
    """A value as text in HTML, also inside a quoted attribute."""
    return html.escape(str(value))


def image_source(name: str) -> str:
    """The address of a file in the page's folder `images/`, for an attribute."""
    return escaped(urllib.parse.quote(f"{IMAGE_FOLDER}/{name}"))


@functools.cache
def packaged_text(name: str) -> str:
    """The text of a file of this package, such as a stylesheet."""
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


def _table_row(columns: Sequence[str], row: Sequence[str], image_columns: Collection[str]) -> str:
    cells = (
        _image(cell) if column in image_columns else escaped(cell)
        for column, cell in zip(columns, row, strict=False)
    )
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _image(name: str) -> str:
    if not name:
        return ""
    return f'<img src="{image_source(name)}" alt="{escaped(name)}" loading="lazy">'
