"""Presets: their options, and their networks against parameter counts worked out by hand."""

import pytest
import tensorflow.compat.v1 as tf

from p2p_graph.config.model_options import GeneratorOptions, LayerOptions
from p2p_graph.config.options import DEFAULTS
from p2p_graph.config.system_presets import PRESETS
from p2p_graph.data.input_graph import Batch
from p2p_graph.models.layer_settings import DEFAULT_LAYERS
from p2p_graph.models.networks import Networks, generator_spec
from p2p_graph.training.optimizers import make_optimizers
from p2p_graph.training.option_precedence import configure
from p2p_graph.training.step import build_step
from p2p_graph.training.updates import ORDERS
from p2p_graph.utils.errors import UserError


def convs(*layers, kernel=4):
    """Counts weights of convolutions: input and output channels, "b" for biases, "n" for norms."""
    count = 0
    for channels_in, channels_out, *extras in layers:
        count += kernel**2 * channels_in * channels_out
        count += channels_out * extras.count("b") + 2 * channels_out * extras.count("n")
    return count


# Down 3-64-...-512 to one pixel, and up with skips, at 256 pixels; D up to its last layer.
DOWN = [(3, 64), (64, 128), (128, 256), (256, 512), *[(512, 512)] * 4]
UP = [(512, 512), *[(1024, 512)] * 3, (1024, 256), (512, 128), (256, 64), (128, 3)]
D_DOWN = [(6, 64), (64, 128), (128, 256), (256, 512)]


def normed(layers, *extras):
    return [(*layer, "n", *extras) for layer in layers]


PARAMETERS = {
    # scale and offset wherever there is normalisation, no bias anywhere
    "affinelayer": (
        convs(DOWN[0], *normed(DOWN[1:]), *normed(UP[:-1]), UP[-1]),
        convs(D_DOWN[0], *normed(D_DOWN[1:]), (512, 1)),
    ),
    "paper": (
        convs(DOWN[0], *normed(DOWN[1:-1]), DOWN[-1], *normed(UP[:-1]), UP[-1]),
        convs(D_DOWN[0], *normed(D_DOWN[1:]), (512, 1)),
    ),
    "tf2-tutorial": (
        convs(DOWN[0], *normed(DOWN[1:]), *normed(UP[:-1]), (128, 3, "b")),
        convs(D_DOWN[0], *normed(D_DOWN[1:]), (512, 1, "b")),
    ),
    "deblur": (
        convs((3, 64, "b"), *normed(DOWN[1:]), *normed(UP[:-1]), (128, 3, "b")),
        convs((6, 64, "b"), *normed(D_DOWN[1:]), (512, 1, "b")),
    ),
    "keras-maps": (
        convs(
            (3, 64, "b"), *normed(DOWN[1:-1], "b"), (512, 512, "b"), *normed(UP[:-1], "b"),
            (128, 3, "b"),
        ),
        convs((6, 64, "b"), *normed(D_DOWN[1:], "b"), (512, 512, "n", "b"), (512, 1, "b")),
    ),
    "junyanz": (
        convs(DOWN[0], *normed(DOWN[1:-1]), DOWN[-1], *normed(UP[:-1]), (128, 3, "b")),
        convs((6, 64, "b"), *normed(D_DOWN[1:]), (512, 1, "b")),
    ),
    "pyimagesearch": (
        convs((3, 32, "b"), (32, 64, "b"), (64, 96, "b"), (96, 96, "b"), kernel=3)
        + convs((96, 96, "b"), (96, 256, "b"), kernel=3)
        + convs((256, 128, "b"), (128, 96, "b"), (128, 64, "b"), (128, 32, "b"), kernel=2)
        + convs((224, 128, "b"), (192, 128, "b"), (128, 128, "b"), (64, 128, "b"), kernel=3)
        + convs((128, 3, "b"), kernel=1),
        convs((6, 64, "b"), (64, 128, "b"), (128, 256, "b"), (256, 512, "b", "n"))
        + convs((512, 1, "b"), kernel=3),
    ),
}  # fmt: skip
# The side of D's grid of scores at 256 pixels.
PATCHES = {
    "affinelayer": 30,
    "paper": 30,
    "tf2-tutorial": 30,
    "pyimagesearch": 30,
    "keras-maps": 16,
    "deblur": 16,
    "junyanz": 30,
}


def config_of(preset, **given):
    return configure({"input_dir": "pairs", "preset": preset, "batch_size": 1, **given})


def test_every_preset_is_tested():
    assert set(PRESETS) == set(PARAMETERS) == set(PATCHES)


def test_parameter_counts_of_keras():
    """Keras' summaries of the tutorial's networks, "trainable params"."""
    assert PARAMETERS["tf2-tutorial"] == (54_414_979, 2_768_641)


@pytest.mark.parametrize("preset", PRESETS)
def test_networks(preset):
    with tf.Graph().as_default():
        images = [tf.zeros([1, 256, 256, 3])] * 2
        config = config_of(preset)
        networks = Networks(config.model, config.losses, 0, on_cpu=True)
        order, optimizers = ORDERS[config.optimizer.updates], make_optimizers(config.optimizer, 10)
        model = build_step(Batch(tf.constant(["a"]), *images), networks, order, optimizers)
        counts = tuple(
            sum(v.shape.num_elements() for v in tf.trainable_variables(f"{network}/"))
            for network in ("generator", "discriminator")
        )
    assert counts == PARAMETERS[preset]
    assert model.outputs.shape.as_list() == [1, 256, 256, 3]
    side = PATCHES[preset]
    for scores in (model.predict_real, model.predict_fake):
        assert scores.shape.as_list() == [1, side, side, 1]


