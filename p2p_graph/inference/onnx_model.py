"""The generator as an ONNX model, written layer by layer from its specification.

A converter would translate TensorFlow's operations one by one. Here a layer is the operation that
runtimes know best: a convolution without a separate pad, InstanceNormalization for the statistics
of each image.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow.compat.v1 as tf

from p2p_graph.config.image_size import ImageSize
from p2p_graph.imaging import lab
from p2p_graph.models.generators import Pooled, UNet
from p2p_graph.utils.errors import UserError

Array = np.ndarray[Any, Any]

_MISSING = "needs the package onnx: pip install -c constraints.txt -e '.[onnx]'"
_OPSET, _IR_VERSION = 17, 8  # of onnxruntime 1.14 (2023) and later
_POOLED_LEVELS = 4
_RGB_TO_XYZ, _XYZ_TO_RGB, _WHITE = (
    np.array(values, np.float32) for values in (lab.RGB_TO_XYZ, lab.XYZ_TO_RGB, lab.WHITE)
)


def check_installed(form: str) -> None:
    """Refuses an export that lacks its package.

    Args:
      form: the format that needs it.

    Raises:
      UserError: the package onnx is not installed.
    """
    try:
        import onnx  # noqa: F401
    except ImportError:
        raise UserError(f"format {form} {_MISSING}") from None


def onnx_model(
    spec: UNet | Pooled,
    channels: tuple[int, int],
    lab_direction: str | None,
    weights: Mapping[str, Array],
    seed: int,
    size: ImageSize,
    properties: Mapping[str, str],
) -> bytes:
    """Makes an ONNX model: `images` => `outputs`, float32 [N, H, W, C] in [0, 1].

    Args:
      spec: the generator's layers.
      channels: of the images that are taken and made.
      lab_direction: "AtoB" or "BtoA" where images are converted to Lab and back, otherwise None.
      weights: of the generator, by native name.
      seed: of the dropout masks, which become constants of the model.
      size: height and width of the images, where there is dropout; without dropout N, H and W are
        free.
      properties: stored in the model's metadata.

    Returns:
      The contents of an .onnx file.
    """
    from onnx import TensorProto, helper

    masks = dropout_masks(spec, seed, size)
    height, width = list(size) if masks else ["height", "width"]
    graph = _Graph(weights, masks)
    if lab_direction:
        values = _lab_inputs(graph, lab_direction)
    else:
        values = graph.add("Sub", graph.add("Mul", "images", 2.0), 1.0)
    inputs = graph.add("Transpose", values, perm=[0, 3, 1, 2])
    build = _unet if isinstance(spec, UNet) else _pooled
    outputs = graph.add("Tanh", build(graph, inputs, spec))  # type: ignore[arg-type]
    outputs = graph.add("Transpose", outputs, perm=[0, 2, 3, 1])
    if lab_direction == "AtoB":
        result = _from_lab(graph, values, outputs)
    else:
        result = graph.add("Div", graph.add("Add", outputs, 1.0), 2.0)
    graph.add("Identity", result, output="outputs")
    taken, made = channels
    described = helper.make_graph(
        graph.nodes,
        "generator",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", height, width, taken])],
        [helper.make_tensor_value_info("outputs", TensorProto.FLOAT, ["N", height, width, made])],
        graph.constants,
    )
    model = helper.make_model(
        described,
        producer_name="p2p_graph",
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
    )
    helper.set_model_props(model, dict(properties))
    contents: bytes = model.SerializeToString()
    return contents


def dropout_masks(spec: UNet | Pooled, seed: int, size: ImageSize) -> dict[int, Array]:
    """The dropout masks of a translation, divided by the share that is kept.

    Args:
      spec: the generator's layers.
      seed: of the masks.
      size: height and width of the images.

    Returns:
      float32 [1, C, h, w] by the number that the layer adds to the seed: of a U-Net's decoders
      their levels. Nothing without dropout.
    """
    shapes: dict[int, tuple[float, int, int]] = {}  # rate, number of halvings, channels
    if isinstance(spec, UNet):
        for level, up in enumerate(spec.decoders, start=1):
            shapes[level] = (up.dropout, level - 1, up.channels)
    else:
        joined = spec.deconvs[0] + spec.encoders[0]
        shapes[1] = (spec.outer_dropout, 0, spec.encoders[0])
        shapes[2] = (spec.inner_dropout, _POOLED_LEVELS, spec.bottleneck[0])
        shapes[3] = (spec.outer_dropout, 0, joined)
    with tf.Graph().as_default(), tf.device("/cpu:0"), tf.Session() as session:
        masks = {}
        for number, (rate, halvings, channels) in shapes.items():
            if not rate:
                continue
            layer_seed = tf.random.experimental.stateless_fold_in(
                tf.constant([seed, 0], tf.int64), number
            )
            height, width = (side >> halvings for side in size)
            keep = tf.random.stateless_uniform([1, height, width, channels], layer_seed) >= rate
            masks[number] = tf.transpose(tf.cast(keep, tf.float32) / (1 - rate), [0, 3, 1, 2])
        found: dict[int, Array] = session.run(masks) if masks else {}
    return found


class _Graph:
    """The nodes and constants of a graph that is being written; NCHW inside."""

    def __init__(self, weights: Mapping[str, Array], masks: Mapping[int, Array]) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.masks = masks
        self._weights = weights

    def add(
        self, operation: str, *inputs: str | float | Array, output: str = "", **attributes: Any
    ) -> str:
        """Adds a node; numbers and arrays among its inputs become constants."""
        from onnx import helper

        names = [value if isinstance(value, str) else self.constant(value) for value in inputs]
        name = output or f"value_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operation, names, [name], **attributes))
        return name

    def constant(self, value: float | Array, name: str = "") -> str:
        """Adds a constant."""
        from onnx import numpy_helper

        array = np.asarray(value, np.float32) if isinstance(value, float) else np.asarray(value)
        name = name or f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def weight(self, name: str, order: Sequence[int] | None = None) -> str:
        """Adds a weight of the generator, its dimensions in another order."""
        array = self._weights[f"generator/{name}"]
        return self.constant(array if order is None else array.transpose(order), name)

    def bias(self, scope: str, has_bias: bool) -> list[str]:
        """A convolution's bias, if it has one."""
        return [self.weight(f"{scope}/bias")] if has_bias else []

    def conv(self, x: str, scope: str, *, stride: int, pad: int, bias: bool) -> str:
        """A convolution; its filter is [k, k, C_in, C_out]."""
        weights = [self.weight(f"{scope}/filter", [3, 2, 0, 1]), *self.bias(scope, bias)]
        return self.add("Conv", x, *weights, strides=[stride] * 2, pads=[pad] * 4)

    def deconv(self, x: str, scope: str, *, pad: int, bias: bool) -> str:
        """A transposed convolution of stride 2; its filter is [k, k, C_out, C_in]."""
        weights = [self.weight(f"{scope}/filter", [3, 2, 0, 1]), *self.bias(scope, bias)]
        return self.add("ConvTranspose", x, *weights, strides=[2, 2], pads=[pad] * 4)

    def separable(self, x: str, scope: str, *, stride: int, bias: bool) -> str:
        """A 4x4 depthwise and a 1x1 convolution, padded as TensorFlow's SAME."""
        # [4, 4, C, 1] => [C, 1, 4, 4]
        depthwise = self.weight(f"{scope}/depthwise_filter", [2, 3, 0, 1])
        channels = self._weights[f"generator/{scope}/depthwise_filter"].shape[2]
        pads = [1, 1, 1, 1] if stride == 2 else [1, 1, 2, 2]
        x = self.add("Conv", x, depthwise, strides=[stride] * 2, pads=pads, group=channels)
        pointwise = self.weight(f"{scope}/pointwise_filter", [3, 2, 0, 1])
        return self.add("Conv", x, pointwise, *self.bias(scope, bias))

    def norm(self, x: str, scope: str, epsilon: float) -> str:
        """Normalisation by each image's own statistics."""
        names = [self.weight(f"{scope}/batchnorm/{name}") for name in ("scale", "offset")]
        return self.add("InstanceNormalization", x, *names, epsilon=epsilon)

    def dropout(self, x: str, number: int) -> str:
        """The dropout of a layer, if it has one."""
        return self.add("Mul", x, self.masks[number]) if number in self.masks else x


