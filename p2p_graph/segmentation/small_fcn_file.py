"""segmenter.json: what is known of a trained small FCN. No TensorFlow."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from p2p_graph.imaging.palettes import Palette
from p2p_graph.utils.atomic_write import write_json
from p2p_graph.utils.errors import UserError
from p2p_graph.utils.outside_files import damage_reported, read_bytes

SEGMENTER_FILE = "segmenter.json"
SIZE_MULTIPLE = 32  # the network halves an image's height and width five times


class Metadata(NamedTuple):
    """The contents of segmenter.json.

    Attributes:
      palette: the classes and their colours.
      width: channels of the network's first level.
      size: height and width of the training images, pixels; a multiple of 32.
      steps: training steps so far.
      scores: metrics of the validation pairs by name; empty without validation.
    """

    palette: Palette
    width: int
    size: int
    steps: int
    scores: dict[str, float]

    def save(self, folder: Path) -> None:
        """Writes segmenter.json atomically."""
        record = {**self._asdict(), "palette": self.palette._asdict()}
        write_json(folder / SEGMENTER_FILE, record)

    @classmethod
    def load(cls, folder: Path) -> "Metadata":
        """Reads a folder's segmenter.json.

        Raises:
          UserError: the file cannot be read, or has other contents.
        """
        path = folder / SEGMENTER_FILE
        with damage_reported(path, "what tools/train_segmenter.py writes"):
            record = json.loads(read_bytes(path))
            found = record["palette"]
            classes = {name: _colour(colour) for name, colour in found["classes"].items()}
            palette = Palette(found["name"], classes, tuple(map(_colour, found["ignored"])))
            width, size, steps = (int(record[name]) for name in ("width", "size", "steps"))
            if min(width, size) < 1:
                raise ValueError(f"width {width}, size {size}")
            metadata = cls(palette, width, size, steps, dict(record["scores"]))
        if metadata.size % SIZE_MULTIPLE:
            raise UserError(f"{path}: size must be a multiple of {SIZE_MULTIPLE}, not {size}")
        return metadata


def _colour(values: Any) -> tuple[int, int, int]:
    red, green, blue = values
    return int(red), int(green), int(blue)
