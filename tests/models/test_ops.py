"""Every operation against its NumPy version, and the effect of `reread_weights` on its gradient."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from p2p_graph.models import ops
from p2p_graph.models.batchnorm import batchnorm
from p2p_graph.models.layer_settings import DEFAULT_LAYERS, LayerSettings

from . import oracles

pytestmark = pytest.mark.usefixtures("graph")


def normal(rng, *shape):
    return np.float32(rng.normal(size=shape))


def run(fetches, values=None, feed=None):
    with tf.Session() as session:
        oracles.initialize(session, values or {})
        return session.run(fetches, feed)


def run_drawn(outputs):
    """Runs on random weights; returns the result and the weights by name."""
    values = oracles.draw(tf.trainable_variables(), seed=2)
    return run(outputs, values), oracles.by_name(values)


def names_and_shapes():
    return {v.op.name: tuple(v.shape.as_list()) for v in tf.trainable_variables()}


def assert_close(actual, expected, tolerance=1e-5):
    """Equal up to a tolerance relative to the largest value."""
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * np.abs(expected).max())


def numeric_gradient(function, x, dy, step=1e-5):
    """The gradient of sum(function(x) * dy) by central differences, in float64."""
    x = np.float64(x)
    gradient = np.zeros_like(x)
    for index in np.ndindex(*x.shape):
        change = np.zeros_like(x)
        change[index] = step
        gradient[index] = np.sum((function(x + change) - function(x - change)) * dy) / (2 * step)
    return gradient


# Values


# The most positions of a matmul convolution: never, or always here.
POSITIONS = pytest.mark.parametrize("positions", [0, 1000])


@POSITIONS
@pytest.mark.parametrize("reread", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("size", [(4, 6), (5, 7), (2, 9), (2, 2)])
@pytest.mark.parametrize("stride", [1, 2])
def test_conv(rng, stride, size, bias, reread, positions):
    x = normal(rng, 2, *size, 3)
    settings = LayerSettings(matmul_positions=positions)
    outputs = ops.conv(
        tf.constant(x), 5, stride, bias=bias, reread_weights=reread, settings=settings
    )
    is_matmul = any(op.type == "MatMul" for op in tf.get_default_graph().get_operations())
    assert is_matmul == (
        positions > 0 and stride == 2 and size[0] % 2 == size[1] % 2 == 0 and not reread
    )
    actual, weights = run_drawn(outputs)
    expected = oracles.conv(x, weights["conv/filter"], stride, weights.get("conv/bias", 0))
    assert ("conv/bias" in weights) == bias
    assert outputs.shape.as_list() == list(expected.shape)
    assert_close(actual, expected)


@POSITIONS
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (2, 4), (3, 5)])
def test_deconv(rng, size, bias, positions):
    x = normal(rng, 2, *size, 3)
    outputs = ops.deconv(
        tf.constant(x), 5, bias=bias, settings=LayerSettings(matmul_positions=positions)
    )
    is_matmul = any(op.type == "MatMul" for op in tf.get_default_graph().get_operations())
    assert is_matmul == (positions > 0)
    actual, weights = run_drawn(outputs)
    expected = oracles.deconv(x, weights["deconv/filter"], weights.get("deconv/bias", 0))
    assert ("deconv/bias" in weights) == bias
    assert outputs.shape.as_list() == list(expected.shape)
    assert_close(actual, expected)


def test_deconv_is_the_adjoint_of_conv(rng):
    x, y = normal(rng, 2, 8, 6, 3), normal(rng, 2, 4, 3, 5)
    kernel = normal(rng, 4, 4, 3, 5)
    down, up = ops.conv(tf.constant(x), 5, 2), ops.deconv(tf.constant(y), 3)
    down, up = run([down, up], dict.fromkeys(tf.trainable_variables(), kernel))
    np.testing.assert_allclose(np.vdot(down, y), np.vdot(x, up), rtol=1e-4)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("size", [(4, 6), (5, 7), (1, 2)])
@pytest.mark.parametrize("stride", [1, 2])
def test_separable_conv(rng, stride, size, bias):
    x = normal(rng, 2, *size, 3)
    outputs = ops.separable_conv(tf.constant(x), 5, stride, bias=bias)
    actual, weights = run_drawn(outputs)
    weights = {name.removeprefix("separable_conv/"): value for name, value in weights.items()}
    expected = oracles.separable_conv(
        x, weights["depthwise_filter"], weights["pointwise_filter"], stride, weights.get("bias", 0)
    )
    assert ("bias" in weights) == bias
    assert outputs.shape.as_list() == list(expected.shape)
    assert_close(actual, expected)


def test_upsample(rng):
    x = normal(rng, 2, 3, 5, 4)
    outputs = ops.upsample(tf.constant(x))
    assert outputs.shape.as_list() == [2, 6, 10, 4]
    np.testing.assert_array_equal(run(outputs), oracles.upsample(x))


UNFUSED = LayerSettings(fused=False)
KINDS = {
    "fused": {},
    "fused, reread": {"reread_weights": True},
    "not fused": {"settings": UNFUSED},
    "not fused, reread": {"settings": UNFUSED, "reread_weights": True},
    "per image": {"per_image": True},
    "per image, not fused": {"per_image": True, "settings": UNFUSED},
    "per image, in training": {"settings": LayerSettings(image_moments=True)},
}


@pytest.mark.parametrize("kind", KINDS)
def test_batchnorm(rng, kind):
    # Channels with a variance far above, near and far under epsilon.
    x = normal(rng, 3, 4, 5, 4) * np.float32([3, 1, 3e-3, 3e-4])
    actual, weights = run_drawn(batchnorm(tf.constant(x), **KINDS[kind]))
    offset, scale = weights["batchnorm/offset"], weights["batchnorm/scale"]
    expected = oracles.batchnorm(np.float64(x), offset, scale, per_image="per image" in kind)
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_batchnorm_of_a_single_pixel_is_the_offset(rng, kind):
    x = normal(rng, 1, 1, 1, 4)
    actual, weights = run_drawn(batchnorm(tf.constant(x), **KINDS[kind]))
    np.testing.assert_allclose(actual[0, 0, 0], weights["batchnorm/offset"], atol=1e-4)


def test_lrelu(rng):
    x = normal(rng, 2, 3, 4, 5)
    np.testing.assert_allclose(run(ops.lrelu(tf.constant(x))), oracles.lrelu(x), atol=1e-6)


def test_lrelu_takes_other_slopes():
    np.testing.assert_allclose(run(ops.lrelu(tf.constant([-2.0, 3.0]), 0.5)), [-1, 3])


def test_gradient_of_lrelu_at_0_is_the_mean_of_both_sides():
    x = tf.constant([-3.0, -1e-3, 0.0, 1e-3, 3.0])
    np.testing.assert_allclose(
        run(tf.gradients(ops.lrelu(x), x)[0]), [0.2, 0.2, 0.6, 1, 1], rtol=1e-6
    )


SEED = (7, 3)


def dropout_mask(shape, rate, seed=SEED, **options):
    with tf.Graph().as_default():
        return run(ops.dropout(tf.ones(shape), rate, tf.constant(seed, tf.int64), **options))


def test_dropout_zeroes_a_fraction_and_scales_the_rest():
    rate, shape = 0.3, (4, 32, 32, 16)
    mask = dropout_mask(shape, rate)
    is_kept = mask > 0
    np.testing.assert_allclose(mask[is_kept], 1 / 0.7, rtol=1e-6)
    deviation = np.sqrt(rate * (1 - rate) / mask.size)
    assert abs(is_kept.mean() - (1 - rate)) < 4 * deviation
    # The halves of each axis agree no more than by chance: the mask does not repeat.
    for axis in range(4):
        halves = np.split(is_kept, 2, axis)
        same = np.mean(halves[0] == halves[1])
        assert abs(same - (rate**2 + (1 - rate) ** 2)) < 0.02


def test_dropout_multiplies_inputs_and_gradient_with_the_mask(rng):
    x = normal(rng, 2, 4, 4, 3)
    inputs = tf.constant(x)
    outputs = ops.dropout(inputs, 0.5, tf.constant(SEED, tf.int64))
    actual, gradient = run([outputs, tf.gradients(outputs, inputs)[0]])
    mask = dropout_mask(x.shape, 0.5)
    np.testing.assert_allclose(actual, x * mask, rtol=1e-6)
    np.testing.assert_array_equal(gradient, mask)


def test_dropout_is_a_function_of_the_seed():
    shape = (2, 8, 8, 4)
    mask = dropout_mask(shape, 0.5)
    tf.set_random_seed(99)
    tf.random.uniform([3])
    again = ops.dropout(tf.ones(shape), 0.5, tf.constant(SEED, tf.int64))
    with tf.Session() as session:
        np.testing.assert_array_equal(session.run(again), mask)
        np.testing.assert_array_equal(session.run(again), mask)
    assert (dropout_mask(shape, 0.5, seed=(7, 4)) != mask).any()
    assert (dropout_mask(shape, 0.5, seed=(8, 3)) != mask).any()


def test_dropout_shared_by_all_images():
    masks = dropout_mask((3, 8, 8, 4), 0.5, shared_mask=True)
    alone = dropout_mask((1, 8, 8, 4), 0.5, shared_mask=True)
    np.testing.assert_array_equal(masks, np.repeat(alone, 3, axis=0))
    different = dropout_mask((3, 8, 8, 4), 0.5)
    assert (different[0] != different[1]).any()


def test_dropout_at_rate_0_is_the_identity():
    np.testing.assert_array_equal(dropout_mask((2, 4, 4, 3), 0), np.ones((2, 4, 4, 3)))


@pytest.mark.parametrize("shape", [(None, 4, 6, 3), (None, None, None, 3), (2, None, 6, 3)])
@pytest.mark.parametrize(
    "op",
    [
        lambda x: ops.conv(x, 5, 2),
        lambda x: ops.conv(x, 5, 2, reread_weights=True),
        lambda x: ops.deconv(x, 5),
        lambda x: ops.separable_conv(x, 5, 2),
        ops.upsample,
        batchnorm,
        lambda x: ops.dropout(x, 0.5, tf.constant(SEED, tf.int64)),
        lambda x: ops.dropout(x, 0.5, tf.constant(SEED, tf.int64), shared_mask=True),
    ],
    ids=["conv", "reread", "deconv", "separable", "upsample", "batchnorm", "dropout", "per image"],
)
def test_sizes_may_be_known_only_when_it_runs(rng, op, shape):
    x = normal(rng, 2, 4, 6, 3)
    unknown = tf.placeholder(tf.float32, shape)
    with tf.variable_scope("", reuse=tf.AUTO_REUSE):
        outputs = [op(tf.constant(x)), op(unknown)]
    expected, actual = run(outputs, feed={unknown: x})
    np.testing.assert_allclose(actual, expected, atol=1e-6)
    assert outputs[1].shape[-1] == expected.shape[-1]


@POSITIONS
def test_batch_may_be_known_only_when_it_runs(rng, positions):
    settings = LayerSettings(matmul_positions=positions)
    x = normal(rng, 3, 4, 6, 3)
    unknown = tf.placeholder(tf.float32, [None, 4, 6, 3])
    found = []
    for inputs in (tf.constant(x), unknown):
        with tf.variable_scope("", reuse=tf.AUTO_REUSE):
            down = ops.conv(inputs, 5, 2, settings=settings)
            found.append([down, ops.deconv(down, 2, settings=settings)])
    for expected, actual in zip(*run(found, feed={unknown: x}), strict=True):
        np.testing.assert_allclose(actual, expected, atol=1e-6)
    assert found[1][1].shape.as_list() == [None, 4, 6, 2]


@pytest.mark.parametrize(
    ("height", "width", "positions", "is_matmul"), [(4, 6, 12, 1), (4, 6, 11, 0)]
)
def test_which_convolutions_are_matmuls(height, width, positions, is_matmul):
    """The filters are applied at 2 * 2 * 3 positions."""
    inputs = tf.zeros([2, height, width, 3])
    ops.conv(inputs, 5, 2, settings=LayerSettings(matmul_positions=positions))
    with tf.variable_scope("up"):
        ops.deconv(inputs[:, :2, :3], 5, settings=LayerSettings(matmul_positions=positions))
    kinds = [op.type for op in tf.get_default_graph().get_operations()]
    assert kinds.count("MatMul") == 2 * is_matmul
    assert kinds.count("Conv2D") == kinds.count("Conv2DBackpropInput") == 1 - is_matmul


# Gradients


def both_ways(op):
    """Builds an operation with `reread` and without on the same variables."""
    with tf.variable_scope("", reuse=tf.AUTO_REUSE):
        return [op(False), op(True)]


@POSITIONS
@pytest.mark.parametrize("size", [(1, 1), (2, 3)])
def test_gradients_of_deconv(rng, size, positions):
    x = normal(rng, 2, *size, 2)
    inputs = tf.constant(x)
    outputs = ops.deconv(inputs, 3, settings=LayerSettings(matmul_positions=positions))
    dy = normal(rng, *outputs.shape)
    gradients = tf.gradients(outputs, [inputs, *tf.trainable_variables()], tf.constant(dy))
    (d_inputs, d_filter), weights = run_drawn(gradients)
    w = weights["deconv/filter"]
    expected = numeric_gradient(lambda x: oracles.deconv(x, w, 0), x, dy)
    np.testing.assert_allclose(d_inputs, expected, rtol=1e-4, atol=1e-5)
    expected = numeric_gradient(lambda w: oracles.deconv(x, w, 0), w, dy)
    np.testing.assert_allclose(d_filter, expected, rtol=1e-4, atol=1e-5)


@POSITIONS
@pytest.mark.parametrize("size", [(4, 6), (5, 3)])
@pytest.mark.parametrize("stride", [1, 2])
def test_gradients_of_conv_with_weights_reread_or_not(rng, stride, size, positions):
    x = normal(rng, 2, *size, 2)
    inputs = tf.constant(x)
    settings = LayerSettings(matmul_positions=positions)
    outputs = both_ways(
        lambda reread: ops.conv(
            inputs, 3, stride, bias=True, reread_weights=reread, settings=settings
        )
    )
    dy = normal(rng, *outputs[0].shape)
    kernel, bias = tf.trainable_variables()
    gradients = [tf.gradients(y, [inputs, kernel, bias], tf.constant(dy)) for y in outputs]
    (plain, reread), weights = run_drawn(gradients)

    w = weights["conv/filter"]
    expected = [
        numeric_gradient(lambda x: oracles.conv(x, w, stride), x, dy),
        numeric_gradient(lambda w: oracles.conv(x, w, stride), w, dy),
        dy.sum((0, 1, 2)),
    ]
    for a, b, c in zip(plain, reread, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
        assert_close(b, c)


@pytest.mark.parametrize("kind", ["fused", "not fused", "per image"])
def test_gradients_of_batchnorm_with_weights_reread_or_not(rng, kind):
    x = normal(rng, 2, 3, 2, 3) * np.float32([2, 1, 5e-3])
    inputs = tf.constant(x)
    outputs = both_ways(
        lambda reread: batchnorm(inputs, **{**KINDS[kind], "reread_weights": reread})
    )
    dy = normal(rng, *x.shape)
    offset, scale = tf.trainable_variables()
    gradients = [tf.gradients(y, [inputs, offset, scale], tf.constant(dy)) for y in outputs]
    (plain, reread), weights = run_drawn(gradients)

    x64, b, s = np.float64(x), weights["batchnorm/offset"], weights["batchnorm/scale"]
    per_image = "per image" in kind
    expected = [
        numeric_gradient(lambda x: oracles.batchnorm(x, b, s, per_image), x64, dy, 1e-6),
        numeric_gradient(lambda b: oracles.batchnorm(x64, b, s, per_image), b, dy),
        numeric_gradient(lambda s: oracles.batchnorm(x64, b, s, per_image), s, dy),
    ]
    for actual, plainly, numeric in zip(reread, plain, expected, strict=True):
        assert_close(actual, plainly, 1e-5)
        assert_close(actual, numeric, 1e-4)


def gradients_after_update(outputs, inputs, dy, old, new):
    """Runs forward, updates the variables, then runs backward; returns inputs' and variables'."""
    variables = list(old)
    with tf.control_dependencies([outputs]):
        updates = [v.assign(new[v], read_value=False) for v in variables]
    with tf.control_dependencies(updates):
        gradients = tf.gradients(outputs, [inputs, *variables], tf.constant(dy))
    d_inputs, *d_variables = run(gradients, old)
    names = [v.op.name for v in variables]
    return d_inputs, dict(zip(names, d_variables, strict=True))


@pytest.mark.parametrize("stride", [1, 2])
def test_rereading_gradient_of_conv_after_an_update(rng, stride):
    x = normal(rng, 2, 7, 8, 3)
    inputs = tf.constant(x)
    with tf.variable_scope("first"):
        between = ops.conv(inputs, 4, stride, reread_weights=True)
    with tf.variable_scope("second"):
        outputs = ops.conv(between, 2, 1, reread_weights=True)
    old = oracles.draw(tf.trainable_variables(), seed=3)
    new = oracles.draw(tf.trainable_variables(), seed=4)
    dy = normal(rng, *outputs.shape)
    d_inputs, d_variables = gradients_after_update(outputs, inputs, dy, old, new)

    old, new = oracles.by_name(old), oracles.by_name(new)
    stored = oracles.conv(x, old["first/conv/filter"], stride)
    d_between = oracles.conv_to_inputs(dy, new["second/conv/filter"], 1, stored.shape)
    assert_close(d_variables["second/conv/filter"], oracles.conv_to_kernel(stored, dy, 1))
    assert_close(d_variables["first/conv/filter"], oracles.conv_to_kernel(x, d_between, stride))
    assert_close(
        d_inputs, oracles.conv_to_inputs(d_between, new["first/conv/filter"], stride, x.shape)
    )


@pytest.mark.parametrize("moments", ["batch", "image"])
@pytest.mark.parametrize("fused", [False, True])
def test_rereading_gradient_of_batchnorm_after_an_update(rng, fused, moments):
    x = normal(rng, 2, 3, 4, 5)
    inputs = tf.constant(x)
    settings = LayerSettings(fused=fused, image_moments=moments == "image")
    outputs = batchnorm(inputs, settings=settings, reread_weights=True)
    old = oracles.draw(tf.trainable_variables(), seed=3)
    new = oracles.draw(tf.trainable_variables(), seed=4)
    dy = normal(rng, *x.shape)
    d_inputs, d_variables = gradients_after_update(outputs, inputs, dy, old, new)

    scale, new_scale = (
        oracles.by_name(old)["batchnorm/scale"],
        oracles.by_name(new)["batchnorm/scale"],
    )
    groups = [slice(0, 1), slice(1, 2)] if moments == "image" else [slice(0, 2)]
    d_x, d_offset, d_scale = zip(
        *(
            oracles.batchnorm_grads(
                np.float64(x[group]), dy[group], new_scale if fused else scale, new_scale
            )
            for group in groups
        ),
        strict=True,
    )
    assert_close(d_inputs, np.concatenate(d_x))
    assert_close(d_variables["batchnorm/offset"], sum(d_offset))
    assert_close(d_variables["batchnorm/scale"], sum(d_scale))


def test_gradients_without_rereading_ignore_an_update(rng):
    x = normal(rng, 2, 6, 6, 3)
    inputs = tf.constant(x)
    outputs = batchnorm(ops.conv(inputs, 4, 2))
    old = oracles.draw(tf.trainable_variables(), seed=3)
    new = oracles.draw(tf.trainable_variables(), seed=4)
    dy = normal(rng, *outputs.shape)
    d_inputs, _ = gradients_after_update(outputs, inputs, dy, old, new)

    old = oracles.by_name(old)
    kernel, scale = old["conv/filter"], old["batchnorm/scale"]
    d_between, _, _ = oracles.batchnorm_grads(oracles.conv(x, kernel, 2), dy, scale, scale)
    assert_close(d_inputs, oracles.conv_to_inputs(d_between, kernel, 2, x.shape))


# bfloat16

MIXED = LayerSettings(mixed=True)
OPERATIONS = {
    "conv": lambda x, settings: ops.conv(x, 4, 2, bias=True, settings=settings),
    "reread conv": lambda x, settings: ops.conv(x, 4, reread_weights=True, settings=settings),
    "conv as a matmul": lambda x, settings: ops.conv(
        x, 4, 2, settings=settings._replace(matmul_positions=99)
    ),
    "deconv": lambda x, settings: ops.deconv(x, 4, bias=True, settings=settings),
    "deconv as a matmul": lambda x, settings: ops.deconv(
        x, 4, settings=settings._replace(matmul_positions=99)
    ),
    "separable": lambda x, settings: ops.separable_conv(x, 4, 2, settings=settings),
    "batchnorm": lambda x, settings: batchnorm(x, settings=settings),
    "batchnorm per image": lambda x, settings: batchnorm(x, per_image=True, settings=settings),
    "reread batchnorm": lambda x, settings: batchnorm(
        x, reread_weights=True, settings=settings._replace(fused=False)
    ),
    "lrelu": lambda x, settings: ops.lrelu(x),
    "dropout": lambda x, settings: ops.dropout(x, 0.5, tf.constant([1, 2], tf.int64)),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_mixed_precision_differs_by_rounding_only(rng, name):
    """Variables and their gradients stay float32; activations are bfloat16."""
    x = tf.constant(normal(rng, 2, 4, 6, 8))
    dy, found = None, []
    for settings, inputs in ((DEFAULT_LAYERS, x), (MIXED, tf.cast(x, tf.bfloat16))):
        with tf.variable_scope("", reuse=tf.AUTO_REUSE):
            outputs = OPERATIONS[name](inputs, settings)
        assert outputs.dtype == inputs.dtype
        variables = tf.trainable_variables()
        assert all(variable.dtype.base_dtype == tf.float32 for variable in variables)
        dy = tf.constant(normal(rng, *outputs.shape)) if dy is None else dy
        gradients = tf.gradients(outputs, [inputs, *variables], tf.cast(dy, outputs.dtype))
        assert all(g.dtype == v.dtype for g, v in zip(gradients[1:], variables, strict=True))
        found.append([tf.cast(values, tf.float32) for values in (outputs, *gradients)])
    wanted, rounded = run_drawn(found)[0]
    for a, b in zip(rounded, wanted, strict=True):
        assert np.linalg.norm(a - b) <= 0.02 * np.linalg.norm(b)
    assert any((a != b).any() for a, b in zip(rounded, wanted, strict=True))


# Variables


def test_names_and_shapes_of_variables():
    x = tf.zeros([1, 8, 8, 3])
    with tf.variable_scope("layer"):
        ops.conv(x, 5, 2, bias=True)
        ops.deconv(x, 5, bias=True)
        ops.separable_conv(x, 5, 2, bias=True)
        batchnorm(x)
    assert names_and_shapes() == {
        "layer/conv/filter": (4, 4, 3, 5),
        "layer/conv/bias": (5,),
        "layer/deconv/filter": (4, 4, 5, 3),
        "layer/deconv/bias": (5,),
        "layer/separable_conv/depthwise_filter": (4, 4, 3, 1),
        "layer/separable_conv/pointwise_filter": (1, 1, 3, 5),
        "layer/separable_conv/bias": (5,),
        "layer/batchnorm/offset": (3,),
        "layer/batchnorm/scale": (3,),
    }


@pytest.mark.parametrize(
    ("build", "name", "mean"),
    [
        (lambda: ops.conv(tf.zeros([1, 4, 4, 32]), 64, 2), "conv/filter", 0),
        (lambda: ops.conv(tf.zeros([1, 4, 4, 32]), 64, 2, reread_weights=True), "conv/filter", 0),
        (lambda: ops.deconv(tf.zeros([1, 4, 4, 32]), 64), "deconv/filter", 0),
        (
            lambda: ops.separable_conv(tf.zeros([1, 4, 4, 2048]), 16, 2),
            "separable_conv/depthwise_filter",
            0,
        ),
        (
            lambda: ops.separable_conv(tf.zeros([1, 4, 4, 512]), 64, 2),
            "separable_conv/pointwise_filter",
            0,
        ),
        (lambda: batchnorm(tf.zeros([1, 1, 1, 32768])), "batchnorm/scale", 1),
    ],
    ids=["conv", "reread", "deconv", "depthwise", "pointwise", "scale"],
)
def test_initial_weights_are_normal_and_not_truncated(build, name, mean):
    tf.set_random_seed(5)
    build()
    value = run({v.op.name: v for v in tf.trainable_variables()})[name]
    z = (value - mean) / 0.02
    assert z.size == 32768
    assert abs(z.mean()) < 0.025  # 4 of its standard deviations, as below
    assert abs(z.std() - 1) < 0.016
    assert abs(np.mean(np.abs(z) > 2) - 0.0455) < 0.005
    assert np.abs(z).max() > 3


def test_initial_biases_and_offsets_are_0():
    x = tf.zeros([1, 8, 8, 3])
    ops.conv(x, 5, 2, bias=True)
    ops.deconv(x, 5, bias=True)
    ops.separable_conv(x, 5, 2, bias=True)
    batchnorm(x)
    zeros = [v for v in tf.trainable_variables() if v.op.name.endswith(("bias", "offset"))]
    assert len(zeros) == 4
    assert not any(value.any() for value in run(zeros))


def initial_filter(seed=5, scope="layer", before=0):
    with tf.Graph().as_default():
        tf.set_random_seed(seed)
        for i in range(before):
            tf.random.normal([3])
            with tf.variable_scope(f"other_{i}"):
                ops.conv(tf.zeros([1, 8, 8, 3]), 5, 2, bias=True)
        with tf.variable_scope(scope):
            ops.conv(tf.zeros([1, 8, 8, 3]), 5, 2)
        return run(tf.trainable_variables()[-1])


def test_initial_weights_are_a_function_of_the_graphs_seed_and_the_name():
    value = initial_filter()
    np.testing.assert_array_equal(initial_filter(), value)
    np.testing.assert_array_equal(initial_filter(before=3), value)
    assert (initial_filter(seed=6) != value).all()
    assert (initial_filter(scope="another") != value).all()
