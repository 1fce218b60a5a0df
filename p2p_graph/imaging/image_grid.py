"""A grid of images in one file: a row an image, and above each column what it shows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from p2p_graph.utils.atomic_write import atomic_write

_MARGIN = 4  # pixels between images
_LINE = 16  # pixels of a line of text
_INK, _PAPER = (34, 34, 34), (255, 255, 255)


def save_grid(
    path: Path,
    title: str,
    columns: Mapping[str, Sequence["np.ndarray[Any, Any]"]],
    names: Sequence[str],
) -> None:
    """Draws images in columns and writes them to a PNG file, whole or not at all.

    Args:
      path: the file.
      title: stands above all.
      columns: uint8 images [H, W, 3 or 1] by what they are; as many and as large in each.
      names: of the rows, or of more.
    """
    first = next(iter(columns.values()))[0]
    height, width = first.shape[:2]
    names = names[: len(next(iter(columns.values())))]
    step = height + _LINE + _MARGIN
    size = (
        len(columns) * (width + _MARGIN) + _MARGIN,
        2 * _LINE + len(names) * step + _MARGIN,
    )
    grid = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(grid)
    draw.text((_MARGIN, 2), title, _INK)
    for column, (label, images) in enumerate(columns.items()):
        left = _MARGIN + column * (width + _MARGIN)
        draw.text((left, _LINE + 2), label, _INK)
        for row, image in enumerate(images):
            values = np.broadcast_to(image, (height, width, 3))
            grid.paste(
                Image.fromarray(np.ascontiguousarray(values)), (left, 2 * _LINE + row * step)
            )
    for row, name in enumerate(names):
        draw.text((_MARGIN, 2 * _LINE + row * step + height), _drawable(name), _INK)
    with atomic_write(path) as temporary:
        grid.save(temporary, "PNG")


def _drawable(text: str) -> str:
    """Pillow's own font may hold Latin letters alone."""
    return text.encode("latin-1", "replace").decode("latin-1")
