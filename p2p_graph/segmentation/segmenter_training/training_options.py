"""Options for training a segmenter. No TensorFlow."""

import dataclasses
from pathlib import Path

import numpy as np

from p2p_graph.config.data_options import DataOptions
from p2p_graph.config.option_fields import check_text
from p2p_graph.config.options import DEFAULTS, Options
from p2p_graph.imaging.palettes import Palette
from p2p_graph.segmentation.segmenter_file import (
    BACKBONES,
    LARGEST_SIZE,
    LARGEST_WIDTH,
    MOST_STEPS,
    SIZE_MULTIPLE,
)
from p2p_graph.utils.errors import UserError, check_bounds

_SMALL_WIDTH, _BACKBONE_WIDTH = 32, 96  # channels
_MOST_PIXELS = 2**31  # that TensorFlow counts in 32 bits
_LARGEST_FLOAT = float(np.finfo(np.float32).max)


@dataclasses.dataclass(frozen=True)
class TrainingOptions:
    """What a segmenter is trained on, and how.

    Attributes:
      input_dir: the folder of training pairs, a photo and its label image side by side.
      val_dir: the folder of validation pairs; None to train without scores.
      palette: the classes and their colours.
      output_dir: the folder for checkpoints and segmenter.json.
      which_direction: "AtoB" if photos are the left halves, "BtoA" if they are the right ones.
      crop_size: height and width of the images, pixels; a multiple of 32.
      backbone: a name in `BACKBONES`: the network stands on published ImageNet weights; None for
        the small FCN, from random weights.
      width: channels of the small FCN's first level, or between a backbone's last convolutions;
        None for the network's default.
      batch_size: images a step.
      max_steps: training steps in total, earlier runs included.
      val_freq: steps between scores of the validation pairs; 0 for scores at the end only.
      lr: Adam's learning rate. With a backbone, it falls linearly to 0 at max_steps, and the
        backbone has a tenth of it.
      seed: seed of the initial weights and the order, crops and flips of the images.

    Raises:
      UserError: a value is out of range.
    """

    input_dir: str
    val_dir: str | None
    palette: Palette
    output_dir: Path
    which_direction: str
    crop_size: int
    backbone: str | None
    width: int | None
    batch_size: int
    max_steps: int
    val_freq: int
    lr: float
    seed: int

    def __post_init__(self) -> None:
        """Checks all values; see `Raises` above."""
        if self.backbone is not None and self.backbone not in BACKBONES:
            raise UserError(f"backbone must be of {', '.join(BACKBONES)}, not {self.backbone!r}")
        check_bounds("width", self.channels, 1, LARGEST_WIDTH)
        check_bounds("max_steps", self.max_steps, 1, MOST_STEPS)
        check_bounds("val_freq", self.val_freq, 0, MOST_STEPS)
        if self.val_freq and self.val_dir is None:
            raise UserError("val_freq is for validation pairs: name their folder (--val_dir)")
        check_bounds("crop_size", self.crop_size, 1, LARGEST_SIZE)
        if self.crop_size % SIZE_MULTIPLE:
            raise UserError(
                f"crop_size must be a multiple of {SIZE_MULTIPLE}, not {self.crop_size}"
            )
        if not abs(self.lr) <= _LARGEST_FLOAT:
            raise UserError(f"lr must be a finite number, not {self.lr}")
        if self.lr <= 0:
            raise UserError(f"lr must be above 0, not {self.lr}")
        self.data(self.input_dir)
        check_text("output_dir", str(self.output_dir))
        if self.batch_size * self.crop_size**2 >= _MOST_PIXELS:
            raise UserError(
                f"a batch must have fewer than {_MOST_PIXELS} pixels: lower crop_size "
                f"({self.crop_size}) or batch_size ({self.batch_size})"
            )

    @property
    def channels(self) -> int:
        """`width`, or the network's default."""
        if self.width is not None:
            return self.width
        return _BACKBONE_WIDTH if self.backbone else _SMALL_WIDTH

    def data(self, folder: str) -> DataOptions:
        """The options of the input graph for a folder of pairs.

        Raises:
          UserError: a value is out of range.
        """
        return Options.of(
            input_dir=folder,
            which_direction=self.which_direction,
            crop_size=self.crop_size,
            # A backbone sees photos that are enlarged, which averaging would give sharp edges.
            resize="bilinear" if self.backbone else DEFAULTS["resize"],
            resize_targets="nearest",
            batch_size=self.batch_size,
            seed=self.seed,
        ).data
