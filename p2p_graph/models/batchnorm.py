"""Batch normalisation by the statistics of its own inputs, with the reference's gradients."""

import math
from collections.abc import Callable
from typing import Any

import tensorflow.compat.v1 as tf

from p2p_graph.models.custom_gradient import custom_gradient
from p2p_graph.models.layer_settings import DEFAULT_LAYERS, LayerSettings
from p2p_graph.models.layer_variables import variable_seed, zeros_variable
from p2p_graph.models.tensor_shapes import size_of


def batchnorm(
    inputs: tf.Tensor,
    *,
    per_image: bool = False,
    reread_weights: bool = False,
    settings: LayerSettings = DEFAULT_LAYERS,
) -> tf.Tensor:
    """Normalises every channel by its own mean and variance, then scales and shifts it.

    y = scale * (x - mean) / sqrt(variance + epsilon) + offset. Mean and variance are always those
    of the inputs: there are no running averages. The variance is the biased one (Ioffe and Szegedy
    2015; Isola et al. 2017, section 6.1).

    Variables: batchnorm/offset [C], initially 0; batchnorm/scale [C], initially
    N(1, settings.norm_stddev).

    Args:
      inputs: float32 [N, H, W, C].
      per_image: whether mean and variance are per-image statistics, so that an image's result does
        not depend on its batch; by formulas that take a batch of any size.
      reread_weights: whether the gradient to the inputs reads the scale again (see `ops`).
      settings: epsilon, form of the gradient, initial values; per-image statistics in training.

    Returns:
      float32 [N, H, W, C].
    """
    with tf.variable_scope("batchnorm"):
        offset = zeros_variable("offset", inputs.shape[-1])
        initial = tf.random_normal_initializer(1.0, settings.norm_stddev, variable_seed("scale"))
        scale = tf.get_variable("scale", [inputs.shape[-1]], tf.float32, initializer=initial)
        if not per_image or inputs.shape[0] == 1:
            # Image by image: the gradient that rereads weights is that of the fused operation.
            groups = tf.split(inputs, inputs.shape[0]) if settings.image_moments else [inputs]
            normalized = [
                _fused_batchnorm(group, scale, offset, settings, reread_weights=reread_weights)
                for group in groups
            ]
            return normalized[0] if len(groups) == 1 else tf.concat(normalized, 0)
        values = tf.cast(inputs, tf.float32)
        mean, variance = tf.nn.moments(values, [1, 2], keepdims=True)
        factor = tf.rsqrt(variance + settings.epsilon) * scale
        return tf.cast(values * factor + (offset - mean * factor), inputs.dtype)


def _fused_batchnorm(
    inputs: tf.Tensor,
    scale: tf.Variable,
    offset: tf.Variable,
    settings: LayerSettings,
    *,
    reread_weights: bool,
) -> tf.Tensor:
    # The raw op, since tf.nn's raises epsilon to 1.001e-5, an old lower bound of cuDNN's.
    @custom_gradient
    def op(
        inputs: tf.Tensor, scale_value: tf.Tensor, offset_value: tf.Tensor
    ) -> tuple[tf.Tensor, Callable[..., Any]]:
        outputs, _, _, *stored = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=scale_value,
            offset=offset_value,
            mean=[],
            variance=[],
            epsilon=settings.epsilon,
            is_training=True,
        )

        def grad(dy: tf.Tensor) -> list[tf.Tensor]:
            gradients = tf.raw_ops.FusedBatchNormGradV3(
                y_backprop=dy,
                x=inputs,
                scale=scale.value() if reread_weights and settings.fused else scale_value,
                reserve_space_1=stored[0],
                reserve_space_2=stored[1],
                reserve_space_3=stored[2],
                epsilon=settings.epsilon,
                is_training=True,
            )
            d_inputs, d_scale, d_offset = gradients[:3]
            if reread_weights and not settings.fused:
                change = scale.value() - scale_value
                through = _through_deviation(inputs, d_scale * change, settings.epsilon)
                d_inputs -= tf.cast(through, d_inputs.dtype)
            return [d_inputs, d_scale, d_offset]

        return outputs, grad

    return op(inputs, scale.value(), offset.value())


def _through_deviation(inputs: tf.Tensor, d_scale: tf.Tensor, epsilon: float) -> tf.Tensor:
    """The part of a gradient that reaches the inputs through their standard deviation alone.

    The gradient to the inputs is scale / deviation * (dy - mean(dy) - x * mean(dy * x)), where x is
    the normalised input. The reference's first generation stores the product of scale and
    1 / deviation; only the last term reads the scale again.

    Args:
      inputs: float32 [N, H, W, C], before they are normalised.
      d_scale: float32 [C], the sum of dy * x, times the scale that this is for.
      epsilon: of the normalisation.
    """
    inputs = tf.cast(inputs, tf.float32)
    mean, variance = tf.nn.moments(inputs, [0, 1, 2], keepdims=True)
    count = tf.cast(math.prod(size_of(inputs)), tf.float32)
    return (inputs - mean) * (d_scale / count / (variance + epsilon))
