"""TensorBoard summaries: losses, images, histograms of weights and gradients, traces of steps."""

import contextlib
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tensorflow.compat.v1 as tf
from tensorflow.core.util.event_pb2 import TaggedRunMetadata

from p2p_graph.training.hooks.report_figures import RIGHT_ON_FAKE, RIGHT_ON_REAL
from p2p_graph.training.hooks.step_hook import StepHook
from p2p_graph.training.loss_averages import debiased
from p2p_graph.training.session_calls import Schedule
from p2p_graph.training.step import Step
from p2p_graph.utils.errors import UserError, why_not_written

_EVENTS = "events.out.tfevents."
_SHARES = (RIGHT_ON_REAL, RIGHT_ON_FAKE)


class EventFile:
    """A TensorBoard event file: TFRecords of `tf.Event`, written by the thread that calls.

    `tf.summary.FileWriter` would write them in a thread of its own, whose errors only the process's
    exception hook sees.
    """

    def __init__(self, folder: Path, graph: tf.Graph) -> None:
        """Prepares a new file in a folder; the first write opens it, and writes the graph first."""
        name = f"{_EVENTS}{_stamp(folder):010d}.{socket.gethostname()}"
        self._path, self._graph = _unused(folder, name), graph
        self._writer: tf.io.TFRecordWriter | None = None

    def write(self, event: tf.Event, step: int | None = None) -> None:
        """Writes an event of a step; `flush` brings it to the disk.

        Raises:
          UserError: the event cannot be written.
        """
        event.wall_time = time.time()
        if step is not None:
            event.step = step
        with self._reported():
            if self._writer is None:
                self._writer = self._open()
            self._writer.write(event.SerializeToString())

    def write_scalar(self, name: str, value: float, step: int) -> None:
        """Writes a scalar summary; errors as `write`."""
        summary = tf.Summary(value=[tf.Summary.Value(tag=name, simple_value=value)])
        self.write(tf.Event(summary=summary), step)

    def flush(self) -> None:
        """Makes sure that all events so far are on disk; errors as `write`."""
        if self._writer:
            with self._reported():
                self._writer.flush()

    def finish(self) -> None:
        """Closes the file, where no event follows; errors as `write`.

        Some file systems report only then that a disk is full.
        """
        if self._writer:
            writer, self._writer = self._writer, None
            with self._reported():
                writer.close()

    def close(self) -> None:
        """Closes the file; an event that cannot be written has been reported by then."""
        if self._writer:
            with contextlib.suppress(OSError, tf.errors.OpError):
                self._writer.close()

    def _open(self) -> tf.io.TFRecordWriter:
        writer = tf.io.TFRecordWriter(str(self._path))
        definition = self._graph.as_graph_def(add_shapes=True).SerializeToString()
        for event in (tf.Event(file_version="brain.Event:2"), tf.Event(graph_def=definition)):
            event.wall_time = time.time()
            writer.write(event.SerializeToString())
        return writer

    @contextlib.contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except (OSError, tf.errors.OpError) as error:
            reason = why_not_written(error)
            raise UserError(
                f"events for TensorBoard cannot be written to {self._path}: {reason}"
            ) from None


def _stamp(folder: Path) -> int:
    """Seconds since 1970, at least those in the names of earlier files.

    TensorBoard reads a folder's files in the order of their names, and the clock may be set back.
    """
    names = (
        path.name.removeprefix(_EVENTS).partition(".")[0] for path in folder.glob(f"{_EVENTS}*")
    )
    return max([int(time.time()), *(int(name) for name in names if name.isdecimal())])


def _unused(folder: Path, name: str) -> Path:
    """A path in a folder that no file has: a run may begin twice in a second."""
    path, number = folder / name, 1
    while path.exists():
        path = folder / f"{name}.{number}"
        number += 1
    return path


