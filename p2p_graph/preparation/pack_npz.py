"""Packs images into one .npz archive, with 8 bits a channel and of one size."""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow.compat.v1 as tf
from tqdm import tqdm

from p2p_graph.config.data_options import DataOptions
from p2p_graph.config.image_size import ORIGINAL, ImageSize
from p2p_graph.config.output_folder import folders_of
from p2p_graph.data.channel_counts import channels_of_data
from p2p_graph.data.dataset_iterators import next_element, parallel_map
from p2p_graph.data.decode_check import image_errors_named
from p2p_graph.data.image_files import SourceImage, files_of
from p2p_graph.data.image_pairs import ImagePairs, scale
from p2p_graph.data.image_sources import list_images
from p2p_graph.utils import file_lock, signals
from p2p_graph.utils.atomic_write import atomic_write
from p2p_graph.utils.checked_allocation import allocate
from p2p_graph.utils.cores import available_cores
from p2p_graph.utils.counted import counted
from p2p_graph.utils.errors import UserError, why_not_written
from p2p_graph.utils.file_names import ARCHIVE_SUFFIX
from p2p_graph.utils.npz_files import open_npz
from p2p_graph.utils.outside_files import damage_reported, real_path

_WORKING_BYTES = 9  # of a value while its image is decoded and scaled: two float32 and a uint8

Array = np.ndarray[Any, Any]


def pack_npz(data: DataOptions, path: Path, size: ImageSize, *, compress: bool = False) -> int:
    """Packs the images of a source into one archive.

    The archive holds uint8 [N, H, W, C], with C = 3 for image files: arr_0 is A (or the single
    images) and arr_1 is B.

    Args:
      data: the source; inputs_only for single images; resize.
      path: the archive.
      size: height and width to scale images to. `ORIGINAL` keeps the images' size, which all
        images must share.
      compress: whether to write a smaller file, which cannot be mapped into memory.

    Returns:
      The number of images.

    Raises:
      UserError: an image cannot be used, the images differ in size, another file has the archive's
        name, or the archive cannot be written.
    """
    if path.suffix.lower() != ARCHIVE_SUFFIX:
        raise UserError(f"output_file {path} must end in {ARCHIVE_SUFFIX}")
    _check_replaceable(path)
    images = list_images(data.source, single=data.task.is_single)
    task = dataclasses.replace(data.task, **channels_of_data(data.task, data.source))
    data = dataclasses.replace(data, task=task)
    if real_path(path.parent) in folders_of(files_of(images)):
        raise UserError(
            f"output_file {path} would lie among the images that are packed: name another folder"
        )
    arrays = _decode(images, data, size)
    save = np.savez_compressed if compress else np.savez
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            file_lock.held(path.parent),
            atomic_write(path) as temporary,
            temporary.open("wb") as file,
        ):
            save(file, *arrays)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {why_not_written(error)}") from None
    return len(images)


def _check_replaceable(path: Path) -> None:
    """Refuses a file in the archive's place that `pack_npz` cannot have written."""
    try:
        with damage_reported(path, "an archive of images"), open_npz(path) as archive:
            if archive.names not in (["arr_0"], ["arr_0", "arr_1"]):
                raise ValueError(f"it holds {', '.join(archive.names) or 'nothing'}")
            for name in archive.names:
                array = archive.find(name)
                if array.dtype != np.uint8 or len(array.shape) != 4:
                    raise ValueError(f"its {name} is {array.dtype} {list(array.shape)}")
    except FileNotFoundError:
        pass
    except UserError as error:
        raise UserError(f"output_file {error}: name another file") from None


def _decode(images: Sequence[SourceImage], data: DataOptions, size: ImageSize) -> Sequence[Array]:
    """Decodes and scales images as training does: one array, or A's and B's."""
    with tf.Graph().as_default(), tf.device("/cpu:0"), tf.Session() as session:
        pairs = ImagePairs(images, data.task, data.scaling)
        height_width = pairs.size if size == ORIGINAL else size
        if height_width is None:
            raise UserError(
                f"the images in {data.source.path} differ in size: give one size (--size)"
            )

        def to_uint8(image: tf.Tensor) -> tf.Tensor:
            if image.dtype == tf.uint8:
                image = tf.image.convert_image_dtype(image, tf.float32) * 2 - 1
            if size != ORIGINAL:
                image = scale(image, size, data.scaling.resize)
            return tf.saturate_cast(tf.round((image + 1) * 127.5), tf.uint8)

        with signals.held():
            indices = tf.data.Dataset.range(len(images))
            decoded = parallel_map(indices, lambda i: tuple(map(to_uint8, pairs.decode(i))))
        arrays = _allocate(len(images), pairs.channels, height_width)
        next_images = next_element(decoded.prefetch(2), session)
        shown = sys.stderr.isatty()
        with image_errors_named(images):
            for index in tqdm(range(len(images)), unit="image", disable=not shown):
                for array, image in zip(arrays, session.run(next_images), strict=True):
                    array[index] = image
    return arrays


def _allocate(
    count: int, channels: Sequence[int], height_width: tuple[int, int]
) -> Sequence[Array]:
    """Makes the arrays if there is memory for them, and for the images being scaled."""
    height, width = height_width
    at_once = available_cores() * height * width * sum(channels) * _WORKING_BYTES
    try:
        values: Array = allocate(
            [count * height * width * sum(channels)], np.uint8, besides=at_once
        )
    except UserError as error:
        raise UserError(
            f"an archive of {counted(count, 'image')} of {width}x{height} pixels {error}: "
            "choose a smaller --size, or pack shards (tools/pack_records.py)"
        ) from None
    ends = np.cumsum([count * height * width * number for number in channels])
    parts = zip(np.split(values, ends[:-1]), channels, strict=True)
    return [part.reshape(count, height, width, number) for part, number in parts]
