"""The generator and the discriminator: specifications, shapes, values, variables."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from p2p_graph.checkpoints import variable_names
from p2p_graph.config.image_size import ImageSize
from p2p_graph.config.model_options import DISCRIMINATORS
from p2p_graph.config.options import Options
from p2p_graph.data.input_graph import Batch
from p2p_graph.models import ops
from p2p_graph.models.batchnorm import batchnorm
from p2p_graph.models.discriminators import (
    NAMED,
    discriminator,
    layers_of,
    output_size,
    patch70,
    receptive_field,
    smallest_size,
)
from p2p_graph.models.generators import Decoder, Encoder, generator, pooled, unet
from p2p_graph.models.layer_settings import DEFAULT_LAYERS, FROZEN, LayerSettings
from p2p_graph.models.networks import Networks, translate
from p2p_graph.training.optimizers import make_optimizers
from p2p_graph.training.step import build_step
from p2p_graph.training.updates import ORDERS
from p2p_graph.utils.errors import UserError

from . import oracles

pytestmark = pytest.mark.usefixtures("graph")

GOLDEN = Path(__file__).parents[1] / "golden"
SEED = (7, 3)


def images(rng, *shape):
    return np.float32(rng.uniform(-1, 1, size=shape))


def seed():
    return tf.constant(SEED, tf.int64)


def run_drawn(fetches, feed=None, spread=0.3):
    """Runs on random weights; returns the fetched values and the weights by name."""
    values = oracles.draw(tf.trainable_variables(), seed=2, spread=spread)
    with oracles.quick_session() as session:
        oracles.initialize(session, values)
        return session.run(fetches, feed), oracles.by_name(values)


def build(config):
    size, task = config.data.scaling.crop_size, config.data.task
    channels = task.channels
    inputs, targets = (tf.zeros([1, *size, n]) for n in channels)
    networks = Networks(config.model, config.losses, config.run.seed, on_cpu=True)
    order, optimizers = ORDERS[config.optimizer.updates], make_optimizers(config.optimizer)
    return build_step(Batch(tf.constant(["a"]), inputs, targets), networks, order, optimizers)


# Specifications


@pytest.mark.parametrize(
    ("levels", "widths"),
    [
        (2, [1, 2]),
        (3, [1, 2, 4]),
        (5, [1, 2, 4, 8, 8]),
        (6, [1, 2, 4, 8, 8, 8]),
        (7, [1, 2, 4, 8, 8, 8, 8]),
        (8, [1, 2, 4, 8, 8, 8, 8, 8]),
        (9, [1, 2, 4, 8, 8, 8, 8, 8, 8]),
    ],
)
def test_specification_of_the_unet(levels, widths):
    spec = unet(3, ngf=10, levels=levels, dropout=0.25)
    widths = [10 * n for n in widths]
    assert spec.encoders == (
        Encoder(10, norm=False),
        *(Encoder(n, norm=True) for n in widths[1:]),
    )
    assert [d.channels for d in spec.decoders] == [3, *widths[:-1]]
    assert [d.norm for d in spec.decoders] == [False] + [True] * (levels - 1)
    innermost = min(3, levels - 1)
    assert [d.dropout for d in spec.decoders] == [0] * (levels - innermost) + [0.25] * innermost
    assert not spec.separable


def test_the_unet_of_256_pixels():
    spec = unet(2, separable=True, bias="all")
    assert [e.channels for e in spec.encoders] == [64, 128, 256, 512, 512, 512, 512, 512]
    assert all(layer.bias for layer in (*spec.encoders, *spec.decoders))
    assert tuple(decoder._replace(bias=False) for decoder in spec.decoders) == (
        Decoder(2, norm=False, dropout=0),
        Decoder(64, norm=True, dropout=0),
        Decoder(128, norm=True, dropout=0),
        Decoder(256, norm=True, dropout=0),
        Decoder(512, norm=True, dropout=0),
        Decoder(512, norm=True, dropout=0.5),
        Decoder(512, norm=True, dropout=0.5),
        Decoder(512, norm=True, dropout=0.5),
    )
    assert spec.separable


def test_the_discriminator_of_70_pixels():
    assert patch70() == (
        (64, 2, False, 4, "one"),
        (128, 2, True, 4, "one"),
        (256, 2, True, 4, "one"),
        (512, 1, True, 4, "one"),
        (1, 1, False, 4, "one"),
    )


@pytest.mark.parametrize(
    ("name", "field", "patches"),
    [
        ("pixel", 1, 256),
        ("patch16", 16, 126),
        ("patch70", 70, 30),
        ("image286", 286, 6),
        ("n_layers=0", 1, 256),
        ("n_layers=1", 16, 126),
        ("n_layers=2", 34, 62),
        ("n_layers=3", 70, 30),
        ("n_layers=4", 142, 14),
        ("n_layers=5", 286, 6),
        ("same62", 62, 30),
        ("same94", 94, 16),
        ("same142", 142, 16),
    ],
)
def test_receptive_field_by_arithmetic(name, field, patches):
    """The Torch program's table, and the grids of scores that the articles state."""
    layers = layers_of(name, 8)
    assert receptive_field(layers) == field
    assert output_size(256, layers) == patches
    # Forwards: every layer adds its kernel minus 1, times the product of the strides before it.
    seen, apart = 1, 1
    for layer in layers:
        seen += (layer.kernel - 1) * apart
        apart *= layer.stride
    assert seen == field


