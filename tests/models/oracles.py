"""Slow NumPy versions of the layers, written from their definitions, in the inputs' precision."""

import numpy as np
import tensorflow.compat.v1 as tf

KERNEL = 4
EPSILON = 1e-5
_POSITIONS = [(i, j) for i in range(KERNEL) for j in range(KERNEL)]
_ALL = (0, 1, 2)


def draw(variables, seed, spread=0.3):
    """Random float32 values for variables, by variable: scales about 1, all others about 0."""
    rng = np.random.default_rng(seed)
    return {
        v: np.float32(rng.normal(v.name.endswith("scale:0"), spread, v.shape.as_list()))
        for v in variables
    }


def initialize(session, values):
    """Initializes all variables, those in `values` with the value given there."""
    feed = {variable.initializer.inputs[1]: value for variable, value in values.items()}
    session.run([variable.initializer for variable in tf.global_variables()], feed)


def quick_session(threads=0):
    """A session without graph optimization, which would take longer than one run of the graph."""
    config = tf.ConfigProto(
        use_per_session_threads=threads > 0, inter_op_parallelism_threads=threads
    )
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    return tf.Session(config=config)


def by_name(values, scope=""):
    """Values by variable => values by name inside of a scope, in float64."""
    return {
        v.name.removeprefix(scope).removesuffix(":0"): np.float64(value)
        for v, value in values.items()
        if v.name.startswith(scope)
    }


def _window(padded, i, j, stride, height, width):
    """The inputs under kernel position (i, j), for all output pixels."""
    return padded[
        :, i : i + stride * (height - 1) + 1 : stride, j : j + stride * (width - 1) + 1 : stride
    ]


def _pad_one(x):
    return np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])


