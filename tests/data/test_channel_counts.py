"""Channels: what the options ask for, and what the first image of the data says."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from p2p_graph.config.listed_values import Channels, Folders
from p2p_graph.config.options import Options
from p2p_graph.data.channel_counts import channels_of_data
from p2p_graph.data.image_sources import list_images
from p2p_graph.preparation.pack_records import pack_records
from p2p_graph.utils.errors import UserError


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Folders of three images of 8x8 pixels, named by what they hold, and an archive."""
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(3)
    for number in range(3):
        rgb = rng.integers(0, 256, (8, 8, 4), np.uint8)
        for name, mode in (("rgb", "RGB"), ("grey", "L"), ("rgba", "RGBA"), ("palette", "P")):
            folder = root / name
            folder.mkdir(exist_ok=True)
            Image.fromarray(rgb).convert(mode).save(folder / f"{number}.png")
        for name, channels in (("tiff5", 5), ("tiff1", 1), ("npy2", 2), ("npy3", 3), ("npy1", 1)):
            folder = root / name
            folder.mkdir(exist_ok=True)
            values = rng.integers(0, 256, (8, 8, channels), np.uint8)
            if name.startswith("npy"):
                np.save(folder / f"{number}.npy", values)
            else:
                tifffile.imwrite(folder / f"{number}.TIFF", values, photometric="minisblack")
    shape = (3, 8, 8)
    np.savez(
        root / "five.npz",
        inputs=rng.integers(2, 256, (*shape, 5), np.uint8),
        targets=rng.integers(2, 256, (*shape, 2), np.uint8),
        grey=rng.integers(2, 256, shape, np.uint8),
    )
    return root


def channels(root, **options):
    """The channels of data whose folders are below a root."""
    for name in ("input_dir", "target_dir", "more_inputs"):
        if name in options:
            given = options[name]
            paths = [str(root / path) for path in ([given] if isinstance(given, str) else given)]
            options[name] = paths if name == "more_inputs" else paths[0]
    data = Options.of(crop_size=8, levels=2, **options).data
    found = channels_of_data(data.task, data.source)
    return found.get("input_channels"), found.get("target_channels")


PAIR = {"input_dir": "rgb", "target_dir": "palette"}


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        # Image files are RGB unless another number is asked for.
        ({"input_dir": "grey", "target_dir": "rgba"}, (3, 3)),
        ({"input_dir": "grey", "target_dir": "rgba", "input_channels": 1}, (1, 3)),
        ({"input_dir": "grey", "target_dir": "rgba", "target_channels": 4}, (3, 4)),
        ({"input_dir": "grey"}, (3, 3)),
        # Arrays have what they have.
        ({"input_dir": "tiff5", "target_dir": "npy2"}, (5, 2)),
        ({"input_dir": "tiff5", "target_dir": "npy2", "which_direction": "BtoA"}, (2, 5)),
        ({"input_dir": "tiff5", "target_dir": "rgb"}, (5, 3)),
        ({"input_dir": "npy1", "target_dir": "tiff1"}, (1, 1)),
        ({"input_dir": "npy1", "target_dir": "tiff1", "target_channels": 3}, (1, 3)),
        ({"input_dir": "five.npz"}, (5, 2)),
        ({"input_dir": "five.npz", "arrays": "grey,inputs"}, (1, 5)),
        ({"input_dir": "five.npz", "arrays": "grey", "inputs_only": True}, (1, None)),
        ({"input_dir": "npy2", "inpaint": "center"}, (2, 2)),
        # With further inputs, files of grey images count as one.
        ({**PAIR, "more_inputs": ["grey"]}, ("3+1", 3)),
        ({**PAIR, "more_inputs": ["grey"], "input_channels": 4}, ("3+1", 3)),
        ({**PAIR, "more_inputs": ["grey"], "input_channels": "1+1"}, ("1+1", 3)),
        ({**PAIR, "more_inputs": ["rgba", "tiff5", "palette"]}, ("3+3+5+3", 3)),
        ({**PAIR, "input_dir": "grey", "more_inputs": ["grey"]}, ("1+1", 3)),
        ({**PAIR, "target_dir": "grey", "more_inputs": ["grey"], "which_direction": "BtoA"},
         ("1+1", 3)),
        ({"input_dir": "rgb", "inputs_only": True, "more_inputs": ["npy2"]}, ("3+2", None)),
        # With Lab, the channels are those of Lab.
        ({"input_dir": "rgb", "lab_colorization": True}, (None, None)),
        ({"input_dir": "npy3", "lab_colorization": True}, (None, None)),
    ],
)  # fmt: skip
def test_channels(root, options, wanted):
    assert channels(root, **options) == wanted


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({**PAIR, "input_channels": 2}, "input_channels must be 1, 3 or 4 for the image files in"),
        ({**PAIR, "target_channels": 2}, "target_channels must be 1, 3 or 4 for the image files"),
        ({"input_dir": "npy2", "target_dir": "rgb", "input_channels": 3},
         "input_channels 3 is not what {root}/npy2 holds: arrays of 2 channels"),
        ({"input_dir": "tiff1", "target_dir": "rgb", "input_channels": 4}, "arrays of 1 channel"),
        ({"input_dir": "five.npz", "target_channels": 3},
         "target_channels 3 is not what {root}/five.npz: targets holds: arrays of 2 channels"),
        ({"input_dir": "npy2", "lab_colorization": True}, "lab_colorization needs RGB images"),
        ({**PAIR, "more_inputs": ["grey"], "input_channels": 3},
         "input_channels 3 is not the sum of {root}/rgb (3), {root}/grey (1): name the channels of "
         "each, as in --input_channels 3+1"),
        ({**PAIR, "more_inputs": ["grey"], "input_channels": "3+1+1"},
         "input_channels 3+1+1 are those of 3 images an input, and there is {root}/rgb (3), "
         "{root}/grey (1): more_inputs names the folders after the first"),
        ({**PAIR, "more_inputs": ["npy2"], "input_channels": "3+1"}, "arrays of 2 channels"),
        ({**PAIR, "more_inputs": ["none"]}, "more_inputs {root}/none does not exist"),
        ({**PAIR, "inpaint": "center"}, "target_dir and inpaint"),
        ({"input_dir": "rgb", "more_inputs": ["grey"], "inpaint": "center"},
         "more_inputs goes with pairs of input and target, not with inpaint"),
    ],
)  # fmt: skip
def test_what_does_not_fit(root, options, words):
    with pytest.raises(UserError) as caught:
        channels(root, **options)
    assert words.format(root=root) in str(caught.value)


