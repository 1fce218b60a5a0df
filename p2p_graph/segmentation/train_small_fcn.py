"""Trains the small FCN on pairs of photos and label images."""

import contextlib
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow.compat.v1 as tf
from tqdm import tqdm

from p2p_graph.checkpoints import restore_checkpoint, save_checkpoint
from p2p_graph.config.output_folder import claimed, refuse_data_folder
from p2p_graph.data.decode_check import image_errors_named
from p2p_graph.data.image_files import SourceImage, files_of
from p2p_graph.data.input_graph import Batch
from p2p_graph.metrics.label_scores import confusion_matrix, label_scores
from p2p_graph.runtime import devices
from p2p_graph.segmentation import labelled_pairs
from p2p_graph.segmentation.small_fcn import (
    SCOPE,
    class_ids,
    class_scores,
    cross_entropy,
    memory_of,
)
from p2p_graph.segmentation.small_fcn_file import SEGMENTER_FILE, Metadata
from p2p_graph.segmentation.small_fcn_options import TrainingOptions
from p2p_graph.utils import signals
from p2p_graph.utils.checked_allocation import require_memory
from p2p_graph.utils.counted import counted
from p2p_graph.utils.errors import UserError

_SAVE_FREQ = 1000  # steps
_PROGRESS_FREQ = 100  # steps


class _Step(NamedTuple):
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


def train(options: TrainingOptions) -> int:
    """Trains the network up to `max_steps`, and scores it on the validation pairs.

    Training resumes from the newest checkpoint in `output_dir`.

    Returns:
      The exit code: 0, or 128 plus the number of the signal that stopped training. A stopped run
      has saved its steps.

    Raises:
      UserError: images, labels, options or earlier checkpoints cannot be used.
    """
    pairs = labelled_pairs.training_pairs(options)
    validation = labelled_pairs.validation_pairs(options)
    refuse_data_folder(options.output_dir, files_of([*pairs, *validation]))
    previous = _previous_metadata(options)
    device = devices.choose("auto")
    devices.set_gpu_arithmetic("fp32")
    print(f"device: {device.name}")
    print(
        f"{counted(len(pairs), 'training pair')}, {counted(len(validation), 'validation pair')}, "
        f"{counted(options.max_steps, 'step')} in total",
        flush=True,
    )
    with tf.Graph().as_default(), contextlib.ExitStack() as cleanup:
        tf.set_random_seed(options.seed)
        inputs = cleanup.enter_context(
            contextlib.closing(labelled_pairs.training_inputs(pairs, options, on_cpu=device.is_cpu))
        )
        step = _build_step(inputs.next_batch(), options)
        _require_memory(options)
        session = cleanup.enter_context(tf.Session(config=device.config))
        cleanup.enter_context(claimed(options.output_dir, "train_segmenter"))
        done = _initialise(step, session, options.output_dir)
        cleanup.enter_context(image_errors_named([*pairs, *validation]))
        inputs.start(session, done)
        if code := _run_steps(step, session, done, options):
            return code
        steps = max(done, options.max_steps)
        print(f"done: {counted(steps, 'step')}, in {options.output_dir}", flush=True)
        scores = previous.scores if previous and previous.steps == steps else {}
        start = time.monotonic()
        if validation:
            scores = _validate(validation, session, options)
        _metadata(options, steps, scores).save(options.output_dir)
    if validation:
        shown = ", ".join(f"{name} {value:.3f}" for name, value in scores.items())
        seconds = time.monotonic() - start
        print(
            f"{counted(len(validation), 'validation photo')} in {seconds:.0f} s (not FCN-8s): "
            f"{shown}"
        )
    return 0


def _previous_metadata(options: TrainingOptions) -> Metadata | None:
    """Reads the segmenter.json of an earlier run in the output folder, if there is one.

    Raises:
      UserError: the earlier run's classes or sizes are others.
    """
    folder = options.output_dir
    if not (folder / SEGMENTER_FILE).exists():
        return None
    previous = Metadata.load(folder)
    same_sizes = (previous.width, previous.size) == (options.width, options.crop_size)
    if not (same_sizes and previous.palette.is_equivalent(options.palette)):
        raise UserError(
            f"{folder} holds a segmenter of another palette, width or crop_size: give the same "
            "ones, or another --output_dir"
        )
    return previous


