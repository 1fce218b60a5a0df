"""Photos whose EXIF orientation says that viewers turn them."""

import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from p2p_graph.imaging import exif
from p2p_graph.imaging.image_arrays import save_png

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


def write(path, orientation, size, rng):
    """Writes an image with an orientation; returns the pixels that TensorFlow decodes, upright."""
    metadata = Image.Exif()
    metadata[0x0112] = orientation
    stored = size[::-1] if exif.swaps_sides(orientation) else size
    coarse = Image.fromarray(rng.integers(0, 256, (5, 6, 3), np.uint8))
    coarse.resize(stored[::-1], Image.Resampling.BICUBIC).save(path, exif=metadata, quality=95)
    return exif.upright(tf.io.decode_image(path.read_bytes()).numpy(), orientation)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Folders of the same pairs, each turned its own way by EXIF, and upright (up_...)."""
    root = tmp_path_factory.mktemp("photos")
    for name in ("a", "b", "up_a", "up_b", "pairs", "up_pairs"):
        (root / name).mkdir()
    rng = np.random.default_rng(1)
    for orientation in range(1, 9):
        for name, turn in (("a", orientation), ("b", 9 - orientation)):
            pixels = write(root / name / f"{orientation}.jpg", turn, (20, 30), rng)
            save_png(root / f"up_{name}" / f"{orientation}.png", pixels)
        pixels = write(root / "pairs" / f"{orientation}.png", orientation, (20, 40), rng)
        save_png(root / "up_pairs" / f"{orientation}.png", pixels)
    return root


SOURCES = {
    "two folders": ("a", "up_a", ("--target_dir", "b"), ("--target_dir", "up_b")),
    "halves": ("pairs", "up_pairs", (), ()),
    "Lab": ("a", "up_a", ("--lab_colorization",), ("--lab_colorization",)),
}


@pytest.mark.parametrize("name", SOURCES)
def test_as_if_they_had_been_turned(photos, tmp_path, monkeypatch, name):
    """Training and translation, which takes over what training did."""
    monkeypatch.chdir(photos)
    stored, turned, of_stored, of_turned = SOURCES[name]
    sizes = ("--crop_size", "8x16") if name != "Lab" else ()
    train = (*TINY, *sizes, "--max_steps", 8, "--batch_size", 2)
    for folder, more, run in ((stored, (*of_stored, "--upright"), "a"), (turned, of_turned, "b")):
        out = ("--output_dir", tmp_path / run)
        succeeded(call("train", "--input_dir", folder, *more, *train, *out))
        more = [flag for flag in more if flag not in ("--upright", "--lab_colorization")]
        where = ("--input_dir", folder, *more, "--checkpoint", tmp_path / run)
        succeeded(call("test", *where, "--output_dir", tmp_path / run / "made"))
    assert_equal_bits(tensors(tmp_path / "a"), tensors(tmp_path / "b"))
    for kind in ("inputs", "outputs", "targets"):
        found = images(tmp_path / "a" / "made", kind)
        assert_same_images(found, images(tmp_path / "b" / "made", kind))


def test_off_by_default_and_in_translation_by_choice(photos, tmp_path):
    flags = ("--input_dir", photos / "a", "--inputs_only", "--crop_size", "original")
    train = ("--input_dir", photos / "pairs", *TINY, "--max_steps", 1)
    succeeded(call("train", *train, "--skip_bad", "--output_dir", tmp_path / "run"))
    test = ("test", *flags, "--checkpoint", tmp_path / "run", "--output_dir")
    succeeded(call(*test, tmp_path / "stored"))
    stored = images(tmp_path / "stored", "inputs")
    assert [image.shape[:2] for image in stored.values()] == 4 * [(20, 30)] + 4 * [(30, 20)]
    succeeded(call(*test, tmp_path / "turned", "--upright"))
    for name, image in images(tmp_path / "turned", "inputs").items():
        np.testing.assert_array_equal(image, exif.upright(stored[name], int(name)))


def test_pairs_that_fit_only_upright(photos, tmp_path):
    flags = ("--input_dir", photos / "a", "--target_dir", photos / "b", *TINY, "--max_steps", 1)
    done = call("train", *flags, "--output_dir", tmp_path / "run")
    assert done.returncode == 2
    assert "is 30x20 pixels, its partner" in done.stderr
    assert not (tmp_path / "run").exists()


def test_check_data_reports_them(photos):
    done = succeeded(call("check_data", "--input_dir", photos / "a", "--single"))
    [line] = [line for line in done.stdout.splitlines() if line.startswith("turned by EXIF")]
    assert line.split()[3] == "7"
    assert "--upright" in line


def test_packed_images(photos, tmp_path):
    packed = ("--output_file", tmp_path / "photos.npz", "--size", 16, "--single")
    succeeded(call("pack_npz", "--input_dir", photos / "a", *packed, "--upright"))
    flags = ("--input_dir", photos / "up_a", "--output_file", tmp_path / "turned.npz")
    succeeded(call("pack_npz", *flags, "--size", 16, "--single"))
    with np.load(tmp_path / "photos.npz") as found, np.load(tmp_path / "turned.npz") as expected:
        np.testing.assert_array_equal(found["arr_0"], expected["arr_0"])
    flags = ("--input_dir", tmp_path / "photos.npz", *TINY, "--lab_colorization", "--upright")
    done = call("train", *flags, "--max_steps", 1, "--output_dir", tmp_path / "run")
    assert_refused(done, "upright goes with image files only", "--no_upright")
    flags = ("--input_dir", photos / "a", *TINY, "--lab_colorization", "--upright")
    more = ("--val_dir", tmp_path / "photos.npz", "--sample_freq", 1, "--max_steps", 1)
    done = call("train", *flags, *more, "--output_dir", tmp_path / "run")
    assert_refused(done, "upright goes with image files only", "photos.npz", "--no_upright")


def test_validation_images_are_turned_too(photos, tmp_path):
    shutil.copytree(photos / "a", tmp_path / "set" / "train")
    shutil.copytree(photos / "a", tmp_path / "set" / "val")
    shutil.copytree(photos / "up_a", tmp_path / "up" / "train")
    shutil.copytree(photos / "up_a", tmp_path / "up" / "val")
    flags = (*TINY, "--lab_colorization", "--max_steps", 2, "--sample_freq", 2)
    logs = []
    for name, more in (("set", ("--upright",)), ("up", ())):
        out = ("--output_dir", tmp_path / name / "run")
        succeeded(call("train", "--input_dir", tmp_path / name / "train", *flags, *more, *out))
        logs.append((tmp_path / name / "run" / "losses.jsonl").read_text())
    assert logs[0] == logs[1]
