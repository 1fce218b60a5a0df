"""Decodes the images of an example: RGB of 8 bits, and all that the files hold."""

import functools
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from p2p_graph.config.data_options import RGB
from p2p_graph.evaluation.example_images import Example
from p2p_graph.imaging.array_files import as_values, decode_array
from p2p_graph.imaging.image_arrays import decode_rgb, read_contents
from p2p_graph.imaging.image_structure import ImageStructure
from p2p_graph.imaging.read_structure import read_structure
from p2p_graph.metrics.registry import DecodedExample
from p2p_graph.runtime.quiet_import import tensorflow_import
from p2p_graph.utils import signals
from p2p_graph.utils.errors import UserError

Array = np.ndarray[Any, Any]

_building = threading.Lock()


def decode_example(example: Example) -> DecodedExample:
    """Decodes the images of an example.

    Raises:
      UserError: an image cannot be read or decoded; the message names its file.
    """
    output, target = _read(example.output), _read(example.target)
    decoded = DecodedExample(example.name, output.rgb, target.rgb)
    if example.input:
        decoded = decoded._replace(input=_read(example.input).rgb)
    if example.arrays:
        exact_output, exact_target = map(_read_array, example.arrays)
        return decoded._replace(exact=(exact_output, exact_target))
    both = {example.output: output.structure, example.target: target.structure}
    for path, structure in both.items():
        if example.channels == 4 and not structure.has_alpha:
            raise UserError(f"{path} has no alpha, and tools/test.py wrote it with alpha")
    channels = max(RGB, example.channels)
    if channels == RGB and not any(structure.is_16_bit for structure in both.values()):
        return decoded
    return decoded._replace(exact=(_in_full(output, channels), _in_full(target, channels)))


class _File(NamedTuple):
    """An image file: its contents, what they say of the image, and the image as uint8 RGB."""

    contents: bytes
    structure: ImageStructure
    rgb: Array


def _read(path: Path) -> _File:
    try:
        contents = read_contents(path)
        structure = read_structure(contents)
        return _File(contents, structure, decode_rgb(contents, structure))
    except UserError as error:
        raise UserError(f"{path} {error}") from None


def _read_array(path: Path) -> Array:
    """Reads an array to float32 [H, W, C] in [0, 255]."""
    try:
        values: Array = as_values(decode_array(read_contents(path))) * np.float32(255)
    except UserError as error:
        raise UserError(f"{path} {error}") from None
    return values


def _in_full(file: _File, channels: int) -> Array:
    """Decodes a file to values in [0, 255] at its precision."""
    if channels == RGB and not file.structure.is_16_bit:
        return file.rgb
    with _building:
        decode = _decoder(channels)
    values: Array = decode(file.contents) * np.float32(255)
    return values


@functools.cache
def _decoder(channels: int) -> Callable[[bytes], Any]:
    """A function from a file's contents to float32 [H, W, channels] in [0, 1], by TensorFlow."""
    with tensorflow_import():
        import tensorflow.compat.v1 as tf

        from p2p_graph.data.decode import decode_file
    with signals.held(), tf.Graph().as_default() as graph, tf.device("/cpu:0"):
        contents = tf.placeholder(tf.string, [])
        decoded = decode_file(contents, channels)
        session = tf.Session(graph=graph, config=tf.ConfigProto(device_count={"GPU": 0}))
    decode: Callable[[bytes], Any] = session.make_callable(decoded, [contents])
    return decode