def _metadata(options: TrainingOptions, steps: int, scores: dict[str, float]) -> Metadata:
    return Metadata(options.palette, options.width, options.crop_size, steps, scores)


def _build_step(batch: Batch, options: TrainingOptions) -> _Step:
    """Builds the loss of a batch and the update of the weights by Adam."""
    assert batch.targets is not None
    ids = class_ids(batch.targets, options.palette)
    loss = cross_entropy(_logits(batch.inputs, options), ids)
    number = tf.train.get_or_create_global_step()
    update = tf.train.AdamOptimizer(options.lr).minimize(loss, number)
    return _Step(loss, update, number, tf.train.Saver())


def _require_memory(options: TrainingOptions) -> None:
    """Refuses a training step that needs more memory than there is."""
    state = sum(v.dtype.size * v.shape.num_elements() for v in tf.global_variables())
    try:
        require_memory(state + memory_of(options.width, options.crop_size, options.batch_size))
    except UserError as error:
        raise UserError(f"training {error}: lower --width, --crop_size or --batch_size") from None


def _initialise(step: _Step, session: tf.Session, folder: Path) -> int:
    """Initialises all variables, from the folder's newest checkpoint if there is one.

    Returns:
      The number of steps so far.

    Raises:
      UserError: the checkpoint cannot be read, or is of another network.
    """
    session.run(tf.global_variables_initializer())
    if checkpoint := restore_checkpoint.find(folder):
        checkpoint.restorer(tf.global_variables())(session)
        print(f"going on from {checkpoint.prefix}")
    return int(session.run(step.number))


def _run_steps(step: _Step, session: tf.Session, done: int, options: TrainingOptions) -> int:
    """Runs the steps that are left, and saves checkpoints and segmenter.json beside them.

    Returns:
      0, or 128 plus the number of the signal that stopped training.

    Raises:
      UserError: the loss is not finite.
    """
    with signals.taken() as stopped:
        for number in _progress(done, options.max_steps):
            loss, _ = _run(session, [step.loss, step.update])
            if not np.isfinite(loss):
                raise UserError(f"the loss of step {number} is not finite: lower --lr")
            if number % _PROGRESS_FREQ == 0:
                tqdm.write(f"step {number}, cross-entropy {loss:.3f}")
                sys.stdout.flush()
            is_last = number == options.max_steps
            if number % _SAVE_FREQ == 0 or is_last or stopped.received:
                _metadata(options, number, {}).save(options.output_dir)
                save_checkpoint.save(step.saver, session, options.output_dir, number)
            if stopped.received and not is_last:
                return stopped.report_stop(number, options.max_steps)
    return 0


def _run(session: tf.Session, fetches: Sequence[Any]) -> Sequence[Any]:
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


def _progress(done: int, last: int) -> "tqdm[int]":
    """Yields the numbers of the steps that are left, with a progress bar on a terminal."""
    return tqdm(
        range(done + 1, last + 1),
        initial=done,
        total=last,
        unit="step",
        disable=not sys.stderr.isatty(),
    )


def _logits(photos: tf.Tensor, options: TrainingOptions) -> tf.Tensor:
    with tf.variable_scope(SCOPE, reuse=tf.AUTO_REUSE):
        return class_scores(photos, len(options.palette.classes), options.width)


def _validate(
    pairs: Sequence[SourceImage], session: tf.Session, options: TrainingOptions
) -> dict[str, float]:
    """Compares the network's labels of the validation photos with the true ones.

    Returns:
      The scores by name, as in `label_scores`.
    """
    photo, label_image = labelled_pairs.next_validation_pair(pairs, options, session)
    predicted_ids = tf.argmax(_logits(photo, options), -1)
    true_ids = class_ids(label_image, options.palette)
    num_classes = len(options.palette.classes)
    total = np.zeros((num_classes, num_classes + 1))
    for _ in tqdm(pairs, "scoring", disable=not sys.stderr.isatty()):
        predicted, truth = _run(session, [predicted_ids, true_ids])
        total += confusion_matrix(predicted, truth, num_classes)
    return label_scores(total)