def test_shards_have_the_channels_of_what_was_packed(root, tmp_path):
    for number, (options, wanted) in enumerate(
        (
            ({"input_dir": "tiff5", "target_dir": "npy2"}, (5, 2)),
            ({"input_dir": "five.npz", "arrays": "inputs,grey"}, (5, 1)),
            ({**PAIR, "more_inputs": ["grey", "npy2"]}, ("3+1+2", 3)),
            ({"input_dir": "grey"}, (3, 3)),
        )
    ):
        folder = tmp_path / str(number)
        assert channels(root, **options) == wanted
        named = {
            name: [str(root / one) for one in value]
            if name == "more_inputs"
            else str(root / value) if name.endswith("_dir") else value
            for name, value in options.items()
        }  # fmt: skip
        pack_records(Options.of(**named).data.source, folder, 2, single=False)
        assert channels(tmp_path, input_dir=str(number)) == wanted


def test_images_are_alike(root, tmp_path, capsys):
    for number, width in enumerate((2, 2, 3)):
        np.save(tmp_path / f"{number}.npy", np.ones((8, 8, width), np.uint8))
    source = Options.of(input_dir=str(tmp_path), crop_size=8, levels=2).data.source
    with pytest.raises(UserError) as caught:
        list_images(source, single=True)
    assert caught.value.args[1] == f"{tmp_path}/2.npy: has 3 channels, and the first image 2"
    skipping = Options.of(input_dir=str(tmp_path), crop_size=8, levels=2, skip_bad=True).data.source
    assert len(list_images(skipping, single=True)) == 2
    assert "1 of 3 images" in capsys.readouterr().err


def test_a_first_image_that_cannot_be_read_says_nothing(tmp_path):
    for number in range(3):
        np.save(tmp_path / f"{number}.npy", np.ones((8, 8, 5), np.uint8))
    (tmp_path / "0.npy").write_bytes(b"damaged")
    data = Options.of(input_dir=str(tmp_path), crop_size=8, levels=2, inputs_only=True).data
    assert channels_of_data(data.task, data.source)["input_channels"] == 5
    for number in (1, 2):
        (tmp_path / f"{number}.npy").write_bytes(b"damaged")
    assert channels_of_data(data.task, data.source) == {}
    with pytest.raises(UserError, match="3 of 3 images"):
        list_images(data.source, single=True)


def test_a_list_of_image_files_and_arrays(root, tmp_path):
    names = ["rgb/0.png", "npy3/1.npy", "rgb/2.png"]
    manifest = tmp_path / "list.csv"
    manifest.write_text("input\n" + "".join(f"{root / name}\n" for name in names))
    source = Options.of(manifest=str(manifest), crop_size=8, levels=2).data.source
    with pytest.raises(UserError) as caught:
        list_images(source, single=True)
    assert caught.value.args[1] == f"{root}/npy3/1.npy: is an array, unlike the first image"


def test_a_further_input_that_does_not_fit(root, tmp_path):
    for number in range(3):
        Image.new("L", (8, 8 if number else 7)).save(tmp_path / f"{number}.png")
    (tmp_path / "2.png").unlink()
    source = Options.of(
        input_dir=str(root / "rgb"), target_dir=str(root / "rgba"), more_inputs=[str(tmp_path)],
        crop_size=8, levels=2,
    ).data.source  # fmt: skip
    with pytest.raises(UserError) as caught:
        list_images(source, single=False)
    assert caught.value.args[1:] == (
        f"{root}/rgb/0.png: is 8x8 pixels, its further input {tmp_path}/0.png 8x7",
        f"{root}/rgb/2.png: has no partner in {tmp_path}",
    )


def test_arrays_beside_image_files_are_left_alone(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "1.png")
    np.save(tmp_path / "1.npy", np.zeros((8, 8, 2), np.uint8))
    source = Options.of(input_dir=str(tmp_path), crop_size=8, levels=2).data.source
    assert [image.path.name for image in list_images(source, single=True)] == ["1.png"]


@pytest.mark.parametrize(
    ("value", "stored", "text"), [(3, 3, "3"), ("3", 3, "3"), ("+3", 3, "3"), ("3+1+12",) * 3]
)  # fmt: skip
def test_forms_of_channels(value, stored, text):
    found = Channels.parse(value)
    assert (found.stored, str(found)) == (stored, text)
    assert Channels.parse(found.stored) == found == Channels.parse(found)


@pytest.mark.parametrize(
    "value", ["", "a", "3+", "3-1", "3+-1", 0, -1, "3+0", "1024+1", 3.0, True, "9" * 50, None]
)
def test_what_is_no_number_of_channels(value):
    with pytest.raises(UserError, match="must be "):
        Channels.parse(value)


@pytest.mark.parametrize("value", ["a", [], [""], [1], {"a": 1}, None])
def test_what_is_no_list_of_folders(value):
    with pytest.raises(UserError, match="must be a list of folders"):
        Folders.parse(value)
