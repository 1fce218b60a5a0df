"""Images that are not square, and images that are translated at their own sizes."""

import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from .common import (
    SMALL,
    TINY,
    assert_refused,
    assert_same_images,
    call,
    images,
    pixels,
    succeeded,
)

SIZES = {"a": (37, 65), "b": (16, 16), "c": (50, 31)}  # height and width
WIDE = (*TINY, "--crop_size", "16x32")


@pytest.fixture(scope="module")
def model(data, tmp_path_factory):
    """A run at 16x32 pixels, with validation."""
    folder = tmp_path_factory.mktemp("wide")
    flags = ("--input_dir", data / "train", *SMALL, "--crop_size", "16x32", "--levels", 4)
    flags += ("--discriminator", "patch16", "--sample_freq", 2, "--lr", 0.01)
    succeeded(call("train", *flags, "--max_steps", 6, "--output_dir", folder))
    return folder


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """A folder of inputs of several sizes."""
    folder = tmp_path_factory.mktemp("mixed")
    rng = np.random.default_rng(3)
    for name, (height, width) in SIZES.items():
        coarse = Image.fromarray(rng.integers(0, 256, (6, 7, 3), np.uint8))
        coarse.resize((width, height), Image.Resampling.BICUBIC).save(folder / f"{name}.png")
    return folder


def test_what_training_writes(model):
    options = json.loads((model / "options.json").read_text())
    assert (options["crop_size"], options["scale_size"]) == ("16x32", "18x36")
    last = json.loads((model / "losses.jsonl").read_text().splitlines()[-1])
    assert 0 < last["val_l1"] < 2
    height, width = pixels(model / "samples" / "00000006.png").shape[:2]
    assert width == 3 * (32 + 4) + 4
    assert height > 5 * 16


def test_a_square_is_stored_as_the_reference_does(data, tmp_path):
    flags = ("--input_dir", data / "train", *TINY, "--max_steps", 1, "--output_dir", tmp_path)
    succeeded(call("train", *flags, "--crop_size", "16x16"))
    options = json.loads((tmp_path / "options.json").read_text())
    assert (options["crop_size"], options["scale_size"]) == (16, 18)
    done = succeeded(call("train", *flags, "--max_steps", 2))  # --crop_size 16 is the same
    assert "going on from" in done.stdout


def test_translation_has_the_size_of_training_or_a_chosen_one(data, model, tmp_path):
    where = ("--input_dir", data / "test", "--checkpoint", model, "--max_steps", 2)
    for name, flags, shape in [
        ("own", ("--grid",), (16, 32, 3)),
        ("chosen", ("--crop_size", "48x16", "--aspect_ratio", 2), (48, 32, 3)),
    ]:
        succeeded(call("test", *where, *flags, "--output_dir", tmp_path / name))
        for kind in ("inputs", "outputs", "targets"):
            assert {image.shape for image in images(tmp_path / name, kind).values()} == {shape}
    assert "16x32 pixels" in (tmp_path / "own" / "index.html").read_text()
    succeeded(call("evaluate", "--results_dir", tmp_path / "own"))


@pytest.mark.parametrize("flags", [(), ("--grid",)], ids=str)
def test_images_at_their_own_sizes(model, mixed, tmp_path, flags):
    """As if the border were drawn by hand, and cut off by hand."""
    where = ("--input_dir", mixed, "--inputs_only", "--checkpoint", model)
    original = ("--crop_size", "original", *flags)
    succeeded(call("test", *where, *original, "--output_dir", tmp_path / "made"))
    made = images(tmp_path / "made")
    assert {name: image.shape for name, image in made.items()} == {
        name: (*size, 3) for name, size in SIZES.items()
    }
    assert_same_images(
        images(tmp_path / "made", "inputs"), {n: pixels(mixed / f"{n}.png") for n in made}
    )
    assert "each image&#x27;s own" in (tmp_path / "made" / "index.html").read_text()
    for name, (height, width) in SIZES.items():
        padded = tmp_path / f"padded_{name}"
        padded.mkdir()
        border = ((0, -height % 16), (0, -width % 16), (0, 0))
        values = np.pad(pixels(mixed / f"{name}.png"), border, "reflect")
        Image.fromarray(values).save(padded / f"{name}.png")
        size = ("--crop_size", f"{values.shape[0]}x{values.shape[1]}")
        flags = ("--input_dir", padded, "--inputs_only", "--checkpoint", model, *size)
        succeeded(call("test", *flags, "--output_dir", tmp_path / name))
        expected = images(tmp_path / name)[name][:height, :width]
        assert_same_images({name: made[name]}, {name: expected})


