"""tools/test.py translates every image once, the same each time and in every batch."""

import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from .common import (
    KINDS,
    TINY,
    assert_equal_bits,
    assert_refused,
    assert_same_images,
    call,
    file_bytes,
    images,
    pixels,
    run,
    succeeded,
    tensors,
    write_tensors,
)


@pytest.fixture(scope="module")
def flags(data, model):
    return ("--input_dir", data / "test", "--checkpoint", model)


@pytest.fixture(scope="module")
def result(flags, tmp_path_factory):
    """Seven images in batches of three: what was printed, and the folder."""
    folder = tmp_path_factory.mktemp("result")
    done = succeeded(run("test", *flags, "--batch_size", 3, "--output_dir", folder))
    return done.stdout, folder


def test_every_image_once(result):
    printed, folder = result
    names = [str(number) for number in range(1, 8)]
    assert re.findall(r"^evaluated image (.*)$", printed, re.MULTILINE) == names
    written = {path.name for path in (folder / "images").iterdir()}
    assert written == {f"{name}-{kind}.png" for name in names for kind in KINDS}
    assert {path.name for path in folder.iterdir()} == {"images", "index.html", "options.json"}


def test_inputs_and_targets_are_the_halves_and_outputs_neither(data, result):
    """The images are as large as the model's, so that nothing is scaled."""
    _, folder = result
    for name, output in images(folder).items():
        pair = pixels(data / "test" / f"{name}.png")
        left, right = pair[:, :32], pair[:, 32:]
        assert (pixels(folder / "images" / f"{name}-inputs.png") == left).all()
        assert (pixels(folder / "images" / f"{name}-targets.png") == right).all()
        assert output.shape == (32, 32, 3)
        assert output.std() > 5
        assert np.abs(output - left.astype(float)).mean() > 10
        assert np.abs(output - right.astype(float)).mean() > 10


def test_the_page_lists_every_image(result):
    printed, folder = result
    assert f"wrote index at {folder}/index.html" in printed
    page = (folder / "index.html").read_text()
    shown = re.findall(r'src="images/([^"]+)"', page)
    assert shown == [f"{number}-{kind}.png" for number in range(1, 8) for kind in KINDS]
    for heading in ("name", "input", "output", "target"):
        assert f"<th>{heading}</th>" in page


def test_the_same_command_again_makes_the_same_bytes(flags, result, tmp_path):
    _, folder = result
    again = tmp_path / "again"
    shutil.copytree(folder, again)
    for path in (again / "images").iterdir():
        path.unlink()
    succeeded(call("test", *flags, "--batch_size", 3, "--output_dir", again))
    assert file_bytes(again) == file_bytes(folder)
    # Rewritten, not appended to.
    assert (again / "index.html").read_text() == (folder / "index.html").read_text()


def test_an_earlier_translation_leaves_nothing_behind(data, flags, tmp_path):
    """Neither targets of images that have none now, nor images if this one fails."""
    folder, command = (
        tmp_path / "out",
        ("--checkpoint", flags[-1], "--output_dir", tmp_path / "out"),
    )
    pairs = ("--input_dir", data / "test", *command)
    succeeded(call("test", *pairs, "--grid"))
    single = tmp_path / "single"
    single.mkdir()
    for number in range(1, 8):
        Image.new("RGB", (32, 32)).save(single / f"{number}.png")
    succeeded(call("test", "--input_dir", single, "--inputs_only", *command))
    kinds = {path.stem.partition("-")[2] for path in (folder / "images").iterdir()}
    assert kinds == {"inputs", "outputs"}
    assert not (folder / "grid.png").exists()
    assert_refused(call("evaluate", "--results_dir", folder), "no target for 7 of 7 images")
    succeeded(call("test", *pairs))
    in_the_way = folder / "images" / "7-outputs.png.unfinished"
    in_the_way.mkdir()
    assert_refused(call("test", *pairs, "--seed", 1), str(folder / "images" / "7-outputs.png"))
    in_the_way.rmdir()
    words = "has no index.html: its translation was not finished, run tools/test.py again"
    assert_refused(call("evaluate", "--results_dir", folder), words)
    succeeded(call("test", *pairs))
    succeeded(call("evaluate", "--results_dir", folder))


def test_images_of_an_earlier_translation_are_reported(flags, tmp_path):
    command = ("test", *flags, "--batch_size", 4, "--output_dir", tmp_path)
    whole = succeeded(call(*command)).stdout
    assert "earlier translation" not in whole
    assert "earlier translation" not in succeeded(call(*command)).stdout
    part = succeeded(call(*command, "--max_steps", 1)).stdout
    assert f"{tmp_path / 'images'} also holds 3 images of an earlier translation" in part


