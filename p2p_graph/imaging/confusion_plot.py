"""Figures drawn with Pillow: which class was taken for which."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from p2p_graph.utils.atomic_write import atomic_write

_CELL = 30  # pixels
_MARGIN = 8
_INK, _PAPER = (34, 34, 34), (255, 255, 255)
_DARK = np.array([8, 48, 107])  # of a share of 1; white is 0
_SIZE = 12  # of the text
_TITLE = "rows: what is there; columns: what it was taken for; percent of the row"


def save_matrix(path: Path, matrix: "np.ndarray[Any, Any]", names: Sequence[str]) -> None:
    """Draws a confusion matrix, each row as shares of its class, in percent; whole or not at all.

    Args:
      path: the PNG file.
      matrix: counts [C, C + 1], from `metrics.labels.confusion`.
      names: of the C classes.
    """
    columns = [*names, "none"]
    totals = matrix.sum(1, keepdims=True)
    shares = np.divide(matrix, totals, out=np.zeros_like(matrix, float), where=totals > 0)
    font = ImageFont.load_default(_SIZE)
    beside = max(int(font.getlength(name)) for name in columns) + 2 * _MARGIN
    above = beside + _SIZE + _MARGIN
    width = max(beside + len(columns) * _CELL, _MARGIN + int(font.getlength(_TITLE)) + 1) + _MARGIN
    size = (width, above + len(names) * _CELL + _MARGIN)
    image = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(image)
    draw.text((_MARGIN, _MARGIN // 2), _TITLE, _INK, font)
    for column, name in enumerate(columns):
        label = Image.new("RGB", (beside, _CELL), _PAPER)
        ImageDraw.Draw(label).text((_MARGIN, (_CELL - _SIZE) // 2), name, _INK, font)
        standing = label.transpose(Image.Transpose.ROTATE_90)
        image.paste(standing, (beside + column * _CELL, above - beside))
    for row, name in enumerate(names):
        top = above + row * _CELL
        draw.text((_MARGIN, top + (_CELL - _SIZE) // 2), name, _INK, font)
        for column, share in enumerate(shares[row]):
            left = beside + column * _CELL
            shade = tuple(np.rint(255 + (_DARK - 255) * share).astype(int).tolist())
            draw.rectangle((left, top, left + _CELL - 1, top + _CELL - 1), shade)
            if share >= 0.005:
                text = f"{100 * share:.0f}"
                place = (
                    left + (_CELL - font.getlength(text)) / 2,
                    top + (_CELL - _SIZE) // 2,
                )
                draw.text(place, text, _PAPER if share > 0.5 else _INK, font)
    with atomic_write(path) as temporary:
        image.save(temporary, "PNG")