def _unet(graph: _Graph, x: str, spec: UNet) -> str:
    """The levels of `models.generators._unet`."""
    slope, epsilon = spec.settings.slope, spec.settings.epsilon
    skips = []
    for level, down in enumerate(spec.encoders, start=1):
        scope = f"encoder_{level}"
        x = x if level == 1 else graph.add("LeakyRelu", x, alpha=slope)
        if spec.separable:
            x = graph.separable(x, f"{scope}/separable_conv", stride=2, bias=down.bias)
        else:
            x = graph.conv(x, f"{scope}/conv", stride=2, pad=1, bias=down.bias)
        x = graph.norm(x, scope, epsilon) if down.norm else x
        skips.append(x)
    for level in range(len(spec.decoders), 0, -1):
        up, scope = spec.decoders[level - 1], f"decoder_{level}"
        x = _join(graph, None if level == len(spec.decoders) else x, skips[level - 1], spec)
        if spec.separable:
            scales = np.array([1, 1, 2, 2], np.float32)
            how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric"}
            x = graph.add("Resize", x, "", scales, nearest_mode="floor", **how)
            x = graph.separable(x, f"{scope}/separable_conv", stride=1, bias=up.bias)
        else:
            x = graph.deconv(x, f"{scope}/deconv", pad=1, bias=up.bias)
        x = graph.norm(x, scope, epsilon) if up.norm else x
        x = graph.dropout(x, level)
    return x


