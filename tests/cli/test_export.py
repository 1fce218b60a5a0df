"""Clients that know only TensorFlow translate with exported models as tools/test.py does."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from .common import SHALLOW, assert_same_images, call, environment, images, succeeded

# Flags of the training, flags of both export and translation, further flags of the export.
CASES = {
    "rgb": (SHALLOW, (), ()),
    "jpeg": (SHALLOW, ("--dropout", 0.25, "--seed", 3), ("--output_filetype", "jpeg")),
    "lab_AtoB": (("--lab_colorization", "--which_direction", "AtoB"), (), ()),
    "lab_BtoA": ((*SHALLOW, "--lab_colorization", "--which_direction", "BtoA"), (), ()),
}

# Two clients that translate the images in SOURCE with every model ROOT/CASE/exported. Both run in
# one process that imports TensorFlow and not this project. The first does as the reference's.
META_CLIENT = """
import base64, json, pathlib, sys
import tensorflow.compat.v1 as tf

def translate(session, source, target, padded):
    target.mkdir(parents=True)
    (inputs,) = map(json.loads, tf.get_collection("inputs"))
    (outputs,) = map(json.loads, tf.get_collection("outputs"))
    for path in source.iterdir():
        encoded = base64.urlsafe_b64encode(path.read_bytes())
        if not padded:
            encoded = encoded.rstrip(b"=")
        fed = {inputs["input"]: [encoded], inputs["key"]: [path.name]}
        made = session.run({"output": outputs["output"], "key": outputs["key"]}, fed)
        assert made["key"].tolist() == [path.name.encode()], made["key"]
        assert made["output"].shape == (1,), made["output"]
        text = made["output"][0] + b"=" * (-len(made["output"][0]) % 4)
        (target / f"{path.stem}-outputs.png").write_bytes(base64.urlsafe_b64decode(text))

root, source = map(pathlib.Path, sys.argv[1:])
for case in root.iterdir():
    with tf.Graph().as_default(), tf.Session() as session:
        saver = tf.train.import_meta_graph(str(case / "exported" / "export.meta"))
        saver.restore(session, str(case / "exported" / "export"))
        for padded in (True, False):
            translate(session, source, case / f"meta_{padded}" / "images", padded)
assert "p2p_graph" not in sys.modules
"""
SAVED_MODEL_CLIENT = """
import pathlib, sys
import numpy as np
import tensorflow as tf

root, source = map(pathlib.Path, sys.argv[1:])
paths = sorted(source.iterdir())
contents = [path.read_bytes() for path in paths]
decoded = [tf.io.decode_image(c, channels=3, expand_animations=False) for c in contents]
floats = [tf.image.convert_image_dtype(image, tf.float32) for image in decoded]
batch = np.stack([tf.image.resize(image, [32, 32], "area") for image in floats])
for case in root.iterdir():
    model = tf.saved_model.load(str(case / "exported" / "saved_model"))
    serve, encoded = model.signatures["serving_default"], model.signatures["encoded"]
    together = serve(images=tf.constant(batch))["outputs"].numpy()
    alone = [serve(images=tf.constant(batch[i : i + 1]))["outputs"].numpy() for i in range(4)]
    np.savez(case / "served.npz", together=together, alone=np.concatenate(alone))
    shown = encoded(encoded=tf.constant(contents))["outputs"].numpy()
    served = model.signatures["encoded_bytes"](encoded=tf.constant(contents))["outputs_bytes"]
    assert (served.numpy() == shown).all()
    images = case / "encoded" / "images"
    images.mkdir(parents=True)
    for path, content in zip(paths, shown):
        (images / f"{path.stem}-outputs.png").write_bytes(content)
assert "p2p_graph" not in sys.modules
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Single images: of the model's size and larger, PNG and JPEG, grey, with alpha."""
    folder = tmp_path_factory.mktemp("source")
    rng = np.random.default_rng(0)
    smooth = Image.fromarray(rng.integers(0, 256, (6, 6, 3), np.uint8)).resize((48, 40))
    smooth.resize((32, 32)).save(folder / "1.png")
    smooth.save(folder / "2.jpg", quality=90)
    smooth.convert("L").save(folder / "3.png")
    smooth.putalpha(Image.fromarray(rng.integers(0, 256, (40, 48), np.uint8)))
    smooth.save(folder / "4.png")
    # Base64 of these files needs padding.
    assert any(path.stat().st_size % 3 for path in folder.iterdir())
    return folder


