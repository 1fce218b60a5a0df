"""Grey images in one channel, transparency, arrays of any channels, and further inputs."""

import json
import re
import shutil

import numpy as np
import pytest
import tensorflow as tf
import tifffile
from PIL import Image

from .common import (
    TINY,
    assert_equal_bits,
    assert_refused,
    assert_same_images,
    call,
    images,
    succeeded,
    tensors,
)

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
    if targets == 4:
        path = tmp_path / "images" / "2-outputs.png"
        opened(path).convert("RGB").save(path)
        refused = call("evaluate", "--results_dir", tmp_path)
        assert_refused(refused, "2-outputs.png has no alpha, and tools/test.py wrote it with alpha")
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


SHAPES = {"five": (16, 16, 5), "two": (16, 16, 2), "grey": (16, 16), "rgb": (16, 16, 3)}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Folders train and val of five images each: TIFF of 5 channels, .npy of 2, and PNG."""
    root = tmp_path_factory.mktemp("folders")
    rng = np.random.default_rng(4)
    for name, shape in SHAPES.items():
        for part in ("train", "val"):
            folder = root / name / part
            folder.mkdir(parents=True)
            for number in range(5):
                values = rng.integers(0, 256, shape, np.uint8)
                if name == "five":
                    deep = values.astype(np.uint16) * 257
                    tifffile.imwrite(folder / f"{number}.tif", deep, photometric="minisblack")
                elif name == "two":
                    np.save(folder / f"{number}.npy", values.astype(np.float32) / 255)
                else:
                    Image.fromarray(values).save(folder / f"{number}.png")
    return root


def named(root, part, inputs, targets, *further):
    """The flags that name inputs, targets and further inputs."""
    flags = ("--input_dir", root / inputs / part, "--target_dir", root / targets / part)
    for name in further:
        flags += ("--more_inputs", root / name / part)
    return flags


CASES = {
    "arrays": ("five", "two"),
    "further": ("rgb", "grey", "grey"),
    "both": ("rgb", "five", "two", "grey"),
}
STORED = {"arrays": (5, 2), "further": ("3+1", 3), "both": ("3+2+1", 5)}


@pytest.fixture(scope="module", params=CASES)
def case(request, folders, tmp_path_factory):
    """A case's name, and the folder of a run that was resumed; validated without more flags."""
    folder = tmp_path_factory.mktemp("run") / request.param
    flags = (*named(folders, "train", *CASES[request.param]), *TINY, "--output_dir", folder)
    flags += ("--display_freq", 2, "--sample_freq", 2)
    for steps in (2, 4):
        succeeded(call("train", *flags, "--max_steps", steps))
    return request.param, folder


def translate(root, case, folder, *more):
    flags = (*named(root, "val", *CASES[case]), "--checkpoint", folder, "--display_freq", 0)
    return call("test", *flags[:-2], *more)


def test_training_with_arrays_and_further_inputs(case, folders, tmp_path):
    name, folder = case
    stored = json.loads((folder / "options.json").read_text())
    assert (stored["input_channels"], stored["target_channels"]) == STORED[name]
    flags = (*named(folders, "train", *CASES[name]), *TINY, "--output_dir", tmp_path)
    succeeded(call("train", *flags, "--sample_freq", 2, "--max_steps", 4))
    assert_equal_bits(tensors(tmp_path), tensors(folder))
    losses = (tmp_path / "losses.jsonl").read_text()
    assert losses == (folder / "losses.jsonl").read_text()
    assert 0 < json.loads(losses.splitlines()[-1])["val_l1"] < 2
    assert (folder / "samples" / "00000004.png").exists()


TITLES = {
    "arrays": ["input, channels 1 to 3 of 5", "output, channels 1 to 2 of 2"],
    "further": ["input, channels 1 to 3 of 4", "output"],
    "both": ["input, channels 1 to 3 of 6", "output, channels 1 to 3 of 5"],
}


