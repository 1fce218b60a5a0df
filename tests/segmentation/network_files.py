"""Writes network files for the tests: a small FCN-8s in Caffe's format, tiny networks in ONNX.

Both formats are protocol buffers, written here without Caffe or ONNX. The numbers of fields come
from caffe.proto and onnx.proto.
"""

from typing import NamedTuple

import numpy as np

FCN8S_CLASSES = 20  # as in the paper's file: 19 evaluated classes, and one more
WIDTHS = (3, 4, 5, 6, 6)  # channels of conv1 to conv5; FCN-8s has 64 to 512
CONVOLUTIONS = (2, 2, 3, 3, 3)  # convolutions before each pooling
FC_WIDTH = 7


class Layer(NamedTuple):
    """A layer of a prototxt.

    Attributes:
      name: name of the layer and of its output blob; a "ReLU" works in place.
      kind: Caffe's type of the layer.
      bottoms: names of the input blobs.
      parameters: text of the parameter block.
    """

    name: str
    kind: str
    bottoms: tuple[str, ...]
    parameters: str = ""

    @property
    def top(self):
        return self.bottoms[0] if self.kind == "ReLU" else self.name


def varint(number):
    """An integer, 7 bits a byte, lowest first; all bytes but the last have the top bit set."""
    parts = []
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])


