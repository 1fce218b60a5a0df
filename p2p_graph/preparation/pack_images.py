"""Packs image files: into TFRecord shards, or into one .npz archive."""

import hashlib
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow.compat.v1 as tf
from tqdm import tqdm

from p2p_graph.config.options import Config
from p2p_graph.data import npz_archives
from p2p_graph.data.dataset_ops import elements_of, mapped
from p2p_graph.data.image_files import SourceImage
from p2p_graph.data.image_listing import list_images
from p2p_graph.data.image_pairs import Pairs, scaled
from p2p_graph.data.tfrecord_shards import find_shards, is_intact, serialized, shard_name
from p2p_graph.utils.atomic_write import atomic_write
from p2p_graph.utils.errors import UserError, reason_of

PLAN_FILE = "packed.json"


def pack(config: Config, folder: Path, per_shard: int, name: str = "pairs") -> int:
    """Packs the images that `config` names into shards, in their order.

    Started again, it goes on after the shards that are whole.

    Args:
      config: input_dir and target_dir, or manifest; inputs_only where they are single images.
      folder: where the shards go.
      per_shard: how many images a shard holds; the last one may hold fewer.
      name: what the shards' names begin with.

    Returns:
      How many images are packed.

    Raises:
      UserError: an image cannot be used, the folder holds other shards or cannot be written.
    """
    images = list_images(config)
    if images[0].place is not None:
        raise UserError(f"input_dir {config.data} holds no image files to be packed")
    sources = {path.parent.resolve() for p in images for path in (p.path, p.target) if path}
    if folder.resolve() in sources:
        raise UserError(f"output_dir {folder} holds images that are packed: name another")
    _keep_plan(folder, {"images": _digest(images), "per_shard": per_shard, "name": name})
    count = math.ceil(len(images) / per_shard)
    with tqdm(total=len(images), unit="image", disable=not sys.stderr.isatty()) as bar:
        for number in range(count):
            shard = folder / shard_name(name, number, count)
            held = images[number * per_shard : (number + 1) * per_shard]
            found = is_intact(shard)
            if not found:
                _write(shard, held)
            bar.update(len(held))
            if bar.disable:
                print(f"{shard.name}: {len(held)} images{', as before' if found else ''}")
                sys.stdout.flush()
    return len(images)


def pack_archive(config: Config, path: Path, size: int | None, *, compress: bool = False) -> int:
    """Packs the images that `config` names into one .npz archive, as 8-bit RGB.

    Args:
      config: as in `pack`, and how images are scaled.
      path: the archive: arr_0 is A, or all of a single image, and arr_1 B; uint8 [N, H, W, 3].
      size: side to scale images to, pixels; None leaves them, and all must have one size then.
      compress: whether to write a smaller file, which cannot be mapped into memory.

    Returns:
      How many images are packed.

    Raises:
      UserError: an image cannot be used, sizes differ, or the archive cannot be written.
    """
    if path.suffix.lower() != npz_archives.SUFFIX:
        raise UserError(f"output_file must end in {npz_archives.SUFFIX}, {path} does not")
    images = list_images(config)
    arrays = _arrays(images, config, size)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as temporary, temporary.open("wb") as file:
            (np.savez_compressed if compress else np.savez)(file, *arrays)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from None
    return len(images)


def _arrays(
    images: Sequence[SourceImage], config: Config, size: int | None
) -> list["np.ndarray[Any, Any]"]:
    """Decodes and scales images: one array, or A's and B's."""
    with tf.Graph().as_default(), tf.device("/cpu:0"), tf.Session() as session:
        pairs = Pairs(images, config)
        height_width = pairs.size if size is None else (size, size)
        if height_width is None:
            raise UserError(f"the images in {config.data} differ in size: give one (--size)")

        def in_bytes(image: tf.Tensor) -> tf.Tensor:
            if image.dtype == tf.uint8:
                image = tf.image.convert_image_dtype(image, tf.float32) * 2 - 1
            if size is not None:
                image = scaled(image, size, config.resize)
            return tf.saturate_cast(tf.round((image + 1) * 127.5), tf.uint8)

        indices = tf.data.Dataset.range(len(images))
        decoded = mapped(indices, lambda index: tuple(map(in_bytes, pairs.source(index))))
        next_batch = elements_of(decoded.prefetch(2), session)
        shape = (len(images), *height_width, 3)
        arrays = [np.empty(shape, np.uint8) for _ in pairs.channels]
        shown = sys.stderr.isatty()
        for number in tqdm(range(len(images)), unit="image", disable=not shown):
            for array, part in zip(arrays, session.run(next_batch), strict=True):
                array[number] = part
    return arrays


def _digest(images: Sequence[SourceImage]) -> str:
    """Tells these images from others: by their files' names, sizes and times."""
    digest = hashlib.sha256()
    for image in images:
        for path in filter(None, (image.path, image.target)):
            facts = path.stat()
            digest.update(f"{path.resolve()}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _keep_plan(folder: Path, plan: dict[str, object]) -> None:
    """Writes down what is packed, or finds that it is what was packed before."""
    path = folder / PLAN_FILE
    try:
        before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    except (OSError, ValueError):
        before = {}
    if before == plan:
        return
    if before is not None or find_shards(folder):
        raise UserError(
            f"output_dir {folder} holds shards of other images, or packed otherwise: "
            "name another, or remove it"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(plan, indent=4) + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"output_dir {folder} cannot be written: {error.strerror}") from None


def _write(shard: Path, images: Sequence[SourceImage]) -> None:
    try:
        with atomic_write(shard) as temporary, tf.io.TFRecordWriter(str(temporary)) as writer:
            for image in images:
                writer.write(serialized(image))
    except (OSError, tf.errors.OpError) as error:
        raise UserError(f"{shard} cannot be written: {reason_of(error)}") from None
