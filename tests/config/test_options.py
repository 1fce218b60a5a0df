import dataclasses
import json
import re
import shutil
from pathlib import Path

import pytest

from p2p_graph.config.option_fields import PROGRAMS, help_text, kinds_of
from p2p_graph.config.options import FIELDS, RECORDS, Options
from p2p_graph.config.options_file import (
    FREE_FIELDS,
    MODEL_FIELDS,
    model_options,
    read_options,
    save_options,
)
from p2p_graph.config.resumed_options import changed_options, moved_paths
from p2p_graph.config.system_presets import PRESETS
from p2p_graph.utils.errors import UserError

GOLDEN = Path(__file__).parents[1] / "golden"
REFERENCE_RUNS = sorted(path.parent for path in GOLDEN.glob("*/start/options.json"))

# The reference program's defaults; its --seed is drawn at random.
REFERENCE_DEFAULTS = {
    "input_dir": None,
    "output_dir": None,
    "checkpoint": None,
    "max_steps": None,
    "max_epochs": None,
    "summary_freq": 100,
    "progress_freq": 50,
    "trace_freq": 0,
    "display_freq": 0,
    "save_freq": 5000,
    "separable_conv": False,
    "aspect_ratio": 1.0,
    "lab_colorization": False,
    "batch_size": 1,
    "which_direction": "AtoB",
    "ngf": 64,
    "ndf": 64,
    "scale_size": 286,
    "flip": True,
    "lr": 0.0002,
    "beta1": 0.5,
    "l1_weight": 100.0,
    "gan_weight": 1.0,
    "output_filetype": "png",
}
# Options that the reference lacks, with defaults that do as the reference does.
OWN_DEFAULTS = {
    "mode": "train",
    "target_dir": None,
    "skip_bad": False,
    "replicas": "1",
    "moments": "batch",
    "inputs_only": False,
    "calibration_dir": None,
    "ort_dir": None,
    "examples": None,
    "palette": None,
    "discriminator_bias": "same",
    "dropout_levels": "innermost",
    "recipe": None,
    "crop_size": 256,
    "cache_mb": 1024,
    "cache_as": "auto",
    "steps_per_run": 1,
    "xla": False,
    "levels": 8,
    "dropout": 0.5,
    "seed": 0,
    "device": "auto",
    "preset": "affinelayer",
    "generator": "unet",
    "discriminator": "patch70",
    "conditional": True,
    "target_first": False,
    "bias": "none",
    "bottleneck_norm": True,
    "norm_epsilon": 1e-5,
    "norm_stddev": 0.02,
    "norm_form": "auto",
    "lrelu_slope": 0.2,
    "skip_activation": "relu",
    "initializer": "normal",
    "dropout_in_use": True,
    "inpaint": "none",
    "resize": "area",
    "jitter": "crop",
    "crop_from": 0,
    "sampling": "epochs",
    "steps_per_epoch": None,
    "updates": "stored",
    "gan_loss": "eps",
    "d_scale": 1.0,
    "adam_epsilon": 1e-8,
    "lr_schedule": "constant",
    "precision": "fp32",
    "manifest": None,
    "arrays": None,
    "split": 1.0,
    "split_seed": 0,
    "resize_targets": None,
    "resize_first": False,
    "sample_freq": "0",
    "sample_count": 5,
    "val_dir": None,
    "val_target_dir": None,
    "keep_best": "none",
    "grid": False,
    "output_bits": 8,
    "upright": False,
    "input_channels": None,
    "target_channels": None,
    "more_inputs": None,
    "format": "meta,saved_model",
    "val_more_inputs": None,
    "keep_checkpoints": 1,
    "keep_every": 0,
    "step": None,
    "open": False,
    "shard": None,
    "skip_done": False,
    "page_limit": 5000,
}


@pytest.fixture
def config():
    return Options.of(input_dir="pairs", output_dir="run", seed=5, batch_size=2)


@pytest.fixture
def saved(config, tmp_path):
    save_options(config, tmp_path)
    return tmp_path


def edit(folder, remove=(), **changes):
    path = folder / "options.json"
    options = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: options[key] for key in options if key not in remove}))