def test_parameter_counts_of_junyanz():
    """What its program prints: "Total number of parameters", 54.414 M and 2.769 M."""
    assert [round(count / 1e6, 3) for count in PARAMETERS["junyanz"]] == [54.414, 2.769]


@pytest.mark.parametrize(
    ("dropout_levels", "levels", "wanted"),
    [
        ("innermost", 8, [6, 7, 8]),
        ("innermost", 2, [2]),
        ("inner", 8, [5, 6, 7]),  # unet_256: num_downs - 5 intermediate layers
        ("inner", 7, [5, 6]),  # unet_128
        ("inner", 5, []),
        ("1,4", 8, [1, 4]),
    ],
)
def test_levels_with_dropout(dropout_levels, levels, wanted):
    options = GeneratorOptions(levels=levels, dropout_levels=dropout_levels, dropout=0.25)
    spec = generator_spec(options, LayerOptions(), 3, DEFAULT_LAYERS)
    found = [(level, up.dropout) for level, up in enumerate(spec.decoders, 1) if up.dropout]
    assert found == [(level, 0.25) for level in wanted]


def test_affinelayer_is_the_default():
    assert PRESETS["affinelayer"] == {}
    assert config_of("affinelayer") == configure({"input_dir": "pairs", "batch_size": 1})


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_hold_options_of_training(preset):
    config = config_of(preset, batch_size=3, target_dir="b")
    assert config.run.preset == preset
    assert config.data.batches.batch_size == 3
    for name, value in PRESETS[preset].items():
        assert value != DEFAULTS[name], name
        assert config.flat()[name] == (3 if name == "batch_size" else value)


def test_split_of_a_preset_applies_to_separate_folders():
    """Folders of pairs side by side are split into train and test already."""
    assert config_of("deblur").data.source.split == 1
    assert config_of("deblur", target_dir="b").data.source.split == 0.8
    assert config_of("deblur", split=0.5).data.source.split == 0.5


def test_precedence():
    """A flag overrides a preset, a preset a data set's recipe, a recipe the defaults."""
    given = {"input_dir": "cityscapes/train"}
    recipe = configure(given)
    assert chosen(recipe) == ("BtoA", 200, 1)
    preset = configure({**given, "preset": "pyimagesearch"})
    assert chosen(preset) == ("BtoA", 150, 32)
    flag = configure({**given, "preset": "pyimagesearch", "max_epochs": 7})
    assert chosen(flag) == ("BtoA", 7, 32)


def chosen(options):
    return (
        options.data.task.which_direction,
        options.length.max_epochs,
        options.data.batches.batch_size,
    )


def sizes_of(options):
    return options.flat()["scale_size"], options.model.generator.levels


def test_sizes_of_the_systems():
    sizes = {name: sizes_of(config_of(name)) for name in PRESETS}
    assert sizes == {
        "affinelayer": (286, 8),
        "paper": (286, 8),
        "tf2-tutorial": (286, 8),
        "pyimagesearch": (286, 4),
        "keras-maps": (256, 8),
        "deblur": (286, 8),
        "junyanz": (286, 8),
    }


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"preset": "mine"}, "preset must be one of affinelayer, paper, .*, not 'mine'"),
        ({"discriminator": "patch"}, "discriminator must be one of pixel, patch16, "),
        ({"discriminator": "image286", "crop_size": 64}, "crop_size must be at least "),
        ({"preset": "keras-maps", "scale_size": 300}, "scale_size must be crop_size "),
        ({"preset": "paper", "crop_from": 31}, "crop_from must be at most scale_size - crop_size "),
        ({"preset": "pyimagesearch", "separable_conv": True}, "generator pooled has 4 levels "),
        ({"preset": "pyimagesearch", "levels": 8}, "generator pooled has 4 levels "),
        ({"preset": "pyimagesearch", "crop_size": 40}, "crop_size must be a multiple of 16"),
        ({"inpaint": "center", "lab_colorization": True}, "inpaint and lab_colorization are two "),
        ({"target_dir": "b", "lab_colorization": True}, "target_dir and lab_colorization contra"),
        ({"target_dir": "b", "inpaint": "center"}, "target_dir and inpaint contradict each other"),
        ({"batch_size": 2**40}, "batch_size must be at most 65536"),
        ({"aspect_ratio": 0.001}, "aspect_ratio must leave a pixel of 256"),
        ({"crop_size": 528}, "try 512"),
        ({"gan_weight": 0.0, "l1_weight": 0.0}, "gan_weight and l1_weight are both 0"),
        (
            {"dropout_levels": "9"},
            "dropout_levels must be at most 8, the generator's levels, not 9",
        ),
        ({"dropout_levels": "0"}, "dropout_levels must be innermost, inner, or numbers of lev"),
        ({"dropout_levels": "1,"}, "dropout_levels must be innermost, inner, or numbers of lev"),
        (
            {"dropout_levels": "4", "preset": "pyimagesearch"},
            "dropout_levels is for U-Nets: leave it out with --generator pooled",
        ),
    ],
    ids=str,
)
def test_contradictions(given, message):
    with pytest.raises(UserError, match=message):
        configure({"input_dir": "pairs", **given})