def test_translation_of_arrays_and_further_inputs(case, folders, tmp_path):
    name, folder = case
    made = tmp_path / "made"
    succeeded(translate(folders, name, folder, "--output_dir", made, "--grid"))
    for page in (made / "index.html", folder / "index.html"):
        for title in TITLES[name]:
            assert re.search(f"<(th|figcaption)>{title}</", page.read_text())
    files = {path.name for path in (made / "images").iterdir()}
    kinds = ("outputs.png", "targets.png", "inputs.png")
    kinds += () if name == "further" else ("outputs.npy", "targets.npy")
    assert files == {f"{number}-{kind}" for number in range(5) for kind in kinds}
    shown = np.asarray(opened(made / "images" / "3-inputs.png"))
    source = folders / CASES[name][0] / "val"
    if name == "arrays":
        wanted = tifffile.imread(source / "3.tif")[..., :3] // 257
    else:
        wanted = np.asarray(opened(source / "3.png"))
    np.testing.assert_array_equal(shown, wanted)
    if name == "further":
        return
    values = np.load(made / "images" / "3-targets.npy")
    assert values.dtype == np.float32
    target = folders / CASES[name][1] / "val"
    held = (
        tifffile.imread(target / "3.tif") / 65535 if name == "both" else np.load(target / "3.npy")
    )
    np.testing.assert_allclose(values, held, atol=1e-6)
    values = np.load(made / "images" / "3-outputs.npy")
    assert values.shape == held.shape
    assert (values >= 0).all()
    assert (values <= 1).all()
    preview = np.asarray(opened(made / "images" / "3-outputs.png")).astype(int)
    count = min(3, values.shape[2])
    np.testing.assert_allclose(preview[..., :count], values[..., :count] * 255, atol=1)
    assert (preview[..., count:] == 0).all()


def test_evaluation_of_all_channels(case, folders, tmp_path):
    name, folder = case
    succeeded(translate(folders, name, folder, "--output_dir", tmp_path))
    done = succeeded(call("evaluate", "--results_dir", tmp_path))
    figures = json.loads((tmp_path / "evaluation" / "evaluation.json").read_text())["figures"]
    assert any("histogram" in figure for figure in figures) == (name == "further")
    if name == "further":
        return
    count = STORED[name][1]
    assert (
        f"note: the metrics are of {count} channels; those of colours are left out" in done.stdout
    )
    assert f"are previews: {min(count, 3)} of {count} channels" in done.stdout
    pairs = [
        [np.load(tmp_path / "images" / f"{number}-{kind}.npy") for kind in ("outputs", "targets")]
        for number in range(5)
    ]
    squares = [np.square(np.subtract(*pair, dtype=np.float64)).mean() for pair in pairs]
    l1 = np.mean([np.abs(np.subtract(*pair, dtype=np.float64)).mean() for pair in pairs])
    np.testing.assert_allclose(figures["l1"]["value"], 2 * l1, rtol=1e-5)
    np.testing.assert_allclose(
        figures["psnr"]["value"], -10 * np.mean(np.log10(squares)), rtol=1e-5
    )
    for metric in ("histogram", "fid"):
        more = ("--inception", tmp_path) if metric == "fid" else ()
        refused = call("evaluate", "--results_dir", tmp_path, "--metrics", metric, *more)
        assert_refused(refused, f"metrics {metric} needs RGB images, and the outputs have {count}")
    outputs, other = tmp_path / "images" / "2-outputs.npy", tmp_path / "images" / "1-targets.npy"
    held = {path: path.read_bytes() for path in (outputs, other)}
    for spoil, words in (
        (lambda: outputs.unlink(), "2-outputs.npy: does not exist"),
        (lambda: [path.unlink() for path in held], "2 images cannot be evaluated"),
        (lambda: np.save(outputs, np.zeros((16, 16, 7), np.uint8)), "has 7 channels, its target"),
        (
            lambda: [np.save(p, np.zeros((16, 16, 7), np.uint8)) for p in held],
            "has 7 channels, its target",
        ),
    ):
        spoil()
        refused = call("evaluate", "--results_dir", tmp_path)
        assert refused.returncode == 2, refused.stdout
        assert words in refused.stderr
        for path, contents in held.items():
            path.write_bytes(contents)
    (tmp_path / "images" / "2-targets.npy").write_bytes(b"damaged")
    refused = call("evaluate", "--results_dir", tmp_path)
    assert refused.returncode == 2
    assert "2-targets.npy" in refused.stderr


def test_export_of_arrays_and_further_inputs(case, folders, tmp_path):
    name, folder = case
    done = succeeded(call("export", "--checkpoint", folder, "--output_dir", tmp_path / "export"))
    inputs, targets = STORED[name]
    assert f"the channels of this model, {inputs} and {targets}\n" in done.stdout
    assert {p.name for p in (tmp_path / "export").iterdir()} == {
        "saved_model", "options.json", "README.md", "export.json",
    }  # fmt: skip
    model = tf.saved_model.load(str(tmp_path / "export" / "saved_model"))
    assert set(model.signatures) == {"serving_default"}
    total = sum(map(int, str(inputs).split("+")))
    served = model.signatures["serving_default"](images=tf.zeros([1, 16, 16, total]))["outputs"]
    assert served.shape == (1, 16, 16, targets)
    to = ("--to", "current", "--output", tmp_path / "out")
    assert_refused(call("convert", "--checkpoint", folder, *to), f"input_channels {total}")


