"""The layers' operations: variables in the current variable scope, NHWC, float32.

With `reread_weights=True`, the backward pass uses the stored activations of the forward pass, but
reads the weight again to compute the gradient to the inputs. Under a control dependency on an
update of the weight, it reads the updated weight. Without one, it reads the old weight, and every
update must wait for all gradients. `training.updates` explains the use.
"""

import functools
from collections.abc import Callable
from typing import Any

import tensorflow.compat.v1 as tf

from p2p_graph.models import matmul_conv
from p2p_graph.models.custom_gradient import custom_gradient, pad_one, scale
from p2p_graph.models.layer_settings import DEFAULT_LAYERS, LayerSettings
from p2p_graph.models.layer_variables import filter_variable, zeros_variable
from p2p_graph.models.precision import cast_for_compute, computed_once, filter_value
from p2p_graph.models.tensor_shapes import size_of
from p2p_graph.runtime import replicas

_THIN = 4  # channels


def _add_bias(outputs: tf.Tensor) -> tf.Tensor:
    bias = zeros_variable("bias", outputs.shape[-1])
    return tf.nn.bias_add(outputs, tf.cast(bias, outputs.dtype))


def conv(
    inputs: tf.Tensor,
    out_channels: int,
    stride: int = 1,
    *,
    kernel: int = 4,
    padding: str = "one",
    bias: bool = False,
    reread_weights: bool = False,
    settings: LayerSettings = DEFAULT_LAYERS,
) -> tf.Tensor:
    """A square convolution.

    Variables: conv/filter [kernel, kernel, C_in, C_out], conv/bias [C_out].

    Args:
      inputs: float32 [N, H, W, C_in].
      out_channels: C_out.
      stride: 1 or 2.
      kernel: side of the filter.
      padding: "one" (a zero on each side), "same" (TensorFlow's SAME), or "valid" (none).
      bias: whether a bias is added.
      reread_weights: whether the gradient to the inputs rereads the filter (see the module).
      settings: of the model's layers.

    Returns:
      float32 [N, h, w, C_out]; h is ceil(H / stride) with "same", otherwise
      floor((H + 2 pad - kernel) / stride) + 1.
    """
    with tf.variable_scope("conv"):
        variable = filter_variable(
            "filter", [kernel, kernel, inputs.shape[-1], out_channels], settings
        )
        inputs = cast_for_compute(inputs, settings)
        if (kernel, stride, padding, reread_weights) == (4, 2, "one", False) and _is_small(
            inputs, 2, settings
        ):
            outputs = matmul_conv.conv(inputs, filter_value(variable, settings))
            return _add_bias(outputs) if bias else outputs
        if padding == "one":
            # A separate pad: on a CPU, tf.nn.conv2d with explicit padding is slower.
            inputs, padding = pad_one(inputs), "valid"
        how = {"strides": [1, stride, stride, 1], "padding": padding.upper()}
        if reread_weights:
            outputs = _conv_rereading_weights(inputs, variable, how, settings)
        else:
            outputs = tf.nn.conv2d(inputs, filter_value(variable, settings), **how)
        return _add_bias(outputs) if bias else outputs