def conv(x, kernel, stride, bias=0.0):
    padded = _pad_one(x)
    height, width = ((n - KERNEL) // stride + 1 for n in padded.shape[1:3])
    return bias + sum(
        _window(padded, i, j, stride, height, width) @ kernel[i, j] for i, j in _POSITIONS
    )


def conv_to_inputs(dy, kernel, stride, shape):
    """The adjoint of `conv` in x: the gradient to inputs of a shape."""
    padded = _pad_one(np.zeros(shape))
    for i, j in _POSITIONS:
        window = _window(padded, i, j, stride, *dy.shape[1:3])
        window += dy @ kernel[i, j].T
    return padded[:, 1:-1, 1:-1]


def conv_to_kernel(x, dy, stride):
    """The adjoint of `conv` in the kernel."""
    padded = _pad_one(x)
    windows = [_window(padded, i, j, stride, *dy.shape[1:3]) for i, j in _POSITIONS]
    products = [np.tensordot(window, dy, (_ALL, _ALL)) for window in windows]
    return np.reshape(products, (KERNEL, KERNEL, x.shape[-1], dy.shape[-1]))


def deconv(x, kernel, bias=0.0):
    batch, height, width, _ = x.shape
    return conv_to_inputs(x, kernel, 2, (batch, 2 * height, 2 * width, kernel.shape[2])) + bias


def separable_conv(x, depthwise, pointwise, stride, bias=0.0):
    sizes = [-(-n // stride) for n in x.shape[1:3]]
    lacking = [(m - 1) * stride + KERNEL - n for m, n in zip(sizes, x.shape[1:3], strict=True)]
    padded = np.pad(x, [(0, 0), *((n // 2, n - n // 2) for n in lacking), (0, 0)])
    single = sum(
        _window(padded, i, j, stride, *sizes) * depthwise[i, j, :, 0] for i, j in _POSITIONS
    )
    return single @ pointwise[0, 0] + bias


def upsample(x):
    return x.repeat(2, axis=1).repeat(2, axis=2)


def _normalized(x, per_image=False, epsilon=EPSILON):
    axes = (1, 2) if per_image else _ALL
    mean = x.mean(axes, keepdims=True)
    deviation = 1 / np.sqrt(((x - mean) ** 2).mean(axes, keepdims=True) + epsilon)
    return (x - mean) * deviation, deviation


def batchnorm(x, offset, scale, per_image=False, epsilon=EPSILON):
    return _normalized(x, per_image, epsilon)[0] * scale + offset


def batchnorm_grads(x, dy, straight, through):
    """The gradients of `batchnorm` to x, offset and scale.

    The scale can be another one on the path that leaves the deviation alone (`straight`) than on
    that `through` it. With y = (x - mean) * f + offset and f = scale * deviation:
    straight, dx = f * (dy - mean(dy)); through, df = sum(dy * (x - mean)), and
    d deviation / dx = -deviation^3 * (x - mean) / n.
    """
    normal, deviation = _normalized(x)
    d_scale = (dy * normal).sum(_ALL)
    dx_straight = straight * deviation * (dy - dy.mean(_ALL))
    dx_through = -through * deviation * normal * d_scale / normal[..., 0].size
    return dx_straight + dx_through, dy.sum(_ALL), d_scale


def lrelu(x, slope=0.2):
    return np.where(x > 0, x, slope * x)


def conv_same(x, kernel, bias):
    """A convolution of any odd kernel, stride 1 and padding SAME."""
    side = kernel.shape[0] // 2
    padded = np.pad(x, [(0, 0), (side, side), (side, side), (0, 0)])
    _, height, width, _ = x.shape
    return bias + sum(
        padded[:, i : i + height, j : j + width] @ kernel[i, j]
        for i in range(kernel.shape[0])
        for j in range(kernel.shape[0])
    )


def deconv_by_blocks(x, kernel, bias):
    """A transposed convolution of kernel 2x2 and stride 2: every pixel becomes a 2x2 block."""
    batch, height, width, _ = x.shape
    made = np.empty((batch, 2 * height, 2 * width, kernel.shape[2]))
    for i in range(2):
        for j in range(2):
            made[:, i::2, j::2] = x @ kernel[i, j].T
    return made + bias


def max_pool(x):
    batch, height, width, channels = x.shape
    return x.reshape(batch, height // 2, 2, width // 2, 2, channels).max((2, 4))


def pooled(x, weights, masks):
    """PyImageSearch's U-Net; `masks` are the dropout masks by number."""

    def layer(x, name, kind=conv_same):
        return kind(x, weights[f"{name}/filter"], weights[f"{name}/bias"])

    def relu_of(x, name):
        return np.maximum(layer(x, f"{name}/conv"), 0)

    d1 = relu_of(x, "encoder_1") * masks[1]
    d2 = relu_of(max_pool(d1), "encoder_2")
    d3 = relu_of(max_pool(d2), "encoder_3")
    d4 = relu_of(max_pool(d3), "encoder_4")
    x = relu_of(relu_of(max_pool(d4), "bottleneck_1") * masks[2], "bottleneck_2")
    for level, skip in ((4, d4), (3, d3), (2, d2), (1, d1)):
        x = layer(x, f"decoder_{level}/deconv", deconv_by_blocks)
        x = np.concatenate([x, skip], axis=3)
        x = relu_of(x * masks[3] if level == 1 else x, f"decoder_{level}")
    return np.tanh(layer(x, "output/conv"))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def generator(x, weights, spec, masks):
    """The U-Net.

    Args:
      x: images.
      weights: by name inside of the generator's scope.
      spec: from `generators.unet`.
      masks: dropout masks by decoder level; levels without dropout are missing.
    """

    def conv_of(x, layer, kind, stride):
        w = {n.split("/")[2]: v for n, v in weights.items() if n.startswith(f"{layer}/{kind}/")}
        bias = w.get("bias", 0.0)
        if kind == "separable_conv":
            return separable_conv(x, w["depthwise_filter"], w["pointwise_filter"], stride, bias)
        return conv(x, w["filter"], 2, bias) if kind == "conv" else deconv(x, w["filter"], bias)

    def norm_of(x, layer):
        if f"{layer}/batchnorm/offset" not in weights:
            return x
        return batchnorm(
            x,
            weights[f"{layer}/batchnorm/offset"],
            weights[f"{layer}/batchnorm/scale"],
            epsilon=spec.settings.epsilon,
        )

    slope = spec.settings.slope
    levels = len(spec.encoders)
    skips = {}
    for level in range(1, levels + 1):
        layer = f"encoder_{level}"
        if level == 1:
            x = conv_of(x, layer, "separable_conv" if spec.separable else "conv", 2)
        else:
            x = conv_of(lrelu(x, slope), layer, "separable_conv" if spec.separable else "conv", 2)
            x = norm_of(x, layer)
        skips[level] = x
    for level in range(levels, 0, -1):
        layer = f"decoder_{level}"
        skip = lrelu(skips[level], slope if spec.leaky_skips else 0.0)
        x = skip if level == levels else np.maximum(x, 0)
        if level < levels and spec.skips:
            x = np.concatenate([x, skip], axis=3)
        if spec.separable:
            x = conv_of(upsample(x), layer, "separable_conv", 1)
        else:
            x = conv_of(x, layer, "deconv", 2)
        if level > 1:
            x = norm_of(x, layer) * masks.get(level, 1.0)
    return np.tanh(x)


def discriminator(pair, weights):
    """The 70x70 PatchGAN on concatenated pairs.

    Returns:
      The predictions; and for `discriminator_grads`, of every layer the inputs, the convolution's
      result, and the normalised result.
    """
    x, stored = pair, []
    for number in range(1, 6):
        layer = f"layer_{number}"
        inputs = x
        bias = weights.get(f"{layer}/conv/bias", 0.0)
        x = mixed = conv(inputs, weights[f"{layer}/conv/filter"], 2 if number < 4 else 1, bias)
        if 2 <= number <= 4:
            x = batchnorm(
                mixed, weights[f"{layer}/batchnorm/offset"], weights[f"{layer}/batchnorm/scale"]
            )
        stored.append((inputs, mixed, x))
        x = sigmoid(x) if number == 5 else lrelu(x)
    return x, stored


def discriminator_grads(dy, stored, weights, back, fused):
    """The backward pass of the discriminator, layer by layer.

    Args:
      dy: the gradient of the predictions.
      stored: from `discriminator`.
      weights: of the forward pass.
      back: the weights that the gradient goes through.
      fused: whether all of the gradient of batch normalisation uses the scale of `back`, or only
        the path through the deviation.

    Returns:
      The gradient of the pair, and those of the weights, by name.
    """
    grads = {}
    for number in range(5, 0, -1):
        layer = f"layer_{number}"
        inputs, mixed, normed = stored[number - 1]
        if number == 5:
            dy = dy * sigmoid(normed) * (1 - sigmoid(normed))
        else:
            dy = dy * np.where(normed > 0, 1, 0.2)
        if 2 <= number <= 4:
            scale = f"{layer}/batchnorm/scale"
            dy, grads[f"{layer}/batchnorm/offset"], grads[scale] = batchnorm_grads(
                mixed, dy, (back if fused else weights)[scale], back[scale]
            )
        stride = 2 if number < 4 else 1
        if f"{layer}/conv/bias" in weights:
            grads[f"{layer}/conv/bias"] = dy.sum(_ALL)
        grads[f"{layer}/conv/filter"] = conv_to_kernel(inputs, dy, stride)
        dy = conv_to_inputs(dy, back[f"{layer}/conv/filter"], stride, inputs.shape)
    return dy, grads
