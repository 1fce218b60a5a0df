"""The layers' operations: explicit variables under the current variable scope, NHWC, float32.

An operation with `late=True` splits its gradient: what the forward pass computed stays as it was
stored, but the weight that the gradient passes through on its way to the inputs is read again
where the backward pass is built. Built under a control dependency on an update of the weight, it
sees the updated one; built without, the old one (and then every update must wait for all
gradients). `model.py` says what this is for.
"""

import zlib
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow.compat.v1 as tf

KERNEL = 4
NORM_EPSILON = 1e-5
_PAD_ONE = [[0, 0], [1, 1], [1, 1], [0, 0]]


def _weights(name: str, shape: Sequence[int], mean: float = 0.0) -> tf.Variable:
    """A weight drawn from N(mean, 0.02), not truncated (Isola et al. 2017, section 6.2)."""
    # By default the operation's number in the graph would be part of the seed, and with it whatever
    # was built before. The name makes an initial value a function of (graph's seed, name) alone.
    seed = zlib.crc32(f"{tf.get_variable_scope().name}/{name}".encode()) % 2**31
    initializer = tf.random_normal_initializer(mean, 0.02, seed=seed)
    return tf.get_variable(name, shape, tf.float32, initializer=initializer)


def _zeros(name: str, size: int) -> tf.Variable:
    return tf.get_variable(name, [size], tf.float32, initializer=tf.zeros_initializer())


def _add_bias(outputs: tf.Tensor) -> tf.Tensor:
    return tf.nn.bias_add(outputs, _zeros("bias", outputs.shape[-1]))


def size_of(images: tf.Tensor) -> list[Any]:
    """Batch, height and width of [N, H, W, C]: numbers where the graph knows them, else tensors."""
    dynamic = tf.shape(images)
    return [dynamic[i] if n is None else n for i, n in enumerate(images.shape.as_list()[:3])]


def conv(
    inputs: tf.Tensor, out_channels: int, stride: int, *, bias: bool = False, late: bool = False
) -> tf.Tensor:
    """A 4x4 convolution of the inputs padded with one zero on each side.

    Variables: conv/filter [4, 4, C_in, C_out], conv/bias [C_out].

    Args:
      inputs: float32 [N, H, W, C_in].
      out_channels: C_out.
      stride: 1 or 2.
      bias: whether a bias is added.
      late: whether the gradient to the inputs reads the filter again (see the module).

    Returns:
      float32 [N, (H - 2) / stride + 1, (W - 2) / stride + 1, C_out], rounded down.
    """
    with tf.variable_scope("conv"):
        variable = _weights("filter", [KERNEL, KERNEL, inputs.shape[-1], out_channels])
        # Two operations: on a CPU, the convolution's own explicit padding takes a slower path.
        padded = tf.pad(inputs, _PAD_ONE)
        if late:
            outputs = _late_conv(padded, variable, stride)
        else:
            outputs = tf.nn.conv2d(padded, variable, stride, "VALID")
        return _add_bias(outputs) if bias else outputs