def _conv_rereading_weights(
    inputs: tf.Tensor, variable: tf.Variable, how: dict[str, Any], settings: LayerSettings
) -> tf.Tensor:
    @custom_gradient
    def op(inputs: tf.Tensor, value: tf.Tensor) -> tuple[tf.Tensor, Callable[..., Any]]:
        def grad(dy: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            weight = cast_for_compute(variable.value(), settings)
            d_inputs = tf.nn.conv2d_backprop_input(tf.shape(inputs), weight, dy, **how)
            d_filter = tf.nn.conv2d_backprop_filter(inputs, tf.shape(value), dy, **how)
            return d_inputs, d_filter

        return tf.nn.conv2d(inputs, value, **how), grad

    return op(inputs, cast_for_compute(variable.value(), settings))


def deconv(
    inputs: tf.Tensor,
    out_channels: int,
    *,
    kernel: int = 4,
    bias: bool = False,
    settings: LayerSettings = DEFAULT_LAYERS,
) -> tf.Tensor:
    """A transposed convolution that doubles height and width.

    Variables: deconv/filter [kernel, kernel, C_out, C_in], deconv/bias [C_out].

    Args:
      inputs: float32 [N, H, W, C_in].
      out_channels: C_out.
      kernel: side of the filter.
      bias: whether a bias is added.
      settings: of the model's layers.

    Returns:
      float32 [N, 2H, 2W, C_out].
    """
    with tf.variable_scope("deconv"):
        variable = filter_variable(
            "filter", [kernel, kernel, out_channels, inputs.shape[-1]], settings
        )
        inputs = cast_for_compute(inputs, settings)
        batch, height, width = size_of(inputs)
        # For thin outputs, the matrix product is faster forwards but slower backwards.
        is_thin = settings.frozen and out_channels <= _THIN and settings.matmul_positions > 0
        if kernel == 4 and (is_thin or _is_small(inputs, 1, settings)):
            store = functools.partial(computed_once, settings=settings) if settings.frozen else None
            outputs = matmul_conv.deconv(inputs, cast_for_compute(variable, settings), store)
        else:
            size = [batch, 2 * height, 2 * width, out_channels]
            weights = filter_value(variable, settings)
            outputs = tf.nn.conv2d_transpose(inputs, weights, size, 2, "SAME")
        return _add_bias(outputs) if bias else outputs


def _is_small(inputs: tf.Tensor, stride: int, settings: LayerSettings) -> bool:
    """Whether a filter is applied at few enough positions for a matrix product to be faster.

    A CPU's convolution copies the filter to another memory layout at each use. In the innermost
    levels the copy takes longer than the arithmetic. A matrix product needs no copy.
    """
    batch, height, width = inputs.shape.as_list()[:3]
    if settings.expected and height is None:
        height, width = settings.expected
    if height is None or width is None or height % stride or width % stride:
        return False
    positions: int = (batch or 1) * (height // stride) * (width // stride)
    return positions <= settings.matmul_positions


def separable_conv(
    inputs: tf.Tensor,
    out_channels: int,
    stride: int,
    *,
    bias: bool = False,
    settings: LayerSettings = DEFAULT_LAYERS,
) -> tf.Tensor:
    """A depthwise separable convolution: 4x4 for each channel, then 1x1 across channels.

    Variables: separable_conv/depthwise_filter [4, 4, C_in, 1], separable_conv/pointwise_filter
    [1, 1, C_in, C_out], separable_conv/bias [C_out].

    Args:
      inputs: float32 [N, H, W, C_in].
      out_channels: C_out.
      stride: 1 or 2.
      bias: whether a bias is added.
      settings: of the model's layers.

    Returns:
      float32 [N, ceil(H / stride), ceil(W / stride), C_out] (padding SAME).
    """
    with tf.variable_scope("separable_conv"):
        channels = inputs.shape[-1]
        depthwise = filter_variable("depthwise_filter", [4, 4, channels, 1], settings)
        pointwise = filter_variable("pointwise_filter", [1, 1, channels, out_channels], settings)
        inputs, depthwise, pointwise = (
            cast_for_compute(values, settings) for values in (inputs, depthwise, pointwise)
        )
        outputs = tf.nn.separable_conv2d(
            inputs, depthwise, pointwise, [1, stride, stride, 1], "SAME"
        )
        return _add_bias(outputs) if bias else outputs


def max_pool(inputs: tf.Tensor) -> tf.Tensor:
    """2x2 max pooling: [N, H, W, C] => [N, H/2, W/2, C]."""
    return tf.nn.max_pool2d(inputs, 2, 2, "VALID")


def upsample(inputs: tf.Tensor) -> tf.Tensor:
    """Nearest-neighbour upsampling by 2: [N, H, W, C] => [N, 2H, 2W, C]."""
    _, height, width = size_of(inputs)
    return tf.image.resize_images(
        inputs, [2 * height, 2 * width], tf.image.ResizeMethod.NEAREST_NEIGHBOR
    )


def lrelu(inputs: tf.Tensor, slope: float = 0.2) -> tf.Tensor:
    """Leaky ReLU as in the reference: its gradient at 0 is the mean of both slopes.

    Args:
      inputs: float32 of any shape.
      slope: the gradient below 0.

    Returns:
      float32 of the same shape: x above 0, slope * x below.
    """
    if inputs.dtype == tf.bfloat16:  # one rounding instead of three
        return tf.nn.leaky_relu(inputs, slope)
    with tf.name_scope("lrelu"):
        return scale(0.5 * (1 + slope), inputs) + scale(0.5 * (1 - slope), tf.abs(inputs))


def dropout(
    inputs: tf.Tensor,
    rate: float,
    seed: tf.Tensor,
    *,
    shared_mask: bool = False,
    settings: LayerSettings = DEFAULT_LAYERS,
) -> tf.Tensor:
    """Sets a fraction of the values to 0 and divides the rest by 1 - rate.

    Args:
      inputs: float32 [N, H, W, C].
      rate: the fraction of values that become 0, in [0, 1).
      seed: int64 [2]; the mask is a pure function of the seed and the shape. `networks` makes it
        from the run's seed and the step, and each layer adds its number. A replica takes its part
        of the mask that the batch of all replicas has.
      shared_mask: whether all images share one mask, so that an image's result does not depend on
        its batch. With a fixed seed it is computed once, if the graph knows its size.
      settings: of the model's layers.

    Returns:
      float32 [N, H, W, C].
    """
    if rate == 0:
        return inputs
    with tf.variable_scope("dropout"):
        batch, height, width = size_of(inputs)
        index, count = (0, 1) if shared_mask else replicas.position()
        shape = [1 if shared_mask else batch * count, height, width, inputs.shape[-1]]
        chance = tf.random.stateless_uniform(shape, seed)
        if count > 1:
            chance = chance[index * batch : (index + 1) * batch]
        keep = chance >= rate
        mask = tf.cast(keep, inputs.dtype) / (1 - rate)
        if settings.fixed_seed and mask.shape.is_fully_defined():
            mask = computed_once(mask, settings)
        return inputs * mask