@pytest.mark.parametrize(("name", "default"), (REFERENCE_DEFAULTS | OWN_DEFAULTS).items())
def test_default(name, default):
    value = Options.of().flat()[name]
    assert value == default
    assert type(value) is type(default)


def test_every_field_has_a_default_here():
    assert set(FIELDS) == set(REFERENCE_DEFAULTS) | set(OWN_DEFAULTS)


def test_every_field_is_documented():
    for name, field in FIELDS.items():
        programs = field.metadata["programs"]
        assert set(programs) <= {"train", "test", "export"}, name
        assert all(help_text(field, program) for program in programs), name


def test_lists_of_fields_name_fields():
    assert set(MODEL_FIELDS) <= set(FIELDS)
    assert set(FREE_FIELDS) <= set(FIELDS)
    assert not set(MODEL_FIELDS) & set(FREE_FIELDS)


def test_is_frozen(config):
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.run.seed = 1


@pytest.mark.parametrize(
    ("size", "levels"),
    [
        *[(256, 8), (128, 7), (384, 7), (512, 9), (64, 6), (4, 2), (12, 2)],
        *[("256x512", 8), ("512x256", 8), ("256x384", 7), ("192x256", 6), ("12x1024", 2)],
    ],
)
def test_levels_are_derived(size, levels):
    assert Options.of(crop_size=size).model.generator.levels == levels


@pytest.mark.parametrize(
    ("size", "scale"), [(256, 286), (128, 143), (512, 572), (64, 72), ("128x64", "143x72")]
)
def test_scale_size_is_derived(size, scale):
    assert Options.of(crop_size=size).flat()["scale_size"] == scale


def test_given_sizes_are_not_derived():
    config = Options.of(crop_size=256, scale_size=300, levels=5)
    assert (config.data.scaling.scale_size, config.model.generator.levels) == ((300, 300), 5)


