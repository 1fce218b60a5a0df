"""A training run: the graph, the hooks, and the loop over a session."""

import contextlib
import functools
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import tensorflow.compat.v1 as tf

from p2p_graph.checkpoints.checkpoint_files import Checkpoint
from p2p_graph.config.options import Options
from p2p_graph.config.options_file import OPTIONS_FILE, save_options
from p2p_graph.data import postprocess
from p2p_graph.data.image_files import SourceImage, output_names
from p2p_graph.data.image_listing import list_images
from p2p_graph.data.input_graph import Batch, TrainingInputs
from p2p_graph.models.networks import Networks
from p2p_graph.runtime import devices
from p2p_graph.training import hooks
from p2p_graph.training.configure import split_record, starting_point
from p2p_graph.training.losses_log import LogLosses
from p2p_graph.training.session_calls import Schedule, SessionCall, build_session_call, compiled
from p2p_graph.training.step import Step, build_step, make_optimizers
from p2p_graph.training.summaries import EventFile, WriteSummaries, WriteTraces
from p2p_graph.training.training_images import WriteImages
from p2p_graph.training.updates import ORDERS
from p2p_graph.training.validation import BestCheckpoint, ValidationGraph, Validator
from p2p_graph.training.validation_images import steps_between, validation_images
from p2p_graph.utils import file_lock
from p2p_graph.utils.errors import UserError, one_line_reason

DEFAULT_EPOCHS = 200


class Run(NamedTuple):
    """A training run, once everything that could refuse it has been checked.

    Attributes:
      options: of the run.
      folder: where everything goes.
      images: to train on.
      validation_images: none if there is no validation.
      checkpoint: to start from, if any.
      device: that the graph runs on.
      steps_per_epoch: for reports.
      schedule: the last step, and the steps of a `Session.run` call.
    """

    options: Options
    folder: Path
    images: Sequence[SourceImage]
    validation_images: Sequence[SourceImage]
    checkpoint: Checkpoint | None
    device: devices.Device
    steps_per_epoch: int
    schedule: Schedule

    @property
    def done(self) -> int:
        """How many steps the checkpoint has done."""
        return self.checkpoint.step() if self.checkpoint else 0


def train(options: Options, given: Mapping[str, Any]) -> int:
    """Trains, or goes on training, and leaves everything in the run's folder.

    Args:
      options: from `configure`.
      given: the flags' values by flat name.

    Returns:
      The program's exit code: 0, or 128 + the number of the signal that stopped training.

    Raises:
      UserError: something that a person can mend; checkpoints on disk are as they were.
    """
    assert options.run.output_dir is not None
    folder = Path(options.run.output_dir)
    # Before the checkpoint to go on from is chosen: no other program may write another one.
    with _locked_folder(folder):
        run = _plan(options, folder, given)
        if run.done < run.schedule.last_step:
            _announce(run)
            return _train(run)
    steps = run.schedule.last_step
    if run.checkpoint and run.checkpoint.folder.resolve() != folder.resolve():
        raise UserError(
            f"checkpoint {run.checkpoint.prefix} has done {run.done} steps already: "
            f"--max_steps and --max_epochs are totals, and ask for {steps}"
        )
    print(f"{folder} is done: {run.done} steps of {steps} (ask for more with --max_steps)")
    return 0


@contextlib.contextmanager
def _locked_folder(folder: Path) -> Iterator[None]:
    """Makes a run's folder and keeps other programs out of it; removes it if it stays empty."""
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    with _reported(folder):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        with file_lock.held(folder):
            yield
    finally:
        for path in new:
            with contextlib.suppress(OSError):  # it stays if there is something in it
                path.rmdir()


