"""segmenter.json: what is known of a trained segmenter. No TensorFlow."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from p2p_graph.imaging.palettes import Palette
from p2p_graph.utils.atomic_write import write_json
from p2p_graph.utils.errors import UserError, why_not_written
from p2p_graph.utils.outside_files import damage_reported, read_bytes

SEGMENTER_FILE = "segmenter.json"
BACKBONES = ("efficientnet_lite0",)
SIZE_MULTIPLE = 32  # every network halves an image's height and width five times
LARGEST_SIZE = 2**16  # pixels
LARGEST_WIDTH = 2**12  # channels
MOST_STEPS = 10**12
_MOST_CLASSES = 255  # as in `palettes.load`
_LARGEST = 2**26  # bytes of the file


class Metadata(NamedTuple):
    """The contents of segmenter.json.

    Attributes:
      palette: the classes and their colours.
      width: channels of the small FCN's first level, or between a backbone's last convolutions.
      size: height and width of the training images, pixels; a multiple of 32.
      steps: training steps so far.
      scores: metrics of the validation pairs by name; empty without validation.
      backbone: a name in `BACKBONES`; None for the small FCN.
      training: the options that decide the weights, besides the ones above, and the images'
        `names_digest`; empty if the file is of a version that did not save them.
    """

    palette: Palette
    width: int
    size: int
    steps: int
    scores: dict[str, float]
    backbone: str | None = None
    training: Mapping[str, float | str] = MappingProxyType({})

    def save(self, folder: Path) -> None:
        """Writes segmenter.json atomically.

        Raises:
          UserError: it cannot be written.
        """
        record = {
            **self._asdict(),
            "palette": self.palette._asdict(),
            "training": dict(self.training),
        }
        try:
            write_json(folder / SEGMENTER_FILE, record)
        except OSError as error:
            raise UserError(
                f"output_dir {folder} cannot be written ({SEGMENTER_FILE}): "
                f"{why_not_written(error)}"
            ) from None

    @classmethod
    def load(cls, folder: Path) -> "Metadata":
        """Reads a folder's segmenter.json.

        Raises:
          UserError: the file cannot be read, or has other contents.
        """
        path = folder / SEGMENTER_FILE
        with damage_reported(path, "what tools/train_segmenter.py writes"):
            record = json.loads(read_bytes(path, _LARGEST).decode("utf-8-sig"))
            palette = _palette(record["palette"])
            width = _integer(record, "width", 1, LARGEST_WIDTH)
            size = _integer(record, "size", SIZE_MULTIPLE, LARGEST_SIZE)
            steps = _integer(record, "steps", 0, MOST_STEPS)
            scores = {name: _score(score) for name, score in record["scores"].items()}
            backbone = record.get("backbone")
            if backbone is not None and backbone not in BACKBONES:
                raise ValueError(f"its backbone is not of {', '.join(BACKBONES)}")
            training = {name: _option(v) for name, v in record.get("training", {}).items()}
        if size % SIZE_MULTIPLE:
            raise UserError(f"{path}: size must be a multiple of {SIZE_MULTIPLE}, not {size}")
        return cls(palette, width, size, steps, scores, backbone, training)


def _integer(record: Mapping[str, Any], name: str, least: int, most: int) -> int:
    value = record[name]
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{name} is no integer from {least} to {most}")
    return value


def _score(value: Any) -> float:
    if type(value) not in (int, float):
        raise ValueError("a score is no number")
    return float(value)


def _option(value: Any) -> float | str:
    if type(value) not in (int, float, str):
        raise ValueError("an option is neither a number nor a text")
    option: float | str = value
    return option


def _palette(record: Mapping[str, Any]) -> Palette:
    name, ignored = record["name"], tuple(map(_colour, record["ignored"]))
    classes = {name: _colour(colour) for name, colour in record["classes"].items()}
    colours = [*classes.values(), *ignored]
    if not isinstance(name, str) or not 2 <= len(classes) <= _MOST_CLASSES:
        raise ValueError(f"its palette has no name, or not 2 to {_MOST_CLASSES} classes")
    if len(set(colours)) < len(colours):
        raise ValueError("its palette has a colour twice")
    return Palette(name, classes, ignored)


def _colour(values: Any) -> tuple[int, int, int]:
    red, green, blue = values
    if any(type(value) is not int or not 0 <= value <= 255 for value in (red, green, blue)):
        raise ValueError("a colour is not of integers from 0 to 255")
    return red, green, blue