# Options, and parts of the message: the option, the rule and the value.
WRONG = [
    ({"scale_size": 255}, ["scale_size", "at least crop_size (256)", "not 255"]),
    ({"crop_size": 128, "scale_size": 100}, ["scale_size", "at least crop_size (128)", "not 100"]),
    ({"crop_size": 250}, ["crop_size", "multiple of 4", "250", "try 248"]),
    ({"crop_size": 255}, ["crop_size", "multiple of 4", "255", "try 256"]),
    ({"crop_size": 2}, ["crop_size", "multiple of 4", "2", "try 4"]),
    ({"crop_size": 100, "levels": 7}, ["crop_size", "multiple of 128", "7 levels", "100"]),
    ({"crop_size": 256, "levels": 9}, ["crop_size", "multiple of 512", "9 levels", "256"]),
    ({"levels": 1}, ["levels", "at least 2", "1"]),
    ({"levels": 10**9}, ["levels", "at most 16"]),
    ({"crop_size": 10**31}, ["crop_size", "at most 65536"]),
    ({"crop_size": 65537}, ["crop_size", "at most 65536", "not 65537"]),
    ({"scale_size": 2**31}, ["scale_size", "at most 65536"]),
    ({"aspect_ratio": 1e9}, ["aspect_ratio", "at most 65536 pixels a side"]),
    ({"ngf": 2**31}, ["ngf", "at most 4096"]),
    ({"ndf": 4097}, ["ndf", "at most 4096", "not 4097"]),
    ({"max_steps": 2**63}, ["max_steps", "at most 1099511627776"]),
    ({"max_epochs": 2**21}, ["max_epochs", "at most 1048576"]),
    ({"sample_freq": "1" * 5000}, ["sample_freq", "number of steps"]),
    ({"crop_size": 0}, ["crop_size", "at least 1", "not 0"]),
    ({"crop_size": -256}, ["crop_size", "at least 1", "not -256"]),
    ({"batch_size": 0}, ["batch_size", "at least 1", "not 0"]),
    ({"batch_size": -3}, ["batch_size", "at least 1", "not -3"]),
    ({"ngf": 0}, ["ngf", "at least 1", "not 0"]),
    ({"ndf": 0}, ["ndf", "at least 1", "not 0"]),
    ({"max_steps": -1}, ["max_steps", "at least 0", "not -1"]),
    ({"max_epochs": -1}, ["max_epochs", "at least 0", "not -1"]),
    ({"cache_mb": -1}, ["cache_mb", "at least 0", "not -1"]),
    ({"summary_freq": -1}, ["summary_freq", "at least 0", "not -1"]),
    ({"progress_freq": -1}, ["progress_freq", "at least 0", "not -1"]),
    ({"trace_freq": -1}, ["trace_freq", "at least 0", "not -1"]),
    ({"display_freq": -1}, ["display_freq", "at least 0", "not -1"]),
    ({"save_freq": -1}, ["save_freq", "at least 0", "not -1"]),
    ({"l1_weight": -1.0}, ["l1_weight", "at least 0", "not -1.0"]),
    ({"gan_weight": -0.5}, ["gan_weight", "at least 0", "not -0.5"]),
    ({"lr": -0.1}, ["lr", "at least 0", "not -0.1"]),
    ({"lr": float("nan")}, ["lr", "finite", "not nan"]),
    ({"l1_weight": float("inf")}, ["l1_weight", "finite", "not inf"]),
    ({"gan_weight": float("nan")}, ["gan_weight", "finite", "not nan"]),
    ({"dropout": 1}, ["dropout", "below 1", "not 1"]),
    ({"dropout": 1.0}, ["dropout", "below 1", "not 1.0"]),
    ({"dropout": -0.1}, ["dropout", "at least 0", "not -0.1"]),
    ({"dropout": float("nan")}, ["dropout", "finite", "not nan"]),
    ({"beta1": 1.0}, ["beta1", "below 1", "not 1.0"]),
    ({"beta1": -0.5}, ["beta1", "at least 0", "not -0.5"]),
    ({"aspect_ratio": 0.0}, ["aspect_ratio", "must leave a pixel of 256", "0.0 does not"]),
    ({"aspect_ratio": -1.5}, ["aspect_ratio", "at least 0", "not -1.5"]),
    ({"seed": -1}, ["seed", "at least 0", "not -1"]),
    ({"seed": 2**31}, ["seed", f"below {2**31}", str(2**31)]),
    ({"which_direction": "AtoC"}, ["which_direction", "AtoB, BtoA", "not 'AtoC'"]),
    ({"device": "tpu"}, ["device", "auto, cpu, gpu", "not 'tpu'"]),
    ({"output_filetype": "gif"}, ["output_filetype", "png, jpeg", "not 'gif'"]),
    ({"ngf": 1.5}, ["ngf", "type int", "not 1.5"]),
    ({"ngf": "64"}, ["ngf", "type int", 'not "64"']),
    ({"ngf": True}, ["ngf", "type int", "not true"]),
    ({"ngf": None}, ["ngf", "type int", "not null"]),
    ({"scale_size": 286.0}, ["scale_size", "number of pixels, or HEIGHTxWIDTH", "not 286.0"]),
    ({"crop_size": True}, ["crop_size", "number of pixels, or HEIGHTxWIDTH", "not True"]),
    ({"crop_size": None}, ["crop_size", "number of pixels, or HEIGHTxWIDTH", "not None"]),
    ({"crop_size": "256x"}, ["crop_size", "HEIGHTxWIDTH as in 256x512", "not '256x'"]),
    ({"crop_size": "256x512x3"}, ["crop_size", "HEIGHTxWIDTH as in 256x512"]),
    ({"crop_size": "256x0"}, ["crop_size", "at least 1", "256x0"]),
    ({"crop_size": "4x70000"}, ["crop_size", "at most 65536", "4x70000"]),
    ({"crop_size": "256x300"}, ["crop_size", "32 or less", "256x300 stops at 64", "try 256x304"]),
    ({"crop_size": "256x300", "levels": 8}, ["multiple of 256", "256x300 is not", "try 256"]),
    ({"crop_size": "64x128", "scale_size": 100}, ["scale_size", "(64x128)", "not 100"]),
    ({"crop_size": "64x128", "scale_size": "72x100"}, ["scale_size", "(64x128)", "not 72x100"]),
    ({"crop_size": "64x128", "crop_from": 9}, ["crop_from", "at most scale_size - crop_size (8)"]),
    ({"crop_size": "64x128", "aspect_ratio": 0.001}, ["must leave a pixel of 64x128"]),
    ({"crop_size": "original"}, ["crop_size original is for tools/test.py, not for train"]),
    ({"scale_size": "original"}, ["scale_size must be a number of pixels, not 'original'"]),
    (
        {"crop_size": "original", "scale_size": "original", "mode": "test", "batch_size": 2},
        ["crop_size original takes one image at a time", "--batch_size 2"],
    ),
    ({"lr": "0.1"}, ["lr", "type float", 'not "0.1"']),
    ({"lr": True}, ["lr", "type float", "not true"]),
    ({"flip": 1}, ["flip", "type bool", "not 1"]),
    ({"flip": "no"}, ["flip", "type bool", 'not "no"']),
    ({"which_direction": None}, ["which_direction", "type str", "not null"]),
    ({"discriminator": "nonsense"}, ["discriminator", "pixel, patch16", "n_layers=K", "nonsense"]),
    ({"discriminator": "n_layers=10"}, ["discriminator", "K from 0 to 9", "n_layers=10"]),
    ({"recipe": "nonsense"}, ["recipe", "facades, ", " or none", "nonsense"]),
    ({"sample_freq": "1x"}, ["sample_freq", "number of steps", "'1x'"]),
    ({"input_dir": 3}, ["input_dir", "type str", "not 3"]),
    ({"input_dir": Path("pairs")}, ["input_dir", "type str", "pairs"]),
]


