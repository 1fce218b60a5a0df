"""Grey images in one channel, and images that keep their transparency."""

import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from .common import TINY, assert_refused, assert_same_images, call, images, succeeded

MODES = {1: "L", 3: "RGB", 4: "RGBA"}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """A folder of five transparent pairs of 16x16 pixels."""
    folder = tmp_path_factory.mktemp("pairs")
    rng = np.random.default_rng(2)
    for number in range(5):
        values = rng.integers(0, 256, (16, 32, 4), np.uint8)
        Image.fromarray(values).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module", params=[(1, 3), (4, 1), (3, 4)], ids=str)
def trained(request, pairs, tmp_path_factory):
    """The channels of inputs and of targets, and the folder of a run that was resumed."""
    folder = tmp_path_factory.mktemp("run")
    inputs, targets = request.param
    flags = ("--input_dir", pairs, *TINY, "--output_dir", folder, "--display_freq", 2)
    flags += ("--input_channels", inputs, "--target_channels", targets)
    flags += ("--sample_freq", 2, "--val_dir", pairs, "--crop_size", 16)
    for steps in (2, 4):
        succeeded(call("train", *flags, "--max_steps", steps))
    return inputs, targets, folder


def opened(path):
    """A file's image, in its own mode."""
    with Image.open(path) as image:
        image.load()
        return image.copy()


def modes(folder, kind):
    return {opened(path).mode for path in (folder / "images").glob(f"*-{kind}.png")}


def test_training_and_translation(trained, pairs, tmp_path):
    inputs, targets, folder = trained
    options = json.loads((folder / "options.json").read_text())
    assert (options["input_channels"], options["target_channels"]) == (inputs, targets)
    wanted = {"inputs": inputs, "outputs": targets, "targets": targets}
    flags = ("--input_dir", pairs, "--checkpoint", folder, "--output_dir", tmp_path / "made")
    succeeded(call("test", *flags, "--grid"))
    for made in (folder, tmp_path / "made"):
        assert {kind: modes(made, kind) for kind in wanted} == {
            kind: {MODES[channels]} for kind, channels in wanted.items()
        }
    rgba = np.asarray(opened(pairs / "3.png"))[:, :16]
    luma = np.round(rgba[..., :3] @ [0.299, 0.587, 0.114]).astype(np.uint8)
    expected = {1: luma, 3: rgba[..., :3], 4: rgba}[inputs]
    found = np.asarray(opened(tmp_path / "made" / "images" / "3-inputs.png"))
    np.testing.assert_array_equal(found, expected)
    last = json.loads((folder / "losses.jsonl").read_text().splitlines()[-1])
    assert 0 < last["val_l1"] < 2


def test_evaluation_says_what_it_compares(trained, pairs, tmp_path):
    _, targets, folder = trained
    flags = ("--input_dir", pairs, "--checkpoint", folder, "--output_dir", tmp_path)
    succeeded(call("test", *flags))
    done = succeeded(call("evaluate", "--results_dir", tmp_path))
    assert ("of red, green, blue and alpha;" in done.stdout) == (targets == 4)
    assert ("the metrics are of 1 channel;" in done.stdout) == (targets == 1)
    record = json.loads((tmp_path / "evaluation" / "evaluation.json").read_text())
    assert any("histogram" in name for name in record["figures"]) == (targets == 3)
    values = {"outputs": [], "targets": []}
    for kind, found in values.items():
        for path in sorted((tmp_path / "images").glob(f"*-{kind}.png")):
            found.append(np.asarray(opened(path)).astype(float))
    difference = np.abs(np.subtract(values["outputs"], values["targets"])).mean() * 2 / 255
    np.testing.assert_allclose(record["figures"]["l1"]["value"], difference, rtol=1e-5)
    if targets != 3:
        refused = call("evaluate", "--results_dir", tmp_path, "--metrics", "histogram")
        assert_refused(refused, "metrics histogram needs RGB images, and the outputs have")


