"""Images of 16 bits a channel go through training, translation and evaluation in full."""

import json
import math

import numpy as np
import pytest
import tensorflow as tf

from p2p_graph.imaging.image_arrays import save_png

from .common import TINY, assert_refused, call, images, succeeded


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Four pairs of 16x16 pixels, as an array and in a folder; most values are no 8-bit levels."""
    folder = tmp_path_factory.mktemp("pairs")
    values = np.random.default_rng(0).integers(0, 1 << 16, (4, 16, 32, 3), np.uint16)
    values[0, 0, :2] = [[0], [65535]]
    for number, image in enumerate(values):
        save_png(folder / f"{number}.png", image)
    return values, folder


@pytest.fixture(scope="module")
def model(pairs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    flags = ("--input_dir", pairs[1], *TINY, "--max_steps", 2, "--output_dir", folder)
    succeeded(call("train", *flags))
    return folder


def read(folder, kind):
    """All images of a kind, [N, H, W, C], as TensorFlow decodes them to 16 bits."""
    paths = sorted((folder / "images").glob(f"*-{kind}.png"))
    return np.stack([tf.io.decode_png(p.read_bytes(), dtype=tf.uint16).numpy() for p in paths])


@pytest.fixture(scope="module")
def translated(pairs, model, tmp_path_factory):
    """The folders of a translation in 8 and in 16 bits."""
    folders = {}
    for bits in (8, 16):
        folders[bits] = tmp_path_factory.mktemp(f"bits{bits}")
        flags = ("--input_dir", pairs[1], "--checkpoint", model, "--output_dir", folders[bits])
        succeeded(call("test", *flags, "--output_bits", bits, "--grid"))
    return folders


def test_inputs_and_targets_lose_nothing(pairs, translated):
    a, b = np.split(pairs[0], 2, axis=2)
    np.testing.assert_array_equal(read(translated[16], "inputs"), a)
    np.testing.assert_array_equal(read(translated[16], "targets"), b)


def test_outputs_are_those_of_8_bits_with_more_bits(translated):
    fine = read(translated[16], "outputs") / 65535
    assert len(np.unique(fine)) > 256
    coarse = np.stack(list(images(translated[8]).values())) / 255
    assert np.abs(fine - coarse).max() < 1 / 255
    grids = [(translated[bits] / "grid.png").stat().st_size for bits in (8, 16)]
    assert abs(grids[0] - grids[1]) < grids[0] / 10


def test_evaluation_reads_all_bits(translated):
    succeeded(call("evaluate", "--results_dir", translated[16]))
    report = json.loads((translated[16] / "evaluation" / "evaluation.json").read_text())
    figures = {name: figure["value"] for name, figure in report["figures"].items()}
    output, target = (read(translated[16], kind) / 65535 for kind in ("outputs", "targets"))
    difference = (output - target).reshape(4, -1)
    assert figures["l1"] == pytest.approx(2 * np.abs(difference).mean(), rel=1e-6)
    of_each = [-10 * math.log10(np.square(one).mean()) for one in difference]
    assert figures["psnr"] == pytest.approx(np.mean(of_each), rel=1e-6)
    upper = [np.floor(x * 65535 / 256) / 127.5 for x in (output, target)]
    assert figures["l1"] != pytest.approx(np.abs(upper[0] - upper[1]).mean(), rel=1e-6)


@pytest.mark.parametrize(("bits", "rule"), [(1, "at least 8"), (12, "8 or 16"), (32, "at most 16")])
def test_other_numbers_of_bits(pairs, model, tmp_path, bits, rule):
    flags = ("--input_dir", pairs[1], "--checkpoint", model, "--output_dir", tmp_path / "out")
    done = call("test", *flags, "--output_bits", bits)
    assert_refused(done, f"output_bits must be {rule}, not {bits}")
    assert not (tmp_path / "out").exists()