@pytest.mark.parametrize(
    ("count", "widths"),
    [
        (0, [8, 16, 1]),
        (1, [8, 16, 1]),
        (2, [8, 16, 32, 1]),
        (3, [8, 16, 32, 64, 1]),
        (4, [8, 16, 32, 64, 64, 1]),
        (5, [8, 16, 32, 64, 64, 64, 1]),
    ],
)
def test_discriminators_of_the_torch_program(count, widths):
    layers = layers_of(f"n_layers={count}", 8)
    assert [layer.channels for layer in layers] == widths
    assert [layer.stride for layer in layers] == [2] * count + [1] * (len(layers) - count)
    assert [layer.norm for layer in layers] == [False, *[True] * (len(layers) - 2), False]
    assert {layer.kernel for layer in layers} == {4 if count else 1}


def test_every_discriminator_of_the_options_has_layers():
    assert set(NAMED) == set(DISCRIMINATORS)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("pixel", 8),
        ("patch16", 64),
        ("n_layers=2", 64),
        ("n_layers=4", 288),
        ("same62", 128),
        ("same94", 256),
        ("same142", 320),
    ],
)
def test_receptive_field_of_a_patch_in_the_middle(name, size):
    """By gradient; without normalisation, whose statistics depend on every pixel."""
    layers = [layer._replace(norm=False) for layer in layers_of(name, 2)]
    inputs = tf.random.uniform([1, size, size, 1], -1, 1, seed=1)
    predictions = discriminator([inputs], layers, sigmoid=False)
    middle = predictions.shape[1] // 2
    (gradient,), _ = run_drawn(tf.gradients(predictions[0, middle, middle, 0], [inputs]))
    rows, columns = np.nonzero(gradient[0, :, :, 0])
    for indices in (rows, columns):
        assert indices.max() - indices.min() + 1 == receptive_field(layers)