@contextlib.contextmanager
def _reported(folder: Path) -> Iterator[None]:
    """Reports that a run's folder cannot be written."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"output_dir {folder} cannot be written ({OPTIONS_FILE}): {error.strerror}"
        ) from None


def _plan(options: Options, folder: Path, given: Mapping[str, Any]) -> Run:
    """Checks everything that could refuse the run, before the graph is built."""
    options, checkpoint = starting_point(options, folder, given)
    source, task = options.data.source, options.data.task
    images = list_images(source, single=task.is_single)
    validated = validation_images(source, options.validation, task)
    length, batch_size = options.length, options.data.batches.batch_size
    steps_per_epoch = length.steps_per_epoch or math.ceil(len(images) / batch_size)
    last = length.max_steps or (length.max_epochs or DEFAULT_EPOCHS) * steps_per_epoch
    schedule = Schedule(last, options.execution.steps_per_run)
    # Refuses validation between Session.run calls.
    steps_between(options.validation.sample_freq, steps_per_epoch, schedule.steps_per_call)
    device = devices.choose(options.execution.device)
    return Run(options, folder, images, validated, checkpoint, device, steps_per_epoch, schedule)


def _announce(run: Run) -> None:
    options = run.options
    scaling, recipe = options.data.scaling, options.run.recipe
    if recipe != "none":
        print(
            f"recipe {recipe}: {options.data.task.which_direction}, batch "
            f"{options.data.batches.batch_size}, scaled to {scaling.scale_size} and cropped to "
            f"{scaling.crop_size}, {'mirrored' if scaling.flip else 'not mirrored'} "
            "(flags override it, --recipe none is off)"
        )
    print(f"device: {run.device.name}")
    if options.execution.xla and run.device.is_cpu:
        print("note: on a CPU --xla makes steps slower; it is for GPUs")
    print(f"generator: {options.model.generator.levels} levels for {scaling.crop_size} pixels")
    print(
        f"examples count = {len(run.images)}, {run.steps_per_epoch} steps an epoch, "
        f"{run.schedule.last_step} steps in all"
    )
    if run.checkpoint:
        print(f"going on from {run.checkpoint.prefix}")
    sys.stdout.flush()


def _train(run: Run) -> int:
    """Builds the graph - decode, split, jitter, generate, discriminate, update - and runs it."""
    options = run.options
    devices.set_gpu_arithmetic(options.model.layers.precision)
    with contextlib.ExitStack() as cleanup, tf.Graph().as_default():
        tf.set_random_seed(options.run.seed)
        inputs = TrainingInputs(
            run.images, options.data, options.run.seed, on_cpu=run.device.is_cpu
        )
        cleanup.enter_context(contextlib.closing(inputs))
        call = _build_call(inputs, run)
        variables = tf.global_variables()
        restore = run.checkpoint.restorer(variables) if run.checkpoint else None
        # All checks have passed: from here on, the folder is written.
        with _reported(run.folder):
            save_options(options, run.folder, split_record(options))
        saver = tf.train.Saver(variables)

        def initialize(scaffold: tf.train.Scaffold, session: tf.Session) -> None:
            if restore:
                restore(session)
            inputs.start(session, run.done)

        scaffold = tf.train.Scaffold(
            init_fn=initialize, saver=saver, summary_op=tf.no_op(), local_init_op=tf.no_op()
        )
        step_hooks, stopping = _make_hooks(run, call, saver, cleanup)
        start = time.monotonic()
        step = _loop(run, call, scaffold, step_hooks)
    seconds = time.monotonic() - start
    steps, last = step - run.done, run.schedule.last_step
    rate = steps * options.data.batches.batch_size / seconds
    memory = devices.peak_memory()
    print(f"{steps} steps in {seconds:.0f} s, image/sec {rate:.2f}, memory {memory}")
    if stopping.signals.received and step < last:
        return stopping.signals.report_stop(step, last)
    print(f"done: {step} steps, in {run.folder}")
    return 0


def _build_call(inputs: TrainingInputs, run: Run) -> SessionCall:
    """Builds a `Session.run` call: one training step or several."""
    options = run.options
    networks = Networks(options.model, options.losses, options.run.seed, on_cpu=run.device.is_cpu)
    build: Callable[[Batch], Step] = functools.partial(
        build_step,
        networks=networks,
        order=ORDERS[options.optimizer.updates],
        optimizers=make_optimizers(options.optimizer, run.schedule.last_step),
    )
    if options.execution.xla:
        with_gradients = options.reports.summary_freq > 0
        build = compiled(inputs.next_batch, build, with_gradients=with_gradients)
    return build_session_call(
        inputs.next_batch, build, run.schedule, options.data.batches.batch_size
    )


def _make_hooks(
    run: Run, call: SessionCall, saver: tf.train.Saver, cleanup: contextlib.ExitStack
) -> tuple[list[hooks.StepHook], hooks.StopOnSignal]:
    """Makes the hooks that the options ask for, in the order in which they report."""
    options, folder, schedule = run.options, run.folder, run.schedule
    reports, task, scaling = options.reports, options.data.task, options.data.scaling
    with tf.name_scope("display"):
        rgb = postprocess.to_rgb(call.batch, call.step.outputs, task)
        aspect_ratio = options.outputs.aspect_ratio
        displayed = postprocess.to_bytes(rgb, scaling.crop_size, aspect_ratio)
    events = None
    if reports.summary_freq or reports.trace_freq:
        events = EventFile(folder, tf.get_default_graph())
        cleanup.enter_context(contextlib.closing(events))
    saving = hooks.SaveCheckpoints(saver, folder, reports.save_freq, schedule)
    validator = _make_validator(run, saving, events) if run.validation_images else None
    losses = LogLosses(call, folder, run.steps_per_epoch, schedule, validator)
    saving.before_saving(losses.flush)
    made: list[hooks.StepHook] = [hooks.CheckLosses(call, schedule), losses]
    if events and reports.trace_freq:
        made.append(WriteTraces(events, reports.trace_freq, schedule))
    if events and reports.summary_freq:
        made.append(WriteSummaries(call.step, displayed, events, reports.summary_freq, schedule))
    made.append(
        hooks.ShowProgress(
            call.step.averages,
            options.data.batches.batch_size,
            run.steps_per_epoch,
            reports.progress_freq,
            schedule,
        )
    )
    paths = [image.path for image in run.images]
    names = dict(zip(map(str, paths), output_names(paths), strict=True))
    metadata = {"data": options.data.source.path, "direction": task.which_direction}
    made.append(
        WriteImages(
            call.batch.paths, displayed, names, folder, metadata, reports.display_freq, schedule
        )
    )
    stopping = hooks.StopOnSignal(saving, schedule)
    made += [saving, stopping]
    for hook in made:
        cleanup.callback(hook.close)
    return made, stopping


def _make_validator(run: Run, saving: hooks.SaveCheckpoints, events: EventFile | None) -> Validator:
    options, images = run.options, run.validation_images
    metric = options.validation.keep_best
    every = steps_between(
        options.validation.sample_freq, run.steps_per_epoch, run.schedule.steps_per_call
    )
    return Validator(
        ValidationGraph(images, options, on_cpu=run.device.is_cpu),
        output_names([image.path for image in images]),
        run.folder,
        every,
        run.schedule,
        events,
        BestCheckpoint(run.folder, metric, images, saving.save_to) if metric != "none" else None,
    )


def _loop(
    run: Run,
    call: SessionCall,
    scaffold: tf.train.Scaffold,
    step_hooks: Sequence[hooks.StepHook],
) -> int:
    """Calls `Session.run` until the last step or a signal; returns the step reached."""
    step = run.done
    try:
        with tf.train.MonitoredTrainingSession(
            scaffold=scaffold,
            hooks=step_hooks,
            config=run.device.config,
            save_checkpoint_secs=None,
            save_summaries_steps=None,
            save_summaries_secs=None,
            log_step_count_steps=None,
        ) as session:
            while step < run.schedule.last_step and not session.should_stop():
                _, step = session.run([call.step.train, call.step.number])
    except tf.errors.OpError as error:
        raise _as_user_error(error, run.schedule.after(step)) from error
    return step


def _as_user_error(error: Exception, step: int) -> Exception:
    """An error of a step as one line, where a person can mend it; other errors as they are."""
    reason = one_line_reason(error)
    if isinstance(error, tf.errors.ResourceExhaustedError):
        return UserError(f"out of memory or disk: {reason}; try a smaller --batch_size or --ngf")
    if "summary histogram" in reason:
        return UserError(
            f"a gradient or a weight of step {step} is not finite; "
            "the last checkpoint is kept: try a smaller --lr"
        )
    if isinstance(error, tf.errors.InvalidArgumentError | tf.errors.NotFoundError):
        return UserError(f"an image can no longer be read: {reason}")
    return error
