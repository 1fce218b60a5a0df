"""Every published system is trained, resumed, translated with, and distinguished from the rest."""

import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from p2p_graph.config.system_presets import PRESETS

from .common import (
    SMALL,
    assert_equal_bits,
    assert_refused,
    assert_same_images,
    call,
    images,
    succeeded,
    tensors,
)

SIZE = (*SMALL, "--crop_size", "32x64")
LEVELS = ("--levels", 3)
FLAGS = {
    "pyimagesearch": ("--batch_size", 2, "--levels", 4),  # it has as many
    "junyanz": ("--lr_schedule", "constant"),  # a linear one depends on the last step
}


@pytest.fixture(scope="module", params=PRESETS)
def trained(request, data, tmp_path_factory):
    """The preset's name, and the folders of a run of 4 steps and of one resumed from its step 2."""
    preset = request.param
    root = tmp_path_factory.mktemp("presets")
    flags = (
        "--input_dir",
        data / "train",
        *SIZE,
        *LEVELS,
        "--preset",
        preset,
        *FLAGS.get(preset, ()),
    )
    train_and_resume((*flags, "--max_steps", 4), root / "whole", root / "resumed")
    return preset, root / "whole", root / "resumed"


def train_and_resume(flags, whole, resumed):
    """Trains 4 steps, and the last two of them again in another folder."""
    succeeded(call("train", *flags, "--keep_every", 2, "--output_dir", whole))
    onward = ("--checkpoint", whole / "model-2", "--output_dir", resumed)
    done = succeeded(call("train", *flags, *onward))
    assert f"going on from {whole / 'model-2'}\n" in done.stdout
    # The folder's options.json is of these flags.
    done = succeeded(call("train", *flags, "--output_dir", resumed))
    assert "is done: 4 steps of 4" in done.stdout


def test_resuming_is_exact(trained):
    _, whole, resumed = trained
    found = tensors(resumed)
    assert found["global_step"] == 4
    assert all(np.isfinite(array).all() for array in found.values())
    assert_equal_bits(found, tensors(whole))
    recorded = (whole / "losses.jsonl").read_text().splitlines()
    assert (resumed / "losses.jsonl").read_text().splitlines() == recorded[2:]


def test_translation_reads_the_system_from_options_json(trained, data, tmp_path):
    """From all of options.json, and from one that names preset, ngf, ndf and direction alone."""
    preset, whole, _ = trained
    where = ("--input_dir", data / "test", "--max_steps", 2)
    succeeded(call("test", *where, "--checkpoint", whole, "--output_dir", tmp_path / "all"))
    made = images(tmp_path / "all")
    assert len(made) == 2
    options = json.loads((whole / "options.json").read_text())
    kept = ("preset", "ngf", "ndf", "which_direction", "levels")
    few = tmp_path / "few"
    few.mkdir()
    for path in (*whole.glob("model-*"), whole / "checkpoint"):
        (few / path.name).write_bytes(path.read_bytes())
    (few / "options.json").write_text(json.dumps({name: options[name] for name in kept}))
    size = ("--crop_size", "32x64") if preset == "pyimagesearch" else ()
    if preset != "pyimagesearch":  # its depth does not follow from the size
        (few / "options.json").write_text(
            json.dumps({name: options[name] for name in (*kept, "crop_size")})
        )
    succeeded(call("test", *where, "--checkpoint", few, "--output_dir", tmp_path / "again", *size))
    assert_equal_bits(images(tmp_path / "again"), made)


def test_dropout_in_use(trained, data, tmp_path):
    preset, whole, _ = trained
    where = ("--input_dir", data / "test", "--max_steps", 1, "--checkpoint", whole)
    made = []
    for seed in (1, 2):
        out = tmp_path / str(seed)
        succeeded(call("test", *where, "--output_dir", out, "--seed", seed))
        made.append(images(out))
    same = all(np.array_equal(made[0][name], made[1][name]) for name in made[0])
    # There is no level between the fifth and the innermost.
    assert same == (preset in ("pyimagesearch", "junyanz"))


def test_export(trained, tmp_path):
    _, whole, _ = trained
    succeeded(
        call("export", "--checkpoint", whole, "--output_dir", tmp_path, "--format", "saved_model")
    )
    model = tf.saved_model.load(str(tmp_path / "saved_model"))
    outputs = model.signatures["serving_default"](images=tf.zeros([1, 32, 32, 3]))["outputs"]
    assert outputs.shape == (1, 32, 32, 3)

    # An image of another size is scaled as tools/test.py scales it.
    source = tmp_path / "source"
    source.mkdir()
    small = np.random.default_rng(0).integers(0, 256, (7, 9, 3), np.uint8)
    Image.fromarray(small).resize((50, 41)).save(source / "1.png")
    where = ("--input_dir", source, "--output_dir", tmp_path / "made", "--inputs_only")
    succeeded(call("test", *where, "--checkpoint", whole))
    encoded = tf.constant([(source / "1.png").read_bytes()])
    shown = model.signatures["encoded"](encoded=encoded)["outputs"].numpy()[0]
    served = tf.io.decode_png(shown).numpy()
    assert_same_images({"1": served}, images(tmp_path / "made"))