def test_receptive_field_by_gradient():
    # Without normalisation, whose statistics depend on every pixel.
    layers = [layer._replace(norm=False) for layer in patch70(2)]
    inputs = tf.random.uniform([1, 256, 256, 1], -1, 1, seed=1)
    predictions = discriminator([inputs, tf.zeros_like(inputs)], layers)
    gradients = [tf.gradients(predictions[0, i, j, 0], inputs)[0] for i, j in [(10, 15), (0, 29)]]
    (middle, corner), _ = run_drawn(gradients)
    # Exactly the receptive field: patch i begins at 8 i minus the paddings, 1 + 2 + 4 + 8 + 8.
    seen = np.zeros((256, 256), bool)
    seen[57:127, 97:167] = True
    np.testing.assert_array_equal(middle[0, :, :, 0] != 0, seen)
    seen = np.zeros((256, 256), bool)
    seen[:47, 209:] = True
    np.testing.assert_array_equal(corner[0, :, :, 0] != 0, seen)


# Sizes


@pytest.mark.parametrize("bias", ["none", "all"])
def test_number_of_parameters(bias):
    build(Options.of(bias=bias))
    count = sum(v.shape.num_elements() for v in tf.trainable_variables())
    assert count == (57_190_084 if bias == "all" else 57_183_616)


@pytest.mark.parametrize(
    ("levels", "height", "width", "separable"),
    [
        (5, 32, 32, False),
        (5, 96, 160, False),
        (5, 96, 160, True),
        (6, 192, 64, False),
        (7, 384, 128, False),
        (8, 256, 512, False),
        (9, 512, 512, False),
    ],
)
def test_sizes_in_the_generator(graph, levels, height, width, separable):
    spec = unet(2, ngf=1, levels=levels, separable=separable)
    outputs = generator(tf.zeros([1, height, width, 3]), spec, seed())
    assert outputs.shape.as_list() == [1, height, width, 2]
    norms = [op.outputs[0].shape for op in graph.get_operations() if op.type == "FusedBatchNormV3"]
    down = [(height >> i, width >> i) for i in range(2, levels + 1)]
    up = [(height >> i, width >> i) for i in range(levels - 1, 0, -1)]
    assert [tuple(shape.as_list()[1:3]) for shape in norms] == down + up
    actual, _ = run_drawn(outputs)
    assert actual.shape == (1, height, width, 2)
    assert np.abs(actual).max() <= 1


def test_the_generator_takes_sizes_known_only_when_it_runs(rng):
    spec = unet(3, ngf=1, levels=5, dropout=0.5)
    unknown = tf.placeholder(tf.float32, [None, None, None, 3])
    x = images(rng, 2, 64, 96, 3)
    with tf.variable_scope("", reuse=tf.AUTO_REUSE):
        outputs = [generator(t, spec, seed()) for t in (tf.constant(x), unknown)]
    (expected, actual), _ = run_drawn(outputs, {unknown: x})
    np.testing.assert_allclose(actual, expected, atol=1e-5)


@pytest.mark.parametrize(("size", "patches"), [(256, 30), (128, 14), (286, 33), (24, 1), (37, 2)])
def test_sizes_in_the_discriminator(size, patches):
    assert output_size(size, patch70()) == patches
    pixels = tf.zeros([2, size, size + 8, 3])
    predictions = discriminator([pixels, pixels], patch70(1))
    assert predictions.shape.as_list() == [2, patches, patches + 1, 1]
    (actual, _) = run_drawn(predictions)
    assert actual.shape == (2, patches, patches + 1, 1)


def test_output_size_of_every_size():
    for size in range(1, 80):
        expected = [size]
        for stride in (2, 2, 2, 1, 1):
            starts = range(0, expected[-1] + 2 - 4 + 1, stride)  # of kernels in the padded image
            expected.append(len(starts))
            if not starts:
                break
        assert output_size(size, patch70()) == expected[-1]


def test_smallest_size():
    assert smallest_size(patch70()) == 24
    assert (output_size(24, patch70()), output_size(23, patch70())) == (1, 0)
    assert smallest_size(patch70()[3:]) == 3


@pytest.mark.parametrize("shape", [(1, 23, 64, 3), (1, 64, 23, 3), (1, 2, 2, 3)])
def test_images_smaller_than_a_patch(shape):
    size = ImageSize(*shape[1:3])
    with pytest.raises(UserError, match=rf"crop_size must be at least 24 .* not {size}$"):
        discriminator([tf.zeros(shape), tf.zeros(shape)], patch70())


