"""The frame of all pages: one file, with its style and scripts inside."""

import functools
import html
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from p2p_graph.utils.atomic_write import atomic_write

INDEX_FILE, IMAGE_FOLDER = "index.html", "images"
_OUTPUT = "-outputs.png"  # ends the name of a translated image


def translated_names(image_folder: Path) -> list[str]:
    """The names of the translated images in a folder: NAME of NAME-outputs.png, sorted."""
    paths = sorted(image_folder.glob(f"*{_OUTPUT}"))
    return [path.name.removesuffix(_OUTPUT) for path in paths]


def is_translated(name: str) -> bool:
    """Whether a file name is that of a translated image."""
    return name.endswith(_OUTPUT)


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


def definitions(values: Mapping[str, object]) -> Iterable[str]:
    """Yields lines of HTML that list names and values, as text."""
    yield "<dl>"
    for name, value in values.items():
        yield f"<dt>{escaped(name)}</dt><dd>{escaped(value)}</dd>"
    yield "</dl>"


def escaped(value: object) -> str:
    """A value as text in HTML, also inside a quoted attribute."""
    return html.escape(str(value))


@functools.cache
def packaged_text(name: str) -> str:
    """The text of a file of this package, such as a stylesheet."""
    return (Path(__file__).parent / name).read_text(encoding="utf-8")
