"""A confusion matrix drawn with Pillow as a PNG image."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from p2p_graph.utils.atomic_write import atomic_write

Array = np.ndarray[Any, Any]

_CELL = 30  # pixels, the side of a cell
_MARGIN = 8  # pixels
_TEXT_SIZE = 12  # pixels
_INK, _PAPER = (34, 34, 34), (255, 255, 255)
_DARK = np.array([8, 48, 107])  # the colour of a share of 1; a share of 0 is white
_LEAST_SHOWN = 0.005  # a smaller share rounds to 0 % and is left without a number
_TITLE = "rows: true class; columns: predicted class; percent of the true class's pixels"


def save_confusion_matrix(path: Path, matrix: Array, class_names: Sequence[str]) -> None:
    """Draws a confusion matrix in percent of each true class and writes a PNG file atomically.

    Args:
      path: the PNG file.
      matrix: counts [C, C + 1], from `metrics.label_scores.confusion_matrix`.
      class_names: C names.

    Raises:
      OSError: the file cannot be written; an earlier file is intact.
    """
    totals = matrix.sum(1, keepdims=True)
    shares = np.divide(matrix, totals, out=np.zeros_like(matrix, float), where=totals > 0)
    column_names = [*class_names, "none"]
    font = ImageFont.load_default(_TEXT_SIZE)
    label_width = max(int(font.getlength(name)) for name in column_names) + 2 * _MARGIN
    top = label_width + _TEXT_SIZE + _MARGIN
    width = max(label_width + len(column_names) * _CELL, _MARGIN + int(font.getlength(_TITLE)) + 1)
    size = (width + _MARGIN, top + len(class_names) * _CELL + _MARGIN)
    image = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(image)
    draw.text((_MARGIN, _MARGIN // 2), _TITLE, _INK, font)
    for column, name in enumerate(column_names):
        label = _vertical_label(name, label_width, font)
        image.paste(label, (label_width + column * _CELL, top - label_width))
    for row, name in enumerate(class_names):
        cell_top = top + row * _CELL
        draw.text((_MARGIN, cell_top + (_CELL - _TEXT_SIZE) // 2), name, _INK, font)
        for column, share in enumerate(shares[row]):
            _draw_cell(draw, (label_width + column * _CELL, cell_top), share, font)
    with atomic_write(path) as temporary:
        image.save(temporary, "PNG")


def _vertical_label(name: str, width: int, font: Any) -> Image.Image:
    """Draws a name that reads upwards, [width, _CELL] pixels."""
    label = Image.new("RGB", (width, _CELL), _PAPER)
    ImageDraw.Draw(label).text((_MARGIN, (_CELL - _TEXT_SIZE) // 2), name, _INK, font)
    return label.transpose(Image.Transpose.ROTATE_90)


def _draw_cell(draw: ImageDraw.ImageDraw, corner: tuple[int, int], share: float, font: Any) -> None:
    """Draws a cell, its upper left corner at x, y: a shade for a share in [0, 1], and percent."""
    left, top = corner
    shade = tuple(np.rint(255 + (_DARK - 255) * share).astype(int).tolist())
    draw.rectangle((left, top, left + _CELL - 1, top + _CELL - 1), shade)
    if share >= _LEAST_SHOWN:
        text = f"{100 * share:.0f}"
        position = left + (_CELL - font.getlength(text)) / 2, top + (_CELL - _TEXT_SIZE) // 2
        draw.text(position, text, _PAPER if share > 0.5 else _INK, font)