@pytest.mark.parametrize(("options", "message_parts"), WRONG, ids=lambda value: str(value)[:40])
def test_error_names_option_rule_and_value(options, message_parts):
    with pytest.raises(UserError) as caught:
        Options.of(**options)
    message = str(caught.value)
    assert "\n" not in message
    assert [part for part in message_parts if part not in message] == []


@pytest.mark.parametrize(
    "options",
    [
        {"scale_size": 256},
        {"crop_size": 4, "scale_size": 4},
        {"dropout": 0.0},
        {"dropout": 0},
        {"lr": 0.0},
        {"l1_weight": 100},  # an integer is accepted as a float
        {"gan_weight": 0.0},
        {"beta1": 0.0},
        {"max_steps": 0},
        {"cache_mb": 0},
        {"seed": 2**31 - 1},
        {"levels": 2},
        {"which_direction": "BtoA"},
    ],
    ids=str,
)
def test_values_at_their_bounds_are_accepted(options):
    config = Options.of(**options)
    assert config.flat() | options == config.flat()


def test_replace_checks_again(config):
    assert config.replace(seed=6) == Options.of(
        input_dir="pairs", output_dir="run", seed=6, batch_size=2
    )
    with pytest.raises(UserError, match="batch_size"):
        config.replace(batch_size=0)


def test_options_file_round_trip(config, saved):
    assert Options.of(**read_options(saved)) == config
    assert [path.name for path in saved.iterdir()] == ["options.json"]


def test_options_file_is_sorted_and_has_the_version(saved):
    options = json.loads((saved / "options.json").read_text())
    assert list(options) == sorted(options)
    assert options["version"]
    assert "version" not in read_options(saved)


def test_options_file_stores_non_ascii_text(tmp_path):
    config = Options.of(input_dir="bücher/日本")
    save_options(config, tmp_path)
    assert read_options(tmp_path)["input_dir"] == "bücher/日本"


def test_options_file_that_an_editor_has_saved_with_a_byte_order_mark(config, saved):
    path = saved / "options.json"
    path.write_text(path.read_text(), encoding="utf-8-sig")
    assert Options.of(**read_options(saved)) == config


def test_negative_intervals_of_the_reference_mean_never(config, saved):
    path = saved / "options.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"display_freq": -1}))
    assert read_options(saved)["display_freq"] == 0


def test_options_file_is_replaced(config, saved):
    save_options(config.replace(seed=77), saved)
    assert read_options(saved)["seed"] == 77


