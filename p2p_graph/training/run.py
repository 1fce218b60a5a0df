"""A training run: the graph, the hooks, and the loop over Session.run calls."""

import contextlib
import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow.compat.v1 as tf

from p2p_graph.checkpoints.restore_checkpoint import Checkpoint
from p2p_graph.checkpoints.save_checkpoint import Retention, complete_save, saver_of
from p2p_graph.checkpoints.variable_names import is_weight
from p2p_graph.config.options import Options
from p2p_graph.config.options_file import OPTIONS_FILE, save_options
from p2p_graph.config.output_folder import claimed, refuse_data_folder
from p2p_graph.data.decode_check import IMAGE_ERRORS, unreadable_image
from p2p_graph.data.image_files import files_of
from p2p_graph.data.input_graph import Batch, TrainingInputs
from p2p_graph.models.networks import Networks
from p2p_graph.pages.html_page import IMAGE_FOLDER, INDEX_FILE
from p2p_graph.pages.open_page import open_page
from p2p_graph.runtime import devices
from p2p_graph.runtime.agreement import Agreement, compared_options
from p2p_graph.runtime.cluster import Connection, joined, read_cluster
from p2p_graph.runtime.memory_check import peak_memory
from p2p_graph.training.hooks.checkpoint_schedule import SaveCheckpoints, what_is_kept
from p2p_graph.training.hooks.failure_signs import SMALLER_RATE, NotFiniteError
from p2p_graph.training.hooks.losses_log import LOSSES_FILE
from p2p_graph.training.hooks.report_figures import REPORTS_FILE
from p2p_graph.training.hooks.step_hook import StepHook
from p2p_graph.training.optimizers import make_optimizers
from p2p_graph.training.resume import run_record
from p2p_graph.training.run_hooks import make_hooks
from p2p_graph.training.run_plan import RunPlan, announce, place_run, plan_run
from p2p_graph.training.session_calls import SessionCall, build_session_call, compiled
from p2p_graph.training.step import Step, build_step
from p2p_graph.training.updates import ORDERS
from p2p_graph.training.validation import BEST_FOLDER, SAMPLES_FOLDER
from p2p_graph.utils import signals
from p2p_graph.utils.counted import counted
from p2p_graph.utils.errors import UserError, one_line_reason, why_not_written

_FOLDERS = (IMAGE_FOLDER, SAMPLES_FOLDER, BEST_FOLDER)


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
    placement = place_run(options, read_cluster())
    is_chief = placement.replicas.is_chief
    devices.set_gpu_arithmetic(options.model.layers.precision)
    with (
        # Before what may refuse one process alone: the others notice then that it has gone.
        joined(placement.cluster, placement.device.config) as connection,
        # Before the checkpoint to go on from is chosen: no other program may write another one. Of
        # several processes the chief writes the folder.
        claimed(folder, "train", (LOSSES_FILE, REPORTS_FILE, INDEX_FILE, *_FOLDERS))
        if is_chief
        else contextlib.nullcontext(),
    ):
        run = plan_run(options, folder, given, placement)
        refuse_data_folder(folder, files_of([*run.images, *run.validation_images]), _FOLDERS)
        if run.done < run.schedule.last_step:
            announce(run)
            return _train(run, connection)
        if is_chief:
            reports = options.reports
            complete_save(folder, Retention(reports.keep_checkpoints, reports.keep_every))
    steps = run.schedule.last_step
    if run.checkpoint and not run.checkpoint.is_in(folder):
        raise UserError(
            f"checkpoint {run.checkpoint.prefix} has done {counted(run.done, 'step')} already: "
            f"--max_steps and --max_epochs are totals, and ask for {steps}"
        )
    if options.reports.open and (folder / INDEX_FILE).is_file():
        open_page(folder / INDEX_FILE)
    print(
        f"{folder} is done: {counted(run.done, 'step')} of {steps} (ask for more with --max_steps)"
    )
    return 0


