"""A PNG grid of images: one line per example, one titled column per kind of image."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from p2p_graph.utils.atomic_write import atomic_write

Array = np.ndarray[Any, Any]

_MARGIN = 4  # pixels between images
_TEXT_HEIGHT = 16  # pixels of a line of text
_INK, _PAPER = (34, 34, 34), (255, 255, 255)


def save_grid(
    path: Path, title: str, columns: Mapping[str, Sequence[Array]], names: Sequence[str]
) -> None:
    """Draws images in columns and writes them to a PNG file atomically.

    Args:
      path: the file.
      title: the line of text at the top.
      columns: column title -> uint8 images [H, W, 3 or 1]; every column has as many images, all
        of one size.
      names: one name per line of the grid, written below its images; surplus names are ignored.

    Raises:
      OSError: the file cannot be written.
    """
    first_column = next(iter(columns.values()))
    height, width = first_column[0].shape[:2]
    names = names[: len(first_column)]
    line_height = height + _TEXT_HEIGHT + _MARGIN
    grid_size = (
        len(columns) * (width + _MARGIN) + _MARGIN,
        2 * _TEXT_HEIGHT + len(names) * line_height + _MARGIN,
    )
    grid = Image.new("RGB", grid_size, _PAPER)
    draw = ImageDraw.Draw(grid)
    draw.text((_MARGIN, 2), title, _INK)
    for column, (label, images) in enumerate(columns.items()):
        left = _MARGIN + column * (width + _MARGIN)
        draw.text((left, _TEXT_HEIGHT + 2), label, _INK)
        for line, image in enumerate(images):
            rgb = np.ascontiguousarray(np.broadcast_to(image, (height, width, 3)))
            grid.paste(Image.fromarray(rgb), (left, 2 * _TEXT_HEIGHT + line * line_height))
    for line, name in enumerate(names):
        top = 2 * _TEXT_HEIGHT + line * line_height + height
        draw.text((_MARGIN, top), _latin1(name), _INK)
    with atomic_write(path) as temporary:
        grid.save(temporary, "PNG")


def _latin1(text: str) -> str:
    """Replaces characters outside Latin-1, which Pillow's built-in font may lack."""
    return text.encode("latin-1", "replace").decode("latin-1")
