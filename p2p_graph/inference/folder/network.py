"""The graph of a folder's translation: decoding, the generator, conversion to images."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import tensorflow.compat.v1 as tf

from p2p_graph.checkpoints import restore_checkpoint
from p2p_graph.checkpoints.restore_checkpoint import Checkpoint
from p2p_graph.checkpoints.weights_digest import digest_of_checkpoint
from p2p_graph.config.data_options import DataOptions
from p2p_graph.config.image_size import ORIGINAL, ImageSize
from p2p_graph.config.model_options import ModelOptions
from p2p_graph.config.options import OutputOptions
from p2p_graph.data.dataset_iterators import plain_iterator
from p2p_graph.data.image_files import SourceImage
from p2p_graph.data.image_pairs import sizes_before_scaling
from p2p_graph.data.input_graph import Batch, translation_batches
from p2p_graph.models.memory_estimate import translation_bytes
from p2p_graph.models.networks import translate
from p2p_graph.models.postprocess import to_integers, to_rgb, to_shown, to_values
from p2p_graph.models.precision import compute_once
from p2p_graph.utils.errors import UserError


class Fetches(NamedTuple):
    """What a `Session.run` call gives of a batch: tensors, or their values.

    Attributes:
      indices: int64 [N], the images' places in the list that is translated.
      shown: uint8 or uint16 [N, H, W, 1, 3 or 4] by kind.
      values: outputs and targets that no image file holds, float32 [N, H, W, C] by kind.
    """

    indices: Any
    shown: dict[str, Any]
    values: dict[str, Any]


class Restored(NamedTuple):
    """A checkpoint whose weights are used: its prefix, its step, and the weights' digest."""

    prefix: Path
    step: int
    weights: str


def build(
    images: Sequence[SourceImage],
    data: DataOptions,
    model: ModelOptions,
    outputs: OutputOptions,
    seed: int,
    session: tf.Session,
    *,
    on_cpu: bool,
) -> Fetches:
    """Builds decoding, the generator and conversion, and starts decoding.

    Args:
      images: in the order of translation.
      data: of the images.
      model: its generator translates.
      outputs: the form of written images.
      seed: of the dropout masks.
      session: that runs the graph.
      on_cpu: whether it runs on the CPU.

    Returns:
      Tensors: each `Session.run` call takes the next batch.
    """
    task, size = data.task, data.batches.batch_size
    with tf.name_scope("load_images"), tf.device("/cpu:0"):
        batches = translation_batches(
            images, task, data.scaling, size, skip_bad=data.source.skip_bad
        )
        iterator = plain_iterator(batches)
        indices, inputs, *targets = iterator.get_next()
    generated = translate(
        inputs,
        model,
        task.channels[1],
        seed,
        on_cpu=on_cpu,
        frozen=True,
        any_size=data.scaling.crop_size == ORIGINAL,
    )
    batch = Batch(indices, inputs, targets[0] if targets else None)
    rgb = to_rgb(batch, generated, task)
    if task.inputs_only:
        rgb.pop("targets", None)  # with Lab, the other channels of the image itself
    parts, aspect_ratio = task.shown_parts, outputs.aspect_ratio
    shown = to_integers(to_shown(rgb, parts), aspect_ratio, outputs.output_bits)
    session.run(iterator.initializer)
    return Fetches(indices, shown, to_values(rgb, parts, aspect_ratio))


def restore(folder: Path, session: tf.Session) -> Restored:
    """Restores the generator of the current graph from a folder's checkpoint.

    The checkpoint is the newest one of this moment: training may have gone on since the options
    were read.
    """
    variables = tf.trainable_variables()

    def restored(checkpoint: Checkpoint) -> Restored:
        checkpoint.restorer(variables)(session)
        return identified(checkpoint)

    found = restore_checkpoint.with_newest(folder, restored)
    compute_once(session)
    return found


def identified(checkpoint: Checkpoint) -> Restored:
    """Reads a checkpoint's step, and the digest of its weights."""
    return Restored(checkpoint.prefix, checkpoint.step(), digest_of_checkpoint(checkpoint))


def needed_memory(data: DataOptions, model: ModelOptions, images: Sequence[SourceImage]) -> int:
    """Estimates the memory of translation, in bytes.

    Raises:
      UserError: an image is too small to be translated at its own size.
    """
    size = data.scaling.crop_size
    if size == ORIGINAL:
        assert model.generator.levels is not None
        sizes = sizes_before_scaling(images, data.task)
        _check_sides(images, sizes, model.generator.levels)
        size = max(sizes, key=math.prod)
    return translation_bytes(model, data.task.channels, size, data.batches.batch_size)


def _check_sides(images: Sequence[SourceImage], sizes: Sequence[ImageSize], levels: int) -> None:
    smallest = 2**levels
    small = [
        f"{image.path}: is {size.width} pixels wide and {size.height} high"
        for image, size in zip(images, sizes, strict=True)
        if min(size) < smallest
    ]
    if small:
        raise UserError(
            f"crop_size original needs images of at least {smallest} pixels a side, as the "
            f"generator has {levels} levels; scale them (--crop_size {smallest}), or "
            "remove these:",
            *small,
        )
