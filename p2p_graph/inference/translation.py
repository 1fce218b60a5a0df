"""From the values of images to translated images: what exports and the Python API share."""

from collections.abc import Callable

import tensorflow.compat.v1 as tf

from p2p_graph.config.data_options import RGB, TaskOptions
from p2p_graph.data import lab_color
from p2p_graph.data.input_graph import Batch
from p2p_graph.models.postprocess import to_rgb


def image_channels(task: TaskOptions) -> tuple[int, int]:
    """Channels of the images that a person gives and gets; with Lab RGB, or grey for L alone."""
    if not task.lab_colorization:
        return task.channels
    return RGB, RGB if task.which_direction == "AtoB" else 1


def to_values(images: tf.Tensor, task: TaskOptions) -> tf.Tensor:
    """From float32 [..., C] in [0, 1] to values in [-1, 1]; with Lab from RGB to L, a and b."""
    return lab_color.split_lab(images) if task.lab_colorization else images * 2 - 1


def translated(
    values: tf.Tensor, task: TaskOptions, generate: Callable[[tf.Tensor], tf.Tensor]
) -> tf.Tensor:
    """Translates values to images.

    Args:
      values: float32 [N, H, W, C] in [-1, 1], from `to_values`.
      task: says whether the values are those of Lab.
      generate: gives outputs for inputs, as `models.networks.translate`.

    Returns:
      float32 [N, H, W, C_out] in [0, 1]; with Lab RGB or grey.
    """
    inputs, targets = values, None
    if task.lab_colorization:
        lightness, colours = tf.split(values, [1, 2], axis=3)
        a_to_b = task.which_direction == "AtoB"
        inputs, targets = (lightness, colours) if a_to_b else (colours, lightness)
    return to_rgb(Batch(None, inputs, targets), generate(inputs), task)["outputs"]
