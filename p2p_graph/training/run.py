"""Training: the loop over a session that changes the weights of G and D."""

import contextlib
import math
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow.compat.v1 as tf

from p2p_graph.checkpoints import checkpoint_files
from p2p_graph.checkpoints.checkpoint_files import Checkpoint
from p2p_graph.config import recipes
from p2p_graph.config.options import OPTIONS_FILE, Config
from p2p_graph.config.options_file import check_unchanged, read_options, recorded
from p2p_graph.config.presets import PRESETS
from p2p_graph.data import postprocess
from p2p_graph.data.image_files import SourceImage, output_names
from p2p_graph.data.image_listing import list_images, names_digest
from p2p_graph.data.input_graph import TrainingInputs
from p2p_graph.models.discriminators import check_size, layers_of
from p2p_graph.runtime import devices
from p2p_graph.training import hooks, summaries
from p2p_graph.training.session_calls import Plan, Run, build_run
from p2p_graph.training.step import make_optimizers
from p2p_graph.training.validation import Validate, sample_steps, validation_images
from p2p_graph.utils import file_lock
from p2p_graph.utils.errors import UserError, reason_of

DEFAULT_EPOCHS = 200


def configure(given: Mapping[str, Any]) -> Config:
    """Makes a training run's configuration: what was given, the recipe, the defaults.

    Raises:
      UserError: there is no input_dir, or a value is wrong.
    """
    named = given.get("manifest", given.get("input_dir"))
    if named is None:
        raise UserError("input_dir is missing: name the folder of training images (--input_dir)")
    data = Path(named)
    recipe = recipes.choose(given.get("recipe"), data)
    crop_size = given.get("crop_size", Config.crop_size)
    task = recipes.RECIPES[recipe].options(crop_size) if recipe != "none" else {}
    preset = {**PRESETS.get(given.get("preset", Config.preset), {})}  # Config refuses other names
    if "target_dir" not in given:
        # An article's split is of its two folders; pairs side by side come as train and test.
        preset.pop("split", None)
    config = Config(**{**task, **preset, **given, "recipe": recipe})
    check_size(layers_of(config.discriminator, config.ndf), config.crop_size)
    if not config.output_dir:
        name = f"{recipes.dataset_name(data)}_{config.which_direction}"
        return config.replace(output_dir=str(Path("runs") / name))
    return config


def train(config: Config, given: Mapping[str, Any]) -> int:
    """Trains, or goes on training, and leaves everything in the run's folder.

    Args:
      config: from `configure`.
      given: the options that were asked for by name.

    Returns:
      The program's exit code: 0, or 128 + the number of the signal that stopped it.

    Raises:
      UserError: something that a person can mend; checkpoints on disk are as they were.
    """
    assert config.output_dir is not None
    folder = Path(config.output_dir)
    config, source = _source(config, folder, given)
    images = list_images(config)
    validation = validation_images(config)
    steps_per_epoch = config.steps_per_epoch or math.ceil(len(images) / config.batch_size)
    last = config.max_steps or (config.max_epochs or DEFAULT_EPOCHS) * steps_per_epoch
    sample_steps(config, steps_per_epoch)  # refuses what does not fit
    done = source.step() if source else 0
    if done >= last:
        if source and source.folder.resolve() != folder.resolve():
            raise UserError(
                f"checkpoint {source.prefix} has done {done} steps already: "
                f"--max_steps and --max_epochs are totals, and ask for {last}"
            )
        print(f"{folder} is done: {done} steps of {last} (ask for more with --max_steps)")
        return 0
    found, session_config = devices.choose(config.device, mixed=config.precision == "mixed")
    _announce(config, len(images), steps_per_epoch, source, found, last)
    plan = Plan(last, config.steps_per_run)
    return _run(config, images, validation, source, session_config, steps_per_epoch, plan)


def _source(
    config: Config, folder: Path, given: Mapping[str, Any]
) -> tuple[Config, Checkpoint | None]:
    """Finds what to start from: the run's own last checkpoint, the one asked for, or nothing."""
    source = checkpoint_files.find(folder) if folder.exists() else None
    if source:
        config = _with_bias(config, source, given)
        check_unchanged(config, folder, given)
        _check_parts(config, folder)
        stored = read_options(folder)
        if "seed" not in given:
            config = config.replace(seed=stored.get("seed", config.seed))
    elif config.checkpoint:
        source = checkpoint_files.need(Path(config.checkpoint))
        config = _with_bias(config, source, given)
    if source and config.separable_conv != source.separable:
        raise UserError(
            f"checkpoint {source.prefix} was made with"
            f"{'' if source.separable else 'out'} --separable_conv"
        )
    return config, source


def _record(config: Config) -> dict[str, str]:
    """What options.json is to tell besides options: which images a split parted."""
    return {"images": names_digest(config)} if config.split < 1 else {}


def _check_parts(config: Config, folder: Path) -> None:
    """Refuses to go on with a split of other images, which would train on held-out ones."""
    was, now = recorded(folder).get("images"), _record(config).get("images")
    if was is not None and was != now:
        raise UserError(
            f"the images in {config.data} are others than when {folder} was begun "
            f"({was.split()[0]} then), so that --split would part them otherwise: "
            "restore them, or name another --output_dir"
        )


def _with_bias(config: Config, source: Checkpoint, given: Mapping[str, Any]) -> Config:
    """Takes over whether there are biases, which the variables tell."""
    if not source.bias or source.bias == config.bias:
        return config
    if "bias" in given:
        raise UserError(f"checkpoint {source.prefix} was made with --bias {source.bias}")
    return config.replace(bias=source.bias)


