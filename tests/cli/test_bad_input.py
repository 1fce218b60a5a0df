"""Errors that a person can mend: one line on stderr, exit code 2, and every file as before."""

import contextlib
import json
import resource
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from .common import (
    GOLDEN,
    SHALLOW,
    SMALL,
    assert_equal_bits,
    assert_refused,
    call,
    images,
    run,
    succeeded,
    tensors,
)

NETWORK = (*SMALL, *SHALLOW)


def tree(folder):
    """Every file below a folder, with its contents."""
    return {p: p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}


@pytest.fixture
def refused(tmp_path):
    """A function that checks that a tool refuses its flags in one line and changes no file."""

    def check(tool, *flags, message, using=call):
        before = tree(tmp_path)
        done = using(tool, *flags, cwd=tmp_path)
        assert_refused(done, *message)
        assert tree(tmp_path) == before
        return done

    return check


@pytest.mark.parametrize("tool", ["train", "test"])
def test_no_such_folder(refused, tool, model):
    flags = ("--checkpoint", model) if tool == "test" else ()
    refused(tool, "--input_dir", "nowhere", *flags, message=["input_dir nowhere does not exist"])


@pytest.mark.parametrize("tool", ["train", "test"])
def test_no_folder_named(refused, tool):
    refused(tool, message=["input_dir is missing", "--input_dir"])


def test_a_file_instead_of_a_folder(refused, data):
    refused("train", "--input_dir", data / "train" / "1.png", message=["1.png is not a folder"])