def test_what_a_run_of_arrays_does_not_take(case, folders, tmp_path):
    name, folder = case
    out = ("--checkpoint", folder, "--output_dir", tmp_path / "out")
    wrong = named(folders, "val", "two", "rgb")
    words = {
        "arrays": "input_channels 5 is not what",
        "further": "input_channels 3+1 are those of 2 images an input, and there is",
        "both": "input_channels 3+2+1 are those of 3 images an input, and there is",
    }
    assert_refused(call("test", *wrong, *out), words[name])
    train = (*named(folders, "train", "two", "rgb"), *TINY, "--output_dir", folder)
    assert_refused(call("train", *train, "--max_steps", 5), "was made with other options")
    if name == "further":
        moved = (*named(folders, "train", "rgb", "grey", "rgb"), *TINY, "--output_dir", folder)
        refused = call("train", *moved, "--max_steps", 5, "--input_channels", "3+1")
        assert_refused(refused, "more_inputs (was ")
    assert not (tmp_path / "out").exists()


def test_archives_and_their_shards_train_to_the_same_bits(tmp_path):
    rng = np.random.default_rng(12)
    archive, packed = tmp_path / "set.npz", tmp_path / "packed"
    values = rng.integers(0, 255, (3, 16, 16, 5)) + rng.random((3, 16, 16, 5))
    np.savez(archive, A=values, B=rng.integers(0, 256, (3, 16, 16, 2), np.uint8))
    succeeded(call("pack_records", "--input_dir", archive, "--output_dir", packed))
    for source in (archive, packed):
        run = tmp_path / "runs" / source.stem
        flags = ("--input_dir", source, *TINY, "--max_steps", 3, "--output_dir", run)
        succeeded(call("train", *flags))
    assert_equal_bits(tensors(tmp_path / "runs" / "packed"), tensors(tmp_path / "runs" / "set"))


def test_a_bad_image_that_was_added_is_left_out(folders, tmp_path):
    """As the refusal says, and although the run began without the flag."""
    source = tmp_path / "two"
    shutil.copytree(folders / "two" / "train", source)
    flags = ("--input_dir", source, "--target_dir", folders / "rgb" / "train", *TINY)
    flags += ("--output_dir", tmp_path / "run")
    succeeded(call("train", *flags, "--max_steps", 1))
    np.save(source / "9.npy", np.zeros((16, 16, 2), np.uint8))
    refused = call("train", *flags, "--max_steps", 2)
    assert "or leave them out with --skip_bad" in refused.stderr
    done = call("train", *flags, "--max_steps", 2, "--skip_bad")
    assert done.returncode == 0, done.stderr
    assert "done: 2 steps" in done.stdout


def test_a_later_translation_leaves_no_arrays_of_an_earlier_one(folders, tmp_path):
    runs = {}
    for name, inputs, targets in (("arrays", "five", "two"), ("files", "five", "rgb")):
        runs[name] = tmp_path / name
        flags = (*named(folders, "train", inputs, targets), *TINY, "--max_steps", 1)
        succeeded(call("train", *flags, "--output_dir", runs[name]))
        flags = named(folders, "val", inputs, targets)
        made = ("--checkpoint", runs[name], "--output_dir", tmp_path / "made")
        succeeded(call("test", *flags, *made))
    assert not list((tmp_path / "made" / "images").glob("*.npy"))


def test_data_of_arrays_and_further_inputs_is_checked(folders, tmp_path):
    for name in CASES:
        done = succeeded(call("check_data", *named(folders, "train", *CASES[name])))
        assert "5 images in" in done.stdout
    folder = tmp_path / "bad"
    folder.mkdir()
    for number in range(5):
        values = np.full((16, 16, 3 if number == 1 else 2), np.nan if number == 2 else 0.5)
        np.save(folder / f"{number}.npy", values)
    (folder / "3.npy").unlink()
    flags = ("--input_dir", folders / "rgb" / "train", "--more_inputs", folder)
    flags += ("--target_dir", folders / "rgb" / "val")
    done = call("check_data", *flags)
    assert done.returncode == 1
    for words in ("1.png: goes with", "has 3 channels, and the first image 2", "not finite"):
        assert words in done.stdout
    refused = call("train", *flags, *TINY, "--max_steps", 1, "--output_dir", tmp_path / "out")
    assert refused.returncode == 2
    assert "3 of 5 images" in refused.stderr
    assert f"3.png: has no partner in {folder}" in refused.stderr
    assert not (tmp_path / "out").exists()