@pytest.mark.parametrize(
    ("text", "message_parts"),
    [
        (None, "is missing"),
        ("", "cannot be read as JSON"),
        ("{", "cannot be read as JSON"),
        (b"\xff\xfe", "cannot be read as JSON"),
        ("[1]", "one JSON object"),
        ('{"ngf": 1, "zoo": 2, "ape": 3}', "unknown keys: ape, zoo"),
        ('{"preset": []}', "preset must be of type str, not []"),
        ('{"preset": {"a": 1}}', "preset must be of type str"),
        ('{"input_dir": 5}', "input_dir must be of type str, not 5"),
        ('{"images": 5}', "images must be of type str"),
        ('{"working_dir": 5}', "working_dir must be of type str"),
        ('{"split": "half"}', 'split must be of type float, not "half"'),
        ('{"lr": -1}', "lr must be at least 0, not -1"),
        ('{"lr": NaN}', "lr must be a finite number, not nan"),
        ('{"l1_weight": Infinity}', "l1_weight must be a finite number, not inf"),
        ('{"beta1": 1}', "beta1 must be below 1, not 1"),
        ('{"max_steps": -5}', "max_steps must be at least 0, not -5"),
        ('{"batch_size": 65537}', "batch_size must be at most 65536, not 65537"),
        ('{"gan_loss": "hinge"}', "gan_loss must be one of eps, clip, logits, lsgan, not 'hinge'"),
        ('{"split": 0}', "split must be over 0 and at most 1, not 0"),
        (r'{"input_dir": "a\u0000b"}', r"input_dir 'a\x00b' has a zero byte"),
        (r'{"checkpoint": "a\u0000b"}', r"checkpoint 'a\x00b' has a zero byte"),
        (r'{"working_dir": "a\u0000b"}', r"working_dir 'a\x00b' has a zero byte"),
        ("[" * 200_000, "nested too deep"),
        ('{"ngf": ' + "1" * 5_000 + "}", "cannot be read as JSON"),
    ],
)
def test_unreadable_options_file(tmp_path, text, message_parts):
    path = tmp_path / "options.json"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    for read in (read_options, model_options):
        with pytest.raises(UserError) as caught:
            read(tmp_path)
        assert message_parts in str(caught.value)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", FIELDS)
def test_an_option_that_was_lost_is_refused(saved, name):
    """By every program: it would take another value without a word."""
    edit(saved, remove=[name])
    with pytest.raises(UserError, match=f"lacks {name}: add the value of the training run"):
        read_options(saved)
    edit(saved, option_count=str(len(FIELDS) + 2))  # of a version with other options
    with pytest.raises(UserError, match="lacks 3 options that it had: add"):
        read_options(saved)


@pytest.mark.parametrize("count", ["", "-1", "many", "1" * 7])
def test_counts_that_are_none(saved, count):
    edit(saved, option_count=count)
    with pytest.raises(UserError, match=r"options\.json: option_count must be a number"):
        read_options(saved)


@pytest.mark.parametrize("name", ["ngf", "ndf", "which_direction"])
def test_model_needs_an_option(saved, name):
    edit(saved, remove=[name, "option_count"])  # as the reference's
    with pytest.raises(UserError, match=f"lacks {name}:"):
        model_options(saved)


def test_wrong_model_option_names_the_file(saved):
    edit(saved, ngf=0)
    with pytest.raises(UserError, match=r"options\.json: ngf must be at least 1, not 0"):
        model_options(saved)


def test_model_options_have_the_models_fields_only(saved):
    edit(saved, remove=["bias", "option_count"], ngf=3, crop_size=128, levels=7, lr=0.1)
    assert model_options(saved) == {
        "which_direction": "AtoB",
        "lab_colorization": False,
        "ngf": 3,
        "ndf": 64,
        "separable_conv": False,
        "crop_size": 128,
        "levels": 7,
        "bias": "none",
        "dropout": 0.5,
        "dropout_in_use": True,
        "dropout_levels": "innermost",
        "generator": "unet",
        "bottleneck_norm": True,
        "norm_epsilon": 1e-5,
        "lrelu_slope": 0.2,
        "skip_activation": "relu",
        "inpaint": "none",
        "input_channels": 3,
        "target_channels": 3,
        "upright": False,
        "resize": "area",
        "resize_targets": None,
        "preset": "affinelayer",
    }


