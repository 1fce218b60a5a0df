"""A PNG grid of images: one line per example, one titled column per kind of image."""

import itertools
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
      columns: column title -> uint8 images [H, W, 1, 3 or 4]; every column has as many images, and
        the images of a line have one size.
      names: one name per line of the grid, written below its images; surplus names are ignored.

    Raises:
      OSError: the file cannot be written.
    """
    sizes = [image.shape[:2] for image in next(iter(columns.values()))]
    column_width = max(width for _, width in sizes) + _MARGIN
    # The first row of pixels of each line, and of what would follow.
    line_heights = [height + _TEXT_HEIGHT + _MARGIN for height, _ in sizes]
    tops = list(itertools.accumulate(line_heights, initial=2 * _TEXT_HEIGHT))
    grid_size = len(columns) * column_width + _MARGIN, tops[-1] + _MARGIN
    grid = Image.new("RGB", grid_size, _PAPER)
    draw = ImageDraw.Draw(grid)
    draw.text((_MARGIN, 2), title, _INK)
    for column, (label, images) in enumerate(columns.items()):
        left = _MARGIN + column * column_width
        draw.text((left, _TEXT_HEIGHT + 2), label, _INK)
        for image, top in zip(images, tops, strict=False):
            if image.shape[-1] == 4:
                shown = Image.fromarray(image)
                grid.paste(shown, (left, top), mask=shown)  # on paper
                continue
            rgb = np.ascontiguousarray(np.broadcast_to(image, (*image.shape[:2], 3)))
            grid.paste(Image.fromarray(rgb), (left, top))
    for (height, _), top, name in zip(sizes, tops, names, strict=False):
        draw.text((_MARGIN, top + height), _latin1(name), _INK)
    with atomic_write(path) as temporary:
        grid.save(temporary, "PNG")


def _latin1(text: str) -> str:
    """Replaces characters outside Latin-1, which Pillow's built-in font may lack."""
    return text.encode("latin-1", "replace").decode("latin-1")
