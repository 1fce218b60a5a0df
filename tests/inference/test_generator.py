"""The Python API gives what tools/test.py writes."""

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import tifffile
from PIL import Image

import p2p_graph
from p2p_graph import UserError
from p2p_graph.utils.cores import available_cores

from ..cli.common import TINY, call, environment, succeeded
from ..cli.common import run as in_own_process
from .test_formats import make_run


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Four pairs of 16x16 pixels, single images of 20x24 pixels, and arrays of 5 channels."""
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(6)
    for name in ("pairs", "single", "bands"):
        (root / name).mkdir()
    for number in range(4):
        pair = rng.integers(0, 256, (16, 32, 3), np.uint8)
        Image.fromarray(pair).save(root / "pairs" / f"{number}.png")
        Image.fromarray(rng.integers(0, 256, (20, 24, 3), np.uint8)).save(
            root / "single" / f"{number}.png"
        )
        tifffile.imwrite(
            root / "bands" / f"{number}.tif",
            rng.integers(0, 65536, (16, 16, 5)).astype(np.uint16),
            photometric="minisblack",
        )
    return root


def trained(data, folder, *more, pairs="pairs"):
    flags = ("--input_dir", data / pairs, *TINY, "--max_steps", 2, "--output_dir", folder, *more)
    succeeded(call("train", *flags))
    return folder


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    return trained(data, tmp_path_factory.mktemp("run"), "--keep_every", 1)


def program_outputs(data, run, folder, *more, kind="single"):
    """What tools/test.py writes: the outputs, by image."""
    flags = ("--input_dir", data / kind, "--checkpoint", run, "--output_dir", folder, *more)
    succeeded(call("test", *flags))
    found = {}
    for path in sorted((folder / "images").glob("*-outputs.png")):
        with Image.open(path) as image:
            values = np.asarray(image)
        found[path.name[0]] = values[..., None] if values.ndim == 2 else values
    assert len(found) == 4
    return found


def inputs_of(data, run, folder, *more):
    flags = ("--input_dir", data / "pairs", "--checkpoint", run, "--output_dir", folder, *more)
    succeeded(call("test", *flags))
    found = {}
    for path in sorted((folder / "images").glob("*-inputs.png")):
        with Image.open(path) as image:
            found[path.name[0]] = np.asarray(image)
    return found


def test_files_are_translated_as_by_the_program(data, run, tmp_path):
    wanted = program_outputs(data, run, tmp_path, "--inputs_only", "--seed", 3)
    with p2p_graph.load(run, seed=3, device="cpu") as generator:
        for number, output in wanted.items():
            found = generator(data / "single" / f"{number}.png")
            assert found.dtype == np.uint8
            np.testing.assert_array_equal(found, output)
            same = generator(str(data / "single" / f"{number}.png"), size=16)
            np.testing.assert_array_equal(same, output)


def test_arrays_are_translated_as_by_the_program(data, run, tmp_path):
    """Of one size; several at a time may round otherwise."""
    wanted = program_outputs(data, run, tmp_path / "out", kind="pairs")
    inputs = inputs_of(data, run, tmp_path / "out")
    generator = p2p_graph.load(run, device="cpu")
    for number, output in wanted.items():
        found = generator(inputs[number])
        assert (found.dtype, found.shape) == (np.uint8, (16, 16, 3))
        np.testing.assert_array_equal(found, output)
        np.testing.assert_array_equal(generator(Image.fromarray(inputs[number])), output)
        np.testing.assert_array_equal(generator(inputs[number][None])[0], output)
    together = generator(np.stack(list(inputs.values())))
    difference = np.subtract(together, np.stack(list(wanted.values())), dtype=int)
    assert np.abs(difference).max() <= 1
    generator.close()


def test_half_of_a_pair(data, run, tmp_path):
    path = data / "pairs" / "1.png"
    with Image.open(path) as image:
        pair = np.asarray(image)
    Image.fromarray(pair[:, :31]).save(tmp_path / "odd.png")
    np.save(tmp_path / "pair.npy", pair)
    with p2p_graph.load(run, device="cpu") as generator:
        for half, wanted in (("left", pair[:, :16]), ("right", pair[:, 16:])):
            for file in (path, path.read_bytes(), tmp_path / "pair.npy"):
                np.testing.assert_array_equal(generator(file, half=half), generator(wanted))
        with pytest.raises(UserError, match=r"odd.png is 31 pixels wide: two equal halves"):
            generator(tmp_path / "odd.png", half="left")
        with pytest.raises(UserError, match='half is "left" or "right" of an image file'):
            generator(pair, half="left")


def test_types(data, run, tmp_path):
    """uint16 and float, in and out, are what --output_bits 16 writes, up to rounding."""
    generator = p2p_graph.load(run, device="cpu")
    image = inputs_of(data, run, tmp_path)["2"]
    in_bytes = generator(image)
    deep = generator(image.astype(np.uint16) * 257)
    floats = generator((image / 255).astype(np.float32))
    assert (deep.dtype, floats.dtype) == (np.uint16, np.float32)
    np.testing.assert_allclose(deep / 65535, floats, atol=1 / 65535)
    np.testing.assert_allclose(in_bytes, np.floor(floats * 255.5), atol=1)
    for kind in (np.float16, np.float64):
        made = generator((image / 255).astype(kind))
        assert made.dtype == kind
        np.testing.assert_allclose(made, floats, atol=2e-3)
    generator.close()


def test_sizes(data, run, tmp_path):
    wanted = program_outputs(data, run, tmp_path, "--inputs_only", "--crop_size", "original")
    larger = program_outputs(data, run, tmp_path / "l", "--inputs_only", "--crop_size", "32x16")
    with p2p_graph.load(run, device="cpu") as generator:
        assert generator.size == (16, 16)
        path = data / "single" / "1.png"
        with Image.open(path) as image:
            array = np.asarray(image)
        for found in (generator(path, size="original"), generator(array, size="original")):
            assert np.abs(np.subtract(found, wanted["1"], dtype=int)).max() <= 1
        for found in (generator(path, size=(32, 16)), generator(array, size="32x16")):
            assert np.abs(np.subtract(found, larger["1"], dtype=int)).max() <= 1
        # 20x24 is a multiple of 4.
        assert generator(array).shape == (20, 24, 3)
        assert generator(array[None, :8, :12]).shape == (1, 8, 12, 3)


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_lab(data, tmp_path, direction):
    flags = ("--lab_colorization", "--which_direction", direction)
    run = trained(data, tmp_path / "run", *flags, pairs="single")
    wanted = program_outputs(data, run, tmp_path / "out")
    with p2p_graph.load(run, device="cpu") as generator:
        assert generator.channels == (3, 3 if direction == "AtoB" else 1)
        for number, output in wanted.items():
            found = generator(data / "single" / f"{number}.png")
            np.testing.assert_array_equal(found, output)


def test_arrays_of_other_channels(data, tmp_path):
    flags = ("--target_dir", data / "bands", "--which_direction", "BtoA")
    run = trained(data, tmp_path / "run", *flags, "--target_channels", 1, pairs="single_16")
    wanted = program_outputs(data, run, tmp_path / "out", "--inputs_only", kind="bands")
    with p2p_graph.load(run, device="cpu") as generator:
        assert generator.channels == (5, 1)
        for number, output in wanted.items():
            path = data / "bands" / f"{number}.tif"
            np.testing.assert_array_equal(generator(path), output)
            in_full = generator(tifffile.imread(path))
            np.testing.assert_allclose(in_full / 65535, output / 255, atol=1 / 255)
        with pytest.raises(UserError, match="has 3 channels, and the generator takes 5"):
            generator(data / "single" / "1.png")
        with pytest.raises(UserError, match="takes images of 5 channels: give it arrays"):
            generator(Image.new("RGB", (16, 16)))


@pytest.fixture(autouse=True, scope="module")
def single_16(data):
    folder = data / "single_16"
    folder.mkdir()
    rng = np.random.default_rng(7)
    for number in range(4):
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)).save(folder / f"{number}.png")


def test_seed_dropout_and_step(data, run):
    image = np.full((16, 16, 3), 90, np.uint8)
    outputs = {}
    for name, options in {
        "first": {},
        "again": {},
        "seed": {"seed": 1},
        "none": {"dropout": 0.0},
        "none, seed": {"dropout": 0.0, "seed": 1},
        "step": {"step": 1, "dropout": 0.0},
    }.items():
        with p2p_graph.load(run, device="cpu", **options) as generator:
            assert generator.steps == options.get("step", 2)
            outputs[name] = generator(image)
    np.testing.assert_array_equal(outputs["first"], outputs["again"])
    np.testing.assert_array_equal(outputs["none"], outputs["none, seed"])
    assert (outputs["none"] != outputs["step"]).any()


def test_a_file_of_a_model_without_dropout_in_use(data, tmp_path):
    run = trained(data, tmp_path / "run", "--no_dropout_in_use")
    file = tmp_path / "a.safetensors"
    convert = ("convert", "--checkpoint", run, "--to", "safetensors", "--output", file)
    succeeded(call(*convert))
    image = np.full((16, 16, 3), 90, np.uint8)
    for given in ({}, {"dropout": 0.4}):
        outputs = []
        for path in (run, file):
            with p2p_graph.load(path, device="cpu", **given) as generator:
                outputs += [generator(image), generator(image, seed=1)]
        np.testing.assert_array_equal(outputs[:2], outputs[2:])
        assert (outputs[0] != outputs[1]).any() == bool(given)


def test_an_export_with_dropout_of_a_model_without_it_in_use(data, tmp_path):
    run, export = tmp_path / "run", tmp_path / "export"
    trained(data, run, "--no_dropout_in_use")
    flags = ("--format", "meta", "--dropout", 0.3, "--output_dir", export)
    succeeded(call("export", "--checkpoint", run, *flags))
    image = np.full((16, 16, 3), 90, np.uint8)
    outputs = []
    for path, given in ((run, {"dropout": 0.3}), (export, {}), (run, {})):
        with p2p_graph.load(path, device="cpu", **given) as generator:
            outputs.append(generator(image))
    np.testing.assert_array_equal(outputs[0], outputs[1])
    assert (outputs[0] != outputs[2]).any()


def test_a_pict_file_and_a_checkpoint_of_the_reference(tmp_path):
    run = make_run(tmp_path / "run", ngf=1, levels=8, bias="all")
    current, pict = tmp_path / "current", tmp_path / "a.pict"
    succeeded(call("convert", "--checkpoint", run, "--to", "current", "--output", current))
    succeeded(call("convert", "--checkpoint", run, "--to", "pict", "--output", pict))
    image = np.random.default_rng(8).integers(0, 256, (256, 256, 3), np.uint8)
    outputs = []
    for path in (run, current, pict):
        with p2p_graph.load(path, device="cpu") as generator:
            outputs.append(generator(image).astype(int))
    np.testing.assert_array_equal(outputs[0], outputs[1])
    assert np.abs(outputs[0] - outputs[2]).max() < 40  # weights of 8 bits
    with pytest.raises(UserError, match="step must be a whole number or None, not '3'"):
        p2p_graph.load(run, step="3")
    with pytest.raises(UserError, match="cannot be read: File name too long"):
        p2p_graph.load("x" * 300)
    with pytest.raises(UserError, match="step 3 is of no use"):
        p2p_graph.load(pict, step=3)


def test_two_generators_and_several_threads(data, run, tmp_path):
    other = trained(data, tmp_path, "--which_direction", "BtoA")
    image = np.random.default_rng(9).integers(0, 256, (16, 16, 3), np.uint8)
    with p2p_graph.load(run, device="cpu") as one, p2p_graph.load(other, device="cpu") as two:
        assert (one.direction, two.direction) == ("AtoB", "BtoA")
        wanted = one(image), two(image), one(image[:8, :12])
        assert (wanted[0] != wanted[1]).any()
        found = []

        def translate():
            found.append((one(image), two(image), one(image[:8, :12])))

        with p2p_graph.load(run, device="cpu") as new:  # whose other network is not built yet

            def build():
                found.append((new(image), wanted[1], new(image[:8, :12])))

            threads = [threading.Thread(target=translate) for _ in range(3)]
            threads += [threading.Thread(target=build) for _ in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert len(found) == 6
        for outputs in found:
            for output, expected in zip(outputs, wanted, strict=True):
                np.testing.assert_array_equal(output, expected)


@pytest.mark.parametrize(
    ("image", "size", "words"),
    [
        (np.zeros((16, 16, 4), np.uint8), None, "takes images of 3 channels, not 4"),
        (np.zeros((16, 16), np.uint8), None, r"an image is \[H, W, 3\]"),
        (np.zeros((0, 16, 3), np.uint8), None, r"an image is \[H, W, 3\]"),
        (
            np.zeros((16, 18, 3), np.uint8),
            None,
            r"multiples of 4 pixels, not 16x18: give a size \(16\)",
        ),
        (np.zeros((16, 16, 3), np.uint8), 18, "multiples of 4 pixels, not 18"),
        (np.zeros((16, 16, 3), np.uint8), "a", "size must be a number of pixels"),
        (np.zeros((16, 3, 3), np.uint8), "original", "at least 4 pixels a side, not 16x3"),
        (np.zeros((16, 16, 3), np.int64), None, "uint8, uint16 or float in 0..1, not int64"),
        (np.full((16, 16, 3), 1.5), None, r"values in 0..1, not 1.5..1.5"),
        (np.full((16, 16, 3), np.nan), None, r"values in 0..1, not nan..nan"),
        ("nowhere.png", None, "nowhere.png does not exist"),
        (Image.new("RGB", (0, 0)), None, "has no pixels"),
        (Image.new("L", (16, 0)), "original", "has no pixels"),
    ],
)
def test_what_is_refused(run, image, size, words):
    with p2p_graph.load(run, device="cpu") as generator, pytest.raises(UserError, match=words):
        generator(image, size=size)


def test_a_closed_generator_and_a_damaged_file(run, tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"damaged")
    generator = p2p_graph.load(run, device="cpu")
    with pytest.raises(UserError, match=r"a\.png is not an image"):
        generator(path)
    generator.close()
    generator.close()
    with pytest.raises(UserError, match="is closed"):
        generator(np.zeros((16, 16, 3), np.uint8))
    with pytest.raises(UserError, match="does not exist"):
        p2p_graph.load(tmp_path / "none")
    with pytest.raises(AttributeError, match="no attribute 'other'"):
        _ = p2p_graph.other


def test_pil_images_of_every_mode(data, run, tmp_path):
    """As the program reads them from PNG files."""
    rng = np.random.default_rng(8)
    folder = tmp_path / "modes"
    folder.mkdir()
    rgb = Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8))
    deep = Image.fromarray(rng.integers(0, 65536, (16, 16)).astype(np.uint16))
    assert deep.mode == "I;16"
    images = {"0": rgb.convert("1"), "1": rgb.convert("P"), "2": rgb.convert("LA"), "3": deep}
    for name, image in images.items():
        image.save(folder / f"{name}.png")
    wanted = program_outputs(
        tmp_path, run, tmp_path / "out", "--inputs_only", "--crop_size", 16, kind="modes"
    )
    with p2p_graph.load(run, device="cpu") as generator:
        for name, image in images.items():
            np.testing.assert_allclose(generator(image), wanted[name].astype(int), atol=1)
            assert generator(image).dtype == np.uint8
        for mode in ("I", "F"):
            with pytest.raises(UserError, match=f"PIL images of mode {mode} have no range"):
                generator(rgb.convert("L").convert(mode))
        cut = tmp_path / "cut.png"
        cut.write_bytes((folder / "1.png").read_bytes()[:-60])
        with Image.open(cut) as image, pytest.raises(UserError, match="PIL image cannot be dec"):
            generator(image)


def test_photos_are_turned_as_in_training(data, tmp_path):
    run = trained(data, tmp_path / "run", "--upright")
    folder = tmp_path / "turned"
    folder.mkdir()
    rng = np.random.default_rng(9)
    for number, orientation in enumerate((1, 3, 6, 8)):
        exif = Image.Exif()
        exif[0x112] = orientation
        photo = Image.fromarray(rng.integers(0, 256, (16, 20, 3), np.uint8))
        photo.save(folder / f"{number}.jpg", exif=exif)
    more = ("--inputs_only", "--crop_size", "original")
    wanted = program_outputs(tmp_path, run, tmp_path / "out", *more, kind="turned")
    with p2p_graph.load(run, device="cpu") as generator:
        for name, expected in wanted.items():
            path = folder / f"{name}.jpg"
            found = generator(path, size="original")
            assert found.shape == expected.shape
            np.testing.assert_allclose(found, expected.astype(int), atol=1)
            with Image.open(path) as image:
                found = generator(image, size="original")
            assert found.shape == expected.shape
            assert np.abs(found - expected.astype(int)).mean() < 3  # two decoders of JPEG


def test_a_model_of_several_inputs_takes_arrays_alone(data, tmp_path):
    """The alpha of a photo must not become the second input."""
    for name in ("photos", "depth", "targets"):
        (tmp_path / name).mkdir()
        for number in range(2):
            shape = (16, 16) if name == "depth" else (16, 16, 3)
            image = Image.fromarray(np.full(shape, 40 * number, np.uint8))
            image.save(tmp_path / name / f"{number}.png")
    more = ("--more_inputs", tmp_path / "depth", "--target_dir", tmp_path / "targets")
    run = trained(tmp_path, tmp_path / "run", *more, pairs="photos")
    photo = tmp_path / "photos" / "0.png"
    words = r"takes several inputs \(channels 3\+1\): give it arrays of all 4 channels"
    with p2p_graph.load(run, device="cpu") as generator:
        assert generator.channels == (4, 3)
        assert generator(np.zeros((16, 16, 4), np.uint8)).shape == (16, 16, 3)
        with pytest.raises(UserError, match=words):
            generator(photo)
        with (
            pytest.raises(UserError, match=words),
            Image.open(tmp_path / "photos" / "0.png") as one,
        ):
            generator(one)


def test_an_array_file_of_one_channel(data, run, tmp_path):
    """Three equal channels are made of it, as by the program."""
    np.save(tmp_path / "grey.npy", np.arange(256, dtype=np.uint8).reshape(16, 16))
    with p2p_graph.load(run, device="cpu") as generator:
        grey = np.load(tmp_path / "grey.npy")
        rgb = np.repeat(grey[..., None], 3, axis=2)
        np.testing.assert_allclose(generator(tmp_path / "grey.npy"), generator(rgb), atol=1)


class NoArray:
    """As a tensor of PyTorch that has a gradient."""

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("Call detach() first")


def test_numpys_numbers(run):
    image = np.zeros((16, 16, 3), np.uint8)
    with p2p_graph.load(run, device="cpu", seed=np.int64(3)) as generator:
        assert generator(image, size=np.int64(32)).shape == (32, 32, 3)
        assert generator(image, size=np.array([32, 16])).shape == (32, 16, 3)
        with pytest.raises(UserError, match="images of several sizes are no array"):
            generator([image, np.zeros((32, 16, 3), np.uint8)])
        with pytest.raises(UserError, match="images of type NoArray are no array: Call detach"):
            generator(NoArray())


def test_closed_during_a_call(run):
    """The call ends with the package's own error."""
    generator = p2p_graph.load(run, device="cpu")
    images = np.zeros((32, 256, 256, 3), np.uint8)
    errors, started = [], threading.Event()

    def call_again_and_again():
        try:
            while True:
                generator(images[:1] if not started.is_set() else images)
                started.set()
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=call_again_and_again)
    thread.start()
    assert started.wait(60)
    time.sleep(0.2)
    generator.close()
    thread.join(60)
    [error] = errors
    assert isinstance(error, UserError)
    assert "closed" in str(error)


