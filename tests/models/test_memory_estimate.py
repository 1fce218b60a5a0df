import math

import pytest
import tensorflow.compat.v1 as tf

from p2p_graph.config.image_size import ImageSize
from p2p_graph.config.options import Options
from p2p_graph.models import memory_estimate
from p2p_graph.models.discriminators import layers_of
from p2p_graph.models.layer_settings import DEFAULT_LAYERS
from p2p_graph.models.networks import Networks, generator_spec
from p2p_graph.runtime import devices
from p2p_graph.runtime.memory_check import check_memory
from p2p_graph.utils.errors import UserError


def filters_in_graph(options):
    """The number of weights in the filters of G and of D, by the graph's variables."""
    model, size = options.model, options.data.scaling.crop_size
    with tf.Graph().as_default():
        networks = Networks(model, options.losses, 0, on_cpu=True)
        inputs = tf.zeros([1, *size, 3])
        outputs = networks.generate(inputs, 3, tf.constant(0, tf.int64))
        networks.discriminate(inputs, outputs, "fake")
        sizes = {"generator": 0, "discriminator": 0}
        for variable in tf.trainable_variables():
            if "filter" in variable.op.name:
                sizes[variable.op.name.partition("/")[0]] += math.prod(variable.shape.as_list())
    return sizes


@pytest.mark.parametrize(
    "flags",
    [
        {},
        {"generator": "encoder_decoder", "discriminator": "image286"},
        {"separable_conv": True, "discriminator": "pixel"},
        {"crop_size": 64, "levels": 3, "ngf": 5, "ndf": 7, "discriminator": "same62"},
        {"generator": "pooled", "crop_size": 64, "discriminator": "same94"},
    ],
    ids=["default", "encoder-decoder", "separable", "small", "pooled"],
)
def test_weights_are_those_of_the_graph(flags):
    options = Options.of(**{"ngf": 4, "ndf": 4, **flags})
    model, size = options.model, options.data.scaling.crop_size
    spec = generator_spec(model.generator, model.layers, 3, DEFAULT_LAYERS)
    layers = layers_of(model.discriminator.discriminator, model.discriminator.ndf)
    assert {
        "generator": memory_estimate.generator_size(spec, 3, size).weights,
        "discriminator": memory_estimate.discriminator_size(layers, 6, size).weights,
    } == filters_in_graph(options)


@pytest.mark.parametrize("with_discriminator", [True, False])
def test_size_of_a_checkpoint(with_discriminator):
    """Each weight and Adam's two moments of it, float32."""
    options = Options.of(ngf=8, ndf=8)
    filters = filters_in_graph(options)
    weights = filters["generator"] + with_discriminator * filters["discriminator"]
    estimate = memory_estimate.checkpoint_bytes(
        options.model,
        (3, 3),
        options.data.scaling.crop_size,
        with_discriminator=with_discriminator,
    )
    assert estimate == 12 * weights


# Peaks of 3 steps on a CPU, GB, as tools/train.py prints them.
MEASURED = [
    ({}, 1.60),
    ({"batch_size": 8}, 2.56),
    ({"crop_size": 512, "levels": 8}, 1.97),
    ({"ngf": 128, "ndf": 128}, 4.20),
    ({"gan_weight": 0}, 1.51),
]


@pytest.mark.parametrize(("flags", "gigabytes"), MEASURED)
def test_estimates_are_near_what_was_measured(flags, gigabytes):
    options = Options.of(**flags)
    estimate = memory_estimate.training_bytes(
        options.model,
        (3, 3),
        options.data.scaling.crop_size,
        options.data.batches.batch_size,
        with_discriminator=options.losses.gan_weight > 0,
    )
    assert estimate == pytest.approx(gigabytes * 1e9, rel=0.1)


def test_more_images_and_pixels_need_more():
    model = Options.of().model
    square, wide = ImageSize(256, 256), ImageSize(256, 512)
    needed = memory_estimate.translation_bytes(model, (3, 3), square, 1)
    twice = memory_estimate.translation_bytes(model, (3, 3), square, 2)
    assert needed < twice == memory_estimate.translation_bytes(model, (3, 3), wide, 1)


def test_memory_that_the_machine_lacks(capsys):
    cpu = devices.choose("cpu")
    check_memory(1, cpu)
    assert capsys.readouterr().err == ""
    with pytest.raises(UserError, match="need about 1000000 GB of memory, and this machine has"):
        check_memory(10**15, cpu)
    check_memory(10**15, cpu._replace(is_cpu=False))


def test_memory_that_swapping_may_bring(capsys):
    size = 2**30
    while not (said := capsys.readouterr().err):  # up to the first size over the machine's memory
        size *= 2
        check_memory(size, devices.choose("cpu"))
    assert said.startswith("warning: these options need about")
    assert said.count("\n") == 1