def _join(graph: _Graph, above: str | None, skip: str, spec: UNet) -> str:
    """A decoder's inputs, as `models.generators._join`."""
    if above is not None and not spec.skips:
        return graph.add("Relu", above)
    if spec.leaky_skips:
        skip = graph.add("LeakyRelu", skip, alpha=spec.settings.slope)
        return (
            skip if above is None else graph.add("Concat", graph.add("Relu", above), skip, axis=1)
        )
    return graph.add("Relu", skip if above is None else graph.add("Concat", above, skip, axis=1))


def _pooled(graph: _Graph, x: str, spec: Pooled) -> str:
    """The levels of `models.generators._pooled`."""

    def conv(x: str, scope: str) -> str:
        return graph.add("Relu", graph.conv(x, f"{scope}/conv", stride=1, pad=1, bias=True))

    def pool(x: str) -> str:
        return graph.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])

    skips: list[str] = []
    for level in range(1, len(spec.encoders) + 1):
        x = conv(pool(x) if skips else x, f"encoder_{level}")
        x = x if skips else graph.dropout(x, 1)
        skips.append(x)
    x = graph.dropout(conv(pool(x), "bottleneck_1"), 2)
    x = conv(x, "bottleneck_2")
    for level in range(len(skips), 0, -1):
        scope = f"decoder_{level}"
        x = graph.deconv(x, f"{scope}/deconv", pad=0, bias=True)
        x = graph.add("Concat", x, skips[level - 1], axis=1)
        x = graph.dropout(x, 3) if level == 1 else x
        x = conv(x, scope)
    return graph.conv(x, "output/conv", stride=1, pad=0, bias=True)


def _lab_inputs(graph: _Graph, direction: str) -> str:
    """The network's inputs: L, or a and b, as `data.lab_color.split_lab`."""
    linear = graph.add(
        "Where",
        graph.add("LessOrEqual", "images", 0.04045),
        graph.add("Div", "images", 12.92),
        graph.add("Pow", graph.add("Div", graph.add("Add", "images", 0.055), 1.055), 2.4),
    )
    xyz = graph.add("Div", graph.add("MatMul", linear, _RGB_TO_XYZ), _WHITE)
    straight = graph.add("Add", graph.add("Div", xyz, float(3 * lab.DELTA**2)), 4 / 29)
    root = graph.add("Pow", graph.add("Max", xyz, float(lab.DELTA**3)), 1 / 3)
    f = graph.add("Where", graph.add("LessOrEqual", xyz, float(lab.DELTA**3)), straight, root)
    # L = 116 fy - 16, a = 500 (fx - fy), b = 200 (fy - fz), scaled to about [-1, 1].
    matrix = np.array([[0, 500, 0], [116, -500, 200], [0, 0, -200]], np.float32)
    scale = np.array([50, 110, 110], np.float32)
    offset = np.array([-16 / 50 - 1, 0, 0], np.float32)
    values = graph.add("Add", graph.add("MatMul", f, matrix / scale), offset)
    first, end = (0, 1) if direction == "AtoB" else (1, 3)
    places = (np.array([number], np.int64) for number in (first, end, 3))
    return graph.add("Slice", values, *places)


def _from_lab(graph: _Graph, lightness: str, colours: str) -> str:
    """RGB of the true lightness and the generated colours, as `data.lab_color.join_lab`."""
    values = graph.add("Concat", lightness, colours, axis=3)
    # f = ((L + 16) / 116) + (a / 500, 0, -b / 200), of values in about [-1, 1].
    matrix = np.array([[50 / 116] * 3, [110 / 500, 0, 0], [0, 0, -110 / 200]], np.float32)
    f = graph.add("Add", graph.add("MatMul", values, matrix), 66 / 116)
    straight = graph.add("Mul", graph.add("Sub", f, 4 / 29), float(3 * lab.DELTA**2))
    cube = graph.add("Mul", graph.add("Mul", f, f), f)
    is_small = graph.add("LessOrEqual", f, float(lab.DELTA))
    xyz = graph.add("Mul", graph.add("Where", is_small, straight, cube), _WHITE)
    rgb = graph.add("MatMul", xyz, _XYZ_TO_RGB)
    linear = graph.add("Clip", rgb, 0.0, 1.0)
    power = graph.add("Pow", graph.add("Max", linear, 0.0031308), 1 / 2.4)
    curved = graph.add("Sub", graph.add("Mul", power, 1.055), 0.055)
    is_dark = graph.add("LessOrEqual", linear, 0.0031308)
    return graph.add("Where", is_dark, graph.add("Mul", linear, 12.92), curved)