def test_the_same_bytes_with_one_thread(tmp_path):
    """Of a network so large that its sums are split among threads."""
    (tmp_path / "data").mkdir()
    for number in range(4):
        pair = np.random.default_rng(number).integers(0, 256, (64, 128, 3), np.uint8)
        Image.fromarray(pair).save(tmp_path / "data" / f"{number}.png")
    run = make_run(tmp_path / "run", crop_size=64, ngf=32, levels=4)
    flags = ("--input_dir", tmp_path / "data", "--checkpoint", run, "--device", "cpu")
    succeeded(in_own_process("test", *flags, "--output_dir", tmp_path / "out"))
    names = [tmp_path / "out" / "images" / str(number) for number in range(4)]
    threads = max(1, available_cores() // 8)
    (tmp_path / "same.py").write_text(
        "import sys, numpy as np, p2p_graph\n"
        "from PIL import Image\n"
        f"generator = p2p_graph.load(sys.argv[1], device='cpu', threads={threads})\n"
        "for name in sys.argv[2:]:\n"
        "    found = generator(f'{name}-inputs.png')\n"
        "    assert (found == np.asarray(Image.open(f'{name}-outputs.png'))).all(), name\n"
        "try:\n"
        "    p2p_graph.load(sys.argv[1], threads=99)\n"
        "except p2p_graph.UserError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", tmp_path / "same.py", run, *names],
        capture_output=True, text=True, check=True, timeout=120, env=environment(),
    )  # fmt: skip
    assert done.stdout.startswith(f"threads 99: a generator with threads {threads} was loaded")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a fork needs Unix")
def test_after_a_fork(run, tmp_path):
    """TensorFlow would hang in the new process."""
    (tmp_path / "fork.py").write_text(
        "import os, sys, numpy as np, p2p_graph\n"
        "generator = p2p_graph.load(sys.argv[1], device='cpu')\n"
        "image = np.zeros((16, 16, 3), np.uint8)\n"
        "generator(image)\n"
        "if os.fork() == 0:\n"
        "    for call in (lambda: generator(image), lambda: p2p_graph.load(sys.argv[1])):\n"
        "        try:\n"
        "            call()\n"
        "        except p2p_graph.UserError as error:\n"
        "            print(error, flush=True)\n"
        "    os._exit(0)\n"
        "os.wait()\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", tmp_path / "fork.py", run],
        capture_output=True, text=True, check=True, timeout=120, env=environment(),
    )  # fmt: skip
    first, second = done.stdout.splitlines()
    assert first.startswith("the generator was loaded by another process")
    assert second.startswith("TensorFlow does not work in a process forked from one that uses it")