def test_a_preset_supplies_missing_options(tmp_path):
    options = {"preset": "tf2-tutorial", "ngf": 2, "ndf": 2, "which_direction": "BtoA"}
    (tmp_path / "options.json").write_text(json.dumps(options))
    assert read_options(tmp_path) == {**PRESETS["tf2-tutorial"], **options}
    model = model_options(tmp_path)
    assert (model["norm_epsilon"], model["skip_activation"], model["ngf"]) == (1e-3, "lrelu", 2)
    (tmp_path / "options.json").write_text(json.dumps({**options, "lrelu_slope": 0.1}))
    assert model_options(tmp_path)["lrelu_slope"] == 0.1


@pytest.mark.parametrize("preset", ["mine", ""])
def test_unknown_preset_in_the_file(tmp_path, preset):
    (tmp_path / "options.json").write_text(json.dumps({"preset": preset}))
    with pytest.raises(UserError, match=r"options\.json: preset must be one of affinelayer, "):
        read_options(tmp_path)


def test_total_steps_may_not_change_with_a_linear_schedule(tmp_path):
    config = Options.of(lr_schedule="linear", max_steps=10)
    save_options(config, tmp_path)
    assert changed_options(config.flat(), tmp_path, {}) == []
    longer = config.replace(max_steps=20)
    assert changed_options(longer.flat(), tmp_path, {}) == ["max_steps (was 10, now 20)"]
    constant = longer.replace(lr_schedule="constant")
    [changed] = changed_options(constant.flat(), tmp_path, {})
    assert changed.startswith("lr_schedule ")


def test_there_are_reference_runs():
    assert len(REFERENCE_RUNS) == 4


@pytest.mark.parametrize("folder", REFERENCE_RUNS, ids=lambda folder: folder.parent.name)
def test_reference_options_file(folder):
    options = read_options(folder)
    config = Options.of(**options)
    assert config.flat() | options == config.flat()
    model = model_options(folder)
    name = folder.parent.name
    assert model["which_direction"] == name[-4:]
    assert model["lab_colorization"] == ("lab" in name)
    assert (model["ngf"], model["ndf"]) == (options["ngf"], options["ndf"])
    assert (model["crop_size"], model["levels"], model["dropout"]) == (256, 8, 0.5)


def test_unchanged_options(config, saved):
    assert changed_options(config.flat(), saved, {}) == []


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"lr": 0.5}, ["lr (was 0.0002, now 0.5)"]),
        ({"batch_size": 4}, ["batch_size (was 2, now 4)"]),
        ({"flip": False}, ["flip (was true, now false)"]),
        ({"which_direction": "BtoA"}, ['which_direction (was "AtoB", now "BtoA")']),
        ({"scale_size": 300}, ["scale_size (was 286, now 300)"]),
        ({"ngf": 8, "ndf": 9}, ["ndf (was 64, now 9)", "ngf (was 64, now 8)"]),
    ],
    ids=str,
)
def test_changes_are_named(config, saved, changes, named):
    assert changed_options(config.replace(**changes).flat(), saved, changes) == named


@pytest.mark.parametrize(
    "change",
    [
        {"max_steps": 9},
        {"max_epochs": 9},
        {"summary_freq": 9},
        {"progress_freq": 9},
        {"open": True},
        {"trace_freq": 9},
        {"display_freq": 9},
        {"save_freq": 9},
        {"cache_mb": 9},
        {"cache_as": "values"},
        {"steps_per_run": 5},
        {"device": "cpu"},
        {"output_dir": "moved"},
        {"checkpoint": "other"},
        {"recipe": "none"},
        {"aspect_ratio": 2.0},
    ],
    ids=str,
)
def test_options_without_effect_on_the_result_may_change(config, saved, change):
    assert changed_options(config.replace(**change).flat(), saved, change) == []


def refuse(path):
    raise PermissionError(13, "Permission denied", str(path))


