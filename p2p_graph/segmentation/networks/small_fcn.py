"""A small fully convolutional network that labels the pixels of photos (Long et al. 2015).

The network is trained from random weights. It stands in for the paper's FCN-8s where FCN-8s is not
available. The scores of the two networks differ: scores by the small FCN compare models with each
other, but not with published FCN-8s scores.
"""

import tensorflow.compat.v1 as tf

from p2p_graph.models import ops
from p2p_graph.models.batchnorm import batchnorm
from p2p_graph.models.tensor_shapes import size_of

# Channels of the levels, in units of `width`. Each level halves height and width.
_WIDTH_FACTORS = (1, 2, 4, 8, 8)
_SCORED_LEVELS = 4  # the innermost levels, whose class scores are summed


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
    height, width = size_of(photos)[1:]
    return tf.image.resize_images(total, [height, width], tf.image.ResizeMethod.BILINEAR)
