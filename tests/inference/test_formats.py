"""Exported models, opened in their own runtimes, give what the Python API gives."""

import importlib.util
import json
import math
import re
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import tensorflow.compat.v1 as tf
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

import p2p_graph
from p2p_graph.checkpoints.restore_checkpoint import need
from p2p_graph.checkpoints.weights_digest import digest_of_checkpoint
from p2p_graph.config.options import Options
from p2p_graph.config.options_file import maker_of, read_options, save_options
from p2p_graph.config.system_presets import PRESETS
from p2p_graph.inference.export import export
from p2p_graph.models.networks import Networks
from p2p_graph.utils.errors import UserError

from ..test_docs import python_blocks, run_script

FORMATS = "saved_model,frozen,onnx,litert"
ALWAYS = ("options.json", "README.md", "export.json")
# Sums in another order; normalisation of few values enlarges the difference. In [0, 1].
CLOSE = 2e-3


def make_run(folder, **options):
    """A folder with the checkpoint of a small generator with random weights."""
    folder.mkdir()
    made = Options.of(**{"ngf": 2, "ndf": 1, "levels": 2, **options})
    size, channels = made.data.scaling.crop_size, made.data.task.channels
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(3)
        networks = Networks(made.model, made.losses, 0, on_cpu=True)
        networks.generate(tf.zeros([1, *size, channels[0]]), channels[1], tf.constant(0, tf.int64))
        session.run(tf.global_variables_initializer())
        rng = np.random.default_rng(4)
        for variable in tf.trainable_variables():  # so that biases and offsets are not 0
            value = session.run(variable)
            variable.load(value + rng.normal(0, 0.1, value.shape).astype(np.float32), session)
        tf.train.Saver().save(session, str(folder / "model-1"), write_meta_graph=False)
    save_options(made, folder)
    return folder


def run_onnx(path, images):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert [value.name for value in session.get_inputs()] == ["images"]
    [outputs] = session.run(["outputs"], {"images": images})
    return outputs


def run_frozen(path, images):
    graph = tf.GraphDef.FromString(path.read_bytes())
    with tf.Graph().as_default(), tf.Session() as session:
        tf.import_graph_def(graph, name="")
        return session.run("outputs:0", {"images:0": images})


def run_litert(path, images):
    model = Interpreter(str(path)).get_signature_runner()
    assert list(model.get_input_details()) == ["images"]
    return model(images=images)["outputs"]


def run_saved_model(path, images):
    with tf.Graph().as_default(), tf.Session() as session:
        loaded = tf.saved_model.load(session, ["serve"], str(path))
        signature = loaded.signature_def["serving_default"]
        return session.run(
            signature.outputs["outputs"].name, {signature.inputs["images"].name: images}
        )


CASES = {
    **{name: {"preset": name, **PRESETS[name]} for name in PRESETS},
    "lab": {"lab_colorization": True},
    "lab, BtoA": {"lab_colorization": True, "which_direction": "BtoA"},
    "channels": {"input_channels": "3+2", "target_channels": 1},
    "separable": {"separable_conv": True, "bias": "all"},
    "encoder-decoder, no dropout": {"generator": "encoder_decoder", "dropout": 0.0},
    "grey to 6 channels, not square": {
        "input_channels": 1,
        "target_channels": 6,
        "crop_size": "16x32",
    },
}


@pytest.mark.parametrize("case", CASES)
def test_formats(case, tmp_path):
    options = {**CASES[case]}
    options["crop_size"] = options["crop_size"] if "not square" in case else 32
    options["scale_size"] = None
    # As few levels as a network can have: conversions take long.
    options["levels"] = 4 if case == "pyimagesearch" else 2
    names = ("jitter", "resize_first", "max_steps", "split", "split_seed", "val_dir")
    run = make_run(tmp_path / "run", **{n: v for n, v in options.items() if n not in names})
    folder = tmp_path / "exported"
    export({"checkpoint": str(run), "output_dir": str(folder), "format": FORMATS, "seed": 5})
    assert {path.name for path in folder.iterdir()} == {
        "saved_model", "frozen_graph.pb", "generator.onnx", "generator.tflite", *ALWAYS,
    }  # fmt: skip
    onnx.checker.check_model(str(folder / "generator.onnx"), full_check=True)
    with p2p_graph.load(run, device="cpu", seed=5) as generator:
        shape = (2, *generator.size, generator.channels[0])
        images = np.random.default_rng(6).random(shape, np.float32)
        images[0, :8, :8] = [[[0.0]]]
        images[0, 8:, 8:] = [[[1.0]]]
        wanted = generator(images)
        assert wanted.shape[-1] == generator.channels[1]
        assert np.ptp(wanted) > 0.05
        for call, name in (
            (run_onnx, "generator.onnx"),
            (run_frozen, "frozen_graph.pb"),
            (run_saved_model, "saved_model"),
        ):
            outputs = np.clip(call(folder / name, images), 0, 1)
            assert outputs.dtype == np.float32
            np.testing.assert_allclose(outputs, wanted, atol=CLOSE, err_msg=name)
        outputs = np.clip(run_litert(folder / "generator.tflite", images[:1]), 0, 1)
        np.testing.assert_allclose(outputs, wanted[:1], atol=CLOSE)