def test_no_images(refused, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("none")
    refused("train", "--input_dir", "empty", message=["empty holds no images", ".jpg, .jpeg, .png"])


def test_a_folder_of_folders(refused, data):
    refused("train", "--input_dir", data, message=[f"{data} holds folders", "(test, train)"])


@pytest.fixture
def bad_images(data, tmp_path):
    """Two good images among six bad ones."""
    folder = tmp_path / "bad"
    folder.mkdir()
    shutil.copy(data / "train" / "1.png", folder / "good1.png")
    shutil.copy(data / "train" / "2.png", folder / "good2.png")
    intact = (data / "train" / "3.png").read_bytes()
    (folder / "cut.png").write_bytes(intact[: len(intact) // 2])
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.jpg").write_text("not an image")
    Image.new("RGB", (1, 1)).save(folder / "pixel.png")
    Image.new("RGB", (63, 32)).save(folder / "odd.png")
    Image.new("RGB", (64, 32)).save(folder / "other.png", "GIF")
    return folder


BAD = {
    "cut.png": "cannot be decoded",
    "empty.png": "is empty",
    "odd.png": "is 63 pixels wide",
    "other.png": "is GIF",
    "pixel.png": "is 1 pixel wide",
    "text.jpg": "is not an image",
}


def assert_listed(lines):
    """A line for each bad image, in order, with its path and what is wrong."""
    assert len(lines) == len(BAD), lines
    for line, (name, why) in zip(lines, BAD.items(), strict=True):
        assert line.startswith("  "), line
        assert f"/{name}: {why}" in line


@pytest.mark.parametrize("tool", ["train", "test"])
def test_bad_images_are_all_listed(tool, model, bad_images, tmp_path):
    before = tree(tmp_path)
    flags = ("--checkpoint", model) if tool == "test" else SMALL
    where = ("--input_dir", bad_images, "--output_dir", tmp_path / "out")
    done = (run if tool == "train" else call)(tool, *where, *flags)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    first, *rest = done.stderr.splitlines()
    assert first.startswith(f"{tool}.py: 6 of 8 images in {bad_images} cannot be used")
    assert "--skip_bad" in first
    assert_listed(rest)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("tool", ["train", "test"])
def test_skip_bad_uses_the_good_images(tool, model, bad_images, tmp_path):
    flags = ("--checkpoint", model) if tool == "test" else (*SMALL, "--max_epochs", 1)
    where = ("--input_dir", bad_images, "--output_dir", tmp_path / "out", "--skip_bad")
    done = call(tool, *where, *flags)
    assert done.returncode == 0, done.stderr
    first, *rest = done.stderr.splitlines()
    assert first == f"6 of 8 images in {bad_images} cannot be used, continuing without them:"
    assert_listed(rest)
    if tool == "test":
        assert sorted(images(tmp_path / "out")) == ["good1", "good2"]
    else:
        assert "examples count = 2, 2 steps an epoch" in done.stdout


def test_skip_bad_with_nothing_left(bad_images, tmp_path):
    for path in bad_images.glob("good*"):
        path.unlink()
    flags = ("--input_dir", bad_images, "--output_dir", tmp_path / "out", "--skip_bad")
    done = call("train", *flags)
    assert done.returncode == 2
    first, *rest = done.stderr.splitlines()
    assert "6 of 6 images" in first
    assert_listed(rest)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--scale_size", 31), ["scale_size must be at least crop_size (32), not 31"]),
        (("--batch_size", 0), ["batch_size must be at least 1, not 0"]),
        (("--l1_weight", -1), ["l1_weight must be at least 0, not -1"]),
        (("--gan_weight", "-0.5"), ["gan_weight must be at least 0, not -0.5"]),
        (("--ngf", 0), ["ngf must be at least 1, not 0"]),
        (("--lr", "nan"), ["lr must be a finite number, not nan"]),
        (("--beta1", 1), ["beta1 must be", "not 1"]),
        (("--dropout", 1), ["dropout must be", "not 1"]),
        (("--seed", 2**31), ["seed must be below 2147483648, not 2147483648"]),
        (("--crop_size", 30), ["crop_size must be a multiple of", "30"]),
        (("--levels", 6), ["crop_size must be a multiple of 64", "32 is not", "64"]),
        (("--recipe", "castles"), ["castles", "facades", "none"]),
        (("--which_direction", "BtoC"), ["--which_direction", "BtoC", "AtoB", "BtoA"]),
        (("--ngf", "many"), ["--ngf", "many"]),
        (("--nfg", 3), ["--nfg", "--help"]),
        (("--mode", "test"), ["--mode", "test", "train"]),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_a_bad_value(refused, data, flags, message):
    """The value is refused before anything is read or written."""
    refused("train", "--input_dir", data / "train", *SMALL, *flags, message=message)


def test_an_image_size_that_halves_only_twice(refused, data):
    """300 is 4 * 75: a U-Net of two levels is not made silently."""
    flags = ("--crop_size", 300, "--ngf", 1, "--ndf", 1, "--max_steps", 1)
    refused("train", "--input_dir", data / "train", *flags, message=["crop_size", "300"])


def test_an_image_size_too_small_for_the_discriminator(refused, data):
    flags = ("--input_dir", data / "train", *SMALL, "--crop_size", 16, "--max_steps", 1)
    refused("train", *flags, message=["crop_size must be at least 24", "16"])


def test_an_image_size_that_the_model_cannot_have(refused, data, model):
    flags = ("--input_dir", data / "test", "--checkpoint", model, "--output_dir", "out")
    refused("test", *flags, "--crop_size", 302, message=["multiple of 4", "302", "304"])


def test_an_unknown_flag_is_found_before_tensorflow_is_imported(refused):
    refused("test", "--inputdir", "x", message=["--inputdir", "--help"], using=run)


def test_no_gpu(refused, data):
    flags = ("--input_dir", data / "train", *SMALL, "--device", "gpu")
    refused("train", *flags, message=["device gpu", "cpu"])


@pytest.mark.parametrize("tool", ["train", "test", "export", "convert"])
def test_no_checkpoint(refused, data, tmp_path, tool):
    (tmp_path / "empty").mkdir()
    flags = {
        "train": ("--input_dir", data / "train", "--output_dir", "out", *SMALL),
        "test": ("--input_dir", data / "test", "--output_dir", "out"),
        "export": ("--output_dir", "out"),
        "convert": ("--to", "native", "--output", "out"),
    }[tool]
    refused(tool, *flags, "--checkpoint", "nowhere", message=["nowhere does not exist"])
    refused(tool, *flags, "--checkpoint", "empty", message=["empty holds no checkpoint"])


def test_no_checkpoint_named(refused, data):
    refused("test", "--input_dir", data / "test", message=["checkpoint is missing", "--checkpoint"])
    refused("export", message=["checkpoint is missing", "--checkpoint"])


FILTER = "generator/encoder_1/conv/filter (expected [4, 4, 3, 3], found [4, 4, 3, 2])"


def test_train_with_a_checkpoint_of_another_size(refused, data, model):
    flags = ("--input_dir", data / "train", *NETWORK, "--ngf", 3, "--max_steps", 9)
    message = (
        "has other shapes",
        "generator/encoder_1/conv/filter (expected [4, 4, 3, 3], found [4, 4, 3, 2])",
    )
    refused("train", *flags, "--checkpoint", model, "--output_dir", "out", message=message)


@pytest.mark.parametrize("tool", ["test", "export"])
def test_use_a_checkpoint_of_another_size(refused, data, model, tmp_path, tool):
    shutil.copytree(model, tmp_path / "model")
    options = json.loads((model / "options.json").read_text())
    (tmp_path / "model" / "options.json").write_text(json.dumps({**options, "ngf": 3}))
    flags = ("--input_dir", data / "test") if tool == "test" else ()
    message = (
        "has other shapes",
        "generator/encoder_1/conv/filter (expected [4, 4, 3, 3], found [4, 4, 3, 2])",
    )
    refused(tool, *flags, "--checkpoint", "model", "--output_dir", "out", message=message)


def test_a_checkpoint_that_lacks_variables(refused, data, model, tmp_path):
    shutil.copytree(model, tmp_path / "model")
    options = json.loads((model / "options.json").read_text())
    options |= {"levels": 3}
    (tmp_path / "model" / "options.json").write_text(json.dumps(options))
    flags = ("--input_dir", data / "test", "--checkpoint", "model", "--output_dir", "out")
    refused("test", *flags, message=["lacks generator/", "_3"])


def test_training_state_that_a_checkpoint_lacks(refused, data, tmp_path):
    """A generator alone can be used, but not trained further."""
    weights = {"--checkpoint": GOLDEN / "mini_current_AtoB/step1", "--to": "pict"}
    flags = [part for pair in weights.items() for part in pair]
    succeeded(call("convert", *flags, "--output", tmp_path / "a.pict"))
    flags = ("--checkpoint", tmp_path / "a.pict", "--to", "native", "--output", tmp_path / "native")
    succeeded(call("convert", *flags))
    flags = ("--input_dir", data / "train", "--ngf", 1, "--ndf", 1, "--output_dir", "out")
    refused("train", *flags, "--checkpoint", "native", message=["native/model-0 lacks "])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "is missing"),
        ("{", "cannot be read as JSON"),
        ("[]", "one JSON object"),
        ('{"which_direction": "AtoB", "ngf": 2, "ndf": 2, "nfg": 2}', "unknown keys: nfg"),
        ('{"which_direction": "AtoB", "ndf": 2}', "lacks ngf"),
        ('{"which_direction": "AtoB", "ngf": "2", "ndf": 2}', 'ngf must be of type int, not "2"'),
    ],
    ids=["missing", "half", "list", "unknown key", "lacking", "type"],
)
def test_a_bad_options_file(refused, data, model, tmp_path, text, message):
    shutil.copytree(model, tmp_path / "model")
    path = tmp_path / "model" / "options.json"
    path.unlink() if text is None else path.write_text(text)
    message = ("model/options.json", message)
    flags = ("--input_dir", data / "test", "--checkpoint", "model", "--output_dir", "out")
    refused("test", *flags, message=message)
    refused("export", "--checkpoint", "model", "--output_dir", "out", message=message)


