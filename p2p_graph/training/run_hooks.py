"""The hooks that a training run's options ask for."""

import contextlib

import tensorflow.compat.v1 as tf

from p2p_graph.checkpoints.save_checkpoint import Retention
from p2p_graph.config.options import Options
from p2p_graph.data.image_files import output_names
from p2p_graph.imaging import preview
from p2p_graph.models import postprocess
from p2p_graph.models.losses import GAN_LOSSES, UNBOUNDED
from p2p_graph.training.hooks.checkpoint_schedule import SaveCheckpoints
from p2p_graph.training.hooks.display_images import WriteImages
from p2p_graph.training.hooks.loss_check import CheckLosses
from p2p_graph.training.hooks.losses_log import LogLosses
from p2p_graph.training.hooks.progress import ShowProgress
from p2p_graph.training.hooks.report_figures import discriminator_figures, spread_figures
from p2p_graph.training.hooks.run_page import RunFacts, WriteRunPage
from p2p_graph.training.hooks.step_hook import StepHook
from p2p_graph.training.hooks.stop_on_signal import StopOnSignal
from p2p_graph.training.hooks.summaries import EventFile, WriteSummaries, WriteTraces
from p2p_graph.training.run_plan import RunPlan
from p2p_graph.training.session_calls import SessionCall
from p2p_graph.training.validation import BestCheckpoint, NoValidation, ValidationGraph, Validator


def make_hooks(
    run: RunPlan, call: SessionCall, saver: tf.train.Saver, cleanup: contextlib.ExitStack
) -> tuple[list[StepHook], SaveCheckpoints, StopOnSignal]:
    """Makes the hooks that the options ask for, in the order in which they report.

    Returns:
      All hooks; of these, the one that saves, and the one that handles signals.
    """
    options, folder, schedule = run.options, run.folder, run.schedule
    reports = options.reports
    retention = Retention(reports.keep_checkpoints, reports.keep_every)
    saving = SaveCheckpoints(
        saver, folder, reports.save_freq, schedule, retention, writes=run.replicas.is_chief
    )
    stopping = StopOnSignal(saving, schedule, run.replicas)
    made: list[StepHook] = [CheckLosses(call, folder, schedule)]
    if run.replicas.is_chief:
        made += _reporting_hooks(run, call, saving, stopping, cleanup)
    made += [saving, stopping]
    for hook in made:
        cleanup.callback(hook.close)
    return made, saving, stopping


def _reporting_hooks(
    run: RunPlan,
    call: SessionCall,
    saving: SaveCheckpoints,
    stopping: StopOnSignal,
    cleanup: contextlib.ExitStack,
) -> list[StepHook]:
    """The hooks that write what a run reports."""
    options, folder, schedule = run.options, run.folder, run.schedule
    reports, task = options.reports, options.data.task
    with tf.name_scope("display"):
        rgb = postprocess.to_rgb(call.batch, call.step.outputs, task)
        aspect_ratio = options.outputs.aspect_ratio
        shown = postprocess.to_shown(rgb, task.shown_parts)
        displayed = postprocess.to_integers(shown, aspect_ratio)
    events = None
    if reports.summary_freq or reports.trace_freq:
        events = EventFile(folder, tf.get_default_graph())
        cleanup.enter_context(contextlib.closing(events))
    validator = _make_validator(run, saving, events) if run.validation_images else None
    paths = [image.path for image in run.images]
    names = dict(zip(map(str, paths), output_names(paths), strict=True))
    images = WriteImages(
        call.batch.paths,
        displayed,
        names,
        folder,
        reports.display_freq,
        schedule,
        is_new=run.is_new,
    )
    figures = _figures(run, call)
    page = WriteRunPage(
        _facts(run), figures, images, validator, stopping.signals, reports.progress_freq, schedule
    )
    cleanup.push(page.on_error)
    source = validator or NoValidation(folder)
    losses = LogLosses(
        call, folder, run.steps_per_epoch, schedule, source, page.observe, is_new=run.is_new
    )
    saving.before_saving(losses.flush)
    made: list[StepHook] = [losses]
    if events and reports.trace_freq:
        made.append(WriteTraces(events, reports.trace_freq, schedule))
    if events and reports.summary_freq:
        made.append(
            WriteSummaries(
                call.step,
                displayed,
                figures,
                events,
                reports.summary_freq,
                schedule,
                is_new=run.is_new,
            )
        )
    made.append(
        ShowProgress(
            call.step.averages,
            run.share.total,
            run.steps_per_epoch,
            reports.progress_freq,
            schedule,
        )
    )
    made += [images, page]
    return made


def _figures(run: RunPlan, call: SessionCall) -> dict[str, tf.Tensor]:
    """What reports show of a call's last step: D's shares, if there is a D, and G's contrast."""
    step = call.step
    assert call.batch.targets is not None
    figures = spread_figures(step.outputs, call.batch.targets)
    if step.predict_real is not None and step.predict_fake is not None:
        bounded = GAN_LOSSES[run.options.losses.gan_loss].scores != UNBOUNDED
        figures |= discriminator_figures(step.predict_real, step.predict_fake, bounded=bounded)
    return figures


def _facts(run: RunPlan) -> RunFacts:
    """What the run's page says of the run."""
    options, losses = run.options, run.options.losses
    has_discriminator = losses.gan_weight > 0
    return RunFacts(
        run.folder,
        run.is_new,
        options.flat(),
        Options().flat(),
        run.device.name,
        run.share.total,
        losses.d_scale * GAN_LOSSES[losses.gan_loss].guessing if has_discriminator else None,
        preview.titles(options.data.task.shown_parts),
        options.reports.open,
    )


def _make_validator(run: RunPlan, saving: SaveCheckpoints, events: EventFile | None) -> Validator:
    options, images = run.options, run.validation_images
    metric = options.validation.keep_best
    return Validator(
        ValidationGraph(
            images,
            options.data,
            options.model,
            aspect_ratio=options.outputs.aspect_ratio,
            seed=options.run.seed,
            on_cpu=run.device.is_cpu,
        ),
        output_names([image.path for image in images]),
        run.folder,
        run.validate_every,
        run.schedule,
        events,
        BestCheckpoint(run.folder, metric, images, saving.save_to) if metric != "none" else None,
    )
