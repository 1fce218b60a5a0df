"""Compares exported models with the Python API, each in its own runtime, image by image in turns.

python benchmarks/exports.py --checkpoint runs/mine --exported exported --input_dir facades/test

The exported folder is that of `tools/export.py`, with any formats. The images are the inputs of
pairs.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

import p2p_graph
from p2p_graph.imaging.image_arrays import read_half
from p2p_graph.metrics.ssim import ssim


def open_models(folder: Path) -> dict[str, tuple[Path, Callable]]:
    """A function from float32 images [1, H, W, C] to outputs for each form in a folder."""
    found: dict[str, tuple[Path, Callable]] = {}
    if (path := folder / "saved_model").exists():
        signature = tf.saved_model.load(str(path)).signatures["serving_default"]
        found["saved_model, TensorFlow"] = (
            path,
            lambda x: signature(images=tf.constant(x))["outputs"].numpy(),
        )
    if (path := folder / "frozen_graph.pb").exists():
        graph = tf.Graph()
        with graph.as_default():
            tf.import_graph_def(tf.compat.v1.GraphDef.FromString(path.read_bytes()), name="")
        session = tf.compat.v1.Session(graph=graph)
        found["frozen, TensorFlow"] = path, lambda x: session.run("outputs:0", {"images:0": x})
    if (path := folder / "generator.onnx").exists():
        import onnxruntime

        # Threads that wait by spinning would slow down whichever runtime comes next.
        options = onnxruntime.SessionOptions()
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        model = onnxruntime.InferenceSession(str(path), options)
        found["onnx, onnxruntime"] = path, lambda x: model.run(["outputs"], {"images": x})[0]
        if (core := openvino_core()) is not None:
            compiled = core.compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
            found["onnx, OpenVINO"] = path, lambda x: compiled(x)[0]
    for path in sorted(folder.glob("*.tflite")):
        found[f"{path.stem.replace('generator', 'litert')}, LiteRT"] = path, open_litert(path)
    return found


def openvino_core() -> Any:
    """OpenVINO, if it is installed."""
    try:
        import openvino
    except ImportError:
        return None
    return openvino.Core()


def open_litert(path: Path) -> Callable:
    """A LiteRT model with as many threads as the others have."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=os.cpu_count())
    model = interpreter.get_signature_runner()
    return lambda x: model(images=x)["outputs"].copy()


def megabytes(path: Path) -> float:
    """The size of a file, or of all files in a folder."""
    files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
    return sum(one.stat().st_size for one in files) / 1e6


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--checkpoint", required=True, help="folder of a training run")
    parser.add_argument("--exported", required=True, type=Path, help="folder of its export")
    parser.add_argument("--input_dir", required=True, type=Path, help="folder of pairs")
    parser.add_argument("--images", type=int, default=106, help="at most so many (default: 106)")
    given = parser.parse_args()
    generator = p2p_graph.load(given.checkpoint)
    paths = sorted(given.input_dir.iterdir())[: given.images]
    right = generator.direction == "BtoA"
    inputs = [read_half(path, right=right)[None] / np.float32(255) for path in paths]
    targets = [read_half(path, right=not right) / np.float32(255) for path in paths]
    models = {
        "Python API": (None, generator),
        **open_models(given.exported),
    }
    firsts, seconds = {}, {name: [] for name in models}
    outputs = {name: [] for name in models}
    for name, (_, call) in models.items():
        start = time.perf_counter()
        call(inputs[0])
        firsts[name] = time.perf_counter() - start
    for image in inputs:
        for name, (_, call) in models.items():
            start = time.perf_counter()
            made = call(image)
            seconds[name].append(time.perf_counter() - start)
            outputs[name].append(made[0])
    print(
        "| form, runtime | MB | first call, s | s an image | worst | mean | SSIM | L1 to targets |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, (path, _) in models.items():
        pairs = list(zip(outputs[name], outputs["Python API"], strict=True))
        differences = [np.abs(one - other) * 255 for one, other in pairs]
        l1 = statistics.fmean(
            2 * float(np.abs(one - target).mean())  # of values in [-1, 1]
            for one, target in zip(outputs[name], targets, strict=True)
        )
        score = statistics.fmean(ssim(one * 255, other * 255) for one, other in pairs)
        print(
            f"| {name} | {'' if path is None else f'{megabytes(path):.0f}'} | {firsts[name]:.2f} | "
            f"{statistics.median(seconds[name]):.3f} | {max(d.max() for d in differences):.2g} | "
            f"{statistics.fmean(d.mean() for d in differences):.2g} | {score:.4f} | {l1:.4f} |"
        )


if __name__ == "__main__":
    main()
