"""How the input graph gets at images: in files, in shards, in an archive."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow.compat.v1 as tf

from p2p_graph.config.options import Config
from p2p_graph.data import tfrecord_shards
from p2p_graph.data.image_files import SourceImage
from p2p_graph.data.image_listing import is_single
from p2p_graph.data.npz_archives import open_archive


class Reader(NamedTuple):
    """Reads images in a graph.

    Attributes:
      read: from an index, int64 scalar, to one image [h, w, 3] or two, A and B; uint8 in
        [0, 255] or float32 in [0, 1].
      in_memory: whether reading again is as cheap as keeping would be.
    """

    read: Callable[[tf.Tensor], list[tf.Tensor]]
    in_memory: bool = False


def reader_of(images: Sequence[SourceImage], kind: tf.DType, config: Config) -> Reader:
    """Makes what reads these images, of one source, as values of one kind."""
    first = images[0]
    if first.place is None:
        return _of_files(images, kind)
    if first.path.parent.suffix == tfrecord_shards.SUFFIX:
        return _of_shards(images, kind)
    return _of_archive(images, kind, config)


def _of_files(images: Sequence[SourceImage], kind: tf.DType) -> Reader:
    columns = [tf.constant([str(image.path) for image in images])]
    if images[0].target:
        columns.append(tf.constant([str(image.target) for image in images]))
    return Reader(lambda index: [_decoded(tf.io.read_file(c[index]), kind) for c in columns])


def _of_shards(images: Sequence[SourceImage], kind: tf.DType) -> Reader:
    paths = sorted({image.path.parent for image in images})
    numbers = {path: number for number, path in enumerate(paths)}
    shards = tf.constant([str(path) for path in paths])
    numbered = tf.constant([numbers[image.path.parent] for image in images], tf.int32)
    places = tf.constant([image.place for image in images], tf.int64)
    count = 2 if images[0].target else 1

    def read(index: tf.Tensor) -> list[tf.Tensor]:
        files = tfrecord_shards.read_record(shards[numbered[index]], places[index])
        return [_decoded(contents, kind) for contents in files[:count]]

    return Reader(read)


def _of_archive(images: Sequence[SourceImage], kind: tf.DType, config: Config) -> Reader:
    path = images[0].path.parent
    arrays = open_archive(path, config.arrays, is_single(config))
    places = tf.constant([image.place for image in images], tf.int64)

    def rows(place: int) -> list["np.ndarray[Any, Any]"]:
        return [array[place] for array in arrays]

    def read(index: tf.Tensor) -> list[tf.Tensor]:
        kinds = [array.dtype for array in arrays]
        found = tf.numpy_function(rows, [places[index]], kinds, stateful=False)
        return [
            _as_kind(tf.ensure_shape(image, array.shape[1:]), kind)
            for image, array in zip(found, arrays, strict=True)
        ]

    return Reader(read, in_memory=True)


def _as_kind(image: tf.Tensor, kind: tf.DType) -> tf.Tensor:
    if image.shape[-1] == 1:
        image = tf.tile(image, [1, 1, 3])
    if image.dtype == kind:
        return image / 255 if kind == tf.float32 else image
    return tf.image.convert_image_dtype(image, kind)


def decode(contents: tf.Tensor) -> tf.Tensor:
    """Decodes a JPEG or PNG file's contents (string scalar) to float32 RGB [h, w, 3] in [0, 1].

    Grey is repeated, palettes and CMYK are converted, alpha is dropped; 16 bits keep their
    precision.
    """
    is_png = tf.equal(tf.strings.substr(contents, 1, 3), "PNG")
    deep = is_png & tf.equal(tf.strings.substr(contents, 24, 1), b"\x10")
    kinds = (tf.uint16, tf.uint8)
    wide, narrow = (
        lambda kind=kind: tf.image.convert_image_dtype(_decoded_as(contents, kind), tf.float32)
        for kind in kinds
    )
    return tf.cond(deep, wide, narrow)


def _decoded(contents: tf.Tensor, kind: tf.DType) -> tf.Tensor:
    return _decoded_as(contents, kind) if kind == tf.uint8 else decode(contents)


def _decoded_as(contents: tf.Tensor, kind: tf.DType) -> tf.Tensor:
    rgb = tf.io.decode_image(contents, channels=3, dtype=kind, expand_animations=False)
    return tf.ensure_shape(rgb, [None, None, 3])
