"""What a training run shows: TensorBoard events, and a page of images."""

import contextlib
import re
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import tensorflow.compat.v1 as tf

from p2p_graph.config.options import Config
from p2p_graph.data import postprocess
from p2p_graph.imaging import html_page
from p2p_graph.training.hooks import StepHook, debiased
from p2p_graph.training.session_calls import Plan
from p2p_graph.training.step import Model
from p2p_graph.utils.errors import UserError, reason_of

_THREAD = "EventLoggerThread"  # TensorFlow's name of it


def event_writer(folder: Path, graph: tf.Graph) -> tf.summary.FileWriter:
    """Makes what writes TensorBoard events into a run's folder, the graph first.

    It has a thread, whose errors reach `flush` as well: here they need no second telling.
    """
    threading.excepthook = _tell_others
    return tf.summary.FileWriter(str(folder), graph)


def _tell_others(failure: threading.ExceptHookArgs) -> None:
    if failure.thread is None or failure.thread.name != _THREAD:
        threading.__excepthook__(failure)


def flush(writer: tf.summary.FileWriter) -> None:
    """Makes sure that the events so far are on disk.

    Raises:
      UserError: they cannot be written.
    """
    try:
        writer.flush()
    except (OSError, IndexError, RuntimeError, tf.errors.OpError) as error:
        reason = reason_of(error)
        raise UserError(f"events for TensorBoard cannot be written: {reason}") from None


class _EventHook(StepHook):
    """A hook that writes events."""

    def __init__(self, writer: tf.summary.FileWriter, every: int, plan: Plan) -> None:
        super().__init__(every, plan)
        self._writer = writer

    def close(self) -> None:
        """Closes the events' file; what could not be written has been told by then."""
        with contextlib.suppress(OSError, IndexError, RuntimeError, tf.errors.OpError):
            self._writer.close()


class WriteSummaries(_EventHook):
    """TensorBoard events under the reference's tags: losses, images, weights and gradients."""

    def __init__(
        self,
        model: Model,
        images: Mapping[str, tf.Tensor],
        writer: tf.summary.FileWriter,
        every: int,
        plan: Plan,
    ) -> None:
        super().__init__(writer, every, plan)
        for kind, image in images.items():
            with tf.name_scope(f"{kind}_summary"):
                tf.summary.image(kind, image)
        for name in ("predict_real", "predict_fake"):
            scores = getattr(model, name)
            if scores is not None:
                with tf.name_scope(f"{name}_summary"):
                    shown = tf.image.convert_image_dtype(scores, tf.uint8, saturate=True)
                    tf.summary.image(name, shown)
        images_summary = tf.summary.merge_all()
        # A histogram refuses what is not a number. `CheckLosses` tells of that, and where.
        finite = tf.reduce_all(tf.is_finite(tf.stack(model.losses)))
        histograms = tf.cond(finite, lambda: _histograms(model), lambda: tf.constant(""))
        merged = tf.raw_ops.MergeSummary(inputs=[images_summary, histograms])
        self._fetches = {
            "summary": merged,
            "averages": model.averages,
            "losses": model.losses,
        }

    def begin_at(self, step: int) -> None:
        """Tells TensorBoard to forget what a run wrote after the checkpoint it goes on from."""
        self._writer.add_session_log(tf.SessionLog(status=tf.SessionLog.START), step)

    def request(self) -> tf.train.SessionRunArgs:
        """The merged summary and the losses."""
        return tf.train.SessionRunArgs(self._fetches)

    def report(self, step: int, values: Any, session: tf.Session) -> None:
        """Writes them; scalars get their tags here, so that no scope makes one `..._1`."""
        self._writer.add_summary(values.results["summary"], step)
        tags = ("discriminator_loss", "generator_loss_GAN", "generator_loss_L1")
        averaged = debiased(values.results["averages"], step)
        for tag, average, loss in zip(tags, averaged, values.results["losses"], strict=True):
            for name, value in ((tag, average), (f"{tag}_not_averaged", float(loss))):
                self._writer.add_summary(
                    tf.Summary(value=[tf.Summary.Value(tag=name, simple_value=value)]), step
                )
        flush(self._writer)


def _histograms(model: Model) -> tf.Tensor:
    histograms = [
        tf.raw_ops.HistogramSummary(tag=f"{variable.op.name}/{kind}", values=values)
        for gradient, variable in model.gradients
        for kind, values in (("values", variable), ("gradients", gradient))
    ]
    return tf.raw_ops.MergeSummary(inputs=histograms)


class WriteTraces(_EventHook):
    """Traces a step's execution for TensorBoard's profile of the graph."""

    def request(self) -> tf.train.SessionRunArgs:
        """Nothing but a full trace of what runs anyway."""
        options = tf.RunOptions(trace_level=tf.RunOptions.FULL_TRACE)
        return tf.train.SessionRunArgs([], options=options)

    def report(self, step: int, values: Any, session: tf.Session) -> None:
        """Writes the trace."""
        self._writer.add_run_metadata(values.run_metadata, f"step_{step}")
        flush(self._writer)


class WriteImages(StepHook):
    """Training images in `images/`, and a page of all of them, the newest last."""

    def __init__(
        self,
        paths: tf.Tensor,
        images: Mapping[str, tf.Tensor],
        names: Mapping[str, str],
        config: Config,
        plan: Plan,
    ) -> None:
        super().__init__(config.display_freq, plan)
        assert config.output_dir is not None
        self._names = names  # by path
        self._fetches = {"paths": paths, "images": dict(images)}
        self._folder = Path(config.output_dir)
        self._facts = {"data": config.data, "direction": config.which_direction}

    def begin_at(self, step: int) -> None:
        """Removes images of steps after the checkpoint."""
        for path in self._drawn():
            if int(path.name[:8]) > step:
                path.unlink()

    def request(self) -> tf.train.SessionRunArgs:
        """Inputs, outputs and targets as bytes."""
        return tf.train.SessionRunArgs(self._fetches)

    def report(self, step: int, values: Any, session: tf.Session) -> None:
        """Writes the images and the page."""
        (self._folder / html_page.IMAGE_FOLDER).mkdir(exist_ok=True)
        for i, path in enumerate(values.results["paths"]):
            name = self._names[path.decode()]
            for kind, images in values.results["images"].items():
                target = self._folder / html_page.IMAGE_FOLDER / f"{step:08d}-{name}-{kind}.png"
                postprocess.save_png(target, images[i])
        kinds = postprocess.KINDS
        sets = sorted({path.name.rpartition("-")[0] for path in self._drawn()})
        html_page.write_index(
            self._folder,
            "Images while training",
            self._facts,
            ("step", "name", *(kind[:-1] for kind in kinds)),
            [
                (str(int(name[:8])), name[9:], *(f"{name}-{kind}.png" for kind in kinds))
                for name in sets
            ],
        )

    def _drawn(self) -> Iterable[Path]:
        pattern = re.compile(r"\d{8}-.*-(inputs|outputs|targets)\.png")
        drawn = (self._folder / html_page.IMAGE_FOLDER).glob("*.png")
        return [path for path in drawn if pattern.fullmatch(path.name)]
