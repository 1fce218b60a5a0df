"""Decoding in the graph: from an image's index to its pixels, for files, shards and archives."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow.compat.v1 as tf

from p2p_graph.config.data_options import RGB
from p2p_graph.data.image_files import SourceImage
from p2p_graph.data.packed import npz_archives, tfrecord_shards
from p2p_graph.imaging import array_files, exif
from p2p_graph.utils.errors import UserError
from p2p_graph.utils.file_names import SHARD_SUFFIX

_BT601 = [0.299, 0.587, 0.114]  # luma of R, G and B


class Decoder(NamedTuple):
    """Decodes images in a graph.

    Attributes:
      decode: from an image's index, int64 scalar, to the images [h, w, C] of its columns (A, B
        where that is separate, further inputs); uint8 in [0, 255] or float32 in [0, 1].
      in_memory: whether decoding again is as cheap as a cache.
    """

    decode: Callable[[tf.Tensor], list[tf.Tensor]]
    in_memory: bool = False


def decoder_of(images: Sequence[SourceImage], dtype: tf.DType, channels: int = RGB) -> Decoder:
    """Makes the decoder of images from one source.

    Args:
      images: files, records of shards, or rows of an archive's arrays.
      dtype: uint8 or float32, of the decoded images.
      channels: of decoded image files: 3, or 4 to keep alpha. Arrays keep their own.
    """
    first = images[0]
    if first.position is None:
        return _decoder_of_files(images, dtype, channels)
    if first.path.parent.suffix == SHARD_SUFFIX:
        return _decoder_of_shards(images, dtype, channels)
    return _decoder_of_archive(images, dtype)


def _decoder_of_files(images: Sequence[SourceImage], dtype: tf.DType, channels: int) -> Decoder:
    columns = zip(*(map(str, image.columns) for image in images), strict=True)
    files = [tf.constant(paths) for paths in columns]
    upright = (exif.UPRIGHT,) * len(files)
    orientations = np.array([image.orientations or upright for image in images])
    turned = (orientations != exif.UPRIGHT).any(0)

    def decode(index: tf.Tensor) -> list[tf.Tensor]:
        contents = [tf.io.read_file(paths[index]) for paths in files]
        decoded = _decode_columns(contents, images[0], dtype, channels)
        return [
            turned_upright(image, tf.constant(orientations[:, part])[index])
            if turned[part]
            else image
            for part, image in enumerate(decoded)
        ]

    return Decoder(decode)


def turned_upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Turns an image [h, w, C] upright; see `exif.steps_to_upright`."""
    steps = np.array([exif.steps_to_upright(number) for number in range(9)])
    swap, *reverse = tf.unstack(tf.constant(steps)[orientation])
    channels = image.shape[-1]
    image = tf.cond(swap, lambda: tf.transpose(image, [1, 0, 2]), lambda: image)
    image = tf.ensure_shape(image, [None, None, channels])
    for axis, is_reversed in enumerate(reverse):
        image = tf.cond(is_reversed, lambda i=image, a=axis: tf.reverse(i, [a]), lambda i=image: i)
    return image


def _decoder_of_shards(images: Sequence[SourceImage], dtype: tf.DType, channels: int) -> Decoder:
    paths = sorted({image.path.parent for image in images})
    numbers = {path: number for number, path in enumerate(paths)}
    shards = tf.constant([str(path) for path in paths])
    shard_of = tf.constant([numbers[image.path.parent] for image in images], tf.int32)
    positions = tf.constant([image.position for image in images], tf.int64)
    first = images[0]

    def decode(index: tf.Tensor) -> list[tf.Tensor]:
        files = tfrecord_shards.read_record(shards[shard_of[index]], positions[index], first)
        return _decode_columns(files, first, dtype, channels)

    return Decoder(decode)


def _decoder_of_archive(images: Sequence[SourceImage], dtype: tf.DType) -> Decoder:
    arrays = npz_archives.load_arrays(images[0].path.parent, images[0].arrays)
    positions = tf.constant([image.position for image in images], tf.int64)

    def rows(position: int) -> list["np.ndarray[Any, Any]"]:
        # Fractions are divided here: a graph would multiply by the reciprocal.
        found = [array[position] for array in arrays]
        return [row / np.float32(255) if row.dtype == np.float32 else row for row in found]

    def decode(index: tf.Tensor) -> list[tf.Tensor]:
        dtypes = [array.dtype for array in arrays]
        found = tf.numpy_function(rows, [positions[index]], dtypes, stateful=False)
        return [
            _convert(tf.ensure_shape(image, array.shape[1:]), dtype)
            for image, array in zip(found, arrays, strict=True)
        ]

    return Decoder(decode, in_memory=True)


