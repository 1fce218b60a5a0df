"""Trains a segmenter on pairs of photos and label images."""

import contextlib
import sys
import time
from pathlib import Path

import numpy as np
import tensorflow.compat.v1 as tf
from tqdm import tqdm

from p2p_graph.checkpoints import restore_checkpoint, save_checkpoint
from p2p_graph.config.output_folder import claimed, refuse_data_folder
from p2p_graph.data.decode_check import image_errors_named
from p2p_graph.data.image_files import files_of
from p2p_graph.runtime import devices
from p2p_graph.segmentation.networks import backbone_weights
from p2p_graph.segmentation.segmenter_file import SEGMENTER_FILE, Metadata
from p2p_graph.segmentation.segmenter_training import labelled_pairs
from p2p_graph.segmentation.segmenter_training.training_options import TrainingOptions
from p2p_graph.segmentation.segmenter_training.training_step import (
    TrainingStep,
    build_step,
    fetched,
    initialise,
    require_memory_to_train,
)
from p2p_graph.segmentation.segmenter_training.validation import LearningCurve, Scorer, shown
from p2p_graph.utils import signals
from p2p_graph.utils.counted import counted
from p2p_graph.utils.errors import UserError

_SAVE_FREQ = 1000  # steps
_PROGRESS_FREQ = 100  # steps


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
    metadata = _metadata(options)
    previous = _previous_metadata(options.output_dir, metadata)
    is_new = restore_checkpoint.find(options.output_dir) is None
    pretrained = backbone_weights.load() if options.backbone and is_new else {}
    device = devices.choose("auto")
    devices.set_gpu_arithmetic("fp32")
    print(f"device: {device.name}")
    print(
        f"{counted(len(pairs), 'training pair')}, {counted(len(validation), 'validation pair')}, "
        f"{counted(options.max_steps, 'step')} in total",
        flush=True,
    )
    with tf.Graph().as_default(), contextlib.ExitStack() as cleanup:
        with signals.held():
            tf.set_random_seed(options.seed)
            inputs = labelled_pairs.training_inputs(pairs, options, on_cpu=device.is_cpu)
            cleanup.enter_context(contextlib.closing(inputs))
            step = build_step(inputs.next_batch(), options)
            scorer = Scorer(validation, options) if validation else None
        require_memory_to_train(options)
        session = cleanup.enter_context(tf.Session(config=device.config))
        cleanup.enter_context(claimed(options.output_dir, "train_segmenter"))
        save_checkpoint.complete_save(options.output_dir)
        done = initialise(step, session, options.output_dir, pretrained)
        cleanup.enter_context(image_errors_named([*pairs, *validation]))
        inputs.start(session, done)
        if code := _run_steps(step, session, done, options, metadata, scorer):
            return code
        steps = max(done, options.max_steps)
        print(f"done: {counted(steps, 'step')}, in {options.output_dir}", flush=True)
        scores = previous.scores if previous and previous.steps == steps else {}
        start = time.monotonic()
        if scorer:
            scores = scorer.score(session)
        metadata._replace(steps=steps, scores=scores).save(options.output_dir)
    if scorer:
        seconds = time.monotonic() - start
        print(
            f"{counted(len(validation), 'validation photo')} in {seconds:.0f} s (not FCN-8s): "
            f"{shown(scores)}"
        )
    return 0


def _metadata(options: TrainingOptions) -> Metadata:
    """The segmenter.json of a run before its first step."""
    training: dict[str, float | str] = {
        "which_direction": options.which_direction,
        "batch_size": options.batch_size,
        "lr": options.lr,
        "seed": options.seed,
        "images": labelled_pairs.digest(options, options.input_dir),
    }
    return Metadata(
        options.palette, options.channels, options.crop_size, 0, {}, options.backbone, training
    )


def _previous_metadata(folder: Path, now: Metadata) -> Metadata | None:
    """Reads the segmenter.json of an earlier run in the output folder, if there is one.

    Raises:
      UserError: the earlier run's network, palette or options are others.
    """
    if not (folder / SEGMENTER_FILE).exists():
        return None
    previous = Metadata.load(folder)
    networks = ((each.backbone, each.width, each.size) for each in (previous, now))
    if len(set(networks)) > 1 or not previous.palette.is_equivalent(now.palette):
        raise UserError(
            f"{folder} holds a segmenter of another backbone, palette, width or crop_size: give "
            "the same ones, or another --output_dir"
        )
    changed = [
        f"{name} (was {was}, now {now.training[name]})"
        for name, was in previous.training.items()
        if now.training.get(name, was) != was
    ]
    if changed:
        raise UserError(
            f"{folder} was trained with other options: {'; '.join(changed)}; give the same ones, "
            "or another --output_dir"
        )
    return previous


def _run_steps(
    step: TrainingStep,
    session: tf.Session,
    done: int,
    options: TrainingOptions,
    metadata: Metadata,
    scorer: Scorer | None,
) -> int:
    """Runs the steps that are left, and saves checkpoints and segmenter.json beside them.

    Returns:
      0, or 128 plus the number of the signal that stopped training.

    Raises:
      UserError: the loss is not finite, or the learning curve of an earlier run is damaged.
    """
    curve = LearningCurve(options, done)
    with signals.taken() as stopped:
        for number in _progress(done, options.max_steps):
            loss, _ = fetched(session, [step.loss, step.update])
            if not np.isfinite(loss):
                raise UserError(f"the loss of step {number} is not finite: lower --lr")
            if number % _PROGRESS_FREQ == 0:
                tqdm.write(f"step {number}, cross-entropy {loss:.3f}")
                sys.stdout.flush()
            is_last = number == options.max_steps
            # First: a run that is killed goes on from its last checkpoint.
            if scorer and options.val_freq and number % options.val_freq == 0:
                curve.add(number, scorer.score(session))
            if number % _SAVE_FREQ == 0 or is_last or stopped.received:
                metadata._replace(steps=number).save(options.output_dir)
                save_checkpoint.save(step.saver, session, options.output_dir, number)
            if stopped.received and not is_last:
                return stopped.report_stop(number, options.max_steps)
    return 0


def _progress(done: int, last: int) -> "tqdm[int]":
    """Yields the numbers of the steps that are left, with a progress bar on a terminal."""
    return tqdm(
        range(done + 1, last + 1),
        initial=done,
        total=last,
        unit="step",
        disable=not sys.stderr.isatty(),
    )