def field(number, value):
    """One field: an integer, or text or bytes after their length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    contents = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(contents)) + contents


def message(*fields):
    """A message of (number, value) pairs."""
    return b"".join(field(number, value) for number, value in fields)


def blob(values):
    """A BlobProto of an array: the shape, then the floats."""
    shape = field(1, b"".join(varint(size) for size in values.shape))
    return message((7, shape), (5, np.ascontiguousarray(values, "<f4").tobytes()))


def caffemodel(layers, weights):
    """A NetParameter with the layers' weights.

    Args:
      layers: `Layer`s.
      weights: lists of arrays by layer name.
    """
    stored = []
    for layer in layers:
        blobs = [(7, blob(values)) for values in weights.get(layer.name, ())]
        bottoms = [(3, bottom) for bottom in layer.bottoms]
        head = (1, layer.name), (2, layer.kind)
        stored.append((100, message(*head, *bottoms, (4, layer.top), *blobs)))
    return message((1, "small"), *stored)


def prototxt(layers, shape):
    """The text of a network: an input of a given shape, then the layers."""
    sizes = " ".join(f"dim: {size}" for size in shape)
    head = 'layer { name: "data" type: "Input" top: "data" '
    lines = [head + f"input_param {{ shape {{ {sizes} }} }} }}"]
    for layer in layers:
        bottoms = " ".join(f'bottom: "{bottom}"' for bottom in layer.bottoms)
        names = f'name: "{layer.name}" type: "{layer.kind}" {bottoms} top: "{layer.top}"'
        lines.append(f"layer {{ {names} {layer.parameters} }}")
    return "\n".join(lines) + "\n"


def convolution(outputs, kernel, *, pad=0, stride=1, bias=True):
    words = f"num_output: {outputs} kernel_size: {kernel} pad: {pad} stride: {stride}"
    return f"convolution_param {{ {words}{'' if bias else ' bias_term: false'} }}"


def fcn8s(rng, *, classes=FCN8S_CLASSES, inputs=3):
    """FCN-8s as in the authors' deploy.prototxt, with few channels.

    Args:
      rng: generator of the weights.
      classes: channels of the scores.
      inputs: channels of the images.

    Returns:
      A list of `Layer`s, and their weights: lists of float32 arrays by layer name.
    """
    layers, weights = [], {}
    channels = {"data": inputs}

    def add(name, kind, bottom, outputs, kernel, **options):
        transposed = kind == "Deconvolution"
        words = convolution(outputs, kernel, bias=not transposed, **options)
        layers.append(Layer(name, kind, (bottom,), words))
        # Keeps the activations' scale; a deconvolution sums a fourth of the terms.
        terms = channels[bottom] * kernel**2 / (4 if transposed else 1)
        ends = (channels[bottom], outputs) if transposed else (outputs, channels[bottom])
        filters = rng.normal(0, (2 / terms) ** 0.5, (*ends, kernel, kernel))
        biases = [] if transposed else [rng.normal(0, 0.5, outputs)]
        weights[name] = [values.astype(np.float32) for values in (filters, *biases)]
        channels[name] = outputs
        return name

    def rectified(name, number):
        layers.append(Layer(f"relu{number}", "ReLU", (name,)))
        return name

    def cropped(name, bottom, like, offset):
        words = f"crop_param {{ axis: 2 offset: {offset} }}"
        layers.append(Layer(name, "Crop", (bottom, like), words))
        return name

    def summed(name, *bottoms):
        layers.append(Layer(name, "Eltwise", bottoms, "eltwise_param { operation: SUM }"))
        channels[name] = classes
        return name

    last = "data"
    for stage, (width, count) in enumerate(zip(WIDTHS, CONVOLUTIONS, strict=True), 1):
        for number in range(1, count + 1):
            pad = 100 if last == "data" else 1
            name = f"conv{stage}_{number}"
            last = rectified(add(name, "Convolution", last, width, 3, pad=pad), f"{stage}_{number}")
        pooling = "pooling_param { pool: MAX kernel_size: 2 stride: 2 }"
        layers.append(Layer(f"pool{stage}", "Pooling", (last,), pooling))
        last = f"pool{stage}"
        channels[last] = width
    last = rectified(add("fc6_cs", "Convolution", last, FC_WIDTH, 7), "6_cs")
    last = rectified(add("fc7_cs", "Convolution", last, FC_WIDTH, 1), "7_cs")
    last = add("score_fr", "Convolution", last, classes, 1)
    last = add("upscore2", "Deconvolution", last, classes, 4, stride=2)
    beside = add("score_pool4", "Convolution", "pool4", classes, 1)
    last = summed("fuse_pool4", last, cropped("score_pool4c", beside, last, 5))
    last = add("upscore_pool4", "Deconvolution", last, classes, 4, stride=2)
    beside = add("score_pool3", "Convolution", "pool3", classes, 1)
    last = summed("fuse_pool3", last, cropped("score_pool3c", beside, last, 9))
    last = add("upscore8", "Deconvolution", last, classes, 16, stride=8)
    cropped("score", last, "data", 31)
    return layers, weights


class Node(NamedTuple):
    """A node of an ONNX graph.

    Attributes:
      kind: ONNX's type of the node.
      inputs: names of the inputs.
      output: name of the output.
      integers: lists of integers by attribute name.
    """

    kind: str
    inputs: tuple[str, ...]
    output: str
    integers: dict[str, list[int]] = {}  # noqa: RUF012 (nobody writes to it)


def onnx(nodes, constants, outputs, shape):
    """A ModelProto that takes float32 `image`.

    Args:
      nodes: `Node`s.
      constants: float32 arrays by name.
      outputs: names.
      shape: the input's shape; a name stands for any size.
    """
    float32 = 1
    graph = [(1, _node(node)) for node in nodes]
    graph.append((2, "tiny"))
    for name, values in constants.items():
        dims = [(1, size) for size in values.shape]
        raw = np.ascontiguousarray(values, "<f4").tobytes()
        graph.append((5, message(*dims, (2, float32), (8, name), (9, raw))))
    dims = [(1, message((2 if isinstance(size, str) else 1, size))) for size in shape]
    typed = message((1, float32), (2, message(*dims)))
    graph.append((11, message((1, "image"), (2, message((1, typed))))))
    unknown = message(
        (1, message((1, float32), (2, b"")))
    )  # OpenCV needs a shape, even without sizes
    graph += [(12, message((1, name), (2, unknown))) for name in outputs]
    return message((1, 7), (7, message(*graph)), (8, message((1, ""), (2, 11))))


def _node(node):
    integers = 7  # the type of an attribute
    attributes = [
        (5, message((1, name), *((8, value) for value in values), (20, integers)))
        for name, values in node.integers.items()
    ]
    names = [(1, name) for name in node.inputs]
    return message(*names, (2, node.output), (3, node.output), (4, node.kind), *attributes)


def pointwise_scores(image, filters, biases):
    """Scores of a 1x1 convolution, float64 [H, W, 4]."""
    return image / 255 @ filters[:, :, 0, 0].T.astype(np.float64) + biases
