"""segmenter.json: what a network that reads labels off photos is."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from p2p_graph.imaging.palettes import Palette
from p2p_graph.utils.atomic_write import write_json
from p2p_graph.utils.errors import UserError

SEGMENTER_FILE = "segmenter.json"


class Facts(NamedTuple):
    """What a trained network is: the contents of segmenter.json.

    Attributes:
      palette: the classes.
      width: channels of its first level.
      size: side of the images that it was trained on, pixels.
      steps: how many training has done.
      scores: on real photos that it has not seen, by name; empty if there were none.
    """

    palette: Palette
    width: int
    size: int
    steps: int
    scores: dict[str, float]

    def save(self, folder: Path) -> None:
        """Writes segmenter.json, whole or not at all."""
        record = {**self._asdict(), "palette": self.palette._asdict()}
        write_json(folder / SEGMENTER_FILE, record)

    @classmethod
    def load(cls, folder: Path) -> "Facts":
        """Reads a folder's segmenter.json.

        Raises:
          UserError: it cannot be read, or is not one.
        """
        path = folder / SEGMENTER_FILE
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            found = record["palette"]
            classes = {name: _colour(colour) for name, colour in found["classes"].items()}
            palette = Palette(found["name"], classes, tuple(map(_colour, found["ignored"])))
            width, size, steps = (int(record[name]) for name in ("width", "size", "steps"))
            if min(width, size) < 1:
                raise ValueError(f"width {width}, size {size}")
            return cls(palette, width, size, steps, dict(record["scores"]))
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror}") from None
        except (ValueError, OverflowError, KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"{path} is not what tools/train_segmenter.py writes: {error!r}"
            ) from None


def _colour(values: Any) -> tuple[int, int, int]:
    red, green, blue = values
    return int(red), int(green), int(blue)
