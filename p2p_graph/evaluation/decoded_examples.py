"""Decodes the images of an example; those of 16 bits in full, too, which Pillow does not."""

import functools
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from p2p_graph.evaluation.example_images import Example
from p2p_graph.imaging.image_arrays import decode_rgb, read_contents
from p2p_graph.imaging.read_structure import read_structure
from p2p_graph.metrics.registry import DecodedExample
from p2p_graph.runtime.quiet_import import tensorflow_import
from p2p_graph.utils.errors import UserError

Array = np.ndarray[Any, Any]

_building = threading.Lock()


def decode_example(example: Example) -> DecodedExample:
    """Decodes the images of an example.

    Raises:
      UserError: an image cannot be read or decoded; the message names its file.
    """
    output, exact_output = _decode(example.output)
    target, exact_target = _decode(example.target)
    decoded = DecodedExample(example.name, output, target)
    if example.input:
        decoded = decoded._replace(input=_decode(example.input)[0])
    if exact_output is output and exact_target is target:
        return decoded
    return decoded._replace(exact=(exact_output, exact_target))


def _decode(path: Path) -> tuple[Array, Array]:
    """Decodes a file to uint8, and to values in [0, 255] at the file's precision."""
    try:
        contents = read_contents(path)
        structure = read_structure(contents)
        image = decode_rgb(contents, structure)
    except UserError as error:
        raise UserError(f"{path} {error}") from None
    if not structure.is_16_bit:
        return image, image
    with _building:
        decode = _decoder_of_16_bits()
    return image, decode(contents) * np.float32(255)


@functools.cache
def _decoder_of_16_bits() -> Callable[[bytes], Any]:
    """A function from a file's contents to float32 [H, W, 3] in [0, 1], by TensorFlow."""
    with tensorflow_import():
        import tensorflow.compat.v1 as tf

        from p2p_graph.data.decode import decode_file
    with tf.Graph().as_default() as graph, tf.device("/cpu:0"):
        contents = tf.placeholder(tf.string, [])
        decoded = decode_file(contents)
        session = tf.Session(graph=graph, config=tf.ConfigProto(device_count={"GPU": 0}))
    decode: Callable[[bytes], Any] = session.make_callable(decoded, [contents])
    return decode