def test_a_bad_options_file_of_the_run_itself(refused, data, model, tmp_path):
    shutil.copytree(model, tmp_path / "model")
    (tmp_path / "model" / "options.json").unlink()
    flags = ("--input_dir", data / "train", *SMALL, "--output_dir", "model", "--max_steps", 9)
    refused("train", *flags, message=["model/options.json is missing"])


@pytest.mark.parametrize(
    ("file", "kept", "message"),
    [
        ("model-4.index", 100, "checkpoint model/model-4 cannot be read"),
        ("model-4.data*", 1000, "model/model-4"),
    ],
)
def test_a_checkpoint_that_is_cut_off(refused, data, model, tmp_path, file, kept, message):
    shutil.copytree(model, tmp_path / "model")
    (path,) = (tmp_path / "model").glob(file)
    path.write_bytes(path.read_bytes()[:kept])
    flags = ("--input_dir", data / "test", "--checkpoint", "model", "--output_dir", "out")
    refused("test", *flags, message=[message])


@pytest.mark.parametrize("tool", ["train", "test", "export"])
@pytest.mark.parametrize("folder", ["file/out", "/proc/out"])
def test_a_folder_that_cannot_be_written(refused, data, model, tmp_path, tool, folder):
    (tmp_path / "file").write_text("")
    flags = {
        "train": ("--input_dir", data / "train", *SMALL, "--max_steps", 1),
        "test": ("--input_dir", data / "test", "--checkpoint", model),
        "export": ("--checkpoint", model),
    }[tool]
    message = [f"output_dir {folder} cannot be written"]
    refused(tool, *flags, "--output_dir", folder, message=message)


