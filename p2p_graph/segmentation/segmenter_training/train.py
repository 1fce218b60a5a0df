"""Trains a segmenter on pairs of photos and label images."""

import contextlib
import json
import sys
import time
from collections.abc import Mapping, Sequence
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
from p2p_graph.segmentation.networks import backbone_weights
from p2p_graph.segmentation.networks.backbone_fcn import BACKBONE_SCOPE
from p2p_graph.segmentation.segmenter_file import SEGMENTER_FILE, Metadata
from p2p_graph.segmentation.segmenter_training import labelled_pairs
from p2p_graph.segmentation.segmenter_training.class_loss import class_ids, cross_entropy
from p2p_graph.segmentation.segmenter_training.labelled_pairs import ValidationPairs
from p2p_graph.segmentation.segmenter_training.training_options import TrainingOptions
from p2p_graph.segmentation.trained_segmenter import SCOPE, class_scores, memory_of
from p2p_graph.utils import signals
from p2p_graph.utils.atomic_write import atomic_write
from p2p_graph.utils.checked_allocation import require_memory
from p2p_graph.utils.counted import counted
from p2p_graph.utils.errors import UserError
from p2p_graph.utils.json_values import without_non_finite
from p2p_graph.utils.outside_files import damage_reported, read_bytes

_SAVE_FREQ = 1000  # steps
_PROGRESS_FREQ = 100  # steps
_BACKBONE_LR = 0.1  # of the learning rate: trained weights need small changes
_BACKBONE_PREFIX = f"{SCOPE}/{BACKBONE_SCOPE}/"
_CURVE_FILE = "validation.jsonl"

Array = np.ndarray[Any, Any]


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
            step = _build_step(inputs.next_batch(), options)
            scorer = _Scorer(validation, options) if validation else None
        _require_memory(options)
        session = cleanup.enter_context(tf.Session(config=device.config))
        cleanup.enter_context(claimed(options.output_dir, "train_segmenter"))
        save_checkpoint.complete_save(options.output_dir)
        done = _initialise(step, session, options.output_dir, pretrained)
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
            f"{_shown(scores)}"
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


def _build_step(batch: Batch, options: TrainingOptions) -> _Step:
    """Builds the loss of a batch and the update of the weights by Adam."""
    assert batch.targets is not None
    ids = class_ids(batch.targets, options.palette)
    loss = cross_entropy(_logits(batch.inputs, options), ids)
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
    return _Step(loss, update, number, tf.train.Saver())


def _in_backbone(variable: tf.Variable) -> bool:
    return bool(variable.op.name.startswith(_BACKBONE_PREFIX))


def _require_memory(options: TrainingOptions) -> None:
    """Refuses a training step that needs more memory than there is."""
    state = sum(v.dtype.size * v.shape.num_elements() for v in tf.global_variables())
    try:
        require_memory(state + memory_of(options.channels, options.crop_size, options.batch_size))
    except UserError as error:
        raise UserError(f"training {error}: lower --width, --crop_size or --batch_size") from None


def _initialise(
    step: _Step, session: tf.Session, folder: Path, pretrained: Mapping[str, Array]
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


class _Scorer:
    """Compares the network's labels of the validation photos with the true ones."""

    def __init__(self, pairs: Sequence[SourceImage], options: TrainingOptions) -> None:
        """Builds the graph, beside that of the training step."""
        self._count, self._num_classes = len(pairs), len(options.palette.classes)
        self._pairs = ValidationPairs(pairs, options)
        predicted = tf.argmax(_logits(self._pairs.photo, options), -1)
        self._ids = [predicted, class_ids(self._pairs.label_image, options.palette)]

    def score(self, session: tf.Session) -> dict[str, float]:
        """Returns the scores by name, as in `label_scores`."""
        self._pairs.restart(session)
        total = np.zeros((self._num_classes, self._num_classes + 1))
        for _ in tqdm(range(self._count), "scoring", disable=not sys.stderr.isatty()):
            predicted, truth = _run(session, self._ids)
            total += confusion_matrix(predicted, truth, self._num_classes)
        return label_scores(total)


class _LearningCurve:
    """The scores during training, in a file of one JSON object a line."""

    def __init__(self, options: TrainingOptions, done: int) -> None:
        """Reads the lines up to a step, after which training goes on.

        Says so where they are scores on other images.
        """
        self._path = options.output_dir / _CURVE_FILE
        self._lines: list[str] = []
        self._images = ""
        if options.val_dir and options.val_freq:
            self._images = labelled_pairs.digest(options, options.val_dir)
        if self._path.exists():
            with damage_reported(self._path, "what tools/train_segmenter.py writes"):
                lines = read_bytes(self._path).decode().splitlines()
                self._lines = [line for line in lines if json.loads(line)["step"] <= done]
                last = json.loads(self._lines[-1]) if self._lines else {}
            if self._images and last.get("images", self._images) != self._images:
                print(
                    f"note: the scores up to step {last['step']} in {self._path} are of other "
                    "validation images",
                    flush=True,
                )

    def add(self, step: int, scores: Mapping[str, float]) -> None:
        """Writes the scores after a step, and prints them."""
        print(f"step {step}, {_shown(scores)}", flush=True)
        line = {"step": step, **without_non_finite(scores), "images": self._images}
        self._lines.append(json.dumps(line))
        with atomic_write(self._path) as temporary:
            temporary.write_text("".join(f"{line}\n" for line in self._lines), encoding="utf-8")


def _run_steps(
    step: _Step,
    session: tf.Session,
    done: int,
    options: TrainingOptions,
    metadata: Metadata,
    scorer: _Scorer | None,
) -> int:
    """Runs the steps that are left, and saves checkpoints and segmenter.json beside them.

    Returns:
      0, or 128 plus the number of the signal that stopped training.

    Raises:
      UserError: the loss is not finite, or the learning curve of an earlier run is damaged.
    """
    curve = _LearningCurve(options, done)
    with signals.taken() as stopped:
        for number in _progress(done, options.max_steps):
            loss, _ = _run(session, [step.loss, step.update])
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
    num_classes = len(options.palette.classes)
    return class_scores(photos, num_classes, options.channels, options.backbone)


def _shown(scores: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in scores.items())
