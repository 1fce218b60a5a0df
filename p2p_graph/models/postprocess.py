"""From the networks' values back to RGB images: the inverse of `data.image_pairs`."""

from collections.abc import Mapping, Sequence

import tensorflow.compat.v1 as tf

from p2p_graph.config.data_options import TaskOptions
from p2p_graph.data import lab_color
from p2p_graph.data.input_graph import Batch
from p2p_graph.imaging import preview
from p2p_graph.models.tensor_shapes import size_of


def to_rgb(batch: Batch, outputs: tf.Tensor, task: TaskOptions) -> dict[str, tf.Tensor]:
    """Converts values to images.

    With Lab, ab channels are converted to RGB together with the true L channel, and an L channel
    to grey.

    Args:
      batch: inputs and targets in [-1, 1].
      outputs: float32 [N, H, W, C_out] in [-1, 1].
      task: the direction, and whether it is Lab colourisation.

    Returns:
      float32 [N, H, W, C] in [0, 1] for "inputs", "outputs" and "targets"; without targets
      where the batch has none.
    """
    inputs, targets = batch.inputs, batch.targets
    if not task.lab_colorization:
        values = {"inputs": inputs, "outputs": outputs, "targets": targets}
        return {kind: (v + 1) / 2 for kind, v in values.items() if v is not None}
    assert targets is not None
    if task.which_direction == "AtoB":
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


def to_shown(
    images: Mapping[str, tf.Tensor], parts_of: Mapping[str, Sequence[int]]
) -> dict[str, tf.Tensor]:
    """Takes the channels that image files can hold; of two channels red and green.

    Args:
      images: [N, H, W, C], by kind.
      parts_of: the channels of each part of an image, by kind.

    Returns:
      [N, H, W, 1, 3 or 4], by kind.
    """
    shown = {}
    for kind, image in images.items():
        if image.shape[-1] > 1 and not preview.is_whole(parts_of[kind]):
            image = image[..., : preview.shown_channels(parts_of[kind])]
            if image.shape[-1] == 2:
                image = tf.concat([image, tf.zeros_like(image[..., :1])], axis=3)
        shown[kind] = image
    return shown


def to_values(
    images: Mapping[str, tf.Tensor],
    parts_of: Mapping[str, Sequence[int]],
    aspect_ratio: float = 1.0,
) -> dict[str, tf.Tensor]:
    """Takes the outputs and targets that no image file holds, stretched in width.

    Args:
      images: float32 [N, H, W, C] in [0, 1], by kind.
      parts_of: the channels of each part of an image, by kind.
      aspect_ratio: as in `to_integers`.

    Returns:
      float32 [N, H, W', C] in [0, 1], by kind.
    """
    return {
        kind: tf.clip_by_value(_stretched(image, aspect_ratio), 0, 1)
        for kind, image in images.items()
        if kind != "inputs" and not preview.is_whole(parts_of[kind])
    }


def to_integers(
    images: Mapping[str, tf.Tensor], aspect_ratio: float = 1.0, bits: int = 8
) -> dict[str, tf.Tensor]:
    """Converts images to the numbers of image files, stretched in width.

    Args:
      images: float32 [N, H, W, C] in [0, 1], by kind.
      aspect_ratio: what the width is multiplied by; at 1 the size stays as it is.
      bits: 8 or 16.

    Returns:
      uint8 [N, H, W', C] in [0, 255], or uint16 in [0, 65535], by kind.
    """
    converted = {}
    for kind, image in images.items():
        with tf.name_scope(f"convert_{kind}"):
            image = _stretched(image, aspect_ratio)
            if bits == 8:  # as the reference
                converted[kind] = tf.image.convert_image_dtype(image, tf.uint8, saturate=True)
            else:
                converted[kind] = tf.saturate_cast(tf.round(image * 65535), tf.uint16)
    return converted


def _stretched(images: tf.Tensor, aspect_ratio: float) -> tf.Tensor:
    if aspect_ratio == 1.0:
        return images
    _, height, width = size_of(images)
    if isinstance(width, int):
        stretched = round(width * aspect_ratio)
    else:
        stretched = tf.cast(tf.round(tf.cast(width, tf.float64) * aspect_ratio), tf.int32)
    return tf.image.resize_images(images, [height, stretched], tf.image.ResizeMethod.BICUBIC)