def limit(size):
    """Gives a `preexec_fn`: no file of the process can become larger, as if the disk were full."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@contextlib.contextmanager
def limited(size):
    """No file of this process can become larger, as if the disk were full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_while_saving(data, tmp_path):
    """The previous checkpoint stays intact, and the same command resumes from it."""
    flags = ("--input_dir", data / "train", "--output_dir", tmp_path, *SMALL)
    succeeded(call("train", *flags, "--max_steps", 3))
    before = tensors(tmp_path)
    with limited(100_000):
        done = call("train", *flags, "--max_steps", 6)
    assert_refused(done, f"{tmp_path}/model-6 cannot be written", "model-3 there is intact")
    assert_equal_bits(tensors(tmp_path), before)
    assert not list(tmp_path.glob("*unfinished*"))
    assert not list(tmp_path.glob("model-6*"))
    done = succeeded(call("train", *flags, "--max_steps", 6))
    assert f"going on from {tmp_path}/model-3\n" in done.stdout
    assert tensors(tmp_path)["global_step"] == 6


def test_an_image_removed_during_training(data, tmp_path):
    """The steps before are saved."""
    shutil.copytree(data / "train", tmp_path / "train")
    command = ("--input_dir", tmp_path / "train", "--output_dir", tmp_path / "run", *NETWORK)
    more = ("--max_steps", 10_000, "--cache_mb", 0, "--progress_freq", 1)

    def remove(printed):
        if printed.startswith("gen_loss_L1"):
            (tmp_path / "train" / "3.png").unlink(missing_ok=True)

    done = call("train", *command, *more, watch=remove)
    assert_refused(done)
    gone = f"{tmp_path}/train/3.png: does not exist"
    step = int(tensors(tmp_path / "run")["global_step"])
    kept = f"the last checkpoint is kept (model-{step})"
    assert done.stderr == f"train.py: an image can no longer be read: {gone}; {kept}\n"
    assert step > 0
    assert len((tmp_path / "run" / "losses.jsonl").read_text().splitlines()) == step


@pytest.mark.parametrize("tool", ["test", "export"])
def test_results_into_the_runs_own_folder_are_refused(data, model, tmp_path, tool):
    shutil.copytree(model, tmp_path / "run")
    before = tree(tmp_path)
    where = ("--checkpoint", tmp_path / "run", "--output_dir", tmp_path / "other" / ".." / "run")
    more = ("--input_dir", data / "test") if tool == "test" else ()
    assert_refused(call(tool, *where, *more), "holds the work of tools/train.py", "name another")
    assert tree(tmp_path) == before


def test_a_full_disk_while_reporting(data, tmp_path):
    """TensorBoard's file does not fit."""
    flags = ("--input_dir", data / "train", "--output_dir", tmp_path, *SMALL)
    more = ("--max_steps", 3, "--save_freq", 1, "--summary_freq", 1)
    with limited(300_000):
        done = call("train", *flags, *more)
    assert_refused(done, f"events for TensorBoard cannot be written to {tmp_path}/events.out.")


