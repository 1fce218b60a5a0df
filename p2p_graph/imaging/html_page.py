"""The page `index.html` that shows the images in the folder `images/` beside it."""

import html
import urllib.parse
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from p2p_graph.utils.atomic_write import atomic_write

INDEX_FILE, IMAGE_FOLDER = "index.html", "images"
# The kind in a file name, as in NAME-outputs.png -> the title of the column that shows it.
KINDS: Mapping[str, str] = MappingProxyType(
    {"inputs": "input", "outputs": "output", "targets": "target"}
)
_OUTPUT = "-outputs.png"  # ends the name of a translated image
_STYLE = """
body { font-family: sans-serif; margin: 2em; color: #222; }
table { border-collapse: collapse; }
th, td { padding: 4px 8px; text-align: left; border-bottom: 1px solid #ddd; }
thead th { position: sticky; top: 0; background: #fff; }
dl { display: grid; grid-template-columns: max-content auto; gap: 2px 1em; color: #555; }
dd { margin: 0; }
img { display: block; max-width: 100%; }
"""


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
    heading = html.escape(title)
    lines = [
        "<!DOCTYPE html>",
        '<html lang="en">',
        f'<head><meta charset="utf-8"><title>{heading}</title><style>{_STYLE}</style></head>',
        f"<body><h1>{heading}</h1>",
        "<dl>",
        *(f"<dt>{_text(name)}</dt><dd>{_text(value)}</dd>" for name, value in metadata.items()),
        "</dl>",
        "<table><thead><tr>",
        *(f"<th>{_text(column)}</th>" for column in columns),
        "</tr></thead><tbody>",
        *(_table_row(columns, row, image_columns) for row in rows),
        "</tbody></table></body></html>",
    ]
    path = folder / INDEX_FILE
    with atomic_write(path) as temporary:
        # Names of files and folders may hold bytes that are not UTF-8.
        text = "\n".join(lines) + "\n"
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
    return path


def _table_row(columns: Sequence[str], row: Sequence[str], image_columns: Collection[str]) -> str:
    cells = (
        _image(cell) if column in image_columns else _text(cell)
        for column, cell in zip(columns, row, strict=False)
    )
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _text(value: object) -> str:
    return html.escape(str(value))


def _image(name: str) -> str:
    if not name:
        return ""
    source = html.escape(urllib.parse.quote(f"{IMAGE_FOLDER}/{name}"))
    return f'<img src="{source}" alt="{_text(name)}" loading="lazy">'
