"""Images of a folder as a generator takes them."""

import dataclasses
from typing import Any

import numpy as np
import tensorflow.compat.v1 as tf

from p2p_graph.config.data_options import DataOptions, TaskOptions
from p2p_graph.data.channel_counts import channels_of_data
from p2p_graph.data.dataset_iterators import plain_iterator
from p2p_graph.data.decode_check import image_errors_named
from p2p_graph.data.image_sources import list_images
from p2p_graph.data.input_graph import Batch, translation_batches
from p2p_graph.models.postprocess import to_rgb
from p2p_graph.utils import signals

Array = np.ndarray[Any, Any]


def read_inputs(folder: str, data: DataOptions, at_most: int) -> list[Array]:
    """Reads the inputs of a folder's images.

    Args:
      folder: of images as in training, or of inputs alone with `inputs_only`.
      data: of the generator.
      at_most: how many are read, the first ones.

    Returns:
      float32 [1, H, W, C] in [0, 1] of `crop_size`; with Lab the whole image, RGB.

    Raises:
      UserError: the folder has no usable images of the generator's channels.
    """
    task, source = data.task, dataclasses.replace(data.source, input_dir=folder)
    channels_of_data(task, source)
    images = list_images(source, single=task.is_single, at_most=at_most)
    with (
        image_errors_named(images),
        tf.Graph().as_default(),
        tf.device("/cpu:0"),
        tf.Session() as session,
    ):
        with signals.held():
            iterator = plain_iterator(translation_batches(images, task, data.scaling, 1))
            _, inputs, *targets = iterator.get_next()
            taken = _images_of(Batch(None, inputs, *(targets or [None])), task)
        session.run(iterator.initializer)
        return [session.run(taken) for _ in images]


def _images_of(batch: Batch, task: TaskOptions) -> tf.Tensor:
    """With Lab the RGB image, otherwise the input."""
    images = to_rgb(batch, batch.inputs if batch.targets is None else batch.targets, task)
    is_whole_target = task.lab_colorization and task.which_direction == "AtoB"
    return images["targets" if is_whole_target else "inputs"]
