"""The loss of a segmenter's training: class ids of label images, and the cross-entropy."""

import numpy as np
import tensorflow.compat.v1 as tf

from p2p_graph.imaging.palettes import Palette


def class_ids(label_images: tf.Tensor, palette: Palette) -> tf.Tensor:
    """Converts label images to class ids in the graph, as `Palette.class_ids` does in NumPy.

    Args:
      label_images: float32 [N, H, W, 3] in [-1, 1].
      palette: the classes and their colours.

    Returns:
      int64 [N, H, W]: a class id, or the number of classes for ignored colours.
    """
    colours = np.array([*palette.classes.values(), *palette.ignored], np.float32)
    # Float32 holds the products and sums of such integers exactly.
    values = tf.round((label_images + 1) * 127.5)
    distances = (colours**2).sum(1) - 2 * tf.tensordot(values, colours.T, 1)
    return tf.minimum(tf.argmin(distances, -1), len(palette.classes))


def cross_entropy(logits: tf.Tensor, ids: tf.Tensor) -> tf.Tensor:
    """Averages -log softmax(logits)[id] over the pixels that have a class.

    Args:
      logits: float32 [N, H, W, classes].
      ids: int64 [N, H, W]; a pixel whose id is the number of classes or more is ignored.

    Returns:
      float32 scalar; 0 if all pixels are ignored.
    """
    num_classes = logits.shape.as_list()[-1]
    counted = tf.cast(ids < num_classes, tf.float32)
    per_pixel = tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels=tf.minimum(ids, num_classes - 1), logits=logits
    )
    return tf.reduce_sum(per_pixel * counted) / tf.maximum(tf.reduce_sum(counted), 1)
