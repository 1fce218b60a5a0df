"""The layers' operations: explicit variables under the current variable scope, NHWC, float32.

An operation with `late=True` splits its gradient: what the forward pass computed stays as it was
stored, but the weight that the gradient passes through on its way to the inputs is read again
where the backward pass is built. Built under a control dependency on an update of the weight, it
sees the updated one; built without, the old one (and then every update must wait for all
gradients). `model.py` says what this is for.
"""

import functools
import zlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow.compat.v1 as tf

from p2p_graph.models import matmul_conv

_THIN = 4  # channels
_PAD_ONE = [[0, 0], [1, 1], [1, 1], [0, 0]]


class LayerSettings(NamedTuple):
    """What the layers of one model have in common; the defaults are affinelayer's.

    Attributes:
      slope: of leaky ReLU below 0.
      epsilon: of batch normalisation.
      norm_stddev: batch normalisation's scales start from N(1, norm_stddev).
      fused: whether batch normalisation is one operation, as affinelayer's has been since December
        2017, instead of several; what `late` means differs a little between them. (Both are
        computed by one operation here.)
      glorot: whether filters start from Glorot's uniform distribution (Glorot and Bengio 2010,
        equation 16) instead of N(0, 0.02), not truncated (Isola et al. 2017, section 6.2).
      matmul_places: 4x4 convolutions of stride 2 are matrix products where their filter is used at
        no more places than this.
      mixed: whether images between layers, and the products of convolutions, are bfloat16;
        variables, moments of batch normalisation and all gradients of variables stay float32.
      fixed: whether weights will not change: what layers make of a filter alone, as its transpose,
        is then made once, by running the initializers of the collection `FIXED`.
    """

    slope: float = 0.2
    epsilon: float = 1e-5
    norm_stddev: float = 0.02
    fused: bool = True
    glorot: bool = False
    matmul_positions: int = 0
    mixed: bool = False
    fixed: bool = False


FIXED = "fixed"
DEFAULT_LAYERS = LayerSettings()


def _seed(name: str) -> int:
    # By default the operation's number in the graph would be part of the seed, and with it whatever
    # was built before. The name makes an initial value a function of (graph's seed, name) alone.
    return zlib.crc32(f"{tf.get_variable_scope().name}/{name}".encode()) % 2**31


def _rounded(values: tf.Tensor, settings: LayerSettings) -> tf.Tensor:
    """Values as the layers of a style compute with them; a variable's value is read here."""
    return tf.cast(values, tf.bfloat16) if settings.mixed else values


def _made_once(values: tf.Tensor, settings: LayerSettings) -> tf.Tensor:
    """Values that are made of a filter alone; where filters are fixed, from a variable."""
    if not settings.fixed:
        return values
    return tf.Variable(values, trainable=False, collections=[FIXED], use_resource=True).value()


def _filter(name: str, shape: Sequence[int], settings: LayerSettings) -> tf.Variable:
    if settings.glorot:
        initializer = tf.glorot_uniform_initializer(_seed(name))
    else:
        initializer = tf.random_normal_initializer(0.0, 0.02, _seed(name))
    return tf.get_variable(name, shape, tf.float32, initializer=initializer)


def _weights(variable: tf.Variable, settings: LayerSettings) -> tf.Tensor:
    """A filter as the layers compute with it."""
    rounded = _rounded(variable, settings)
    return _made_once(rounded, settings) if settings.mixed else rounded


def _zeros(name: str, size: int) -> tf.Variable:
    return tf.get_variable(name, [size], tf.float32, initializer=tf.zeros_initializer())


def has_bias(which: str, *, norm: bool, last: bool = False) -> bool:
    """Whether a layer has a bias, where a model has them on "none", "all", "last" or "unnormed".

    Args:
      which: the layers that have one.
      norm: whether this one is normalised.
      last: whether it is its network's last.
    """
    return {"none": False, "all": True, "last": last, "unnormed": not norm}[which]


def _add_bias(outputs: tf.Tensor) -> tf.Tensor:
    bias = _zeros("bias", outputs.shape[-1])
    return tf.nn.bias_add(outputs, tf.cast(bias, outputs.dtype))


def size_of(images: tf.Tensor) -> list[Any]:
    """Batch, height and width of [N, H, W, C]: numbers where the graph knows them, else tensors."""
    dynamic = tf.shape(images)
    return [dynamic[i] if n is None else n for i, n in enumerate(images.shape.as_list()[:3])]