def test_crop_size_smaller_than_a_patch():
    with pytest.raises(UserError, match=r"crop_size must be at least 24 .* not 16$"):
        build(Options.of(crop_size=16))


# Values


@pytest.mark.parametrize("bias", ["none", "all"])
@pytest.mark.parametrize("separable", [False, True])
def test_generator(rng, separable, bias):
    spec = unet(3, ngf=2, levels=5, dropout=0.5, separable=separable, bias=bias)
    x = images(rng, 2, 32, 32, 3)
    outputs = generator(tf.constant(x), spec, seed())
    # The dropout masks of decoders 5, 4 and 3; every level has a seed of its own.
    masks = {}
    for level in (5, 4, 3):
        shape = [2, 32 >> (level - 1), 32 >> (level - 1), spec.decoders[level - 1].channels]
        level_seed = tf.random.experimental.stateless_fold_in(seed(), level)
        masks[level] = ops.dropout(tf.ones(shape), 0.5, level_seed)
    (actual, masks), weights = run_drawn([outputs, masks])
    assert any(name.endswith("bias") for name in weights) == (bias == "all")
    assert all((mask == 0).any() for mask in masks.values())
    expected = oracles.generator(np.float64(x), weights, spec, masks)
    np.testing.assert_allclose(actual, expected, atol=2e-4)
    assert expected.std() > 0.1


@pytest.mark.parametrize(
    "options",
    [
        {"skips": False},
        {"bottleneck_norm": False},
        {"leaky_skips": True},
        {"settings": LayerSettings(slope=0.3, epsilon=1e-3)},
        {"bottleneck_norm": False, "leaky_skips": True, "skips": False, "bias": "unnormed"},
        {
            "leaky_skips": True,
            "settings": LayerSettings(slope=0.3, epsilon=1e-3),
            "bias": "last",
        },
    ],
    ids=str,
)
def test_variants_of_the_unet(rng, options):
    spec = unet(3, ngf=2, levels=4, dropout=0.0, **options)
    # Small values, so that epsilon and slope matter.
    x = images(rng, 2, 32, 32, 3) * np.float32(0.1)
    actual, weights = run_drawn(generator(tf.constant(x), spec, seed()))
    expected = oracles.generator(np.float64(x), weights, spec, {})
    np.testing.assert_allclose(actual, expected, atol=2e-4)
    plain = oracles.generator(np.float64(x), weights, spec._replace(settings=DEFAULT_LAYERS), {})
    assert (np.abs(plain - expected).max() > 1e-2) == ("settings" in options)
    biased = {name.partition("/")[0] for name in weights if name.endswith("/bias")}
    assert (
        biased
        == {
            "none": set(),
            "last": {"decoder_1"},
            "unnormed": {"encoder_1", "encoder_4", "decoder_1"},
        }[options.get("bias", "none")]
    )


def test_the_pooled_generator(rng):
    spec = pooled(3, ngf=4, dropout=0.3)
    x = images(rng, 2, 32, 48, 3)
    outputs = generator(tf.constant(x), spec, seed())
    shapes = {1: (2, 32, 48, 4, 0.1), 2: (2, 2, 3, 12, 0.3), 3: (2, 32, 48, 8, 0.1)}
    masks = {}
    for number, (*shape, rate) in shapes.items():
        mask_seed = tf.random.experimental.stateless_fold_in(seed(), number)
        masks[number] = ops.dropout(tf.ones(shape), rate, mask_seed)
    (actual, masks), weights = run_drawn([outputs, masks], spread=0.15)
    expected = oracles.pooled(np.float64(x), weights, masks)
    np.testing.assert_allclose(actual, expected, atol=1e-5)
    assert expected.std() > 0.05
    assert all((mask == 0).any() for mask in masks.values())


