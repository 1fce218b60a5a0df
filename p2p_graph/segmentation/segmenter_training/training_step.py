"""The graph of a training step of a segmenter."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow.compat.v1 as tf

from p2p_graph.checkpoints import restore_checkpoint
from p2p_graph.checkpoints.save_checkpoint import saver_of
from p2p_graph.data.input_graph import Batch
from p2p_graph.segmentation.networks import backbone_weights
from p2p_graph.segmentation.networks.backbone_fcn import BACKBONE_SCOPE
from p2p_graph.segmentation.segmenter_training.class_loss import class_ids, cross_entropy
from p2p_graph.segmentation.segmenter_training.training_options import TrainingOptions
from p2p_graph.segmentation.trained_segmenter import SCOPE, class_scores, memory_of
from p2p_graph.utils.checked_allocation import require_memory
from p2p_graph.utils.errors import UserError

_BACKBONE_LR = 0.1  # of the learning rate: trained weights need small changes
_BACKBONE_PREFIX = f"{SCOPE}/{BACKBONE_SCOPE}/"

Array = np.ndarray[Any, Any]


class TrainingStep(NamedTuple):
    """The graph of a training step.

    Attributes:
      loss: float32 scalar, the cross-entropy of the batch before the update.
      update: op that updates the weights and increments `number`.
      number: int64 scalar variable, steps so far.
      saver: saves all variables.
    """

    loss: tf.Tensor
    update: tf.Operation
    number: tf.Variable
    saver: tf.train.Saver


def build_step(batch: Batch, options: TrainingOptions) -> TrainingStep:
    """Builds the loss of a batch and the update of the weights by Adam."""
    assert batch.targets is not None
    ids = class_ids(batch.targets, options.palette)
    loss = cross_entropy(logits(batch.inputs, options), ids)
    number = tf.train.get_or_create_global_step()
    lr = options.lr
    if options.backbone:
        lr *= 1 - tf.cast(number, tf.float32) / options.max_steps
    pretrained = [v for v in tf.trainable_variables() if _in_backbone(v)]
    new = [v for v in tf.trainable_variables() if not _in_backbone(v)]
    updates = [tf.train.AdamOptimizer(lr).minimize(loss, var_list=new)]
    if pretrained:
        optimizer = tf.train.AdamOptimizer(_BACKBONE_LR * lr, name="BackboneAdam")
        updates.append(optimizer.minimize(loss, var_list=pretrained))
    with tf.control_dependencies(updates):  # the learning rate is that of the step before
        update = number.assign_add(1).op
    return TrainingStep(loss, update, number, saver_of(tf.global_variables()))


def require_memory_to_train(options: TrainingOptions) -> None:
    """Refuses a training step that needs more memory than there is."""
    state = sum(v.dtype.size * v.shape.num_elements() for v in tf.global_variables())
    try:
        require_memory(state + memory_of(options.channels, options.crop_size, options.batch_size))
    except UserError as error:
        raise UserError(f"training {error}: lower --width, --crop_size or --batch_size") from None


def initialise(
    step: TrainingStep, session: tf.Session, folder: Path, pretrained: Mapping[str, Array]
) -> int:
    """Initialises all variables, from the folder's newest checkpoint if there is one.

    Args:
      step: the training step.
      session: the session.
      folder: of the checkpoints.
      pretrained: the backbone's weights as `backbone_weights.load` returns them, used if there is
        no checkpoint; empty without a backbone.

    Returns:
      The number of steps so far.

    Raises:
      UserError: the checkpoint cannot be read, or is of another network.
    """
    session.run(tf.global_variables_initializer())
    if checkpoint := restore_checkpoint.find(folder):
        checkpoint.restorer(tf.global_variables())(session)
        print(f"going on from {checkpoint.prefix}")
    elif pretrained:
        backbone_weights.assign(tf.global_variables(), _BACKBONE_PREFIX, pretrained, session)
    return int(session.run(step.number))


def fetched(session: tf.Session, fetches: Sequence[Any]) -> Sequence[Any]:
    """Fetches tensors.

    Raises:
      UserError: memory is exhausted.
    """
    try:
        found: Sequence[Any] = session.run(fetches)
        return found
    except tf.errors.ResourceExhaustedError:
        raise UserError(
            "training takes more memory than there is: lower --width, --crop_size or --batch_size"
        ) from None


def logits(photos: tf.Tensor, options: TrainingOptions) -> tf.Tensor:
    """Scores every class at every pixel: float32 [N, crop_size, crop_size, classes]."""
    num_classes = len(options.palette.classes)
    return class_scores(photos, num_classes, options.channels, options.backbone)


def _in_backbone(variable: tf.Variable) -> bool:
    return bool(variable.op.name.startswith(_BACKBONE_PREFIX))