def conv(
    inputs: tf.Tensor,
    out_channels: int,
    stride: int = 1,
    *,
    kernel: int = 4,
    padding: str = "one",
    bias: bool = False,
    late: bool = False,
    settings: LayerSettings = DEFAULT_LAYERS,
) -> tf.Tensor:
    """A square convolution.

    Variables: conv/filter [kernel, kernel, C_in, C_out], conv/bias [C_out].

    Args:
      inputs: float32 [N, H, W, C_in].
      out_channels: C_out.
      stride: 1 or 2.
      kernel: side of the filter.
      padding: "one" zero on each side, "same" (TensorFlow's SAME), or "valid" for none.
      bias: whether a bias is added.
      late: whether the gradient to the inputs reads the filter again (see the module).
      settings: how the filter starts.

    Returns:
      float32 [N, h, w, C_out]; h is ceil(H / stride) with "same", else
      (H + 2 pad - kernel) / stride + 1, rounded down.
    """
    with tf.variable_scope("conv"):
        variable = _filter("filter", [kernel, kernel, inputs.shape[-1], out_channels], settings)
        inputs = _rounded(inputs, settings)
        if (kernel, stride, padding, late) == (4, 2, "one", False) and _is_small(
            inputs, 2, settings
        ):
            outputs = matmul_conv.conv(inputs, _weights(variable, settings))
            return _add_bias(outputs) if bias else outputs
        if padding == "one":
            # Two operations: on a CPU, the convolution's own explicit padding takes a slower path.
            inputs, padding = tf.pad(inputs, _PAD_ONE), "valid"
        how = {"strides": [1, stride, stride, 1], "padding": padding.upper()}
        if late:
            outputs = _late_conv(inputs, variable, how, settings)
        else:
            outputs = tf.nn.conv2d(inputs, _weights(variable, settings), **how)
        return _add_bias(outputs) if bias else outputs


