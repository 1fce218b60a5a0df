"""A fully convolutional network on a backbone that was trained on ImageNet.

The network takes the place of the paper's FCN-8s, which stands on ImageNet's features, too. Such
features depend on texture, so that blurred photos score below sharp ones. A network that is trained
on label images alone can do without texture.
"""

import tensorflow.compat.v1 as tf

from p2p_graph.models import ops
from p2p_graph.models.tensor_shapes import size_of
from p2p_graph.segmentation.networks import efficientnet_lite

BACKBONE_SCOPE = "backbone"


def class_scores(photos: tf.Tensor, num_classes: int, width: int) -> tf.Tensor:
    """Scores every class at every pixel.

    The backbone's features at strides 4, 8, 16 and 32 are joined at stride 4. Two 1x1 convolutions
    follow: to `width` channels, then to the classes.

    Args:
      photos: float32 [N, H, W, 3] in [-1, 1]; H and W are multiples of 32.
      num_classes: number of classes.
      width: channels between the two convolutions.

    Returns:
      float32 [N, H, W, num_classes], unbounded: the logits of the classes.
    """
    with tf.variable_scope(BACKBONE_SCOPE):
        levels = efficientnet_lite.features(photos)
    # A 1x1 convolution of the joined features is the sum of each level's own, and these are cheaper
    # before the level is enlarged.
    height, columns = size_of(levels[0])[1:]
    joined = None
    for number, level in enumerate(levels, start=1):
        with tf.variable_scope(f"join_{number}"):
            # [N, h, w, C] => [N, H / 4, W / 4, width]
            part = ops.conv(level, width, kernel=1, padding="valid", bias=number == 1)
            part = _resized(part, height, columns)
            joined = part if joined is None else joined + part
    with tf.variable_scope("score"):
        # [N, H / 4, W / 4, width] => [N, H / 4, W / 4, num_classes]
        scores = ops.conv(tf.nn.relu(joined), num_classes, kernel=1, padding="valid", bias=True)
    return _resized(scores, *size_of(photos)[1:])


def _resized(values: tf.Tensor, height: int | tf.Tensor, width: int | tf.Tensor) -> tf.Tensor:
    return tf.image.resize_images(values, [height, width], tf.image.ResizeMethod.BILINEAR)
