"""Networks of other programs, run by OpenCV: read without noise, and errors in one line.

OpenCV is a package that nothing else needs; it is imported where it is used.
"""

import contextlib
import functools
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from p2p_graph.utils.errors import UserError

Array = np.ndarray[Any, Any]


@functools.cache
def module() -> Any:
    """Imports OpenCV, once in a process, and keeps it from writing its errors to stderr.

    Raises:
      UserError: it is not installed, or cannot be imported.
    """
    try:
        import cv2
    except ImportError as error:
        raise UserError(f"OpenCV is missing ({error}): pip install '.[fcn]'") from None
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    return cv2


def read_caffe(prototxt: Path, caffemodel: Path) -> Any:
    """Reads a network of Caffe.

    Args:
      prototxt: what the network is.
      caffemodel: its weights.

    Returns:
      A `cv2.dnn.Net` whose layers all have the weights that they need.

    Raises:
      UserError: OpenCV is missing or too new, or the files cannot be read or are not of one
        network.
    """
    dnn = module().dnn
    if not hasattr(dnn, "readNetFromCaffe"):
        version = module().__version__
        raise UserError(f"OpenCV {version} reads no networks of Caffe: pip install '.[fcn]'")
    with _wrong(f"{prototxt} and {caffemodel} cannot be read as a network of Caffe"), _silence():
        net = dnn.readNetFromCaffe(str(prototxt), str(caffemodel))
    # A deconvolution without weights would end the process when it is run, not raise an error.
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
    """Reads a network in an .onnx file as a `cv2.dnn.Net` with one output.

    Raises:
      UserError: OpenCV is missing, the file cannot be read, or its network has several outputs.
    """
    dnn = module().dnn
    with _wrong(f"{path} cannot be read as a network of ONNX"), _silence():
        net = dnn.readNetFromONNX(str(path))
    outputs = net.getUnconnectedOutLayersNames()
    if len(outputs) != 1:
        names = ", ".join(outputs)
        raise UserError(f"{path} has {len(outputs)} outputs ({names}): export it with one")
    return net


def layers(net: Any) -> dict[str, Any]:
    """A network's layers by name, first to last; each has a `type` and a list of `blobs`."""
    return {name: net.getLayer(net.getLayerId(name)) for name in net.getLayerNames()}


def forward(net: Any, values: Array, output: str | None = None) -> Array:
    """Runs a network.

    Args:
      net: a `cv2.dnn.Net`, used by one thread at a time.
      values: float32 [1, C, H, W]; H and W may be others than those that its file names.
      output: the layer whose output is asked for; by default the last.

    Returns:
      float32, the output.

    Raises:
      UserError: the network cannot take values of this shape; the message goes on from its name.
    """
    height, width = values.shape[2:]
    with _wrong(f"cannot take an image of {width}x{height} pixels"):
        net.setInput(values)
        result = net.forward(output) if output else net.forward()
    return np.asarray(result)


@contextlib.contextmanager
def _wrong(what: str) -> Iterator[None]:
    """Makes an error of OpenCV one for a person: what is wrong, and the condition that failed."""
    try:
        yield
    except module().error as error:
        lines = [line.strip(" >\t") for line in str(error.err).splitlines()]
        reason = next((line for line in lines if line), "no reason is given")
        raise UserError(f"{what}: {reason}") from None


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Hides what is written to stderr: protobuf's parser speaks without being asked."""
    sys.stderr.flush()
    shown = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(shown, 2)
        os.close(shown)
