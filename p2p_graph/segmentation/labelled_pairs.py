"""Pairs of photos and label images for the small FCN: listed, checked, and as tensors."""

from collections.abc import Sequence

import tensorflow.compat.v1 as tf

from p2p_graph.data.dataset_iterators import next_element
from p2p_graph.data.image_files import SourceImage
from p2p_graph.data.image_sources import list_images
from p2p_graph.data.input_graph import TrainingInputs, translation_batches
from p2p_graph.imaging.image_arrays import read_half
from p2p_graph.imaging.palettes import spread_sample
from p2p_graph.segmentation.small_fcn_options import TrainingOptions
from p2p_graph.utils.errors import UserError


def training_pairs(options: TrainingOptions) -> Sequence[SourceImage]:
    """Lists the training pairs.

    Raises:
      UserError: there are none, some cannot be used, or the labels have other colours.
    """
    pairs = list_images(options.data(options.input_dir).source, single=False)
    _check_colours(pairs, options, "labels")
    return pairs


def validation_pairs(options: TrainingOptions) -> Sequence[SourceImage]:
    """Lists the validation pairs; none without `val_dir`.

    Raises:
      UserError: there are none, some cannot be used, or the labels have other colours.
    """
    if options.val_dir is None:
        return []
    try:
        pairs = list_images(options.data(options.val_dir).source, single=False)
    except UserError as error:
        message, *listed = error.args
        raise UserError(message.replace("input_dir", "val_dir", 1), *listed) from None
    _check_colours(pairs, options, f"labels in val_dir {options.val_dir}")
    return pairs


def training_inputs(
    pairs: Sequence[SourceImage], options: TrainingOptions, *, on_cpu: bool
) -> TrainingInputs:
    """Builds the input graph of training: shuffled, cropped and flipped batches."""
    data = options.data(options.input_dir)
    return TrainingInputs(pairs, data, options.seed, on_cpu=on_cpu)


def next_validation_pair(
    pairs: Sequence[SourceImage], options: TrainingOptions, session: tf.Session
) -> tuple[tf.Tensor, tf.Tensor]:
    """Builds the input graph of validation: one pair each time that it runs, first to last.

    Returns:
      The photo and its label image, both float32 [1, crop_size, crop_size, 3] in [-1, 1].
    """
    data = options.data(options.input_dir)
    with tf.device("/cpu:0"):
        _, photo, label_image = next_element(
            translation_batches(pairs, data.task, data.scaling, 1), session
        )
    return photo, label_image


def _check_colours(pairs: Sequence[SourceImage], options: TrainingOptions, name: str) -> None:
    """Checks that some of the label images have the palette's colours."""
    right = options.which_direction == "AtoB"
    labels = [read_half(pair.path, right=right) for pair in spread_sample(pairs)]
    options.palette.check_coverage(labels, name)