@pytest.mark.parametrize("size", [1, 2, 7])
def test_outputs_do_not_depend_on_the_batch_size(flags, result, tmp_path, size):
    """Sums of another batch may be rounded in another way; nothing else differs."""
    succeeded(call("test", *flags, "--batch_size", size, "--output_dir", tmp_path))
    for kind in KINDS:
        assert_same_images(images(tmp_path, kind), images(result[1], kind))


def test_the_seed_draws_dropout(flags, result, tmp_path):
    for name, more in {"5": ("--seed", 5), "none": ("--dropout", 0)}.items():
        succeeded(call("test", *flags, *more, "--output_dir", tmp_path / name))
    found = [images(tmp_path / "5"), images(tmp_path / "none"), images(result[1])]
    for name in found[0]:
        seeded, without, usual = (images_of[name] for images_of in found)
        assert (seeded != usual).any()
        assert (without != usual).any()
    assert_equal_bits(images(tmp_path / "5", "inputs"), images(result[1], "inputs"))


def test_inputs_only(data, model, result, tmp_path):
    """Images without a target beside them, one of them 31 pixels wide."""
    for path in (data / "test").iterdir():
        with Image.open(path) as pair:
            (tmp_path / "in").mkdir(exist_ok=True)
            pair.crop((0, 0, 32, 32)).save(tmp_path / "in" / path.name)
    Image.new("RGB", (31, 40), "red").save(tmp_path / "in" / "odd.png")
    where = ("--input_dir", tmp_path / "in", "--output_dir", tmp_path / "out")
    succeeded(call("test", "--inputs_only", *where, "--checkpoint", model))
    outputs = images(tmp_path / "out")
    assert outputs.pop("odd").shape == (32, 32, 3)
    assert_equal_bits(outputs, images(result[1]))
    assert not list((tmp_path / "out" / "images").glob("*-targets.png"))
    page = (tmp_path / "out" / "index.html").read_text()
    assert "<th>output</th>" in page
    assert "<th>target</th>" not in page
    assert page.count("<img") == 16


def test_equal_stems_do_not_overwrite_each_other(data, model, result, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    shutil.copy(data / "test" / "1.png", folder / "a.png")
    shutil.copy(data / "test" / "2.png", folder / "b.png")
    with Image.open(data / "test" / "3.png") as image:
        image.save(folder / "a.jpg", quality=95)
    where = ("--input_dir", folder, "--output_dir", tmp_path / "out")
    done = succeeded(call("test", *where, "--checkpoint", model))
    outputs = images(tmp_path / "out")
    assert sorted(outputs) == ["a.jpg", "a.png", "b"]
    for name in outputs:
        assert f"evaluated image {name}\n" in done.stdout
    assert (outputs["a.png"] == images(result[1])["1"]).all()
    assert (outputs["b"] == images(result[1])["2"]).all()


def test_a_generator_alone_is_enough(data, model, result, tmp_path):
    weights = {n: a for n, a in tensors(model).items() if n.startswith("generator/")}
    weights = {name: array for name, array in weights.items() if "/Adam" not in name}
    write_tensors(tmp_path / "model", weights, 1)
    shutil.copy(model / "options.json", tmp_path / "model")
    where = ("--input_dir", data / "test", "--output_dir", tmp_path / "out")
    succeeded(call("test", *where, "--checkpoint", tmp_path / "model"))
    assert file_bytes(tmp_path / "out") == file_bytes(result[1])


def test_another_size_and_shape(flags, tmp_path):
    more = ("--crop_size", 64, "--aspect_ratio", 2, "--max_steps", 2, "--batch_size", 3)
    succeeded(call("test", *flags, *more, "--output_dir", tmp_path))
    for kind in KINDS:
        found = images(tmp_path, kind)
        assert sorted(found) == ["1", "2", "3", "4", "5", "6"]
        assert {image.shape for image in found.values()} == {(64, 128, 3)}
    assert (tmp_path / "index.html").read_text().count("<img") == 18


def test_default_folders(data, model, result, tmp_path):
    """The checkpoint comes from the training run on the same data set."""
    shutil.copytree(model, tmp_path / "runs" / "mine_AtoB")
    shutil.copytree(model, tmp_path / "runs" / "mine_small_AtoB")
    succeeded(call("test", "--input_dir", data / "test", cwd=tmp_path))
    assert file_bytes(tmp_path / "runs" / "mine_AtoB" / "mine_test") == file_bytes(result[1])
    shutil.rmtree(tmp_path / "runs" / "mine_AtoB")
    assert_refused(
        call("test", "--input_dir", data / "test", cwd=tmp_path), "checkpoint is missing"
    )


def test_flags_of_the_reference_without_effect_in_test(data, model, result, tmp_path):
    """The reference's one program took them in every mode."""
    where = ("--input_dir", data / "test", "--output_dir", tmp_path, "--checkpoint", model)
    done = succeeded(call("test", *where, "--no_flip", "--lr", 0.1, "--scale_size", 256))
    assert "--lr has no effect in test" in done.stdout
    assert file_bytes(tmp_path) == file_bytes(result[1])


def test_two_folders(data, tmp_path):
    """Training and translation from two folders give the same as from halves side by side."""
    for split in ("train", "test"):
        for name in ("a", "b", "ab"):
            (tmp_path / split / name).mkdir(parents=True)
        for path in (data / split).iterdir():
            image = pixels(path)
            half = image.shape[1] // 2
            shutil.copy(path, tmp_path / split / "ab")
            Image.fromarray(image[:, :half]).save(tmp_path / split / "a" / path.name)
            Image.fromarray(image[:, half:]).save(tmp_path / split / "b" / path.name)
    made = []
    for name, more in (("ab", ()), ("a", ("--target_dir", tmp_path / "{}" / "b"))):
        flags = {s: [str(flag).format(s) for flag in more] for s in ("train", "test")}
        run = tmp_path / f"run_{name}"
        where = ("--input_dir", tmp_path / "train" / name, "--output_dir", run)
        succeeded(call("train", *where, *flags["train"], *TINY, "--max_steps", 2))
        where = ("--input_dir", tmp_path / "test" / name, "--output_dir", run / "made")
        succeeded(call("test", *where, *flags["test"], "--checkpoint", run))
        made.append(file_bytes(run / "made"))
    assert made[0] == made[1]
    assert len(made[0]) == 3 * 7


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--ngf", 3), ("ngf 3", "trained with 2")),
        (("--which_direction", "BtoA"), ("which_direction BtoA", "trained with AtoB")),
        (("--separable_conv",), ("separable_conv True", "trained with False")),
        (("--lab_colorization",), ("lab_colorization True", "trained with False")),
    ],
)
def test_flags_that_contradict_the_checkpoint_are_refused(flags, tmp_path, more, message):
    done = call("test", *flags, *more, "--output_dir", tmp_path / "out")
    assert_refused(done, *message, flags[-1])
    assert not (tmp_path / "out").exists()


