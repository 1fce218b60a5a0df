"""Pairs of photos and label images for a segmenter: listed, checked, and as tensors."""

from collections.abc import Sequence

import tensorflow.compat.v1 as tf

from p2p_graph.data.dataset_iterators import plain_iterator
from p2p_graph.data.image_files import SourceImage
from p2p_graph.data.image_sources import list_images, names_digest, source_named
from p2p_graph.data.input_graph import TrainingInputs, translation_batches
from p2p_graph.imaging.image_arrays import read_half
from p2p_graph.imaging.palettes import spread_sample
from p2p_graph.segmentation.segmenter_training.training_options import TrainingOptions


def training_pairs(options: TrainingOptions) -> Sequence[SourceImage]:
    """Lists the training pairs.

    Raises:
      UserError: there are none, some cannot be used, or the labels have other colours.
    """
    with source_named("input_dir"):
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
    with source_named("val_dir"):
        pairs = list_images(options.data(options.val_dir).source, single=False)
    _check_colours(pairs, options, f"labels in val_dir {options.val_dir}")
    return pairs


def training_inputs(
    pairs: Sequence[SourceImage], options: TrainingOptions, *, on_cpu: bool
) -> TrainingInputs:
    """Builds the input graph of training: shuffled, cropped and flipped batches."""
    data = options.data(options.input_dir)
    return TrainingInputs(pairs, data, options.seed, on_cpu=on_cpu)


class ValidationPairs:
    """The validation pairs as tensors, one at a time, first to last.

    Attributes:
      photo: float32 [1, crop_size, crop_size, 3] in [-1, 1].
      label_image: the same of the labels.
    """

    def __init__(self, pairs: Sequence[SourceImage], options: TrainingOptions) -> None:
        """Builds the input graph; `restart` comes before the first pair."""
        data = options.data(options.input_dir)
        with tf.device("/cpu:0"):
            batches = translation_batches(pairs, data.task, data.scaling, 1)
            self._iterator = plain_iterator(batches)
            _, self.photo, self.label_image = self._iterator.get_next()

    def restart(self, session: tf.Session) -> None:
        """Makes the first pair the next one."""
        session.run(self._iterator.initializer)


def _check_colours(pairs: Sequence[SourceImage], options: TrainingOptions, name: str) -> None:
    """Checks that some of the label images have the palette's colours."""
    right = options.which_direction == "AtoB"
    labels = [read_half(pair.path, right=right) for pair in spread_sample(pairs)]
    options.palette.check_coverage(labels, name)


def digest(options: TrainingOptions, folder: str) -> str:
    """The `names_digest` of the pairs in a folder."""
    return names_digest(options.data(folder).source, single=False)