def smooth_images(count, size, channels, seed=0):
    """Images like photos: few values change from a pixel to the next one."""
    rng = np.random.default_rng(seed)
    small = rng.random((count, 4, 4, channels), np.float32)
    return np.repeat(np.repeat(small, size // 4, axis=1), size // 4, axis=2)


def test_smaller_litert_models(tmp_path):
    """The fewer the bits, the smaller the file and the farther the output, within bounds.

    The folder's name would be a pattern to TensorFlow.
    """
    options = {**CASES["separable"], **CASES["lab, BtoA"]}
    run = make_run(tmp_path / "run", **options, crop_size=32, levels=3, ngf=16, dropout=0.0)
    data = tmp_path / "data"
    data.mkdir()
    for number, image in enumerate(smooth_images(3, 32, 3)):
        Image.fromarray((image * 255).astype(np.uint8)).save(data / f"{number}.png")
    out = tmp_path / "out[1]\\"
    flags = {"checkpoint": str(run), "output_dir": str(out)}
    flags |= {"calibration_dir": str(data), "inputs_only": True}
    names = {"litert": "", "litert-fp16": "_fp16"}
    names |= {"litert-int8-weights": "_int8_weights", "litert-int8": "_int8"}
    export({**flags, "format": ",".join(names)})
    images = smooth_images(1, 32, 3, seed=1)
    with p2p_graph.load(run, device="cpu") as generator:
        wanted = generator(images)
    sizes, errors = [], []
    for suffix in names.values():
        path = out / f"generator{suffix}.tflite"
        outputs = run_litert(path, images)
        assert outputs.dtype == np.float32
        sizes.append(path.stat().st_size)
        errors.append(np.abs(outputs - wanted).mean())
    assert sizes[0] > sizes[1] > sizes[2]
    assert errors[0] < errors[1] < errors[2] < errors[3] < 0.1
    assert errors[0] < 1e-4


def test_litert_int8_is_calibrated(tmp_path):
    """Convolutions get int8 and give int8, whose ranges are those of the images."""
    run = make_run(tmp_path / "run", crop_size=32)
    flags = {"checkpoint": str(run), "format": "litert-int8"}
    ranges = {}
    for name, brightness in (("dark", 20), ("light", 250)):
        data = tmp_path / name
        data.mkdir()
        pixels = np.random.default_rng(0).integers(0, brightness, (32, 64, 3), np.uint8)
        Image.fromarray(pixels).save(data / "pair.png")
        folder = tmp_path / f"{name}_out"
        export({**flags, "output_dir": str(folder), "calibration_dir": str(data)})
        details = Interpreter(str(folder / "generator_int8.tflite")).get_tensor_details()
        taken = [
            one["quantization"]
            for one in details
            if one["dtype"] == np.int8 and list(one["shape"]) == [1, 32, 32, 3]
        ]
        ranges[name] = taken[0][0] * 255
    # Values in [-1, 1]; a range holds 0.
    assert ranges["dark"] == pytest.approx(1, abs=0.02)
    assert ranges["light"] == pytest.approx(2, abs=0.1)


def test_litert_calibration_refusals(tmp_path):
    run = make_run(tmp_path / "run", crop_size=32)
    flags = {"checkpoint": str(run), "output_dir": str(tmp_path / "out")}
    empty = tmp_path / "empty"
    empty.mkdir()
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "a.png").write_bytes(b"x")
    for more, message in (
        ({"format": "litert-int8"}, "format litert-int8 needs --calibration_dir"),
        (
            {"format": "litert", "calibration_dir": str(empty)},
            "calibration_dir is for the format litert-int8",
        ),
        (
            {"format": "litert-int8", "calibration_dir": str(empty)},
            f"calibration_dir {empty} holds no images",
        ),
        (
            {"format": "litert-int8", "calibration_dir": str(empty / "x")},
            f"calibration_dir {empty / 'x'} does not exist",
        ),
        (
            {"format": "litert-int8", "calibration_dir": str(bad)},
            f"1 of 1 image in {bad} cannot be used; mend or remove them:\n",
        ),
    ):
        with pytest.raises(UserError) as raised:
            export({**flags, **more})
        assert message in str(raised.value)
        assert not (tmp_path / "out").exists()
    same = {"format": "litert-int8", "calibration_dir": str(empty), "output_dir": str(empty)}
    with pytest.raises(UserError, match="is the folder of images: name another --output_dir"):
        export({**flags, **same})


def test_the_seed_makes_the_masks(tmp_path):
    run = make_run(tmp_path / "run", crop_size=32)
    images = np.random.default_rng(7).random((1, 32, 32, 3), np.float32)
    outputs = {}
    for seed in (0, 1):
        folder = tmp_path / str(seed)
        flags = {"checkpoint": str(run), "output_dir": str(folder), "seed": seed}
        export({**flags, "format": "onnx,litert" if seed else "onnx"})
        outputs[seed] = run_onnx(folder / "generator.onnx", images)
        with p2p_graph.load(run, device="cpu", seed=seed) as generator:
            wanted = generator(images)
        np.testing.assert_allclose(outputs[seed], wanted, atol=CLOSE)
        if seed:
            found = run_litert(folder / "generator.tflite", images)
            np.testing.assert_allclose(found, wanted, atol=CLOSE)
    assert np.abs(outputs[0] - outputs[1]).max() > 0.01


def test_sizes(tmp_path):
    """Without dropout, any size that fits; with dropout, that of training."""
    run = make_run(tmp_path / "run", crop_size=32, levels=3)
    for dropout in (0.0, 0.5):
        folder = tmp_path / str(dropout)
        flags = {"checkpoint": str(run), "output_dir": str(folder), "format": "onnx"}
        export({**flags, "dropout": dropout})
        with p2p_graph.load(run, device="cpu", dropout=dropout) as generator:
            for shape in ((3, 32, 32, 3), (1, 16, 40, 3)):
                images = np.random.default_rng(8).random(shape, np.float32)
                if dropout and shape[1] != 32:
                    with pytest.raises(Exception, match="invalid dimensions"):
                        run_onnx(folder / "generator.onnx", images)
                    continue
                found = run_onnx(folder / "generator.onnx", images)
                np.testing.assert_allclose(found, generator(images), atol=CLOSE)


def test_a_saved_model_holds_each_weight_once(tmp_path):
    """Filters are stored as they are used: transposed for matmul convolutions, or as trained."""
    run = make_run(tmp_path / "run", crop_size=32, ngf=8)
    folder = tmp_path / "out"
    export({"checkpoint": str(run), "output_dir": str(folder), "format": "meta,saved_model"})
    counts = []
    for prefix in (folder / "export", folder / "saved_model" / "variables" / "variables"):
        shapes = tf.train.load_checkpoint(str(prefix)).get_variable_to_shape_map()
        names = [name for name in shapes if "/dropout/" not in name]
        counts.append(sum(math.prod(shapes[name]) for name in names))
    assert counts[0] == counts[1]
    assert any(name.endswith("deconv/computed") for name in names)


def test_the_model_says_what_it_is(tmp_path):
    run = make_run(tmp_path / "run", crop_size=32, which_direction="BtoA")
    export({"checkpoint": str(run), "output_dir": str(tmp_path / "out"), "format": "onnx"})
    model = onnx.load(str(tmp_path / "out" / "generator.onnx"))
    found = {entry.key: entry.value for entry in model.metadata_props}
    assert found == {
        "checkpoint": "model-1", "which_direction": "BtoA", "seed": "0", "dropout": "0.5",
    }  # fmt: skip


def test_opencv_reads_the_onnx_model(tmp_path):
    """Its importer takes few of the ways to write a network."""
    cv2 = pytest.importorskip("cv2")
    run = make_run(tmp_path / "run", crop_size=32)
    export({"checkpoint": str(run), "output_dir": str(tmp_path / "out"), "format": "onnx"})
    network = cv2.dnn.readNetFromONNX(str(tmp_path / "out" / "generator.onnx"))
    images = np.random.default_rng(7).random((1, 32, 32, 3), np.float32)
    network.setInput(images)
    with p2p_graph.load(run, device="cpu") as generator:
        np.testing.assert_allclose(network.forward(), generator(images), atol=CLOSE)


def test_a_fresh_process_needs_the_runtime_alone(tmp_path):
    run = make_run(tmp_path / "run", crop_size=32)
    export({"checkpoint": str(run), "output_dir": str(tmp_path / "out"), "format": "onnx,frozen"})
    (tmp_path / "call.py").write_text(
        "import sys, numpy as np, onnxruntime\n"
        "session = onnxruntime.InferenceSession('out/generator.onnx')\n"
        "[outputs] = session.run(None, {'images': np.zeros((1, 32, 32, 3), np.float32)})\n"
        "assert not {'tensorflow', 'p2p_graph', 'onnx'} & set(sys.modules)\n"
        "print(outputs.shape)\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "call.py"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "(1, 32, 32, 3)\n"


def test_a_later_export_leaves_no_other_formats(tmp_path):
    run = make_run(tmp_path / "run", crop_size=32)
    flags = {"checkpoint": str(run), "output_dir": str(tmp_path / "out")}
    export({**flags, "format": "meta,saved_model,frozen,onnx"})
    (tmp_path / "out" / "notes.txt").write_text("a person's")
    export({**flags, "format": "onnx"})
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "generator.onnx", "notes.txt", *ALWAYS,
    }  # fmt: skip
    assert json.loads((tmp_path / "out" / "options.json").read_text())["format"] == "onnx"


def test_the_model_cards(tmp_path):
    """Their snippets run, and they say what was trained, evaluated and exported."""
    scripts, checks = zip(
        card(tmp_path / "lab", lab_colorization=True),
        card(tmp_path / "channels", input_channels=5),
        strict=True,
    )
    run_script(tmp_path, "import os\n" + "".join(scripts))
    for check in checks:
        check()


def card(tmp_path, **options):
    """A script of a card's snippets, and a function that checks what it writes."""
    tmp_path.mkdir()
    run = make_run(tmp_path / "run", crop_size="16x32", levels=3, input_dir="a`b\nc", **options)
    used = Options.of(**read_options(run)).replace(mode="test", seed=3)
    own = digest_of_checkpoint(need(run))
    for name, made, weights in (
        ("made|it", used, own),
        ("others", used, "0" * len(own)),
        ("other_seed", used.replace(seed=4), own),
        ("without", used.replace(dropout=0.0), own),
        ("damaged", used, own),
    ):
        report = run / name / "evaluation" / "evaluation.json"
        report.parent.mkdir(parents=True)
        save_options(made, run / name, {"trained_steps": "0", "weights": weights})
        figures = {"l1": {"value": 0.25 if made is used and weights == own else 0.5}}
        record = {"figures": figures, "made_by": maker_of(read_options(run / name), weights)}
        report.write_text("[]" if name == "damaged" else json.dumps(record))
    folder = tmp_path / "out"
    flags = {"checkpoint": str(run), "output_dir": str(folder), "format": f"meta,{FORMATS}"}
    export({**flags, "seed": 3})
    text, record = (
        (folder / "README.md").read_text(),
        json.loads((folder / "export.json").read_text()),
    )
    for words in (
        "for 0 steps on `a'b\\nc`",
        "at 16x32 pixels",
        r"| made\|it | 0.25 |",
        "multiple of 8",
    ):
        assert words in text
    assert record["figures"] == {"made|it": {"l1": 0.25}}
    wanted = 5 if "input_channels" in options else 3
    assert (record["input"]["channels"], record["output"]["channels"]) == (wanted, 3)
    assert ("export.meta" in text) == ("meta" in record["formats"]) == (wanted == 3)
    snippets = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(snippets) == 4
    rng = np.random.default_rng(5)
    image = rng.integers(0, 256, (16, 32, 3), np.uint8)
    Image.fromarray(image).save(folder / "input.png")
    each = "assert outputs.shape == (1, 16, 32, 3)\nImage.open('output.png').save(f'{n}.png')\n"

    def check():
        with p2p_graph.load(run, device="cpu", seed=3) as generator:
            made = generator(np.zeros((16, 32, 5), np.uint8) if wanted == 5 else image).astype(int)
        for number in range(4):
            with Image.open(folder / f"{number}.png") as output:
                np.testing.assert_allclose(np.asarray(output), made, atol=1)

    script = "".join(f"{one}n = {n}\n{each}" for n, one in enumerate(snippets))
    return f"os.chdir({str(folder)!r})\n{script}", check


def test_a_persons_readme_stays(tmp_path):
    run = make_run(tmp_path / "run", crop_size=32)
    folder = tmp_path / "out"
    flags = {"checkpoint": str(run), "output_dir": str(folder), "format": "frozen"}
    folder.mkdir()
    (folder / "README.md").write_text("a person's")
    with pytest.raises(UserError, match=r"holds README\.md, which tools/export\.py did not"):
        export(flags)
    assert [path.name for path in folder.iterdir()] == ["README.md"]
    (folder / "README.md").unlink()
    export(flags)
    export(flags)


def test_the_card_names_both_sizes(tmp_path):
    sizes = {"crop_size": 32, "levels": 3, "input_channels": "3+1"}
    run = make_run(tmp_path / "run", **sizes, recipe="facades")
    folder = tmp_path / "out"
    flags = {"checkpoint": str(run), "output_dir": str(folder), "format": "onnx"}
    export({**flags, "crop_size": "16x64"})
    text = (folder / "README.md").read_text()
    assert "at 32x32 pixels (height x width)." in text
    assert "The ONNX model takes 16x64 pixels alone." in text
    assert "| 4: 3 + 1, in this order |" in text
    assert "from the CMP Facade Database: for these, the terms of [its authors](http://cmp" in text


def test_a_persons_export_json_stays(tmp_path):
    run = make_run(tmp_path / "run", crop_size=32)
    folder = tmp_path / "out"
    folder.mkdir()
    for contents in ('{"mine": 1}', "my own", "[1]"):
        (folder / "export.json").write_text(contents)
        with pytest.raises(UserError, match=r"holds export\.json, which tools/export\.py did not"):
            export({"checkpoint": str(run), "output_dir": str(folder), "format": "frozen"})
        assert (folder / "export.json").read_text() == contents


def test_the_documents_snippets(tmp_path):
    """Each reads input.png, and writes output.png or leaves `outputs`."""
    run = make_run(tmp_path / "run", ngf=1)
    flags = {"checkpoint": str(run), "output_dir": str(tmp_path / "exported")}
    export({**flags, "format": "saved_model,onnx,litert"})
    pixels = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "input.png")
    with p2p_graph.load(run, device="cpu") as generator:
        wanted = generator(pixels).astype(int)
    used, script = [], "import shutil\n"
    for snippet in python_blocks("docs/USE.md"):
        if "p2p_graph" in snippet or (
            "openvino" in snippet and importlib.util.find_spec("openvino") is None
        ):
            continue
        if "output.png" in snippet:
            after = f"shutil.move('output.png', 'output{len(used)}.png')\n"
        else:
            snippet += "assert outputs.shape == images.shape\n"
            after = ""
        # In one process, each with names of its own.
        script += f"exec({snippet!r}, {{}})\n{after}"
        used.append(snippet)
    assert len(used) >= 3
    run_script(tmp_path, script)
    for number, snippet in enumerate(used):
        if "output.png" in snippet:
            with Image.open(tmp_path / f"output{number}.png") as output:
                np.testing.assert_allclose(np.asarray(output), wanted, atol=1)


