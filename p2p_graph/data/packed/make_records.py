"""Makes the records of TFRecord shards, whose format is in `tfrecord_shards`."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow.compat.v1 as tf

from p2p_graph.data.image_files import SourceImage
from p2p_graph.data.packed.npz_archives import load_arrays
from p2p_graph.imaging.array_files import encode_npy
from p2p_graph.utils.errors import UserError
from p2p_graph.utils.outside_files import damage_reported, read_bytes


def serialize_example(image: SourceImage) -> bytes:
    """Makes an image's record from the unchanged bytes of its files; from arrays as .npy files.

    Raises:
      UserError: a file can no longer be read.
    """
    a, *others = _rows(image) if image.arrays else map(_read_image, image.columns)
    files: dict[str, bytes | list[bytes]] = {"a": a}
    if image.target:
        files["b"] = others.pop(0)
    if others:
        files["more"] = others
    name = image.path.name
    return example_of(name, image.width, image.height, files, is_16_bit=image.is_16_bit)


def example_of(
    name: str,
    width: int,
    height: int,
    files: Mapping[str, bytes | list[bytes]],
    *,
    is_16_bit: bool,
) -> bytes:
    """Makes a record of an image.

    Args:
      name: of the image.
      width: in pixels.
      height: in pixels.
      files: the contents of A under "a", of B under "b", of further inputs under "more".
      is_16_bit: whether a channel has more than 8 bits.
    """

    def feature(value: bytes | int | list[bytes]) -> tf.train.Feature:
        if isinstance(value, int):
            return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
        values = [value] if isinstance(value, bytes) else value
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))

    values = {
        "name": name.encode(errors="surrogateescape"),
        "width": width,
        "height": height,
        "deep": int(is_16_bit),
        **files,
    }
    features = tf.train.Features(feature={name: feature(value) for name, value in values.items()})
    contents: bytes = tf.train.Example(features=features).SerializeToString(deterministic=True)
    return contents


def _rows(image: SourceImage) -> list[bytes]:
    """An image's rows of an archive's arrays, as .npy files."""
    assert image.position is not None
    arrays = load_arrays(image.path.parent, image.arrays)
    rows = [array[image.position] for array in arrays]
    return [encode_npy(row if row.dtype == np.uint8 else row / np.float32(255)) for row in rows]


def _read_image(path: Path) -> bytes:
    try:
        with damage_reported(path, "an image"):
            return read_bytes(path)
    except FileNotFoundError:
        raise UserError(f"{path} is no longer there") from None
