"""The page of images that a run leaves: index.html beside a folder `images/`."""

import html
import urllib.parse
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from p2p_graph.utils.atomic_write import atomic_write

INDEX_FILE, IMAGE_FOLDER = "index.html", "images"
# The kinds of images: how file names end, and the column that shows them.
KINDS = {"inputs": "input", "outputs": "output", "targets": "target"}
_STYLE = """
body { font-family: sans-serif; margin: 2em; color: #222; }
table { border-collapse: collapse; }
th, td { padding: 4px 8px; text-align: left; border-bottom: 1px solid #ddd; }
thead th { position: sticky; top: 0; background: #fff; }
dl { display: grid; grid-template-columns: max-content auto; gap: 2px 1em; color: #555; }
dd { margin: 0; }
img { display: block; max-width: 100%; }
"""


def write_index(
    folder: Path,
    title: str,
    facts: Mapping[str, object],
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    images: Collection[str] = tuple(KINDS.values()),
) -> Path:
    """Writes index.html anew, whole or not at all.

    Args:
      folder: where it goes; images are in `images/` beneath it.
      title: the page's heading.
      facts: what the images were made with, shown above them.
      columns: the table's headings.
      rows: its cells.
      images: the headings under which images' names in `images/` stand, or nothing.

    Returns:
      The page's path.
    """
    heading = html.escape(title)
    lines = [
        "<!DOCTYPE html>",
        '<html lang="en">',
        f'<head><meta charset="utf-8"><title>{heading}</title><style>{_STYLE}</style></head>',
        f"<body><h1>{heading}</h1>",
        "<dl>",
        *(f"<dt>{_text(name)}</dt><dd>{_text(fact)}</dd>" for name, fact in facts.items()),
        "</dl>",
        "<table><thead><tr>",
        *(f"<th>{_text(column)}</th>" for column in columns),
        "</tr></thead><tbody>",
    ]
    for row in rows:
        shown = (
            _image(cell) if column in images else _text(cell)
            for column, cell in zip(columns, row, strict=False)
        )
        cells = "".join(f"<td>{cell}</td>" for cell in shown)
        lines.append(f"<tr>{cells}</tr>")
    lines.append("</tbody></table></body></html>")
    path = folder / INDEX_FILE
    with atomic_write(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _text(value: object) -> str:
    return html.escape(str(value))


def _image(name: str) -> str:
    if not name:
        return ""
    source = html.escape(urllib.parse.quote(f"images/{name}"))
    return f'<img src="{source}" alt="{_text(name)}" loading="lazy">'