def test_a_generator_that_one_file_does_not_hold(tmp_path, monkeypatch):
    run = make_run(tmp_path / "run", crop_size=32)
    monkeypatch.setattr("p2p_graph.inference.exported_graph._LARGEST_FILE", 1000)
    for name in ("onnx", "frozen", "litert"):
        with pytest.raises(UserError, match=f"format {name} holds at most 2 GB, and the gen"):
            export({"checkpoint": str(run), "output_dir": str(tmp_path / "out"), "format": name})
        assert not (tmp_path / "out" / "options.json").exists()


@pytest.mark.parametrize("names", ["", "onx", "meta,", "onnx saved_model"])
def test_unknown_formats(tmp_path, names):
    run = make_run(tmp_path / "run", crop_size=32)
    with pytest.raises(UserError, match="format must be of meta, saved_model, frozen, onnx"):
        export({"checkpoint": str(run), "output_dir": str(tmp_path / "out"), "format": names})
    assert not (tmp_path / "out").exists()


def test_without_the_package(tmp_path, monkeypatch):
    run = make_run(tmp_path / "run", crop_size=32)
    monkeypatch.setitem(sys.modules, "onnx", None)
    flags = {"checkpoint": str(run), "output_dir": str(tmp_path / "out")}
    with pytest.raises(UserError, match="format onnx needs the package onnx: pip install"):
        export({**flags, "format": "onnx"})
    assert not (tmp_path / "out").exists()
    export({**flags, "format": "frozen"})
