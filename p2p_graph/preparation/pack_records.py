"""Packs images into TFRecord shards, whose format is in `data.packed.tfrecord_shards`."""

import hashlib
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import tensorflow.compat.v1 as tf
from tqdm import tqdm

from p2p_graph.config.data_options import ImageSource
from p2p_graph.config.output_folder import claimed, refuse_data_folder
from p2p_graph.data.image_files import SourceImage, files_of
from p2p_graph.data.image_sources import list_images
from p2p_graph.data.packed import packing_record
from p2p_graph.data.packed.make_records import serialize_example
from p2p_graph.data.packed.packing_record import RECORD_FILE
from p2p_graph.data.packed.tfrecord_shards import (
    MOST_SHARDS,
    find_shards,
    is_intact,
    shard_name,
)
from p2p_graph.utils.atomic_write import atomic_write, write_json
from p2p_graph.utils.counted import counted
from p2p_graph.utils.errors import UserError, why_not_written
from p2p_graph.utils.outside_files import real_path, seen_from


def pack_records(
    source: ImageSource, folder: Path, per_shard: int, *, single: bool, name: str = "pairs"
) -> int:
    """Packs the images of a source into shards, in their order.

    A rerun keeps the shards that are intact and writes the missing ones.

    Args:
      source: where the images are.
      folder: the folder of shards, created if missing.
      per_shard: images per shard; the last shard may hold fewer.
      single: whether they are single images, not pairs.
      name: the prefix of the shards' file names.

    Returns:
      The number of images.

    Raises:
      UserError: an image cannot be used, the folder holds other shards, or the folder cannot be
        written.
    """
    images = list_images(source, single=single)
    if images[0].position is not None and not images[0].arrays:
        raise UserError(
            f"input_dir {source.path} holds shards: name the folder that their images were packed "
            "from"
        )
    refuse_data_folder(folder, files_of(images))
    count = math.ceil(len(images) / per_shard)
    if count > MOST_SHARDS:
        least = math.ceil(len(images) / MOST_SHARDS)
        raise UserError(
            f"pairs_per_shard must be at least {least} for {counted(len(images), 'image')}, not "
            f"{per_shard}: there are {MOST_SHARDS} shards at most"
        )
    with claimed(folder, "pack_records"):
        _pack(images, folder, per_shard, name)
    return len(images)


def _pack(images: Sequence[SourceImage], folder: Path, per_shard: int, name: str) -> None:
    """Writes the shards that are missing."""
    count = math.ceil(len(images) / per_shard)
    record: dict[str, object] = {"images": _digest(images, folder), "count": len(images)}
    if images[0].arrays:
        record["arrays"] = ",".join(images[0].arrays)
    _record(folder, {**record, "per_shard": per_shard, "name": name})
    _refuse_other_shards(folder, {shard_name(name, number, count) for number in range(count)})
    with tqdm(total=len(images), unit="image", disable=not sys.stderr.isatty()) as bar:
        for number in range(count):
            shard = folder / shard_name(name, number, count)
            in_shard = images[number * per_shard : (number + 1) * per_shard]
            intact = is_intact(shard, in_shard)
            if not intact:
                _write_shard(shard, in_shard)
            bar.update(len(in_shard))
            if bar.disable:
                before = ", as before" if intact else ""
                print(f"{shard.name}: {counted(len(in_shard), 'image')}{before}", flush=True)


def _refuse_other_shards(folder: Path, names: set[str]) -> None:
    """Refuses a folder that holds a shard besides those that are packed into it."""
    if other := next((path for path in find_shards(folder) if path.name not in names), None):
        raise UserError(
            f"output_dir {folder} holds {other.name}, which is a shard of other images, or packed "
            "with other flags: remove it, or name another folder"
        )


def _digest(images: Sequence[SourceImage], folder: Path) -> str:
    """Identifies a list of images by their files' paths, sizes and times of change.

    The paths are seen from the folder of shards, so that both may be moved together.
    """
    digest, start = hashlib.sha256(), real_path(folder)
    for image in images:
        files = [image.path.parent] if image.arrays else image.columns
        for path in files:
            status, place = path.stat(), seen_from(start, str(real_path(path)))
            fields = f"{place}\0{status.st_size}\0{status.st_mtime_ns}\n"
            digest.update(os.fsencode(fields))
    return digest.hexdigest()


def _record(folder: Path, record: dict[str, object]) -> None:
    """Writes what is packed into RECORD_FILE, or checks that the file says the same.

    Raises:
      UserError: the file is damaged or says something else, shards lack the file, or the folder
        cannot be written.
    """
    before = packing_record.read(folder)
    # The number of images, and an archive's arrays, are not in older records.
    later = {name: record[name] for name in ("count", "arrays") if name in record}
    if before is not None and later | before == record:
        return
    if before is not None:
        raise UserError(
            f"output_dir {folder} holds shards of other images, or packed with other flags: name "
            "another folder, or remove this one"
        )
    if find_shards(folder):
        raise UserError(
            f"output_dir {folder} holds shards of other images (without a {RECORD_FILE}): name "
            "another folder, or remove the shards"
        )
    try:
        write_json(folder / RECORD_FILE, record)
    except OSError as error:
        raise UserError(
            f"output_dir {folder} cannot be written: {why_not_written(error)}"
        ) from None


def _write_shard(shard: Path, images: Sequence[SourceImage]) -> None:
    """Writes a shard atomically."""
    try:
        with (
            atomic_write(shard) as temporary,
            tf.io.TFRecordWriter(os.fsencode(temporary)) as writer,
        ):
            for image in images:
                writer.write(serialize_example(image))
    except (OSError, tf.errors.OpError) as error:
        raise UserError(f"{shard} cannot be written: {why_not_written(error)}") from None