def test_flags_that_agree_with_the_checkpoint_are_accepted(flags, result, tmp_path):
    more = ("--ngf", 2, "--ndf", 2, "--which_direction", "AtoB", "--crop_size", 32)
    succeeded(call("test", *flags, *more, "--output_dir", tmp_path))
    assert file_bytes(tmp_path) == file_bytes(result[1])
    assert json.loads((tmp_path / "options.json").read_text())["mode"] == "test"


def lightness(rgb):
    """CIE L of sRGB bytes, as bytes: 100 is 255."""
    srgb = rgb / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    y = linear @ [0.212671, 0.715160, 0.072169]
    cube_root = np.where(y > (6 / 29) ** 3, np.cbrt(y), y / (3 * (6 / 29) ** 2) + 4 / 29)
    return (116 * cube_root - 16) / 100 * 255


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_lab(make_model, tmp_path, direction):
    """Brightness and colours come from the image itself; outputs are shown with both."""
    folder = make_model("--lab_colorization", "--which_direction", direction)
    (tmp_path / "in").mkdir()
    image = np.random.default_rng(1).integers(40, 216, (32, 32, 3), np.uint8)
    Image.fromarray(image).save(tmp_path / "in" / "some.png")
    where = ("--input_dir", tmp_path / "in", "--output_dir", tmp_path / "out")
    succeeded(call("test", *where, "--checkpoint", folder))
    shown = {kind: images(tmp_path / "out", kind)["some"].astype(float) for kind in KINDS}
    grey, colour = ("inputs", "targets") if direction == "AtoB" else ("targets", "inputs")
    assert np.abs(shown[grey] - lightness(image)).max() <= 1
    assert np.abs(shown[colour] - image).max() <= 1
    output = shown["outputs"]
    assert output.std() > 1
    if direction == "AtoB":
        assert output.shape == (32, 32, 3)
        # The true brightness; a colour that sRGB does not have is clipped.
        assert np.median(np.abs(lightness(output) - lightness(image))) < 2
        assert np.abs(output - image).mean() > 5
    else:
        assert output.shape == (32, 32)
        assert np.abs(output - shown["targets"]).mean() > 5


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_lab_without_true_channels(make_model, data, tmp_path, direction):
    """The other channels of the images are none to compare with: no targets are written."""
    folder = make_model("--lab_colorization", "--which_direction", direction)
    made = {}
    for name, more in (("with", ()), ("without", ("--inputs_only",))):
        where = ("--input_dir", data / "train", "--output_dir", tmp_path / name)
        succeeded(call("test", *where, "--checkpoint", folder, *more))
        made[name] = file_bytes(tmp_path / name / "images")
    assert any(path.endswith("-targets.png") for path in made["with"])
    assert made["without"] == {
        path: contents
        for path, contents in made["with"].items()
        if not path.endswith("-targets.png")
    }
    done = call("evaluate", "--results_dir", tmp_path / "without")
    assert done.returncode == 2
    assert "no target for" in done.stderr
