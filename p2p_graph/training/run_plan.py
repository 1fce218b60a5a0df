"""The plan of a training run: its options, images, checkpoint and steps, checked beforehand."""

import math
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from p2p_graph.checkpoints.restore_checkpoint import Checkpoint
from p2p_graph.config.options import Options
from p2p_graph.config.without_effect import without_effect
from p2p_graph.data.channel_counts import channels_of_data
from p2p_graph.data.image_files import SourceImage
from p2p_graph.data.image_sources import list_images
from p2p_graph.data.input_graph import StepShare
from p2p_graph.models.memory_estimate import checkpoint_bytes, training_bytes
from p2p_graph.runtime import devices
from p2p_graph.runtime.cluster import Cluster
from p2p_graph.runtime.devices import Device
from p2p_graph.runtime.distribute import distribute
from p2p_graph.runtime.memory_check import check_memory
from p2p_graph.runtime.replicas import Replicas
from p2p_graph.training.resume import compare_usable, is_of_run, starting_point
from p2p_graph.training.session_calls import Schedule
from p2p_graph.training.validation import steps_between
from p2p_graph.training.validation_images import validation_images
from p2p_graph.utils.counted import counted
from p2p_graph.utils.errors import UserError
from p2p_graph.utils.outside_files import nearest_existing

DEFAULT_EPOCHS = 200
_MUCH_DISK = 10**10  # bytes


class Placement(NamedTuple):
    """Where a training run is computed.

    Attributes:
      device: that the graph runs on.
      replicas: the copies of the networks on it.
      cluster: the processes of the run, if there are several.
    """

    device: Device
    replicas: Replicas
    cluster: Cluster | None


class RunPlan(NamedTuple):
    """A training run, once everything that could refuse it has been checked.

    Attributes:
      options: of the run.
      folder: where everything goes.
      images: to train on.
      validation_images: none if there is no validation, or another process validates.
      checkpoint: to start from, if any.
      done: how many steps the checkpoint has done.
      device: that the graph runs on.
      replicas: the copies of the networks on it.
      cluster: the processes of the run, if there are several.
      steps_per_epoch: for reports.
      schedule: the last step, and the steps of a `Session.run` call.
      validate_every: steps between validations; 0 for never.
      checkpoint_size: about how many bytes a checkpoint has.
    """

    options: Options
    folder: Path
    images: Sequence[SourceImage]
    validation_images: Sequence[SourceImage]
    checkpoint: Checkpoint | None
    done: int
    device: Device
    replicas: Replicas
    cluster: Cluster | None
    steps_per_epoch: int
    schedule: Schedule
    validate_every: int
    checkpoint_size: int

    @property
    def is_new(self) -> bool:
        """Whether the files in its folder are another run's: it does not go on from one of them."""
        return self.checkpoint is None or not is_of_run(self.checkpoint, self.folder)

    @property
    def share(self) -> StepShare:
        """Which images of a step this process reads."""
        own = self.replicas.local * self.options.data.batches.batch_size
        total = self.replicas.count * self.options.data.batches.batch_size
        return StepShare(total, self.replicas.worker * own, own)


def place_run(options: Options, cluster: Cluster | None = None) -> Placement:
    """Chooses where a run is computed.

    Args:
      options: from `configure`.
      cluster: the processes of the run, if there are several.

    Raises:
      UserError: this machine has no such devices.
    """
    device = devices.choose(options.execution.device)
    replicas, device = distribute(options.execution.replicas, device, cluster)
    if options.execution.xla and replicas.count > 1:
        raise UserError("xla compiles the step of one replica: leave out --xla, or --replicas")
    return Placement(device, replicas, cluster)