def test_initial_values():
    """The paper's N(0, 0.02), or Keras' Glorot; scales N(1, 0.02), or 1."""
    with tf.variable_scope("generator"):
        inputs = tf.zeros([1, 8, 8, 64])
        normal = batchnorm(ops.conv(inputs, 64, 1))
        settings = LayerSettings(glorot=True, norm_stddev=0.0)
        with tf.variable_scope("other"):
            uniform = batchnorm(
                ops.conv(inputs, 64, 1, kernel=3, settings=settings), settings=settings
            )
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        values = {v.op.name: session.run(v) for v in tf.trainable_variables()}
        assert session.run([normal, uniform])
    filters = values["generator/conv/filter"]
    np.testing.assert_allclose([filters.mean(), filters.std()], [0, 0.02], atol=3e-4)
    assert np.abs(filters).max() > 0.05  # not truncated
    scales = values["generator/batchnorm/scale"]
    np.testing.assert_allclose([scales.mean(), scales.std()], [1, 0.02], atol=8e-3)
    filters = values["generator/other/conv/filter"]
    limit = np.sqrt(6 / (9 * 64 + 9 * 64))
    assert 0.99 * limit < np.abs(filters).max() <= limit
    np.testing.assert_allclose(filters.std(), limit / np.sqrt(3), rtol=0.01)
    assert (values["generator/other/batchnorm/scale"] == 1).all()


def test_per_image_statistics_equal_batches_of_one(rng):
    spec = unet(3, ngf=2, levels=5)
    x = images(rng, 2, 32, 32, 3)
    with tf.variable_scope("", reuse=tf.AUTO_REUSE):
        together = generator(tf.constant(x), spec, seed(), per_image=True)
        alone = [generator(tf.constant(x[i : i + 1]), spec, seed()) for i in range(2)]
    (together, alone), _ = run_drawn([together, tf.concat(alone, axis=0)])
    np.testing.assert_allclose(together, alone, atol=1e-3)


@pytest.mark.parametrize("generator", ["unet", "pooled"])
@pytest.mark.parametrize(("inputs", "targets"), [(1, 3), (4, 1), (3, 4), ("3+1+2", 5)])
def test_gradients_reach_every_channel(rng, generator, inputs, targets):
    """Of G's first and last filters, and of D's first."""
    config = Options.of(
        crop_size=32, ngf=4, ndf=2, generator=generator, input_channels=inputs,
        target_channels=targets, levels=4,
    )  # fmt: skip
    networks = Networks(config.model, config.losses, 0, on_cpu=True)
    x, y = (tf.constant(images(rng, 1, 32, 32, n)) for n in config.data.task.channels)
    outputs = networks.generate(x, targets, tf.constant(0, tf.int64))
    assert outputs.shape[-1] == targets
    predict = networks.discriminate(x, outputs, "fake")
    loss, _, _ = networks.g_loss(y, outputs, predict)
    filters = [variable for variable in tf.trainable_variables() if "filter" in variable.op.name]
    of_g, of_d = (
        [v for v in filters if v.op.name.startswith(name)] for name in ("generator", "discrim")
    )
    first, last = of_g[0], of_g[-1]
    axis = 2 if generator == "unet" else 3  # a deconvolution's filter ends in C_out, C_in
    gradients, _ = run_drawn(tf.gradients(loss, [first, last, of_d[0]]))
    reached = [np.abs(gradients[0]).sum((0, 1, 3)), np.abs(gradients[2]).sum((0, 1, 3))]
    reached.append(np.moveaxis(np.abs(gradients[1]), axis, 0).reshape(targets, -1).sum(1))
    count = config.data.task.channels[0]
    assert [len(found) for found in reached] == [count, count + targets, targets]
    assert all((found > 0).all() for found in reached)