def _convert(image: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """Converts an archive's row, uint8 or float32 in [0, 1], to another type."""
    if image.dtype == dtype:
        return image
    return tf.image.convert_image_dtype(image, dtype)


def decode_file(contents: tf.Tensor, channels: int = RGB) -> tf.Tensor:
    """Decodes a JPEG or PNG file's contents (string scalar) to float32 [h, w, channels] in [0, 1].

    Grey is repeated, palettes and CMYK are converted; 16 bits keep their precision.

    Args:
      contents: of the file.
      channels: 3, which drops alpha, or 4; alpha is 1 where the file has none.
    """
    _, is_16_bit = _is_png_and_16_bit(contents)
    from_16_bits, from_8_bits = (
        lambda dtype=dtype: tf.image.convert_image_dtype(
            _decode(contents, dtype, channels), tf.float32
        )
        for dtype in (tf.uint16, tf.uint8)
    )
    return tf.cond(is_16_bit, from_16_bits, from_8_bits)


def _is_png_and_16_bit(contents: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Whether a file is a PNG, and whether it is one of 16 bits a channel."""
    # Padded, for files of fewer bytes: the error of `substr` would hold these bytes, no text.
    head = tf.strings.join([tf.strings.substr(contents, 0, 25), b"\0" * 25])
    is_png = tf.equal(tf.strings.substr(head, 1, 3), "PNG")
    return is_png, is_png & tf.equal(tf.strings.substr(head, 24, 1), b"\x10")


def _decode_columns(
    files: Sequence[tf.Tensor], image: SourceImage, dtype: tf.DType, channels: int
) -> list[tf.Tensor]:
    """Decodes the files of an image's columns; all images of a source are alike."""
    return [
        _decode_array(contents, dtype, image.channels_of(column))
        if image.channels_of(column)
        else _decode_as(contents, dtype, channels)
        for column, contents in enumerate(files)
    ]


def _decode_array(contents: tf.Tensor, dtype: tf.DType, channels: int) -> tf.Tensor:
    """Decodes a .npy or TIFF file's contents to [h, w, channels]."""

    def decode(file: bytes) -> "np.ndarray[Any, Any]":
        try:
            image = array_files.decode_array(file)
        except UserError as error:
            raise ValueError(str(error)) from None  # for TensorFlow, an invalid argument
        return image if dtype == tf.uint8 else array_files.as_values(image)

    image = tf.numpy_function(decode, [contents], dtype, stateful=False)
    return tf.ensure_shape(image, [None, None, channels])


def _decode_as(contents: tf.Tensor, dtype: tf.DType, channels: int) -> tf.Tensor:
    if dtype == tf.uint8:
        return _decode(contents, dtype, channels)
    return decode_file(contents, channels)


def _decode(contents: tf.Tensor, dtype: tf.DType, channels: int) -> tf.Tensor:
    """Decodes a file's contents to [h, w, channels], uint8 or uint16."""
    if channels == RGB:
        return decode_rgb(contents, dtype)
    return tf.cond(
        _may_have_alpha(contents),
        lambda: tf.ensure_shape(tf.io.decode_png(contents, 4, dtype), [None, None, 4]),
        lambda: with_channels(decode_rgb(contents, dtype), 4),
    )


def _may_have_alpha(contents: tf.Tensor) -> tf.Tensor:
    """Whether a file may hold alpha.

    Of a PNG of fewer than 8 bits a channel without a tRNS chunk, TensorFlow's alpha is 2^bits - 1.
    """
    head = tf.strings.join([tf.strings.substr(contents, 0, 25), b"\0" * 25])
    is_png = tf.equal(tf.strings.substr(head, 1, 3), "PNG")
    bits = tf.io.decode_raw(tf.strings.substr(head, 24, 1), tf.uint8)[0]

    def has_chunk() -> tf.Tensor:
        before_pixels = tf.strings.split([contents], "IDAT", maxsplit=1).values[0]
        return tf.strings.regex_full_match(before_pixels, r"\C*tRNS\C*")

    return is_png & ((bits >= 8) | tf.cond(is_png & (bits < 8), has_chunk, lambda: False))


def with_channels(image: tf.Tensor, channels: int) -> tf.Tensor:
    """Converts an image to another number of channels.

    Args:
      image: [h, w, C], RGB and perhaps alpha, or grey; uint8 or uint16, or float32 in [-1, 1].
      channels: C, 1 (BT.601 luma), 3 (grey is repeated), or 4 (opaque where there is no alpha).

    Returns:
      [h, w, channels] of the same type.
    """
    if channels == image.shape[-1]:
        return image
    if image.shape[-1] == 1:
        assert channels == RGB
        return tf.tile(image, [1, 1, RGB])
    if channels == 1:
        rgb = tf.cast(image[..., :RGB], tf.float32)
        luma = tf.tensordot(rgb, tf.constant(_BT601), 1)[..., None]
        return luma if image.dtype == tf.float32 else tf.saturate_cast(tf.round(luma), image.dtype)
    if channels == RGB:
        return image[..., :RGB]
    opaque = tf.constant(1 if image.dtype == tf.float32 else image.dtype.max, image.dtype)
    return tf.concat([image, tf.fill(tf.shape(image[..., :1]), opaque)], axis=2)


def decode_rgb(contents: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """Decodes a file's contents (string scalar) to RGB [h, w, 3], uint8 or uint16."""
    rgb = tf.io.decode_image(contents, channels=3, dtype=dtype, expand_animations=False)
    return tf.ensure_shape(rgb, [None, None, 3])