def plan_run(
    options: Options, folder: Path, given: Mapping[str, Any], placement: Placement
) -> RunPlan:
    """Checks everything that could refuse the run, before the graph is built.

    Args:
      options: from `configure`.
      folder: of the run.
      given: the flags' values by flat name.
      placement: from `place_run`.

    Raises:
      UserError: something refuses the run.
    """
    device, replicas, cluster = placement
    options = options.replace(**channels_of_data(options.data.task, options.data.source))
    options, checkpoint = starting_point(
        options, folder, given, replicas.count, is_chief=replicas.is_chief
    )
    source, task = options.data.source, options.data.task
    images = list_images(source, single=task.is_single)
    if checkpoint and is_of_run(checkpoint, folder):
        compare_usable(images, options, checkpoint.folder)
    # Other processes need not have them: the chief alone validates.
    validated = validation_images(source, options.validation, task) if replicas.is_chief else []
    length, batch_size = options.length, options.data.batches.batch_size
    step_images = replicas.count * batch_size
    steps_per_epoch = length.steps_per_epoch or math.ceil(len(images) / step_images)
    last = length.max_steps or (length.max_epochs or DEFAULT_EPOCHS) * steps_per_epoch
    schedule = Schedule(last, options.execution.steps_per_run)
    validate_every = steps_between(
        options.validation.sample_freq, steps_per_epoch, schedule.steps_per_call
    )
    check_memory(replicas.local * needed_memory(options), device)
    checkpoint_size = checkpoint_bytes(
        options.model,
        task.channels,
        options.data.scaling.crop_size,
        with_discriminator=options.losses.gan_weight > 0,
    )
    return RunPlan(
        options,
        folder,
        images,
        validated,
        checkpoint,
        checkpoint.step() if checkpoint else 0,
        device,
        replicas,
        cluster,
        steps_per_epoch,
        schedule,
        validate_every,
        checkpoint_size,
    )


def needed_memory(options: Options) -> int:
    """Estimates the memory of a training run, in bytes."""
    return training_bytes(
        options.model,
        options.data.task.channels,
        options.data.scaling.crop_size,
        options.data.batches.batch_size,
        with_discriminator=options.losses.gan_weight > 0,
    )


def announce(run: RunPlan) -> None:
    """Prints what will be trained, on what, and from where."""
    options = run.options
    scaling, recipe = options.data.scaling, options.run.recipe
    if recipe != "none":
        print(
            f"recipe {recipe}: {options.data.task.which_direction}, batch "
            f"{options.data.batches.batch_size}, scaled to {scaling.scale_size} and cropped to "
            f"{scaling.crop_size}, {'mirrored' if scaling.flip else 'not mirrored'} "
            "(flags override it, --recipe none is off)"
        )
    for note in without_effect(options.flat()):
        print("note:", note)
    print(f"device: {run.device.name}")
    if run.replicas.count > 1:
        each = f"{options.data.batches.batch_size} for each of"
        total = counted(run.share.total, "image")
        print(f"batch: {total} a step, {each} {counted(run.replicas.count, 'replica')}")
    if options.execution.xla and run.device.is_cpu:
        print("note: on a CPU --xla makes steps slower; it is for GPUs")
    print(f"generator: {options.model.generator.levels} levels for {scaling.crop_size} pixels")
    print(
        f"examples count = {len(run.images)}, {counted(run.steps_per_epoch, 'step')} an epoch, "
        f"{counted(run.schedule.last_step, 'step')} in all"
    )
    if run.checkpoint:
        print(f"going on from {run.checkpoint.prefix}")
        if run.checkpoint.has_weights_alone:
            print("it holds weights alone: the state of the optimizers starts anew")
    _announce_disk_use(run)
    sys.stdout.flush()


def _announce_disk_use(run: RunPlan) -> None:
    """Prints how much disk the checkpoints will take, where it is much."""
    reports, last = run.options.reports, run.schedule.last_step
    for_good = last // reports.keep_every if reports.keep_every else 0
    saves = last // reports.save_freq if reports.save_freq else 1
    count = for_good + min(reports.keep_checkpoints, max(1, saves))
    total = count * run.checkpoint_size
    if total > _MUCH_DISK:
        free = shutil.disk_usage(nearest_existing(run.folder)).free
        print(
            f"disk: {counted(count, 'checkpoint')} of {run.checkpoint_size / 1e9:.1f} GB will take "
            f"{total / 1e9:.0f} GB, and {free / 1e9:.0f} GB are free"
        )
