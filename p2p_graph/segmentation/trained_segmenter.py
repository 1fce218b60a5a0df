"""A network that tools/train_segmenter.py has trained, as a segmenter."""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow.compat.v1 as tf
from PIL import Image

from p2p_graph.checkpoints import restore_checkpoint
from p2p_graph.runtime import devices
from p2p_graph.segmentation.networks import backbone_fcn, small_fcn
from p2p_graph.segmentation.segmenter_file import Metadata
from p2p_graph.utils import signals
from p2p_graph.utils.checked_allocation import require_memory
from p2p_graph.utils.errors import UserError
from p2p_graph.utils.outside_files import damage_reported

SCOPE = "segmenter"

Array = np.ndarray[Any, Any]


def class_scores(
    photos: tf.Tensor, num_classes: int, width: int, backbone: str | None
) -> tf.Tensor:
    """Scores every class at every pixel by the network of a backbone, or without one.

    Args:
      photos: float32 [N, H, W, 3] in [-1, 1]; H and W are multiples of 32.
      num_classes: number of classes.
      width: see the networks.
      backbone: a name in `segmenter_file.BACKBONES`; None for the small FCN.

    Returns:
      float32 [N, H, W, num_classes], the logits of the classes.
    """
    network = backbone_fcn if backbone else small_fcn
    with tf.variable_scope(SCOPE, reuse=tf.AUTO_REUSE):
        return network.class_scores(photos, num_classes, width)


def memory_of(width: int, size: int, images: int) -> int:
    """Bytes that a forward pass needs at least: the images, and a first level's channels."""
    return 4 * images * size**2 * (3 + width)


class TrainedSegmenter:
    """A trained network with a session of its own.

    Attributes:
      metadata: the contents of segmenter.json.
    """

    def __init__(self, folder: Path) -> None:
        """Restores the network from a folder that tools/train_segmenter.py has written.

        Raises:
          UserError: the folder holds no checkpoint, or one that does not fit segmenter.json.
        """
        self.metadata = Metadata.load(folder)
        checkpoint = restore_checkpoint.find(folder)
        if checkpoint is None:
            raise UserError(
                f"segmenter {folder} holds no checkpoint: train it with tools/train_segmenter.py"
            )
        width, size = self.metadata.width, self.metadata.size
        with damage_reported(f"segmenter {folder}", "a segmenter"):
            require_memory(memory_of(width, size, 1))
        config = devices.choose("auto").config
        devices.set_gpu_arithmetic("fp32")
        with signals.held(), tf.Graph().as_default():
            num_classes = len(self.metadata.palette.classes)
            self._photo = tf.placeholder(tf.uint8, [size, size, 3], "photo")
            photos = tf.image.convert_image_dtype(self._photo[None], tf.float32) * 2 - 1
            scores = class_scores(photos, num_classes, width, self.metadata.backbone)
            self._ids = tf.argmax(scores[0], -1)
            self._session = tf.Session(config=config)
            checkpoint.restorer(tf.global_variables())(self._session)

    def __call__(self, photo: Array) -> Array:
        """Labels the pixels of a photo.

        Args:
          photo: uint8 [H, W, 3]; scaled to the training images' size if the size differs.

        Returns:
          int64 [size, size], class ids.
        """
        ids: Array = self._session.run(self._ids, {self._photo: self._scaled(photo)})
        return ids

    def _scaled(self, photo: Array) -> Array:
        """Averages over areas to shrink a photo, interpolates to enlarge it, as training does."""
        size = self.metadata.size
        if photo.shape[:2] == (size, size):
            return photo
        enlarges = self.metadata.backbone and size > max(photo.shape[:2])
        how = Image.Resampling.BILINEAR if enlarges else Image.Resampling.BOX
        return np.asarray(Image.fromarray(photo).resize((size, size), how))