@pytest.mark.parametrize(
    ("inputs", "targets", "count"),
    # By hand: 4x4 filters of ngf 2 and levels 3, 16 * (C_in * 2 + 2 * 4 + 4 * 8) down,
    # 16 * (8 * 4 + 8 * 2 + 4 * C_out) up, and 2 * (4 + 8 + 4 + 2) of normalisation.
    [(1, 3, 16 * (2 + 40 + 48 + 12) + 36), (4, 1, 16 * (8 + 40 + 48 + 4) + 36)],
)
def test_number_of_parameters_of_other_channels(inputs, targets, count):
    spec = unet(targets, ngf=2, levels=3)
    generator(tf.zeros([1, 8, 8, inputs]), spec, seed())
    assert sum(v.shape.num_elements() for v in tf.trainable_variables()) == count


@pytest.mark.parametrize("options", [{}, {"generator": "pooled", "levels": 4}], ids=str)
@pytest.mark.parametrize(("height", "width"), [(37, 64), (32, 33), (63, 40), (64, 32)])
def test_any_size_is_a_border_by_reflection_that_is_cut_off(rng, options, height, width):
    model = Options.of(**{"ngf": 2, "levels": 5, **options}).model
    x = images(rng, 1, height, width, 2)
    multiple = 2**model.generator.levels
    border = [(0, 0), (0, -height % multiple), (0, -width % multiple), (0, 0)]
    padded = np.pad(x, border, "reflect")
    unknown = tf.placeholder(tf.float32, [1, None, None, 2])
    settings = {"on_cpu": True, "frozen": True}
    with tf.variable_scope("", reuse=tf.AUTO_REUSE):
        outputs = [
            translate(tf.constant(padded), model, 3, 1, **settings),
            translate(tf.constant(x), model, 3, 1, any_size=True, **settings),
            translate(unknown, model, 3, 1, any_size=True, **settings),
        ]
    values = oracles.draw(tf.trainable_variables(), seed=2)
    with oracles.quick_session() as session:
        oracles.initialize(session, values)
        session.run([variable.initializer for variable in tf.get_collection(FROZEN)])
        expected, *found = session.run(outputs, {unknown: x})
    for one in found:
        assert one.shape == (1, height, width, 3)
        np.testing.assert_allclose(one, expected[:, :height, :width], atol=1e-5)


@pytest.mark.parametrize("bias", ["none", "all"])
@pytest.mark.parametrize("size", [32, 45])
def test_discriminator(rng, bias, size):
    x, y = images(rng, 2, size, size, 3), images(rng, 2, size, size, 2)
    predictions = discriminator([tf.constant(x), tf.constant(y)], patch70(2), bias=bias)
    actual, weights = run_drawn(predictions)
    assert any(name.endswith("bias") for name in weights) == (bias == "all")
    expected, _ = oracles.discriminator(np.concatenate([x, y], axis=3).astype(float), weights)
    np.testing.assert_allclose(actual, expected, atol=1e-5)
    assert expected.std() > 0.1


# Variables


@pytest.mark.parametrize(
    ("case", "options"),
    [
        ("mini_seed_BtoA", {"which_direction": "BtoA"}),
        ("mini_current_AtoB", {"bias": "all"}),
        ("mini_separable_AtoB", {"separable_conv": True, "bias": "all"}),
        ("mini_lab_BtoA", {"which_direction": "BtoA", "lab_colorization": True}),
    ],
)
def test_variables_match_the_references_checkpoints(case, options):
    build(Options.of(ngf=1, ndf=1, **options))
    actual = {v.op.name: v.shape.as_list() for v in tf.global_variables()}
    checkpoint = tf.train.latest_checkpoint(str(GOLDEN / case / "step1"))
    expected = {
        variable_names.to_native(name): shape
        for name, shape in tf.train.list_variables(checkpoint)
        if not variable_names.is_moving_average(name)
    }
    assert actual == expected