class WriteSummaries(StepHook):
    """Writes summaries under the reference's tags: losses, images, weights and gradients."""

    def __init__(
        self,
        step: Step,
        images: Mapping[str, tf.Tensor],
        figures: Mapping[str, tf.Tensor],
        events: EventFile,
        every: int,
        schedule: Schedule,
        *,
        is_new: bool,
    ) -> None:
        """Builds the summaries.

        Args:
          step: whose losses, scores and gradients are summarised.
          images: uint8 [N, H, W, C] in [0, 255], by kind.
          figures: float32 scalars of the step by name, of which D's shares are summarised.
          events: the file.
          every: steps between summaries.
          schedule: which steps each `Session.run` call does.
          is_new: whether summaries in the folder are of another run.
        """
        super().__init__(every, schedule, is_new=is_new)
        self._events = events
        for kind, image in images.items():
            with tf.name_scope(f"{kind}_summary"):
                tf.summary.image(kind, image)
        for name in ("predict_real", "predict_fake"):
            scores = getattr(step, name)
            if scores is not None:
                with tf.name_scope(f"{name}_summary"):
                    shown = tf.image.convert_image_dtype(scores, tf.uint8, saturate=True)
                    tf.summary.image(name, shown)
        image_summaries = tf.summary.merge_all()
        # Histograms show the weights after the step. They refuse NaN: `CheckLosses` reports it.
        with tf.control_dependencies([step.train]):
            finite = tf.reduce_all(tf.is_finite(tf.stack(step.losses)))
        histograms = tf.cond(finite, lambda: _histograms(step), lambda: tf.constant(""))
        self._fetches = {
            "summary": tf.raw_ops.MergeSummary(inputs=[image_summaries, histograms]),
            "averages": step.averages,
            "losses": step.losses,
            "shares": {name: figures[name] for name in _SHARES if name in figures},
        }

    def begin_at(self, step: int) -> None:
        """Tells TensorBoard to drop summaries of steps after the checkpoint."""
        start = tf.SessionLog(status=tf.SessionLog.START)
        self._events.write(tf.Event(session_log=start), self.kept_until(step))

    def request(self) -> tf.train.SessionRunArgs:
        """The merged summary and the losses."""
        return tf.train.SessionRunArgs(self._fetches)

    def report(self, step: int, values: Any, session: tf.Session) -> None:
        """Writes them; scalars get their tags here, so that no scope adds `_1` to one."""
        summary = tf.Summary.FromString(values.results["summary"])
        self._events.write(tf.Event(summary=summary), step)
        tags = ("discriminator_loss", "generator_loss_GAN", "generator_loss_L1")
        averaged = debiased(values.results["averages"], step)
        for tag, average, loss in zip(tags, averaged, values.results["losses"], strict=True):
            self._events.write_scalar(tag, average, step)
            self._events.write_scalar(f"{tag}_not_averaged", float(loss), step)
        for name, share in values.results["shares"].items():
            self._events.write_scalar(f"discriminator_{name}", float(share), step)
        # Before the last checkpoint is saved: the same command then makes up for an error.
        if step == self._schedule.last_step:
            self._events.finish()
        else:
            self._events.flush()


def _histograms(step: Step) -> tf.Tensor:
    histograms = [
        tf.raw_ops.HistogramSummary(tag=f"{variable.op.name}/{kind}", values=values)
        for gradient, variable in step.gradients
        for kind, values in (("values", variable), ("gradients", gradient))
    ]
    return tf.raw_ops.MergeSummary(inputs=histograms)


class WriteTraces(StepHook):
    """Writes a trace of a step's execution for TensorBoard's profile of the graph."""

    def __init__(self, events: EventFile, every: int, schedule: Schedule) -> None:
        super().__init__(every, schedule)
        self._events = events

    def request(self) -> tf.train.SessionRunArgs:
        """Nothing but a full trace of the call."""
        options = tf.RunOptions(trace_level=tf.RunOptions.FULL_TRACE)
        return tf.train.SessionRunArgs([], options=options)

    def report(self, step: int, values: Any, session: tf.Session) -> None:
        """Writes the trace."""
        trace = TaggedRunMetadata(
            tag=f"step_{step}", run_metadata=values.run_metadata.SerializeToString()
        )
        self._events.write(tf.Event(tagged_run_metadata=trace), step)
        self._events.flush()
