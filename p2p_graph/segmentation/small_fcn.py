"""A small network that reads labels off photos: fully convolutional (Long et al. 2015).

It stands in for the paper's FCN-8s where that is not at hand. Its scores are its own: they compare
one model with another, but not with figures that FCN-8s gave.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow.compat.v1 as tf
from PIL import Image

from p2p_graph.imaging.palettes import Palette
from p2p_graph.models import ops
from p2p_graph.runtime import devices
from p2p_graph.segmentation.small_fcn_file import SEGMENTER_FILE, Facts
from p2p_graph.utils.errors import UserError, reason_of

SCOPE = "segmenter"
MULTIPLE = 32  # of the sides of its images, pixels
_WIDTHS = (1, 2, 4, 8, 8)  # of its levels, each half as high and wide as the one before
_SCORED = 4  # as many of the innermost levels have scores of their own

Array = np.ndarray[Any, Any]


def scores(photos: tf.Tensor, classes: int, width: int) -> tf.Tensor:
    """Scores every class at every pixel.

    Each level halves the image and looks around; the innermost four are scored, and scores are
    doubled in size and added from the inside out, as FCN-8s does with three. Every image is
    normalised by its own moments, in training as in use.

    Args:
      photos: float32 [N, H, W, 3] in [-1, 1]; H and W are multiples of 32.
      classes: how many there are.
      width: channels of the first level.

    Returns:
      float32 [N, H, W, classes], without a bound.
    """
    x, levels = photos, []
    for number, factor in enumerate(_WIDTHS, start=1):
        with tf.variable_scope(f"encoder_{number}"):
            # [N, H, W, C] => [N, H / 2, W / 2, factor * width]
            x = ops.conv(x, factor * width, 2)
            x = ops.lrelu(ops.batchnorm(x, each=True))
            with tf.variable_scope("again"):
                x = ops.conv(x, factor * width, kernel=3)
                x = ops.lrelu(ops.batchnorm(x, each=True))
            levels.append(x)
    total = None
    for number, level in reversed(list(enumerate(levels, start=1))[-_SCORED:]):
        with tf.variable_scope(f"score_{number}"):
            found = ops.conv(level, classes, kernel=1, padding="valid", bias=True)
            total = found if total is None else found + ops.deconv(total, classes)
    height, width = ops.size_of(photos)[1:]
    return tf.image.resize_images(total, [height, width], tf.image.ResizeMethod.BILINEAR)


def class_ids(images: tf.Tensor, palette: Palette) -> tf.Tensor:
    """Reads classes off label images in the graph, as `Palette.ids` does.

    Args:
      images: float32 [N, H, W, 3] in [-1, 1].
      palette: the classes.

    Returns:
      int64 [N, H, W]: a class's id, or the number of classes for what is ignored.
    """
    colours = np.array([*palette.classes.values(), *palette.ignored], np.float32)
    values = tf.round((images + 1) * 127.5)  # whole numbers, whose products are exact
    distances = (colours**2).sum(1) - 2 * tf.tensordot(values, colours.T, 1)
    return tf.minimum(tf.argmin(distances, -1), len(palette.classes))


def cross_entropy(logits: tf.Tensor, ids: tf.Tensor) -> tf.Tensor:
    """The mean of -log softmax(logits)[id] over all pixels that have a class; 0 if none has.

    Args:
      logits: float32 [N, H, W, classes].
      ids: int64 [N, H, W]; from the number of classes on, a pixel is ignored.

    Returns:
      float32 scalar.
    """
    classes = logits.shape.as_list()[-1]
    counted = tf.cast(ids < classes, tf.float32)
    each = tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels=tf.minimum(ids, classes - 1), logits=logits
    )
    return tf.reduce_sum(each * counted) / tf.maximum(tf.reduce_sum(counted), 1)


def restore(
    saver: tf.train.Saver, variables: Sequence[tf.Variable], session: tf.Session, prefix: str
) -> None:
    """Restores a network's variables from a checkpoint.

    Raises:
      UserError: it cannot be read, or is of another network.
    """
    try:
        # A restored variable would take any shape.
        shapes = tf.train.load_checkpoint(prefix).get_variable_to_shape_map()
        if any(shapes.get(one.op.name) != one.shape.as_list() for one in variables):
            raise UserError(
                f"checkpoint {prefix} is not of a segmenter as its {SEGMENTER_FILE} tells"
            )
        saver.restore(session, prefix)
    except tf.errors.OpError as error:
        raise UserError(f"checkpoint {prefix} cannot be read: {reason_of(error)}") from None


class SmallFCN:
    """A trained network, ready to read labels off photos."""

    def __init__(self, folder: Path) -> None:
        """Restores it from a folder that tools/train_segmenter.py has written.

        Raises:
          UserError: there is none, or it does not fit its segmenter.json.
        """
        self.facts = Facts.load(folder)
        if self.facts.size % MULTIPLE:
            raise UserError(f"{folder / SEGMENTER_FILE}: size must be a multiple of {MULTIPLE}")
        prefix = tf.train.latest_checkpoint(str(folder))
        if prefix is None:
            raise UserError(f"segmenter {folder} holds no checkpoint: train it to its end")
        _, config = devices.choose("auto")
        with tf.Graph().as_default():
            size, classes = self.facts.size, len(self.facts.palette.classes)
            self._photo = tf.placeholder(tf.uint8, [size, size, 3], "photo")
            values = tf.image.convert_image_dtype(self._photo[None], tf.float32) * 2 - 1
            with tf.variable_scope(SCOPE):
                found = scores(values, classes, self.facts.width)
            self._ids = tf.argmax(found[0], -1)
            self._session = tf.Session(config=config)
            weights = tf.trainable_variables()
            restore(tf.train.Saver(weights), weights, self._session, prefix)

    def __call__(self, photo: Array) -> Array:
        """Reads labels off a photo.

        Args:
          photo: uint8 [H, W, 3]; of another size than it was trained on it is scaled first.

        Returns:
          int64 [size, size] of class ids.
        """
        size = (self.facts.size, self.facts.size)
        if photo.shape[:2] != size:
            photo = np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.BOX))
        ids: Array = self._session.run(self._ids, {self._photo: photo})
        return ids