@contextlib.contextmanager
def _reported(folder: Path) -> Iterator[None]:
    """Reports that a run's folder cannot be written."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"output_dir {folder} cannot be written ({OPTIONS_FILE}): {why_not_written(error)}"
        ) from None


def _train(run: RunPlan, connection: Connection) -> int:
    """Builds the graph - decode, split, jitter, generate, discriminate, update - and runs it."""
    options = run.options
    with (
        contextlib.ExitStack() as cleanup,
        tf.Graph().as_default(),
        run.replicas.scope(),
    ):
        with signals.held():
            tf.set_random_seed(options.run.seed)
            inputs = TrainingInputs(
                run.images,
                options.data,
                options.run.seed,
                on_cpu=run.device.is_cpu,
                share=run.share,
            )
            cleanup.enter_context(contextlib.closing(inputs))
            call = _build_call(inputs, run)
            variables = tf.global_variables()
            restore = _restorer(run.checkpoint, variables) if run.checkpoint else None
            saver = saver_of(variables)
            agreement = Agreement(run.replicas) if run.cluster else None

        def initialize(scaffold: tf.train.Scaffold, session: tf.Session) -> None:
            if restore:
                restore(session)
            inputs.start(session, run.done)
            record = run_record(options, run.images, run.replicas.count)
            if agreement:
                agreement.check(session, _facts(run, record), run.folder)
            # All checks have passed: from here on, the folder is written.
            with _reported(run.folder):
                if run.replicas.is_chief:
                    save_options(options, run.folder, record)

        scaffold = tf.train.Scaffold(
            init_fn=initialize,
            saver=saver,
            summary_op=tf.no_op(),
            local_init_op=tf.no_op(),
            # No names of variables that are not initialised: `init_fn` comes after their
            # initialisers, and a check of each would be two more operations a variable.
            ready_op=tf.constant([], tf.string),
            ready_for_local_init_op=tf.constant([], tf.string),
        )
        with signals.held():
            step_hooks, saving, stopping = make_hooks(run, call, saver, cleanup)
        start = time.monotonic()
        step = _loop(run, call, scaffold, step_hooks, saving, connection)
    seconds = time.monotonic() - start
    steps, last = step - run.done, run.schedule.last_step
    rate = steps * run.share.total / seconds
    memory = peak_memory()
    print(f"{counted(steps, 'step')} in {seconds:.0f} s, image/sec {rate:.2f}, memory {memory}")
    if stopping.signals.received and step < last:
        return stopping.signals.report_stop(step, last)
    print(f"done: {counted(step, 'step')}, in {run.folder}")
    return 0


def _facts(run: RunPlan, record: Mapping[str, str]) -> dict[str, Any]:
    """What must be the same in all processes of a run."""
    return {
        **compared_options(run.options.flat()),
        "images": record["images"],
        "usable images": record["usable_images"],
        "the step of the checkpoint": run.done,
    }


def _restorer(
    checkpoint: Checkpoint, variables: Sequence[tf.Variable]
) -> Callable[[tf.Session], None]:
    """Restores all variables; from a checkpoint of weights alone these, and the step."""
    if checkpoint.has_weights_alone:
        variables = [
            variable
            for variable in variables
            if is_weight(variable.op.name) or variable.op.name in checkpoint.stored
        ]
    return checkpoint.restorer(variables)


def _build_call(inputs: TrainingInputs, run: RunPlan) -> SessionCall:
    """Builds a `Session.run` call: one training step or several."""
    options = run.options
    networks = Networks(options.model, options.losses, options.run.seed, on_cpu=run.device.is_cpu)
    build: Callable[[Batch], Step] = functools.partial(
        build_step,
        networks=networks,
        order=ORDERS[options.optimizer.updates],
        optimizers=make_optimizers(options.optimizer, run.schedule.last_step),
        replicas=run.replicas,
    )
    if options.execution.xla:
        with_gradients = options.reports.summary_freq > 0
        build = compiled(inputs.next_batch, build, with_gradients=with_gradients)
    return build_session_call(inputs.next_batch, build, run.schedule, run.share.own)


def _loop(
    run: RunPlan,
    call: SessionCall,
    scaffold: tf.train.Scaffold,
    step_hooks: Sequence[StepHook],
    saving: SaveCheckpoints,
    connection: Connection,
) -> int:
    """Calls `Session.run` until the last step or a signal; returns the step reached."""
    step = run.done
    # The watch first: what other hooks do between calls needs no other process.
    watching = [connection.watch] if connection.watch else []
    try:
        # Singular: another one would begin again, with a new session, where another process fails.
        with tf.train.SingularMonitoredSession(
            hooks=[*watching, *step_hooks],
            scaffold=scaffold,
            master=connection.target,
            config=run.device.config,
        ) as session:
            while step < run.schedule.last_step and not session.should_stop():
                try:
                    _, step = session.run([call.step.train, call.step.number])
                except IMAGE_ERRORS as error:
                    saving.save_after(error, step)
                    raise
    except tf.errors.OpError as error:
        if connection.watch and (gone := connection.watch.why()):
            raise UserError(
                f"{gone}; {what_is_kept(run.folder)}: start all processes again with the same "
                "command, and training goes on from there"
            ) from error
        raise _as_user_error(error, run, run.schedule.after(step)) from error
    return step


def _as_user_error(error: Exception, run: RunPlan, step: int) -> Exception:
    """An error of a step as one line, where a person can mend it; other errors as they are."""
    reason = one_line_reason(error)
    if isinstance(error, tf.errors.ResourceExhaustedError):
        return UserError(f"out of memory or disk: {reason}; try a smaller --batch_size or --ngf")
    if "summary histogram" in reason:
        return NotFiniteError(
            f"a gradient or a weight of step {step} is not finite; "
            f"{what_is_kept(run.folder)}: {SMALLER_RATE}"
        )
    if isinstance(error, IMAGE_ERRORS):
        named = unreadable_image(error, [*run.images, *run.validation_images])
        return UserError(f"{named}; {what_is_kept(run.folder)}")
    return error