def test_images_may_be_moved(config, tmp_path, monkeypatch):
    """Where their former places are empty: their names then say whether they are the same."""
    was, now = tmp_path / "was", tmp_path / "now"
    for folder in (was / "a", was / "b"):
        folder.mkdir(parents=True)
        (folder / "1.png").write_bytes(b"")
    paths = {"input_dir": str(was / "a"), "target_dir": str(was / "b")}
    options = config.replace(**paths)
    save_options(options, tmp_path)
    moved = options.replace(input_dir=str(now / "a"), target_dir=str(now / "b")).flat()
    refused = changed_options(moved, tmp_path, {})
    assert [line.split()[0] for line in refused] == ["input_dir", "target_dir"]
    was.rename(now)
    assert changed_options(moved, tmp_path, {}) == []
    moves = moved_paths(options.flat(), moved, tmp_path)
    assert moves == dict(zip(("input_dir", "target_dir"), refused, strict=True))
    assert moved_paths(options.flat(), options.flat(), tmp_path) == {}
    (was / "a").mkdir(parents=True)  # as of a disk that is mounted elsewhere
    assert changed_options(moved, tmp_path, {}) == []
    with monkeypatch.context() as changed:  # in another person's folder
        changed.setattr(Path, "is_dir", refuse)
        assert changed_options(moved, tmp_path, {}) == refused
    # Relative to a folder that is not known, a path may be anywhere.
    edit(tmp_path, ["working_dir"], input_dir="a")
    assert [line.split()[0] for line in changed_options(moved, tmp_path, {})] == ["input_dir"]


