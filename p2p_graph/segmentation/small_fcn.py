"""A small fully convolutional network that labels the pixels of photos (Long et al. 2015).

The network stands in for the paper's FCN-8s where FCN-8s is not available. The scores of the two
networks differ: scores by the small FCN compare models with each other, but not with published
FCN-8s scores.
"""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow.compat.v1 as tf
from PIL import Image

from p2p_graph.checkpoints import restore_checkpoint
from p2p_graph.imaging.palettes import Palette
from p2p_graph.models import ops
from p2p_graph.models.batchnorm import batchnorm
from p2p_graph.runtime import devices
from p2p_graph.segmentation.small_fcn_file import Metadata
from p2p_graph.utils.checked_allocation import require_memory
from p2p_graph.utils.errors import UserError
from p2p_graph.utils.outside_files import damage_reported

SCOPE = "segmenter"
# Channels of the levels, in units of `width`. Each level halves height and width.
_WIDTH_FACTORS = (1, 2, 4, 8, 8)
_SCORED_LEVELS = 4  # the innermost levels, whose class scores are summed

Array = np.ndarray[Any, Any]


def class_scores(photos: tf.Tensor, num_classes: int, width: int) -> tf.Tensor:
    """Scores every class at every pixel.

    Each level halves the image and convolves twice. The four innermost levels are scored. Scores
    are doubled in size and summed from the innermost level outwards, as FCN-8s does with three
    levels. Batch normalisation uses per-image statistics, in training as in inference.

    Args:
      photos: float32 [N, H, W, 3] in [-1, 1]; H and W are multiples of 32.
      num_classes: number of classes.
      width: channels of the first level.

    Returns:
      float32 [N, H, W, num_classes], unbounded: the logits of the classes.
    """
    x, levels = photos, []
    for number, factor in enumerate(_WIDTH_FACTORS, start=1):
        with tf.variable_scope(f"encoder_{number}"):
            # [N, H, W, C] => [N, H / 2, W / 2, factor * width]
            x = ops.conv(x, factor * width, 2)
            x = ops.lrelu(batchnorm(x, per_image=True))
            with tf.variable_scope("again"):
                x = ops.conv(x, factor * width, kernel=3)
                x = ops.lrelu(batchnorm(x, per_image=True))
            levels.append(x)
    total = None
    for number, level in reversed(list(enumerate(levels, start=1))[-_SCORED_LEVELS:]):
        with tf.variable_scope(f"score_{number}"):
            # [N, h, w, C] => [N, h, w, num_classes]
            scores = ops.conv(level, num_classes, kernel=1, padding="valid", bias=True)
            total = scores if total is None else scores + ops.deconv(total, num_classes)
    height, width = ops.size_of(photos)[1:]
    return tf.image.resize_images(total, [height, width], tf.image.ResizeMethod.BILINEAR)


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


def memory_of(width: int, size: int, images: int) -> int:
    """Bytes that a forward pass needs at least: the images, and the first level's channels."""
    return 4 * images * size**2 * (3 + width)


class SmallFCN:
    """A trained small FCN with a session of its own.

    Attributes:
      metadata: the contents of segmenter.json.
    """

    def __init__(self, folder: Path) -> None:
        """Restores the network from a folder that tools/train_segmenter.py has written.

        Raises:
          UserError: the folder holds no checkpoint, or one that does not fit segmenter.json.
        """
        self.metadata = Metadata.load(folder)
        checkpoint = restore_checkpoint.find(folder)
        if checkpoint is None:
            raise UserError(
                f"segmenter {folder} holds no checkpoint: train it with tools/train_segmenter.py"
            )
        with damage_reported(f"segmenter {folder}", "a segmenter"):
            require_memory(memory_of(self.metadata.width, self.metadata.size, 1))
        config = devices.choose("auto").config
        devices.set_gpu_arithmetic("fp32")
        with tf.Graph().as_default():
            size, palette = self.metadata.size, self.metadata.palette
            self._photo = tf.placeholder(tf.uint8, [size, size, 3], "photo")
            photos = tf.image.convert_image_dtype(self._photo[None], tf.float32) * 2 - 1
            with tf.variable_scope(SCOPE):
                scores = class_scores(photos, len(palette.classes), self.metadata.width)
            self._ids = tf.argmax(scores[0], -1)
            self._session = tf.Session(config=config)
            weights = tf.trainable_variables()
            checkpoint.restorer(weights)(self._session)

    def __call__(self, photo: Array) -> Array:
        """Labels the pixels of a photo.

        Args:
          photo: uint8 [H, W, 3]; scaled to the training images' size if the size differs.

        Returns:
          int64 [size, size], class ids.
        """
        size = (self.metadata.size, self.metadata.size)
        if photo.shape[:2] != size:
            photo = np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.BOX))
        ids: Array = self._session.run(self._ids, {self._photo: photo})
        return ids
