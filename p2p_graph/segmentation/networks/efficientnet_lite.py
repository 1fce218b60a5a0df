"""EfficientNet-Lite0 as a backbone: features of photos at four scales.

Tan and Le 2019 describe EfficientNet. The Lite variants have ReLU6 and no squeeze-and-excitation
(https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite).
"""

from typing import NamedTuple

import tensorflow.compat.v1 as tf

from p2p_graph.models.layer_variables import variable_seed

_STEM_CHANNELS = 32
POOLED_CHANNELS = 1280
_EPSILON = 1e-3  # of batch normalisation


class _Stage(NamedTuple):
    """Blocks of one width.

    Attributes:
      blocks: how many; the first one has the stride.
      kernel: side of the depthwise filters.
      stride: 1 or 2.
      expansion: a block's inner channels, in units of its input channels.
      channels: output channels.
    """

    blocks: int
    kernel: int
    stride: int
    expansion: int
    channels: int


# The published network up to its last convolution.
_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)


def features(photos: tf.Tensor) -> list[tf.Tensor]:
    """Computes the features of photos at strides 4, 8, 16 and 32.

    Batch normalisation uses stored means and variances, in training as in inference.

    Args:
      photos: float32 [N, H, W, 3] in [-1, 1].

    Returns:
      float32 [N, H / 4, W / 4, 24], [N, H / 8, W / 8, 40], [N, H / 16, W / 16, 112] and
      [N, H / 32, W / 32, 320]; each quotient is rounded up.
    """
    # The published preprocessing is (value - 127) / 128, of values in [0, 255].
    x = (photos * 127.5 + 0.5) / 128
    with tf.variable_scope("stem"):
        x = _relu6(_normalise(_conv(x, _STEM_CHANNELS, 3, 2)))
    levels: list[tf.Tensor] = []
    number = 0
    for stage in _STAGES:
        if stage.stride == 2:
            levels.append(x)
        for repeat in range(stage.blocks):
            number += 1
            with tf.variable_scope(f"block_{number}"):
                x = _block(x, stage, stage.stride if repeat == 0 else 1)
    return [*levels[1:], x]


def pooled_features(photos: tf.Tensor) -> tf.Tensor:
    """Computes the features before the classifier: those of the last convolution, averaged.

    Args:
      photos: float32 [N, H, W, 3] in [-1, 1].

    Returns:
      float32 [N, 1280].
    """
    x = features(photos)[-1]
    with tf.variable_scope("head"):
        x = _relu6(_normalise(_conv(x, POOLED_CHANNELS)))
    return tf.reduce_mean(x, [1, 2])


def _block(inputs: tf.Tensor, stage: _Stage, stride: int) -> tf.Tensor:
    """An inverted residual block: expanded, filtered channel by channel, projected."""
    x, channels = inputs, inputs.shape.as_list()[-1]
    if stage.expansion > 1:
        with tf.variable_scope("expand"):
            x = _relu6(_normalise(_conv(x, channels * stage.expansion)))
    with tf.variable_scope("filter"):
        x = _relu6(_normalise(_depthwise_conv(x, stage.kernel, stride)))
    with tf.variable_scope("project"):
        x = _normalise(_conv(x, stage.channels))
    return x + inputs if (stride, stage.channels) == (1, channels) else x


def _conv(inputs: tf.Tensor, channels: int, kernel: int = 1, stride: int = 1) -> tf.Tensor:
    weights = _filter_variable("filter", [kernel, kernel, inputs.shape[-1], channels])
    return tf.nn.conv2d(inputs, weights, [1, stride, stride, 1], "SAME")


def _depthwise_conv(inputs: tf.Tensor, kernel: int, stride: int) -> tf.Tensor:
    weights = _filter_variable("depthwise_filter", [kernel, kernel, inputs.shape[-1], 1])
    return tf.nn.depthwise_conv2d(inputs, weights, [1, stride, stride, 1], "SAME")


def _filter_variable(name: str, shape: list[int]) -> tf.Variable:
    initializer = tf.glorot_uniform_initializer(variable_seed(name))
    return tf.get_variable(name, shape, tf.float32, initializer=initializer)


def _normalise(inputs: tf.Tensor) -> tf.Tensor:
    """Normalises by stored statistics: (x - mean) / sqrt(variance + epsilon) * scale + offset."""

    def variable(name: str, value: float, *, trainable: bool = True) -> tf.Variable:
        initializer = tf.constant_initializer(value)
        shape = [inputs.shape[-1]]
        return tf.get_variable(name, shape, initializer=initializer, trainable=trainable)

    with tf.variable_scope("batchnorm"):
        scale, offset = variable("scale", 1), variable("offset", 0)
        mean, variance = (
            variable(name, v, trainable=False) for name, v in (("mean", 0), ("variance", 1))
        )
        factor = scale * tf.rsqrt(variance + _EPSILON)
        return inputs * factor + (offset - mean * factor)


def _relu6(inputs: tf.Tensor) -> tf.Tensor:
    return tf.nn.relu6(inputs)
