"""An exported model is used without this project, and translates as tools/test.py does."""

import io
import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from .common import assert_equal_bits, call, environment, pictures, run, succeeded

LAB = {way: ("--lab_colorization", "--which_direction", way) for way in ("AtoB", "BtoA")}

# What clients of the reference do, each in a process of its own that knows nothing but TensorFlow.
META_CLIENT = """
import base64, json, pathlib, sys
import tensorflow.compat.v1 as tf

folder, source, target, padded = sys.argv[1:]
with tf.Graph().as_default(), tf.Session() as session:
    saver = tf.train.import_meta_graph(folder + "/export.meta")
    saver.restore(session, folder + "/export")
    (inputs,) = map(json.loads, tf.get_collection("inputs"))
    (outputs,) = map(json.loads, tf.get_collection("outputs"))
    for path in pathlib.Path(source).iterdir():
        encoded = base64.urlsafe_b64encode(path.read_bytes())
        if padded == "no":
            encoded = encoded.rstrip(b"=")
        fed = {inputs["input"]: [encoded], inputs["key"]: [path.name]}
        made = session.run({"output": outputs["output"], "key": outputs["key"]}, fed)
        assert made["key"].tolist() == [path.name.encode()], made["key"]
        assert made["output"].shape == (1,), made["output"]
        text = made["output"][0] + b"=" * (-len(made["output"][0]) % 4)
        (pathlib.Path(target) / path.name).write_bytes(base64.urlsafe_b64decode(text))
assert "p2p_graph" not in sys.modules
"""
SAVED_MODEL_CLIENT = """
import json, pathlib, sys
import numpy as np
import tensorflow as tf

folder, source, target = map(pathlib.Path, sys.argv[1:])
model = tf.saved_model.load(str(folder / "saved_model"))
paths = sorted(source.iterdir())
contents = [path.read_bytes() for path in paths]
size = [32, 32]
decoded = [tf.io.decode_image(c, channels=3, expand_animations=False) for c in contents]
floats = [tf.image.convert_image_dtype(picture, tf.float32) for picture in decoded]
batch = np.stack([tf.image.resize(picture, size, "area") for picture in floats])
serve, encoded = model.signatures["serving_default"], model.signatures["encoded"]
together = serve(pictures=tf.constant(batch))["outputs"].numpy()
alone = [serve(pictures=tf.constant(batch[i : i + 1]))["outputs"].numpy()[0] for i in range(3)]
shown = encoded(encoded=tf.constant(contents))["outputs"].numpy()
np.savez(target / "made.npz", together=together, alone=alone)
for path, content in zip(paths, shown):
    (target / path.name).write_bytes(content)
assert "p2p_graph" not in sys.modules
"""


def client(program, *args, cwd):
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, args)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=environment(),
        cwd=cwd,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Single pictures: of the model's size and not, PNG and JPEG, grey, with alpha, deep."""
    folder = tmp_path_factory.mktemp("inputs")
    rng = np.random.default_rng(0)
    smooth = Image.fromarray(rng.integers(0, 256, (6, 6, 3), np.uint8)).resize((48, 40))
    exact = smooth.resize((32, 32))
    exact.save(folder / "1.png")
    smooth.save(folder / "2.jpg", quality=90)
    smooth.convert("L").save(folder / "3.png")
    alpha = smooth.convert("RGBA")
    alpha.putalpha(Image.fromarray(rng.integers(0, 256, (40, 48), np.uint8)))
    alpha.save(folder / "4.png")
    # Else padding would not matter.
    assert any(path.stat().st_size % 3 for path in folder.iterdir())
    return folder


def translated(model, inputs, folder, *flags):
    """What tools/test.py makes of the pictures, by file name without suffix."""
    where = ("--input_dir", inputs, "--output_dir", folder, "--checkpoint", model)
    succeeded(call("test", *where, *flags))
    return pictures(folder)


def decode(folder):
    found = {}
    for path in folder.iterdir():
        if path.suffix != ".npz":
            with Image.open(io.BytesIO(path.read_bytes())) as image:
                assert image.format == "PNG"
                found[path.stem] = np.array(image)
    return found


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    done = succeeded(run("export", "--checkpoint", model, "--output_dir", folder))
    assert done.stdout.endswith(f"wrote {folder}/export.meta and {folder}/saved_model\n")
    return folder