def test_conversion_to_the_reference(trained, tmp_path):
    """The reference program has affinelayer's networks alone, at 256 pixels."""
    preset, whole, _ = trained
    where = ("--checkpoint", whole, "--output", tmp_path / "out")
    assert_refused(call("convert", *where, "--to", "current"), str(whole))
    if preset == "affinelayer":
        succeeded(call("convert", *where, "--to", "pict"))
    else:
        assert_refused(call("convert", *where, "--to", "pict"), "the reference program")
        assert not (tmp_path / "out").exists()


def test_another_preset_in_the_same_folder_is_refused(trained, data):
    preset, whole, _ = trained
    other = "paper" if preset != "paper" else "affinelayer"
    flags = ("--input_dir", data / "train", *SMALL, "--output_dir", whole, "--max_steps", 9)
    done = call("train", *flags, "--preset", other)
    assert done.returncode == 2
    assert f'preset (was "{preset}", now "{other}")' in done.stderr


@pytest.mark.parametrize(
    "flags",
    [
        ("--generator", "encoder_decoder", "--discriminator", "pixel"),
        ("--discriminator", "n_layers=2", "--unconditional", "--gan_loss", "lsgan"),
        ("--gan_weight", 0, "--lr_schedule", "linear"),
        ("--inpaint", "center"),
        ("--l1_weight", 0, "--updates", "fresh", "--no_bottleneck_norm", "--d_scale", 0.5),
    ],
    ids=lambda flags: " ".join(map(str, flags)),
)
def test_ablations(data, tmp_path, flags):
    """Each trains, with summaries, and translates."""
    fixed = ("--output_dir", tmp_path / "run", "--max_steps", 3, *SMALL, "--summary_freq", 2)
    succeeded(call("train", "--input_dir", data / "train", *fixed, "--levels", 3, *flags))
    lines = (tmp_path / "run" / "losses.jsonl").read_text().splitlines()
    losses = json.loads(lines[-1])
    assert (losses["gen_loss_GAN"] == 0) == ("--gan_weight" in flags)
    assert losses["gen_loss_L1"] > 0
    found = tensors(tmp_path / "run")
    assert any(name.startswith("discriminator/") for name in found) != ("--gan_weight" in flags)
    where = ("--input_dir", data / "test", "--checkpoint", tmp_path / "run", "--max_steps", 1)
    succeeded(call("test", *where, "--output_dir", tmp_path / "made"))
    assert len(images(tmp_path / "made")) == 1
    if "--inpaint" in flags:
        [holed] = images(tmp_path / "made", "inputs").values()
        [whole] = images(tmp_path / "made", "targets").values()
        assert (holed[8:24, 8:24] == 255).all()
        holed[8:24, 8:24] = whole[8:24, 8:24]
        assert (holed == whole).all()


def test_mixed_precision(data, tmp_path):
    """It resumes exactly, what it saves is float32, and images differ by rounding alone."""
    flags = ("--input_dir", data / "train", *SMALL, "--levels", 3, "--discriminator", "patch16")
    flags = (*flags, "--precision", "mixed", "--lr", 0.01)
    train_and_resume((*flags, "--max_steps", 4), tmp_path / "whole", tmp_path / "resumed")
    found = tensors(tmp_path / "whole")
    assert_equal_bits(tensors(tmp_path / "resumed"), found)
    assert {array.dtype.name for array in found.values()} == {"float32", "int64"}
    other = ("--output_dir", tmp_path / "whole", "--max_steps", 5, "--precision", "fp32")
    assert_refused(call("train", *flags, *other), 'precision (was "mixed", now "fp32")')

    made = {}
    for precision in ("fp32", "mixed"):
        out = ("--output_dir", tmp_path / precision, "--precision", precision)
        where = ("--input_dir", data / "test", "--checkpoint", tmp_path / "whole", "--max_steps", 2)
        succeeded(call("test", *where, *out))
        made[precision] = images(tmp_path / precision)
    for name, image in made["fp32"].items():
        apart = abs(made["mixed"][name].astype(int) - image)
        assert 0 < apart.mean() < 2