def test_images_beside_a_working_directory_that_is_gone(config, tmp_path, monkeypatch):
    """They are where they were."""
    for name in ("data", "data2", "work"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_bytes(b"")
    run = tmp_path / "run"
    run.mkdir()
    monkeypatch.chdir(tmp_path / "work")
    save_options(config.replace(input_dir="../data"), run)
    monkeypatch.chdir(tmp_path)
    shutil.rmtree("work")
    assert changed_options(config.replace(input_dir="data").flat(), run, {}) == []
    other = changed_options(config.replace(input_dir="data2").flat(), run, {})
    assert other == ['input_dir (was "../data", now "data2")']
    # Now a link to a folder beside other images.
    (tmp_path / "disk" / "work").mkdir(parents=True)
    (tmp_path / "disk" / "data").mkdir()
    (tmp_path / "work").symlink_to("disk/work")
    assert changed_options(config.replace(input_dir="data").flat(), run, {}) == []
    other = changed_options(config.replace(input_dir="disk/data").flat(), run, {})
    assert other == ['input_dir (was "../data", now "disk/data")']


def test_images_may_lie_elsewhere_on_another_host(config, saved, monkeypatch):
    """All but the chief, whose paths the folder has."""
    edit(saved, working_dir=str(saved))
    for name in ("pairs", "elsewhere", "beside", "further"):
        (saved / name).mkdir()
        (saved / name / "1.png").write_bytes(b"")
    monkeypatch.chdir(saved)
    moved = {"input_dir": "elsewhere", "target_dir": "beside", "more_inputs": ["further"]}
    flat = config.replace(**moved, lr=0.5).flat()
    of_other = changed_options(flat, saved, {}, is_chief=False)
    assert of_other == ["lr (was 0.0002, now 0.5)"]
    of_chief = changed_options(flat, saved, {})
    assert sorted(line.split()[0] for line in of_chief) == sorted([*moved, "lr"])


def test_seed_is_compared_only_if_given(config, saved):
    other = config.replace(seed=6)
    assert changed_options(other.flat(), saved, {}) == []
    assert changed_options(other.flat(), saved, {"seed": 6}) == ["seed (was 5, now 6)"]


def test_input_dir_may_be_another_path_of_the_same_folder(config, tmp_path, monkeypatch):
    """From the working directory of the first run, or from another."""
    (tmp_path / "pairs").mkdir()
    (tmp_path / "pairs" / "1.png").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    save_options(config, tmp_path)
    saved = tmp_path
    monkeypatch.chdir(tmp_path / "pairs")
    for same in (str(tmp_path / "pairs"), "../pairs", "."):
        assert changed_options(config.replace(input_dir=same).flat(), saved, {}) == []
    monkeypatch.chdir(tmp_path)
    for same in (str(tmp_path / "pairs"), "./pairs", "pairs/", "pairs/../pairs"):
        assert changed_options(config.replace(input_dir=same).flat(), saved, {}) == []
    [other] = changed_options(config.replace(input_dir="others").flat(), saved, {})
    assert other == 'input_dir (was "pairs", now "others")'


def test_the_same_relative_path_may_lead_to_other_images(config, tmp_path, monkeypatch):
    """From another project; a project that was copied, or moved, has the same ones."""
    first, second = tmp_path / "first", tmp_path / "second"
    for project in (first, second):
        for name in ("pairs", "more"):
            (project / name).mkdir(parents=True)
            (project / name / "1.png").write_bytes(project.name.encode())
    monkeypatch.chdir(first)
    config = config.replace(more_inputs=("more",))
    save_options(config, first)
    monkeypatch.chdir(second)
    assert changed_options(config.flat(), first, {}) == [
        f'input_dir (was "{first}/pairs", now "pairs")',
        f'more_inputs (was ["{first}/more"], now ["more"])',
    ]
    shutil.rmtree(second)
    shutil.copytree(first, second)
    monkeypatch.chdir(second)
    assert changed_options(config.flat(), first, {}) == []
    shutil.rmtree(first / "pairs")
    (second / "pairs" / "2.png").write_bytes(b"")
    stored = config.flat()
    assert changed_options(config.flat(), second, {}) == []
    told = f'input_dir (was "{first}/pairs", now "pairs")'
    assert moved_paths(stored, config.flat(), second) == {"input_dir": told}
    moved = config.replace(more_inputs=("../second/more",)).flat()
    shutil.rmtree(first)
    told = 'more_inputs (was ["more"], now ["../second/more"])'
    assert moved_paths(stored, moved, second)["more_inputs"] == told


@pytest.mark.parametrize(
    ("was", "now", "changed"),
    [
        # (images of a replica, replicas, moments) of the folder and of the resumed run.
        ((4, 1, "image"), (1, 4, "batch"), []),
        ((1, 4, "batch"), (2, 2, "image"), []),
        ((1, 2, "image"), (1, 2, "batch"), []),
        ((2, 2, "batch"), (2, 2, "batch"), []),
        ((1, 4, "batch"), (4, 1, "batch"), ["batch_size", "moments"]),
        ((2, 2, "batch"), (4, 1, "batch"), ["batch_size"]),
        ((1, 2, "batch"), (1, 4, "batch"), ["images of a step"]),
        ((2, 2, "image"), (2, 2, "batch"), ["moments"]),
        ((1, 1, "batch"), (1, 2, "batch"), ["images of a step"]),
    ],
)
def test_a_step_may_be_divided_among_other_replicas(config, tmp_path, was, now, changed):
    """As long as the same images have the same statistics."""
    batch_size, count, moments = was
    record = {"replica_count": str(count)} if count > 1 else None
    save_options(config.replace(batch_size=batch_size, moments=moments), tmp_path, record)
    batch_size, count, moments = now
    resumed = config.replace(batch_size=batch_size, moments=moments, replicas=str(count))
    found = changed_options(resumed.flat(), tmp_path, {}, count)
    assert sorted(text.partition(" (")[0] for text in found) == changed


def test_missing_options_are_not_compared(config, saved):
    edit(saved, remove=["option_count", "dropout", "levels"])
    assert changed_options(config.replace(dropout=0.1, levels=4).flat(), saved, {}) == []


def test_a_zero_byte_in_a_path():
    with pytest.raises(UserError, match=r"manifest 'a\\x00b' has a zero byte"):
        Options.of(manifest="a\0b")


@pytest.mark.parametrize("value", [10**400, float("nan"), float("inf"), -(10**400)])
def test_numbers_that_float32_does_not_hold(value):
    with pytest.raises(UserError, match="l1_weight must be a finite number"):
        Options.of(l1_weight=value)


def test_every_number_has_bounds():
    """No number can ask for more than there can be."""
    for name, field in FIELDS.items():
        value = field.default
        bounds = field.metadata
        if isinstance(value, int) and not isinstance(value, bool):
            assert bounds["least"] is not None, name
            assert bounds["most"] is not None or bounds["below"] is not None, name


# At 0 these mean what their help texts say: none of what they count, or a seed like any other.
PLAIN_ZEROS = {"seed", "split_seed", "crop_from", "cache_mb", "step"}


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_help_of_a_whole_number_says_what_0_means(program):
    unexplained = {
        name
        for name, field in FIELDS.items()
        if program in field.metadata["programs"]
        and int in kinds_of(RECORDS[name], field)
        and field.metadata["least"] == 0
        and not re.search(r"\b0\b", help_text(field, program))
    }
    assert unexplained <= PLAIN_ZEROS
