"""Caffe and ONNX networks, run by OpenCV: read silently, with errors of one line.

OpenCV is an optional package, imported only when a network is read.
"""

import contextlib
import functools
import multiprocessing
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from p2p_graph.utils.counted import counted
from p2p_graph.utils.errors import UserError, one_line_reason

_LONGEST_READING = 600.0  # seconds

_INSTALL = "pip install -c constraints.txt -e '.[fcn]'"

Array = np.ndarray[Any, Any]


@functools.cache
def import_opencv() -> Any:
    """Imports OpenCV once in a process, and stops OpenCV from logging errors to stderr.

    Raises:
      UserError: OpenCV is not installed, or cannot be imported.
    """
    try:
        import cv2
    except ImportError as error:
        raise UserError(f"OpenCV is missing ({error}): {_INSTALL}") from None
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    return cv2


def read_caffe(prototxt: Path, caffemodel: Path) -> Any:
    """Reads a Caffe network.

    Args:
      prototxt: file of the network's layers.
      caffemodel: file of the weights.

    Returns:
      A `cv2.dnn.Net` whose layers all have the weights that they need.

    Raises:
      UserError: OpenCV is missing or too new, or the files cannot be read or belong to two
        networks.
    """
    dnn = import_opencv().dnn
    if not hasattr(dnn, "readNetFromCaffe"):
        version = import_opencv().__version__
        raise UserError(f"OpenCV {version} reads no Caffe networks: {_INSTALL}")
    problem = f"{prototxt} and {caffemodel} cannot be read as a Caffe network"
    _try_in_child(problem, "readNetFromCaffe", prototxt, caffemodel)
    with _one_line_errors(problem), _silent():
        net = dnn.readNetFromCaffe(str(prototxt), str(caffemodel))
        # Running a deconvolution without weights would end the process, and raise no error.
        without = [
            name
            for name, layer in layers(net).items()
            if layer.type in ("Convolution", "Deconvolution") and not layer.blobs
        ]
    if without:
        more = f" and {len(without) - 1} more" if len(without) > 1 else ""
        raise UserError(
            f"{caffemodel} has no weights for layer {without[0]}{more} of {prototxt}: "
            "take the two files of one network"
        )
    return net


def read_onnx(path: Path) -> Any:
    """Reads an ONNX network with one output as a `cv2.dnn.Net`.

    Raises:
      UserError: OpenCV is missing, the file cannot be read, or its network has several outputs.
    """
    dnn = import_opencv().dnn
    problem = f"{path} cannot be read as an ONNX network"
    _try_in_child(problem, "readNetFromONNX", path)
    with _one_line_errors(problem), _silent():
        net = dnn.readNetFromONNX(str(path))
        outputs = net.getUnconnectedOutLayersNames()
    if len(outputs) != 1:
        names = ", ".join(outputs)
        raise UserError(
            f"{path} has {counted(len(outputs), 'output')} ({names}): export it with one"
        )
    return net


def layers(net: Any) -> dict[str, Any]:
    """Returns a network's layers by name, first to last; each has a `type` and `blobs`."""
    return {name: net.getLayer(net.getLayerId(name)) for name in net.getLayerNames()}


def forward(net: Any, values: Array, output: str | None = None) -> Array:
    """Runs a network.

    Args:
      net: a `cv2.dnn.Net`, used by one thread at a time.
      values: float32 [1, C, H, W]; H and W need not be the sizes in the network's file.
      output: name of the output layer; by default the last layer.

    Returns:
      float32, the output.

    Raises:
      UserError: the network cannot take this shape; the message lacks the network's name in front.
    """
    height, width = values.shape[2:]
    with _one_line_errors(f"cannot take an image of {width}x{height} pixels"):
        net.setInput(values)
        result = net.forward(output) if output else net.forward()
    return np.asarray(result)


def _try_in_child(problem: str, reader: str, *paths: Path) -> None:
    """Reads files in a child process first: on some damaged files, OpenCV ends its process.

    Errors that OpenCV raises are left to the reading in this process.

    Raises:
      UserError: the child did not come to its end; `problem` is what the message begins with.
    """
    methods = multiprocessing.get_all_start_methods()
    context: Any = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    if "forkserver" in methods:
        # Later children start with these modules, in milliseconds.
        context.set_forkserver_preload([__name__, "cv2"])
    child = context.Process(target=_read, args=(reader, *map(str, paths)), daemon=True)
    child.start()
    child.join(_LONGEST_READING)
    if child.exitcode is None:
        child.kill()
        child.join()
        raise UserError(f"{problem}: OpenCV does not come to an end")
    if not 0 <= child.exitcode < 256:  # a signal, or Windows' number for one
        raise UserError(f"{problem}: OpenCV crashes (exit code {child.exitcode})")


def _read(reader: str, *paths: str) -> None:
    """Reads files with a function of OpenCV, in a process of its own."""
    with contextlib.suppress(Exception), _silent():
        net = getattr(import_opencv().dnn, reader)(*paths)
        layers(net)


@contextlib.contextmanager
def _one_line_errors(problem: str) -> Iterator[None]:
    """Turns OpenCV's errors into `UserError`s of one line: the problem, and OpenCV's reason."""
    try:
        yield
    except import_opencv().error as error:
        lines = [line.strip(" >\t") for line in str(error.err).splitlines()]
        reason = next((line for line in lines if line), "no reason is given")
        raise UserError(f"{problem}: {reason}") from None
    except Exception as error:  # of Python's side of OpenCV: which one depends on the damage
        raise UserError(f"{problem}: {one_line_reason(error)}") from error


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Hides what the process writes to stderr: protobuf's parser, within OpenCV, logs there."""
    sys.stderr.flush()
    shown = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(shown, 2)
        os.close(shown)