def _announce(
    config: Config,
    count: int,
    steps_per_epoch: int,
    source: Checkpoint | None,
    device: str,
    last: int,
) -> None:
    if config.recipe != "none":
        print(
            f"recipe {config.recipe}: {config.which_direction}, batch {config.batch_size}, "
            f"scaled to {config.scale_size} and cropped to {config.crop_size}, "
            f"{'mirrored' if config.flip else 'not mirrored'} "
            "(flags override it, --recipe none is off)"
        )
    print(f"device: {device}")
    if config.xla and devices.is_cpu(config.device):
        print("note: on a CPU --xla makes steps slower; it is for GPUs")
    print(f"generator: {config.levels} levels for {config.crop_size} pixels")
    print(f"examples count = {count}, {steps_per_epoch} steps an epoch, {last} steps in all")
    if source:
        print(f"going on from {source.prefix}")
    sys.stdout.flush()


def _begin(config: Config, folder: Path, cleanup: contextlib.ExitStack) -> None:
    """Makes the folder, keeps other programs out of it, and writes options.json."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        cleanup.enter_context(file_lock.held(folder))
        config.save(folder, _record(config))
    except OSError as error:
        raise UserError(
            f"output_dir {folder} cannot be written ({OPTIONS_FILE}): {error.strerror}"
        ) from None


def _run(
    config: Config,
    images: Sequence[SourceImage],
    validation: Sequence[SourceImage],
    source: Checkpoint | None,
    session_config: tf.ConfigProto,
    steps_per_epoch: int,
    plan: Plan,
) -> int:
    assert config.output_dir is not None
    folder = Path(config.output_dir)
    with contextlib.ExitStack() as cleanup, tf.Graph().as_default():
        tf.set_random_seed(config.seed)
        inputs = cleanup.enter_context(contextlib.closing(TrainingInputs(images, config)))
        run = build_run(inputs.next_batch, config, make_optimizers(config, plan.last), plan)

        variables = tf.global_variables()
        restore = source.restorer(variables) if source else None
        # All that could refuse this run has been looked at: from here on, its folder is written.
        _begin(config, folder, cleanup)
        saver = tf.train.Saver(variables)
        done = source.step() if source else 0

        def initialize(scaffold: tf.train.Scaffold, session: tf.Session) -> None:
            if restore:
                restore(session)
            inputs.start(session, done)

        watching, stopping = _watching(
            config, images, validation, run, saver, steps_per_epoch, plan
        )
        scaffold = tf.train.Scaffold(
            init_fn=initialize, saver=saver, summary_op=tf.no_op(), local_init_op=tf.no_op()
        )
        start, step = time.monotonic(), done
        try:
            with tf.train.MonitoredTrainingSession(
                scaffold=scaffold,
                hooks=watching,
                config=session_config,
                save_checkpoint_secs=None,
                save_summaries_steps=None,
                save_summaries_secs=None,
                log_step_count_steps=None,
            ) as session:
                while step < plan.last and not session.should_stop():
                    _, step = session.run([run.model.train, run.model.step])
        except tf.errors.OpError as error:
            raise _as_user_error(error, plan.after(step)) from error
        finally:
            for hook in watching:
                hook.close()

    seconds = time.monotonic() - start
    rate = (step - done) * config.batch_size / seconds
    memory = devices.peak_memory()
    print(f"{step - done} steps in {seconds:.0f} s, image/sec {rate:.2f}, memory {memory}")
    if stopping.interrupts.received and step < plan.last:
        return stopping.interrupts.told(step, plan.last)
    print(f"done: {step} steps, in {folder}")
    return 0


def _watching(
    config: Config,
    images: Sequence[SourceImage],
    validation: Sequence[SourceImage],
    run: Run,
    saver: tf.train.Saver,
    steps_per_epoch: int,
    plan: Plan,
) -> tuple[Sequence[hooks.StepHook], hooks.StopOnSignal]:
    """Makes the hooks that this run asks for, in the order in which they report."""
    assert config.output_dir is not None
    folder = Path(config.output_dir)
    with tf.name_scope("display"):
        shown = postprocess.to_bytes(
            postprocess.to_rgb(run.batch, run.model.outputs, config), config
        )
    paths = [image.path for image in images]
    names = dict(zip(map(str, paths), output_names(paths), strict=True))

    figures: dict[str, float] = {}
    recording = hooks.RecordLosses(run, folder, figures, steps_per_epoch, plan)
    saving = hooks.SaveCheckpoints(saver, folder, recording.flush, config.save_freq, plan)
    writer = None
    if config.summary_freq or config.trace_freq:
        writer = summaries.event_writer(folder, tf.get_default_graph())
    watching: list[hooks.StepHook] = [hooks.CheckLosses(run, plan)]
    if validation:
        every = sample_steps(config, steps_per_epoch)
        watching.append(Validate(validation, config, writer, saving, figures, every, plan))
    watching.append(recording)
    if writer and config.trace_freq:
        watching.append(summaries.WriteTraces(writer, config.trace_freq, plan))
    if writer and config.summary_freq:
        every = config.summary_freq
        watching.append(summaries.WriteSummaries(run.model, shown, writer, every, plan))
    stopping = hooks.StopOnSignal(saving, plan)
    watching += [
        hooks.ShowProgress(run.model, config, steps_per_epoch, plan),
        summaries.WriteImages(run.batch.paths, shown, names, config, plan),
        saving,
        stopping,
    ]
    return watching, stopping


def _as_user_error(error: Exception, step: int) -> Exception:
    """What a person can mend of a step's errors, in one line; the others as they are."""
    reason = reason_of(error)
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