def _late_conv(inputs: tf.Tensor, variable: tf.Variable, stride: int) -> tf.Tensor:
    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def op(inputs: tf.Tensor, value: tf.Tensor) -> tuple[tf.Tensor, Callable[..., Any]]:
        def grad(dy: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            how = {"strides": [1, stride, stride, 1], "padding": "VALID"}
            weight = variable.read_value()
            d_inputs = tf.nn.conv2d_backprop_input(tf.shape(inputs), weight, dy, **how)
            d_filter = tf.nn.conv2d_backprop_filter(inputs, tf.shape(value), dy, **how)
            return d_inputs, d_filter

        return tf.nn.conv2d(inputs, value, stride, "VALID"), grad

    return op(inputs, variable.read_value())


def deconv(inputs: tf.Tensor, out_channels: int, *, bias: bool = False) -> tf.Tensor:
    """A 4x4 transposed convolution that doubles height and width.

    Variables: deconv/filter [4, 4, C_out, C_in], deconv/bias [C_out].

    Args:
      inputs: float32 [N, H, W, C_in].
      out_channels: C_out.
      bias: whether a bias is added.

    Returns:
      float32 [N, 2H, 2W, C_out].
    """
    with tf.variable_scope("deconv"):
        variable = _weights("filter", [KERNEL, KERNEL, out_channels, inputs.shape[-1]])
        batch, height, width = size_of(inputs)
        outputs = tf.nn.conv2d_transpose(
            inputs, variable, [batch, 2 * height, 2 * width, out_channels], 2, "SAME"
        )
        return _add_bias(outputs) if bias else outputs


def separable_conv(
    inputs: tf.Tensor, out_channels: int, stride: int, *, bias: bool = False
) -> tf.Tensor:
    """A 4x4 convolution of each channel by itself, then a 1x1 convolution across channels.

    Variables: separable_conv/depthwise_filter [4, 4, C_in, 1], separable_conv/pointwise_filter
    [1, 1, C_in, C_out], separable_conv/bias [C_out].

    Args:
      inputs: float32 [N, H, W, C_in].
      out_channels: C_out.
      stride: 1 or 2.
      bias: whether a bias is added.

    Returns:
      float32 [N, H / stride, W / stride, C_out], rounded up (padding SAME).
    """
    with tf.variable_scope("separable_conv"):
        channels = inputs.shape[-1]
        depthwise = _weights("depthwise_filter", [KERNEL, KERNEL, channels, 1])
        pointwise = _weights("pointwise_filter", [1, 1, channels, out_channels])
        outputs = tf.nn.separable_conv2d(
            inputs, depthwise, pointwise, [1, stride, stride, 1], "SAME"
        )
        return _add_bias(outputs) if bias else outputs


def upsample(inputs: tf.Tensor) -> tf.Tensor:
    """Repeats every pixel twice in both directions: [N, H, W, C] => [N, 2H, 2W, C]."""
    _, height, width = size_of(inputs)
    return tf.image.resize_images(
        inputs, [2 * height, 2 * width], tf.image.ResizeMethod.NEAREST_NEIGHBOR
    )


def batchnorm(
    inputs: tf.Tensor, *, each: bool = False, fused: bool = True, late: bool = False
) -> tf.Tensor:
    """Normalises every channel by its own mean and variance, then scales and shifts it.

    The moments are always those of the inputs: none are kept between steps. The variance is the
    biased one, epsilon is 1e-5 (Ioffe and Szegedy 2015; Isola et al. 2017, section 6.1).

    Variables: batchnorm/offset [C], from 0; batchnorm/scale [C], from N(1, 0.02).

    Args:
      inputs: float32 [N, H, W, C].
      each: whether each picture has its own moments, so that the batch it is in does not matter.
      fused: one operation, as the reference has since December 2017, instead of several; what
        `late` means differs a little between them.
      late: whether the gradient to the inputs reads the scale again (see the module).

    Returns:
      float32 [N, H, W, C].
    """
    with tf.variable_scope("batchnorm"):
        offset = _zeros("offset", inputs.shape[-1])
        scale = _weights("scale", [inputs.shape[-1]], mean=1.0)
        if fused and not each:
            return _fused_batchnorm(inputs, scale, offset, late=late)
        mean, variance = tf.nn.moments(inputs, [1, 2] if each else [0, 1, 2], keepdims=True)
        deviation = tf.rsqrt(variance + NORM_EPSILON)
        # This product is stored: the gradient that goes straight through it sees the old scale.
        factor = _late_product(deviation, scale) if late else deviation * scale
        return inputs * factor + (offset - mean * factor)


def _late_product(inputs: tf.Tensor, variable: tf.Variable) -> tf.Tensor:
    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def op(inputs: tf.Tensor, value: tf.Tensor) -> tuple[tf.Tensor, Callable[..., Any]]:
        def grad(dy: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return dy * variable.read_value(), tf.reduce_sum(dy * inputs, [0, 1, 2])

        return inputs * value, grad

    return op(inputs, variable.read_value())


def _fused_batchnorm(
    inputs: tf.Tensor, scale: tf.Variable, offset: tf.Variable, *, late: bool
) -> tf.Tensor:
    # The raw op, since tf.nn's raises epsilon to 1.001e-5, an old lower bound of cuDNN's.
    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def op(
        inputs: tf.Tensor, scale_value: tf.Tensor, offset_value: tf.Tensor
    ) -> tuple[tf.Tensor, Callable[..., Any]]:
        outputs, _, _, *stored = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=scale_value,
            offset=offset_value,
            mean=[],
            variance=[],
            epsilon=NORM_EPSILON,
            is_training=True,
        )

        def grad(dy: tf.Tensor) -> list[tf.Tensor]:
            gradients = tf.raw_ops.FusedBatchNormGradV3(
                y_backprop=dy,
                x=inputs,
                scale=scale.read_value() if late else scale_value,
                reserve_space_1=stored[0],
                reserve_space_2=stored[1],
                reserve_space_3=stored[2],
                epsilon=NORM_EPSILON,
                is_training=True,
            )
            return list(gradients[:3])

        return outputs, grad

    return op(inputs, scale.read_value(), offset.read_value())


def lrelu(inputs: tf.Tensor, slope: float = 0.2) -> tf.Tensor:
    """Leaky ReLU as the reference writes it: at exactly 0 its gradient is the mean of both sides.

    Args:
      inputs: float32 of any shape.
      slope: the gradient below 0.

    Returns:
      float32 of the same shape: x above 0, slope * x below.
    """
    with tf.name_scope("lrelu"):
        return 0.5 * (1 + slope) * inputs + 0.5 * (1 - slope) * tf.abs(inputs)


def dropout(inputs: tf.Tensor, rate: float, seed: tf.Tensor, *, each: bool = False) -> tf.Tensor:
    """Sets a share of the values to 0 and scales the others up, by a mask that the seed decides.

    Args:
      inputs: float32 [N, H, W, C].
      rate: the share that is dropped, in [0, 1).
      seed: int64 [2]; the mask is a pure function of it and of the shape.
      each: whether every picture gets the same mask, so that the batch it is in does not matter.

    Returns:
      float32 [N, H, W, C].
    """
    if rate == 0:
        return inputs
    with tf.name_scope("dropout"):
        batch, height, width = size_of(inputs)
        shape = [1 if each else batch, height, width, inputs.shape[-1]]
        kept = tf.random.stateless_uniform(shape, seed) >= rate
        return inputs * (tf.cast(kept, tf.float32) / (1 - rate))
