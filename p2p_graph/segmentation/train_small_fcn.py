"""Trains the network that reads labels off photos, on pairs of photos and label images."""

import contextlib
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow.compat.v1 as tf
from tqdm import tqdm

from p2p_graph.checkpoints import checkpoint_files
from p2p_graph.config.options import Config
from p2p_graph.data.dataset_ops import elements_of
from p2p_graph.data.image_files import SourceImage
from p2p_graph.data.image_listing import list_images
from p2p_graph.data.input_graph import TrainingInputs, translation_batches
from p2p_graph.imaging.image_arrays import read_half
from p2p_graph.imaging.palettes import Palette, spread_sample
from p2p_graph.metrics import label_accuracy
from p2p_graph.runtime import devices
from p2p_graph.segmentation.small_fcn import (
    MULTIPLE,
    SCOPE,
    class_ids,
    cross_entropy,
    restore,
    scores,
)
from p2p_graph.segmentation.small_fcn_file import SEGMENTER_FILE, Facts
from p2p_graph.utils import file_lock, signals
from p2p_graph.utils.errors import UserError, reason_of

Array = np.ndarray[Any, Any]

_SAVE_EVERY = 1000  # steps
_TELL_EVERY = 100  # steps


class Plan(NamedTuple):
    """How to train.

    Attributes:
      config: names the images and says how they are varied; photos are its inputs.
      val_dir: real pairs that are not trained on, for the scores; None for none.
      palette: the classes.
      width: channels of the first level.
      lr: Adam's learning rate.
      folder: where everything goes.
      max_steps: how many steps in all.
    """

    config: Config
    val_dir: str | None
    palette: Palette
    width: int
    lr: float
    folder: Path
    max_steps: int


def train(plan: Plan) -> int:
    """Trains, or goes on training, and scores what it got on images that it has not seen.

    Returns:
      The exit code: 0, or 128 and more where a signal ended it; what it had done is saved then.

    Raises:
      UserError: something that a person can mend.
    """
    config, folder = plan.config, plan.folder
    if config.crop_size % MULTIPLE:
        raise UserError(f"crop_size must be a multiple of {MULTIPLE}, not {config.crop_size}")
    images = list_images(config)
    unseen = _unseen(plan)
    plan.palette.check_coverage(_labels(images, config), "labels")
    if unseen:
        plan.palette.check_coverage(_labels(unseen, config), f"labels in val_dir {plan.val_dir}")
    was = _before(plan)
    found, session_config = devices.choose("auto")
    print(f"device: {found}")
    print(f"{len(images)} pairs, {len(unseen)} to score, {plan.max_steps} steps in all")
    sys.stdout.flush()
    with tf.Graph().as_default(), contextlib.ExitStack() as cleanup:
        tf.set_random_seed(config.seed)
        inputs = cleanup.enter_context(contextlib.closing(TrainingInputs(images, config)))
        batch = inputs.next_batch()
        assert batch.targets is not None
        ids = class_ids(batch.targets, plan.palette)
        loss = cross_entropy(_logits(batch.inputs, plan), ids)
        step = tf.train.get_or_create_global_step()
        update = tf.train.AdamOptimizer(plan.lr).minimize(loss, step)
        saver = tf.train.Saver()
        session = cleanup.enter_context(tf.Session(config=session_config))
        session.run(tf.global_variables_initializer())
        folder.mkdir(parents=True, exist_ok=True)
        cleanup.enter_context(file_lock.held(folder))
        if prefix := tf.train.latest_checkpoint(str(folder)):
            restore(saver, tf.global_variables(), session, prefix)
            print(f"going on from {prefix}")
        done = int(session.run(step))
        inputs.start(session, done)
        try:
            with signals.taken() as stopped:
                for number in _progress(done, plan.max_steps):
                    value, _ = session.run([loss, update])
                    if not np.isfinite(value):
                        raise UserError(f"the loss of step {number} is not finite: lower --lr")
                    if number % _TELL_EVERY == 0:
                        tqdm.write(f"step {number}, cross-entropy {value:.3f}")
                        sys.stdout.flush()
                    is_last = number == plan.max_steps
                    if number % _SAVE_EVERY == 0 or is_last or stopped.received:
                        Facts(plan.palette, plan.width, config.crop_size, number, {}).save(folder)
                        checkpoint_files.save(saver, session, folder, number)
                    if stopped.received and not is_last:
                        return stopped.told(number, plan.max_steps)
        except (tf.errors.InvalidArgumentError, tf.errors.NotFoundError) as error:
            raise UserError(f"an image can no longer be read: {reason_of(error)}") from None
        count = max(done, plan.max_steps)
        print(f"done: {count} steps, in {folder}", flush=True)
        known = was.scores if was and was.steps == count else {}
        told = _scores(unseen, plan, session) if unseen else known
    Facts(plan.palette, plan.width, config.crop_size, count, told).save(folder)
    return 0


def _unseen(plan: Plan) -> Sequence[SourceImage]:
    if plan.val_dir is None:
        return []
    try:
        return list_images(plan.config.replace(input_dir=plan.val_dir))
    except UserError as error:
        raise UserError(str(error).replace("input_dir", "val_dir", 1)) from None


def _labels(images: Sequence[SourceImage], config: Config) -> list[Array]:
    """The labels of some pairs, uint8 [H, W, 3] each."""
    right = config.which_direction == "AtoB"
    return [read_half(image.path, right=right) for image in spread_sample(images)]


def _before(plan: Plan) -> Facts | None:
    """What is there to go on with, if anything; it must have the same classes and sizes."""
    if not (plan.folder / SEGMENTER_FILE).exists():
        return None
    was = Facts.load(plan.folder)
    same = (was.width, was.size) == (plan.width, plan.config.crop_size)
    if not (same and was.palette.is_equivalent(plan.palette)):
        raise UserError(
            f"{plan.folder} holds a segmenter of another palette, width or crop_size: give the "
            "same ones, or another --output_dir"
        )
    return was


def _progress(done: int, last: int) -> "tqdm[int]":
    return tqdm(
        range(done + 1, last + 1),
        initial=done,
        total=last,
        unit="step",
        disable=not sys.stderr.isatty(),
    )


def _logits(photos: tf.Tensor, plan: Plan) -> tf.Tensor:
    with tf.variable_scope(SCOPE, reuse=tf.AUTO_REUSE):
        return scores(photos, len(plan.palette.classes), plan.width)


def _scores(images: Sequence[SourceImage], plan: Plan, session: tf.Session) -> dict[str, float]:
    """What the network reads off real photos, against their labels."""
    start = time.monotonic()
    with tf.device("/cpu:0"):
        config = plan.config.replace(batch_size=1)
        _, photos, wanted = elements_of(translation_batches(images, config), session)
    read = [tf.argmax(_logits(photos, plan), -1), class_ids(wanted, plan.palette)]
    classes = len(plan.palette.classes)
    total = np.zeros((classes, classes + 1))
    for _ in tqdm(images, "scoring", disable=not sys.stderr.isatty()):
        predicted, truth = session.run(read)
        total += label_accuracy.confusion_matrix(predicted, truth, classes)
    found = label_accuracy.label_scores(total)
    shown = ", ".join(f"{name} {value:.3f}" for name, value in found.items())
    seconds = time.monotonic() - start
    print(f"{len(images)} real photos in {seconds:.0f} s (not FCN-8s): {shown}")
    return found