@pytest.fixture(scope="module")
def wanted(model, inputs, tmp_path_factory):
    return translated(model, inputs, tmp_path_factory.mktemp("wanted"), "--inputs_only")


def test_files(exported):
    assert {path.name for path in exported.iterdir()} == {
        *("export.meta", "export.index", "export.data-00000-of-00001", "checkpoint"),
        *("saved_model", "options.json"),
    }
    assert tf.train.latest_checkpoint(str(exported)) == str(exported / "export")
    assert json.loads((exported / "options.json").read_text())["mode"] == "export"


@pytest.mark.parametrize("padded", ["yes", "no"])
def test_the_references_clients(exported, inputs, wanted, tmp_path, padded):
    client(META_CLIENT, exported, inputs, tmp_path, padded, cwd=tmp_path)
    assert_equal_bits(decode(tmp_path), wanted)


def as_bytes(pictures):
    """From [0, 1] to bytes: [0, 255] is cut into 256 equal parts."""
    return np.clip(np.floor(pictures.astype(np.float64) * 255.5), 0, 255).astype(np.uint8)


def test_the_saved_model(exported, inputs, wanted, tmp_path):
    client(SAVED_MODEL_CLIENT, exported, inputs, tmp_path, cwd=tmp_path)
    with np.load(tmp_path / "made.npz") as made:
        together, alone = made["together"], made["alone"]
    assert together.dtype == np.float32
    assert together.shape == (4, 32, 32, 3)
    assert together.min() >= 0
    assert together.max() <= 1
    shown = dict(zip("1234", as_bytes(together), strict=True))
    assert_equal_bits(shown, wanted)
    assert (as_bytes(alone) == as_bytes(together[:3])).all()
    assert_equal_bits(decode(tmp_path), wanted)


def test_jpeg_and_other_choices(model, inputs, tmp_path):
    """JPEG, quality 80, of what the seed and the share of dropout make."""
    chosen = ("--dropout", 0.25, "--seed", 3)
    where = ("--checkpoint", model, "--output_dir", tmp_path / "exported")
    succeeded(call("export", *where, *chosen, "--output_filetype", "jpeg"))
    (tmp_path / "made").mkdir()
    client(META_CLIENT, tmp_path / "exported", inputs, tmp_path / "made", "no", cwd=tmp_path)
    wanted = translated(model, inputs, tmp_path / "wanted", "--inputs_only", *chosen)
    for path in (tmp_path / "made").iterdir():
        with Image.open(path) as image:
            assert image.format == "JPEG"
            # The first entry of the standard luminance table is 16; quality 80 is 40 % of it.
            assert image.quantization[0][0] == 6
            apart = np.abs(np.array(image).astype(int) - wanted[path.stem])
        assert apart.mean() < 12, path.name


@pytest.mark.parametrize("direction", LAB)
def test_lab(make_model, inputs, tmp_path, direction):
    lab = make_model(*LAB[direction])
    succeeded(call("export", "--checkpoint", lab, "--output_dir", tmp_path / "exported"))
    wanted = translated(lab, inputs, tmp_path / "wanted")
    assert {picture.ndim for picture in wanted.values()} == {3 if direction == "AtoB" else 2}
    for name, program, more in (
        ("meta", META_CLIENT, ("no",)),
        ("saved", SAVED_MODEL_CLIENT, ()),
    ):
        (tmp_path / name).mkdir()
        args = (tmp_path / "exported", inputs, tmp_path / name, *more)
        client(program, *args, cwd=tmp_path)
        found = decode(tmp_path / name)
        if direction == "BtoA":
            # The colours of a grey picture are rounding, which normalisation makes much of.
            apart = np.abs(found.pop("3").astype(int) - wanted["3"])
            assert apart.max() <= 1
        assert_equal_bits(found, {name: wanted[name] for name in found})


def test_exporting_again_replaces_it(model, exported):
    """By default it goes beside the checkpoint."""
    for _ in range(2):
        succeeded(call("export", "--checkpoint", model))
    folder = model / "export"
    assert {path.name for path in folder.iterdir()} == {path.name for path in exported.iterdir()}
    ours, theirs = (path / "export.data-00000-of-00001" for path in (folder, exported))
    assert ours.read_bytes() == theirs.read_bytes()
