"""From the networks' values to pictures that people look at."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow.compat.v1 as tf
from PIL import Image

from p2p_graph import color
from p2p_graph.config import Config
from p2p_graph.inputs import Batch

_COMPRESSION = 2  # of PNGs: files as large as at Pillow's 6, but for 3 %, in a third of the time
KINDS = ("inputs", "outputs", "targets")


def to_rgb(batch: Batch, outputs: tf.Tensor, config: Config) -> dict[str, tf.Tensor]:
    """Undoes what the input graph did: values become pictures.

    With Lab, outputs are shown in colour with the true brightness, or as the brightness they are.

    Args:
      batch: inputs and targets in [-1, 1].
      outputs: float32 [N, H, W, C_out] in [-1, 1].
      config: lab_colorization and which_direction.

    Returns:
      float32 [N, H, W, 3 or 1] in [0, 1] for each of `KINDS`; no targets where the batch has none.
    """
    inputs, targets = batch.inputs, batch.targets
    if not config.lab_colorization:
        pictures = {"inputs": inputs, "outputs": outputs, "targets": targets}
        return {kind: (p + 1) / 2 for kind, p in pictures.items() if p is not None}
    assert targets is not None
    if config.which_direction == "AtoB":
        return {
            "inputs": (inputs + 1) / 2,
            "outputs": color.join_lab(inputs, outputs),
            "targets": color.join_lab(inputs, targets),
        }
    return {
        "inputs": color.join_lab(targets, inputs),
        "outputs": (outputs + 1) / 2,
        "targets": (targets + 1) / 2,
    }


def to_bytes(pictures: Mapping[str, tf.Tensor], config: Config) -> dict[str, tf.Tensor]:
    """Stretches pictures to `aspect_ratio` and makes them uint8 [N, H, W', C] in [0, 255]."""
    converted = {}
    for kind, picture in pictures.items():
        with tf.name_scope(f"convert_{kind}"):
            if config.aspect_ratio != 1.0:
                size = [config.crop_size, round(config.crop_size * config.aspect_ratio)]
                picture = tf.image.resize_images(picture, size, tf.image.ResizeMethod.BICUBIC)
            converted[kind] = tf.image.convert_image_dtype(picture, tf.uint8, saturate=True)
    return converted


def save_png(path: Path, picture: "np.ndarray[Any, Any]") -> None:
    """Writes uint8 [H, W, 3 or 1] to a PNG file."""
    image = Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture)
    image.save(path, "PNG", compress_level=_COMPRESSION)
