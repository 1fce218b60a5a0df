"""A LiteRT model of tools/export.py, called as a `Generator` is called with image files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow.compat.v1 as tf

from p2p_graph.config.options import Options
from p2p_graph.config.options_file import read_options
from p2p_graph.inference import model_card
from p2p_graph.inference.image_values import ImageValues
from p2p_graph.runtime import devices
from p2p_graph.utils import signals
from p2p_graph.utils.cores import available_cores
from p2p_graph.utils.errors import UserError
from p2p_graph.utils.outside_files import damage_reported, read_bytes, read_json

Array = np.ndarray[Any, Any]

SUFFIX = ".tflite"
_MISSING = "needs the package ai-edge-litert: pip install -c constraints.txt -e '.[litert]'"


class LitertGenerator:
    """Translates images of one size with the dropout masks of one seed; for one thread at a time.

    Attributes:
      data: the options of its images.
      channels: of images that it takes, and of images that it gives.
      direction: "AtoB" or "BtoA".
      steps: how many steps it was trained.
      fixed_seed: of the dropout masks; None without dropout.
    """

    def __init__(self, path: Path) -> None:
        """Loads the model; the files that tools/export.py wrote beside it describe it.

        Args:
          path: of a .tflite file.

        Raises:
          UserError: the file is damaged, or not in a folder of tools/export.py, or the package
            ai-edge-litert is not installed, or the model takes CIE Lab.
        """
        record = _record_of(path)
        options = Options.of(**read_options(path.parent))
        self.data, task = options.data, options.data.task
        self.channels = record["input"]["channels"], record["output"]["channels"]
        self.direction, self.steps = task.which_direction, record["steps"]
        self.fixed_seed = options.run.seed if options.model.generator.dropout else None
        if task.lab_colorization:
            raise UserError(f"checkpoint {path} colours images in CIE Lab: name the run itself")
        self._model = _runner_of(path)
        with signals.held(), tf.Graph().as_default():
            self._values = ImageValues(self.data, self.channels[0], 1, self._run)
            self._session = tf.Session(config=devices.choose("cpu").config)

    def __call__(self, images: bytes, *, seed: int | None = None) -> Array:
        """Translates an image file.

        Args:
          images: contents of the file.
          seed: of the dropout masks, which must be the model's own; None for it.

        Returns:
          uint8 [H, W, C].

        Raises:
          UserError: the file is damaged, or the model has other masks.
        """
        if self.fixed_seed is not None and seed not in (None, self.fixed_seed):
            raise UserError(f"the model has the dropout masks of seed {self.fixed_seed} alone")
        values = self._values.of_file(images, self.data.scaling.crop_size)
        outputs = self._model(images=(values[None] + 1) / 2)["outputs"][0]
        # As tf.image.convert_image_dtype with saturation.
        integers: Array = np.clip(outputs * np.float32(255.5), 0, 255).astype(np.uint8)
        return integers

    def _run(self, fetch: tf.Tensor, feed: Mapping[tf.Tensor, Any]) -> Array:
        found: Array = self._session.run(fetch, feed)
        return found


def _record_of(path: Path) -> Mapping[str, Any]:
    """What export.json says of the model."""
    file = path.parent / model_card.RECORD_FILE
    record: dict[str, Any] = read_json(file) if model_card.is_record(file) else {}
    formats = record.get("formats")
    if not isinstance(formats, dict) or path.name not in formats.values() or "steps" not in record:
        raise UserError(
            f"checkpoint {path} is no model in a folder that tools/export.py wrote: name one there"
        )
    return record


def _runner_of(path: Path) -> Any:
    """The model's function from images to outputs."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        raise UserError(f"checkpoint {path} {_MISSING}") from None
    try:
        with damage_reported(path):
            contents = read_bytes(path)
        return Interpreter(
            model_content=contents, num_threads=available_cores()
        ).get_signature_runner()
    except FileNotFoundError:
        raise UserError(f"checkpoint {path} does not exist") from None
    except (ValueError, RuntimeError):
        raise UserError(
            f"checkpoint {path} is damaged: write it again by tools/export.py"
        ) from None