@pytest.mark.parametrize(
    ("tool", "made"), [("test", "out"), ("export", "out"), ("convert", "out"), ("pict", "out.pict")]
)
def test_a_full_disk_while_writing_results(data, model, tmp_path, tool, made):
    """No file with a result's name is left half-written."""
    flags = {
        "test": ("test", "--input_dir", data / "test", "--output_dir", tmp_path / made),
        "export": ("export", "--output_dir", tmp_path / made),
        "convert": ("convert", "--to", "native", "--output", tmp_path / made),
        "pict": ("convert", "--to", "pict", "--output", tmp_path / made),
    }[tool]
    with limited(1_000):
        done = call(*flags, "--checkpoint", model)
    assert_refused(done)
    if tool != "test":
        left = [path.name for path in tmp_path.rglob("*") if path.is_file()]
        assert not [name for name in left if "pict" in name or "export" in name or "model" in name]


def test_a_file_that_cannot_be_written_is_named(data, tmp_path):
    out = tmp_path / "out"
    flags = ("--outputs_dir", data / "test", "--targets_dir", data / "test", "--output_dir", out)
    done = run("evaluate", *flags, preexec_fn=limit(10))
    assert_refused(done, f"output_dir {out} cannot be written: File too large")


def test_a_line_break_in_a_name(data, tmp_path):
    """It is escaped; a list of images keeps its own line breaks."""
    folder = tmp_path / "a\nb"
    assert_refused(
        call("train", "--input_dir", folder), rf"input_dir {tmp_path}/a\nb does not exist"
    )
    assert_refused(call("train", "--no_such\nflag"), r"--no_such\nflag")
    assert_refused(call("split", "--dir", folder), rf"{tmp_path}/a\nb does not exist")
    folder.mkdir()
    shutil.copy(data / "train" / "1.png", folder)
    for name in ("c\nd.png", "e.png"):
        (folder / name).write_bytes(b"")
    done = call("train", "--input_dir", folder)
    assert done.returncode == 2
    first, *listed = done.stderr.splitlines()
    assert first.startswith(rf"train.py: 2 of 3 images in {tmp_path}/a\nb cannot be used; mend or")
    assert listed == [rf"  {tmp_path}/a\nb/{name}: is empty" for name in (r"c\nd.png", "e.png")]


def test_a_gradient_that_is_not_finite_in_a_summary(data, tmp_path):
    """G's gradient goes through D's weights, which are not finite after D's first update."""
    flags = ("--input_dir", data / "train", "--output_dir", tmp_path, *NETWORK, "--max_steps", 5)
    done = call("train", *flags, "--lr", "1e30", "--summary_freq", 1)
    words = ("a gradient or a weight of step 1 is not finite", "no checkpoint is saved yet", "--lr")
    assert_refused(done, *words)


# Without summaries, and with one in step 2, whose losses are not finite.
@pytest.mark.parametrize("summary_freq", [0, 2])
def test_losses_that_are_not_finite(data, tmp_path, summary_freq):
    flags = ("--input_dir", data / "train", "--output_dir", tmp_path, *NETWORK, "--max_steps", 5)
    done = call("train", *flags, "--lr", "1e30", "--summary_freq", summary_freq)
    words = (f"{data}/train/", ".png; no checkpoint is saved yet: try a smaller --lr")
    assert_refused(done, "the losses of step 2 are not finite", *words)
    assert len((tmp_path / "losses.jsonl").read_text().splitlines()) == 1
    assert tf.train.latest_checkpoint(str(tmp_path)) is None


def test_weights_that_are_not_finite_are_not_saved(data, tmp_path):
    flags = ("--input_dir", data / "train", "--output_dir", tmp_path, *NETWORK, "--max_steps", 5)
    done = call("train", *flags, "--lr", "1e30", "--save_freq", 1)
    words = ("weights are not finite after step 1; no checkpoint is saved yet", "--lr")
    assert_refused(done, *words)
    assert tf.train.latest_checkpoint(str(tmp_path)) is None


def test_the_last_finite_checkpoint_is_kept(data, tmp_path):
    """Without D in G's loss, G's weights are merely enormous after a step."""
    flags = ("--input_dir", data / "train", "--output_dir", tmp_path, *NETWORK, "--max_steps", 5)
    done = call("train", *flags, "--lr", "1e20", "--gan_weight", 0, "--save_freq", 1)
    assert_refused(
        done, "the losses of step 2 are not finite", ".png; the last checkpoint is kept (model-1)"
    )
    saved = tensors(tmp_path)
    assert saved["global_step"] == 1
    assert all(np.isfinite(array).all() for array in saved.values())
