"""Helpers of the end-to-end tests: run the tools, read their files, compare."""

import contextlib
import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"
KINDS = ("inputs", "outputs", "targets")
# The reference's current layers and weights, and its first generation's, which this project writes.
LAYERS = {
    "conv2d": "conv",
    "conv2d_transpose": "deconv",
    "separable_conv2d": "separable_conv",
    "batch_normalization": "batchnorm",
}
WEIGHTS = {
    "kernel": "filter",
    "depthwise_kernel": "depthwise_filter",
    "pointwise_kernel": "pointwise_filter",
    "gamma": "scale",
    "beta": "offset",
}
# A training run that takes milliseconds a step.
SMALL = ("--crop_size", 32, "--ngf", 2, "--ndf", 2, "--summary_freq", 0)
# Building the graph takes most of such a run: tests that hold for any network use few layers.
SHALLOW = ("--levels", 2, "--discriminator", "patch16")
TINY = (*SMALL, "--crop_size", 16, *SHALLOW)


def script(tool):
    return str(ROOT / "tools" / f"{tool}.py")


def environment():
    """This process's environment without TensorFlow's log level: the tools set their own."""
    return {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}


def run(tool, *args, timeout=120, **options):
    """Runs a tool as a person does; returns its CompletedProcess."""
    command = [sys.executable, script(tool), *map(str, args)]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
        env=environment(),
        **options,
    )


def start(tool, *args, **options):
    """Starts a tool without waiting; its stdout, which includes stderr, is to be read."""
    command = [sys.executable, script(tool), *map(str, args)]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(),
        **options,
    )


class _Watched:
    """A stream that shows what is written into it to a function."""

    def __init__(self, stream, watch):
        self._stream, self._watch = stream, watch

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def write(self, text):
        written = self._stream.write(text)
        self._watch(text)
        return written


def call(tool, *args, cwd=None, watch=None):
    """Runs a tool in this process, without the seconds that TensorFlow's import takes.

    `watch`, if any, is called with each text that the tool prints, and can send a signal.
    """
    argv, before = [script(tool), *map(str, args)], Path.cwd()
    code, given, path = 0, sys.argv, list(sys.path)
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        stderr = os.dup(2)
        os.dup2(err.fileno(), 2)  # includes what TensorFlow's C++ code writes
        try:
            os.chdir(cwd or before)
            sys.argv = argv
            shown = _Watched(out, watch) if watch else out
            with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(err):
                runpy.run_path(argv[0], run_name="__main__")
        except SystemExit as stop:
            code = stop.code
        finally:
            sys.argv, sys.path[:] = given, path
            os.chdir(before)
            os.dup2(stderr, 2)
            os.close(stderr)
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(argv, code, out.read(), err.read())


def signal_at(number, start, count=1):
    """A `watch` of `call` that sends this process a signal at the count-th text with this start."""
    shown = 0

    def watch(text):
        nonlocal shown
        if text.startswith(start):
            shown += 1
            if shown == count:
                os.kill(os.getpid(), number)

    return watch


def succeeded(done):
    """Checks that a tool ended with code 0 and no warnings; returns its CompletedProcess."""
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return done


def assert_refused(done, *words):
    """The tool reported the error in one line on stderr and ended with code 2."""
    assert done.returncode == 2, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stdout + done.stderr
    assert "Graph execution" not in done.stderr, done.stderr
    assert done.stderr.endswith("\n"), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith(f"{Path(done.args[done.args[0] == sys.executable]).name}: ")
    for word in words:
        assert str(word) in done.stderr, f"{word!r} is not in: {done.stderr}"


def tensors(folder):
    """A folder's newest checkpoint, as TensorFlow finds and reads it, or that of a prefix."""
    prefix = tf.train.latest_checkpoint(str(folder)) if folder.is_dir() else str(folder)
    assert prefix, f"TensorFlow finds no checkpoint in {folder}"
    reader = tf.train.load_checkpoint(prefix)
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def write_tensors(folder, arrays, step):
    """Writes a checkpoint model-STEP with arrays under any names, without this package."""
    folder.mkdir(parents=True, exist_ok=True)
    names = sorted(arrays)
    tf.raw_ops.SaveV2(
        prefix=str(folder / f"model-{step}"),
        tensor_names=names,
        shape_and_slices=[""] * len(names),
        tensors=[tf.constant(arrays[name]) for name in names],
    )
    (folder / "checkpoint").write_text(f'model_checkpoint_path: "model-{step}"\n')


def assert_equal_bits(found, wanted):
    """Both hold the same names, and under each the same bytes."""
    assert sorted(found) == sorted(wanted)
    apart = [name for name in wanted if not same_bits(found[name], wanted[name])]
    assert not apart, f"{len(apart)} of {len(wanted)} differ: {apart[:5]}"


def assert_same_images(found, wanted):
    """Both hold the same names, and the same images up to rounding in a few pixels."""
    assert sorted(found) == sorted(wanted)
    for name, image in wanted.items():
        assert found[name].shape == image.shape, name
        apart = np.abs(found[name].astype(int) - image)
        assert apart.max() <= 1, name
        assert apart.mean() < 2e-3, name


def same_bits(a, b):
    a, b = np.asarray(a), np.asarray(b)
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def pixels(path):
    with Image.open(path) as image:
        return np.array(image)


def images(folder, kind="outputs"):
    """The images of one kind that test.py wrote, as arrays by name."""
    ending = f"-{kind}.png"
    found = sorted((folder / "images").glob(f"*{ending}"))
    return {path.name.removesuffix(ending): pixels(path) for path in found}


def file_bytes(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.png")}