@pytest.fixture(scope="module")
def cases(make_model, source, tmp_path_factory):
    """A folder for each of `CASES`: `exported`, `wanted` (from tools/test.py), clients' results."""
    root = tmp_path_factory.mktemp("cases")
    for case, (model_flags, use, more) in CASES.items():
        model = ("--checkpoint", make_model(*model_flags))
        target = ("--output_dir", root / case / "exported")
        done = succeeded(call("export", *model, *target, *use, *more))
        message = f"wrote {target[1]}: export.meta, saved_model\n"
        assert done.stdout.endswith(message)
        single = () if "lab" in case else ("--inputs_only",)
        where = ("--input_dir", source, "--output_dir", root / case / "wanted")
        succeeded(call("test", *model, *where, *use, *single))
    done = subprocess.run(
        [sys.executable, "-c", META_CLIENT + SAVED_MODEL_CLIENT, str(root), str(source)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=environment(),
        cwd=root.parent,
    )
    assert done.returncode == 0, done.stderr
    return root


def test_files(cases):
    folder = cases / "rgb" / "exported"
    assert {path.name for path in folder.iterdir()} == {
        *("export.meta", "export.index", "export.data-00000-of-00001", "checkpoint"),
        *("saved_model", "options.json", "README.md", "export.json"),
    }
    assert tf.train.latest_checkpoint(str(folder)) == str(folder / "export")
    assert json.loads((folder / "options.json").read_text())["mode"] == "export"


@pytest.mark.parametrize("name", ["rgb", "lab_AtoB", "lab_BtoA"])
@pytest.mark.parametrize("made", ["meta_True", "meta_False", "encoded"])
def test_encoded_images(cases, name, made):
    """The reference's collections, base64 with and without padding; and the SavedModel."""
    wanted = images(cases / name / "wanted")
    assert {image.ndim for image in wanted.values()} == {2 if name == "lab_BtoA" else 3}
    for path in (cases / name / made / "images").iterdir():
        with Image.open(path) as shown:
            assert shown.format == "PNG"
    assert len(wanted) == 4
    assert_same_images(images(cases / name / made), wanted)


@pytest.mark.parametrize("made", ["meta_True", "meta_False", "encoded"])
def test_jpeg(cases, made):
    """Images as JPEG, translated with the export's own dropout and seed."""
    wanted = images(cases / "jpeg" / "wanted")
    for stem, image in wanted.items():
        path = cases / "jpeg" / made / "images" / f"{stem}-outputs.png"
        with Image.open(path) as shown:
            assert shown.format == "JPEG"
            # The first entry of the standard luminance table is 16; quality 80 is 40 % of it.
            assert shown.quantization[0][0] == 6
        assert path.read_bytes() == tf.io.encode_jpeg(image, quality=80).numpy()


@pytest.mark.parametrize("name", ["rgb", "lab_AtoB", "lab_BtoA"])
def test_served_values(cases, name):
    """float32 in [0, 1], the same in a batch and alone."""
    with np.load(cases / name / "served.npz") as served:
        together, alone = served["together"], served["alone"]
    assert together.dtype == np.float32
    assert together.shape == (4, 32, 32, 1 if name == "lab_BtoA" else 3)
    assert together.min() >= 0
    assert together.max() <= 1
    wanted = images(cases / name / "wanted")
    for values in (together, alone):
        # [0, 255] is cut into 256 parts of equal width.
        shown = np.clip(np.floor(values * np.float32(255.5)), 0, 255).astype(np.uint8)
        for stem, image in zip("1234", shown, strict=True):
            apart = np.abs(image.squeeze().astype(int) - wanted[stem])
            # The client scales images 2 to 4 as RGB, tools/test.py in Lab.
            scaled_as_rgb = "lab" in name and stem != "1"
            assert apart.max() <= (2 if scaled_as_rgb else 1), stem
            assert apart.mean() < 0.1, stem


def test_an_export_is_replaced(make_model, cases):
    """The default folder is `export` beside the checkpoint."""
    model = make_model(*SHALLOW)
    for _ in range(2):
        succeeded(call("export", "--checkpoint", model))
    folder, first = model / "export", cases / "rgb" / "exported"
    assert {path.name for path in folder.iterdir()} == {path.name for path in first.iterdir()}
    ours, theirs = (path / "export.data-00000-of-00001" for path in (folder, first))
    assert ours.read_bytes() == theirs.read_bytes()


def test_figures_are_of_the_exported_weights(model, other_model, data, tmp_path):
    """Both checkpoints are of the same step."""
    own = tmp_path / "own"
    shutil.copytree(other_model, own)
    for name, made_by in (("by_own", own), ("by_other", model)):
        results = ("--output_dir", own / name)
        succeeded(call("test", "--checkpoint", made_by, "--input_dir", data / "test", *results))
        succeeded(call("evaluate", "--results_dir", own / name, "--metrics", "l1"))
    mixed = own / "mixed"  # all but three images are left of the other checkpoint's
    for made_by, part, more in ((model, "test", ()), (own, "train", ("--max_steps", 3))):
        given = ("--checkpoint", made_by, "--input_dir", data / part, "--output_dir", mixed)
        out = succeeded(call("test", *given, *more)).stdout
    assert "also holds 4 images of an earlier translation" in out
    succeeded(call("test", *given, "--skip_done", "--max_steps", 3))
    command = ("--checkpoint", own, "--output_dir", tmp_path / "exported", "--format", "frozen")
    for listed in (["by_own"], ["by_own", "mixed"]):
        succeeded(call("evaluate", "--results_dir", mixed, "--metrics", "l1"))
        succeeded(call("export", *command))
        figures = json.loads((tmp_path / "exported" / "export.json").read_text())["figures"]
        assert list(figures) == listed
        # As the message about the earlier images says.
        shutil.rmtree(mixed / "images")
        out = succeeded(call("test", *given, "--skip_done", "--max_steps", 3)).stdout
        assert "earlier translation" not in out