def test_pairs_at_their_own_sizes_are_evaluated(model, mixed, tmp_path):
    pairs = tmp_path / "pairs"
    pairs.mkdir()
    for path in mixed.iterdir():
        half = pixels(path)
        Image.fromarray(np.concatenate([half, 255 - half], axis=1)).save(pairs / path.name)
    where = ("--input_dir", pairs, "--checkpoint", model, "--output_dir", tmp_path / "made")
    succeeded(call("test", *where, "--crop_size", "original"))
    shapes = {name: image.shape[:2] for name, image in images(tmp_path / "made", "targets").items()}
    assert shapes == SIZES
    done = succeeded(call("evaluate", "--results_dir", tmp_path / "made", "--metrics", "l1,psnr"))
    assert "| l1 |" in done.stdout


def test_colours_and_holes_at_their_own_sizes(mixed, tmp_path):
    for name, flags in [
        ("lab", ("--lab_colorization",)),
        ("center", ("--inpaint", "center")),
        ("white30", ("--inpaint", "white30")),
    ]:
        run = tmp_path / name
        where = ("--input_dir", mixed, "--output_dir", run, *WIDE, *flags)
        succeeded(call("train", *where, "--max_steps", 2))
        where = ("--input_dir", mixed, "--checkpoint", run, "--output_dir", run / "made")
        succeeded(call("test", *where, "--crop_size", "original"))
        found = images(run / "made")
        assert {name: image.shape for name, image in found.items()} == {
            name: (*size, 3) for name, size in SIZES.items()
        }


def test_export_of_a_size_that_is_not_square(data, model, tmp_path):
    succeeded(call("export", "--checkpoint", model, "--output_dir", tmp_path / "export"))
    exported = tf.saved_model.load(str(tmp_path / "export" / "saved_model"))
    source = tmp_path / "source"
    source.mkdir()
    half = pixels(data / "test" / "1.png")[:, :40]
    Image.fromarray(half).save(source / "1.png")
    where = ("--input_dir", source, "--inputs_only", "--checkpoint", model)
    succeeded(call("test", *where, "--output_dir", tmp_path / "made"))
    encoded = tf.constant([(source / "1.png").read_bytes()])
    shown = exported.signatures["encoded"](encoded=encoded)["outputs"].numpy()[0]
    assert_same_images({"1": tf.io.decode_png(shown).numpy()}, images(tmp_path / "made"))


def test_an_archive_of_images_that_are_not_square(data, tmp_path):
    packed = tmp_path / "packed.npz"
    where = ("--input_dir", data / "train", "--output_file", packed)
    succeeded(call("pack_npz", *where, "--size", "20x36"))
    with np.load(packed) as arrays:
        assert arrays["arr_0"].shape[1:] == (20, 36, 3)
    flags = ("--input_dir", packed, *WIDE, "--max_steps", 2, "--output_dir", tmp_path / "run")
    succeeded(call("train", *flags))


def test_images_that_are_too_small(model, mixed, tmp_path):
    Image.new("RGB", (20, 15)).save(tmp_path / "small.png")
    flags = ("--input_dir", tmp_path, "--inputs_only", "--checkpoint", model)
    out = ("--crop_size", "original", "--output_dir", tmp_path / "out")
    done = call("test", *flags, *out)
    assert done.returncode == 2
    message, listed = done.stderr.splitlines()
    assert "crop_size original needs images of at least 16 pixels a side" in message
    assert listed.strip() == f"{tmp_path / 'small.png'}: is 20 pixels wide and 15 high"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("tool", "flags", "words"),
    [
        ("train", ("--crop_size", "original"), "crop_size original is for tools/test.py"),
        ("train", ("--crop_size", "16x"), "--crop_size: must be a number of pixels, or HEIGHTxW"),
        ("train", ("--crop_size", "18x32", "--levels", 2), "multiple of 4"),
        ("train", ("--scale_size", "18x31"), "scale_size must be at least crop_size (16x32)"),
        ("test", ("--crop_size", "original", "--batch_size", 2), "takes one image at a time"),
        ("test", ("--crop_size", "24x32"), "crop_size must be a multiple of 16"),
        ("export", ("--crop_size", "original"), "crop_size original is for tools/test.py"),
    ],
)
def test_sizes_that_cannot_be(data, model, tmp_path, tool, flags, words):
    out = ("--output_dir", tmp_path / "out")
    where = {
        "train": ("--input_dir", data / "train", *WIDE, "--max_steps", 1),
        "test": ("--input_dir", data / "test", "--checkpoint", model),
        "export": ("--checkpoint", model),
    }[tool]
    assert_refused(call(tool, *where, *out, *flags), words)
    assert not (tmp_path / "out").exists()
