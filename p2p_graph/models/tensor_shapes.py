"""The sizes of image tensors, known to the graph or not."""

from typing import Any

import tensorflow.compat.v1 as tf


def size_of(images: tf.Tensor) -> list[Any]:
    """Batch, height and width of [N, H, W, C]: numbers where the graph knows them, else tensors."""
    known: list[Any] = images.shape.as_list()[:3]
    if None not in known:
        return known
    dynamic = tf.shape(images)
    return [dynamic[i] if n is None else n for i, n in enumerate(known)]