def test_export(trained, pairs, tmp_path):
    inputs, targets, folder = trained
    succeeded(call("export", "--checkpoint", folder, "--output_dir", tmp_path / "export"))
    model = tf.saved_model.load(str(tmp_path / "export" / "saved_model"))
    served = model.signatures["serving_default"](images=tf.zeros([1, 16, 16, inputs]))["outputs"]
    assert served.shape == (1, 16, 16, targets)
    source = tmp_path / "source"
    source.mkdir()
    opened(pairs / "0.png").crop((0, 0, 16, 16)).save(source / "0.png")
    where = ("--input_dir", source, "--inputs_only", "--checkpoint", folder)
    succeeded(call("test", *where, "--output_dir", tmp_path / "made"))
    encoded = tf.constant([(source / "0.png").read_bytes()])
    shown = model.signatures["encoded"](encoded=encoded)["outputs"].numpy()[0]
    found = np.asarray(opened(tmp_path / "made" / "images" / "0-outputs.png"))
    np.testing.assert_allclose(
        tf.io.decode_png(shown).numpy().reshape(found.shape).astype(int), found, atol=1
    )


def test_grey_is_the_same_in_one_channel_as_in_three(pairs, tmp_path):
    """As far as the images go that are written of inputs and targets."""
    made = []
    for channels in (1, 3):
        grey = tmp_path / "grey"
        grey.mkdir(exist_ok=True)
        for path in pairs.iterdir():
            opened(path).convert("L").save(grey / path.name)
        run = tmp_path / str(channels)
        flags = ("--input_dir", grey, *TINY, "--max_steps", 1, "--input_channels", channels)
        succeeded(call("train", *flags, "--output_dir", run))
        where = ("--input_dir", grey, "--checkpoint", run, "--output_dir", run / "made")
        succeeded(call("test", *where))
        made.append(images(run / "made", "inputs"))
    one = {name: np.stack([image.squeeze()] * 3, 2) for name, image in made[0].items()}
    assert_same_images(one, made[1])


def test_what_does_not_fit(trained, pairs, tmp_path):
    inputs, targets, folder = trained
    where = ("--input_dir", pairs, "--checkpoint", folder, "--output_dir", tmp_path / "out")
    other = 1 if inputs == 3 else 3
    done = call("test", *where, "--input_channels", other)
    assert_refused(done, f"input_channels {other} contradicts", f"trained with {inputs}")
    flags = ("--input_dir", pairs, *TINY, "--output_dir", folder, "--max_steps", 5)
    flags += ("--input_channels", inputs, "--target_channels", 3 if targets != 3 else 1)
    assert_refused(call("train", *flags), "was made with other options: target_channels (was")
    for form in ("pict", "current"):
        to = ("--to", form, "--output", tmp_path / "out")
        done = call("convert", "--checkpoint", folder, *to)
        assert_refused(done, f"trained with input_channels {inputs} and target_channels {targets}")
    if targets == 4:
        export = ("--output_filetype", "jpeg", "--output_dir", tmp_path / "out")
        done = call("export", "--checkpoint", folder, *export)
        assert_refused(done, "output_filetype jpeg holds no alpha")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--input_channels", 2), "input_channels must be 1, 3 or 4 for the image files in"),
        (("--target_channels", 5), "target_channels must be 1, 3 or 4 for the image files in"),
        (("--target_channels", 2000), "target_channels must be at most 1024, not 2000"),
        (("--input_channels", "3+"), "must be a number of channels, or a sum as in 3+1"),
        (("--input_channels", 1, "--lab_colorization"), "input_channels contradicts lab_color"),
        (("--input_channels", 4, "--inpaint", "center"), "the same number, not 4 and 3"),
    ],
)
def test_channels_that_cannot_be(pairs, tmp_path, more, words):
    flags = ("--input_dir", pairs, *TINY, "--max_steps", 1, "--output_dir", tmp_path / "out")
    assert_refused(call("train", *flags, *more), words)
    assert not (tmp_path / "out").exists()
