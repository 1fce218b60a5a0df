"""From the networks' values to images that people look at."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow.compat.v1 as tf
from PIL import Image

from p2p_graph.config.options import Config
from p2p_graph.data import lab_color
from p2p_graph.data.input_graph import Batch

_COMPRESSION = 2  # of PNGs: files as large as at Pillow's 6, but for 3 %, in a third of the time
KINDS = ("inputs", "outputs", "targets")


def to_rgb(batch: Batch, outputs: tf.Tensor, config: Config) -> dict[str, tf.Tensor]:
    """Undoes what the input graph did: values become images.

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
        images = {"inputs": inputs, "outputs": outputs, "targets": targets}
        return {kind: (p + 1) / 2 for kind, p in images.items() if p is not None}
    assert targets is not None
    if config.which_direction == "AtoB":
        return {
            "inputs": (inputs + 1) / 2,
            "outputs": lab_color.join_lab(inputs, outputs),
            "targets": lab_color.join_lab(inputs, targets),
        }
    return {
        "inputs": lab_color.join_lab(targets, inputs),
        "outputs": (outputs + 1) / 2,
        "targets": (targets + 1) / 2,
    }


def to_bytes(images: Mapping[str, tf.Tensor], config: Config) -> dict[str, tf.Tensor]:
    """Stretches images to `aspect_ratio` and makes them uint8 [N, H, W', C] in [0, 255]."""
    converted = {}
    for kind, image in images.items():
        with tf.name_scope(f"convert_{kind}"):
            if config.aspect_ratio != 1.0:
                size = [config.crop_size, round(config.crop_size * config.aspect_ratio)]
                image = tf.image.resize_images(image, size, tf.image.ResizeMethod.BICUBIC)
            converted[kind] = tf.image.convert_image_dtype(image, tf.uint8, saturate=True)
    return converted


def save_png(path: Path, image: "np.ndarray[Any, Any]") -> None:
    """Writes uint8 [H, W, 3 or 1] to a PNG file."""
    pil_image = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    pil_image.save(path, "PNG", compress_level=_COMPRESSION)