def _late_conv(
    inputs: tf.Tensor, variable: tf.Variable, how: dict[str, Any], settings: LayerSettings
) -> tf.Tensor:
    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def op(inputs: tf.Tensor, value: tf.Tensor) -> tuple[tf.Tensor, Callable[..., Any]]:
        def grad(dy: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            weight = _rounded(variable.read_value(), settings)
            d_inputs = tf.nn.conv2d_backprop_input(tf.shape(inputs), weight, dy, **how)
            d_filter = tf.nn.conv2d_backprop_filter(inputs, tf.shape(value), dy, **how)
            return d_inputs, d_filter

        return tf.nn.conv2d(inputs, value, **how), grad

    return op(inputs, _rounded(variable.read_value(), settings))


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
      settings: how the filter starts.

    Returns:
      float32 [N, 2H, 2W, C_out].
    """
    with tf.variable_scope("deconv"):
        variable = _filter("filter", [kernel, kernel, out_channels, inputs.shape[-1]], settings)
        inputs = _rounded(inputs, settings)
        batch, height, width = size_of(inputs)
        # In training, the gradients would take the time that this saves.
        is_thin = settings.fixed and out_channels <= _THIN and settings.matmul_positions > 0
        if kernel == 4 and (is_thin or _is_small(inputs, 1, settings)):
            once = functools.partial(_made_once, settings=settings) if settings.fixed else None
            outputs = matmul_conv.deconv(inputs, _rounded(variable, settings), once)
        else:
            size = [batch, 2 * height, 2 * width, out_channels]
            weights = _weights(variable, settings)
            outputs = tf.nn.conv2d_transpose(inputs, weights, size, 2, "SAME")
        return _add_bias(outputs) if bias else outputs


def _is_small(inputs: tf.Tensor, stride: int, settings: LayerSettings) -> bool:
    """Whether a filter is used at so few places that its memory costs more than its arithmetic.

    A CPU's convolution copies the filter into a layout of its own at each use, which for the
    innermost levels takes longer than the rest. A matrix product reads it once, as it lies.
    """
    batch, height, width = inputs.shape.as_list()[:3]
    if height is None or width is None or height % stride or width % stride:
        return False
    places: int = (batch or 1) * (height // stride) * (width // stride)
    return places <= settings.matmul_positions


def separable_conv(
    inputs: tf.Tensor,
    out_channels: int,
    stride: int,
    *,
    bias: bool = False,
    settings: LayerSettings = DEFAULT_LAYERS,
) -> tf.Tensor:
    """A 4x4 convolution of each channel by itself, then a 1x1 convolution across channels.

    Variables: separable_conv/depthwise_filter [4, 4, C_in, 1], separable_conv/pointwise_filter
    [1, 1, C_in, C_out], separable_conv/bias [C_out].

    Args:
      inputs: float32 [N, H, W, C_in].
      out_channels: C_out.
      stride: 1 or 2.
      bias: whether a bias is added.
      settings: how the filters start.

    Returns:
      float32 [N, H / stride, W / stride, C_out], rounded up (padding SAME).
    """
    with tf.variable_scope("separable_conv"):
        channels = inputs.shape[-1]
        depthwise = _filter("depthwise_filter", [4, 4, channels, 1], settings)
        pointwise = _filter("pointwise_filter", [1, 1, channels, out_channels], settings)
        inputs, depthwise, pointwise = (
            _rounded(values, settings) for values in (inputs, depthwise, pointwise)
        )
        outputs = tf.nn.separable_conv2d(
            inputs, depthwise, pointwise, [1, stride, stride, 1], "SAME"
        )
        return _add_bias(outputs) if bias else outputs


def max_pool(inputs: tf.Tensor) -> tf.Tensor:
    """The largest of every 2x2 values: [N, H, W, C] => [N, H/2, W/2, C]."""
    return tf.nn.max_pool2d(inputs, 2, 2, "VALID")


def upsample(inputs: tf.Tensor) -> tf.Tensor:
    """Repeats every pixel twice in both directions: [N, H, W, C] => [N, 2H, 2W, C]."""
    _, height, width = size_of(inputs)
    return tf.image.resize_images(
        inputs, [2 * height, 2 * width], tf.image.ResizeMethod.NEAREST_NEIGHBOR
    )


def batchnorm(
    inputs: tf.Tensor,
    *,
    each: bool = False,
    late: bool = False,
    settings: LayerSettings = DEFAULT_LAYERS,
) -> tf.Tensor:
    """Normalises every channel by its own mean and variance, then scales and shifts it.

    The moments are always those of the inputs: none are kept between steps. The variance is the
    biased one (Ioffe and Szegedy 2015; Isola et al. 2017, section 6.1).

    Variables: batchnorm/offset [C], from 0; batchnorm/scale [C], from N(1, style.norm_stddev).

    Args:
      inputs: float32 [N, H, W, C].
      each: whether each image has its own moments, so that the batch it is in does not matter.
      late: whether the gradient to the inputs reads the scale again (see the module).
      settings: epsilon, form and first values.

    Returns:
      float32 [N, H, W, C].
    """
    with tf.variable_scope("batchnorm"):
        offset = _zeros("offset", inputs.shape[-1])
        first = tf.random_normal_initializer(1.0, settings.norm_stddev, _seed("scale"))
        scale = tf.get_variable("scale", [inputs.shape[-1]], tf.float32, initializer=first)
        if not each or inputs.shape[0] == 1:
            return _fused_batchnorm(inputs, scale, offset, settings, late=late)
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
    late: bool,
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
            epsilon=settings.epsilon,
            is_training=True,
        )

        def grad(dy: tf.Tensor) -> list[tf.Tensor]:
            gradients = tf.raw_ops.FusedBatchNormGradV3(
                y_backprop=dy,
                x=inputs,
                scale=scale.read_value() if late and settings.fused else scale_value,
                reserve_space_1=stored[0],
                reserve_space_2=stored[1],
                reserve_space_3=stored[2],
                epsilon=settings.epsilon,
                is_training=True,
            )
            d_inputs, d_scale, d_offset = gradients[:3]
            if late and not settings.fused:
                change = scale.read_value() - scale_value
                through = _through_deviation(inputs, d_scale * change, settings.epsilon)
                d_inputs -= tf.cast(through, d_inputs.dtype)
            return [d_inputs, d_scale, d_offset]

        return outputs, grad

    return op(inputs, scale.read_value(), offset.read_value())


def _through_deviation(inputs: tf.Tensor, d_scale: tf.Tensor, epsilon: float) -> tf.Tensor:
    """The part of a gradient that reaches the inputs through their deviation alone.

    A normalised image's gradient is scale / deviation * (dy - mean(dy) - x * mean(dy * x)), where
    x has mean 0 and deviation 1. In the reference's first generation the product of scale and
    1 / deviation is stored, and only the last term sees the scale anew.

    Args:
      inputs: float32 [N, H, W, C], before they are normalised.
      d_scale: float32 [C], the sum of dy * x, times the scale that this is for.
      epsilon: of the normalisation.
    """
    inputs = tf.cast(inputs, tf.float32)
    mean, variance = tf.nn.moments(inputs, [0, 1, 2], keepdims=True)
    count = tf.cast(tf.reduce_prod(tf.shape(inputs)[:3]), tf.float32)
    return (inputs - mean) * (d_scale / count / (variance + epsilon))


def lrelu(inputs: tf.Tensor, slope: float = 0.2) -> tf.Tensor:
    """Leaky ReLU as the reference writes it: at exactly 0 its gradient is the mean of both sides.

    Args:
      inputs: float32 of any shape.
      slope: the gradient below 0.

    Returns:
      float32 of the same shape: x above 0, slope * x below.
    """
    if inputs.dtype == tf.bfloat16:  # rounded once, not three times
        return tf.nn.leaky_relu(inputs, slope)
    with tf.name_scope("lrelu"):
        return 0.5 * (1 + slope) * inputs + 0.5 * (1 - slope) * tf.abs(inputs)


def dropout(inputs: tf.Tensor, rate: float, seed: tf.Tensor, *, each: bool = False) -> tf.Tensor:
    """Sets a share of the values to 0 and scales the others up, by a mask that the seed decides.

    Args:
      inputs: float32 [N, H, W, C].
      rate: the share that is dropped, in [0, 1).
      seed: int64 [2]; the mask is a pure function of it and of the shape.
      each: whether every image gets the same mask, so that the batch it is in does not matter.

    Returns:
      float32 [N, H, W, C].
    """
    if rate == 0:
        return inputs
    with tf.name_scope("dropout"):
        batch, height, width = size_of(inputs)
        shape = [1 if each else batch, height, width, inputs.shape[-1]]
        kept = tf.random.stateless_uniform(shape, seed) >= rate
        return inputs * (tf.cast(kept, inputs.dtype) / (1 - rate))
