"""Export: a trained generator without this package, in the reference's form and TensorFlow's."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow.compat.v1 as tf

from p2p_graph.checkpoints import restore_checkpoint, save_checkpoint
from p2p_graph.checkpoints.restore_checkpoint import Checkpoint
from p2p_graph.config.data_options import RGB
from p2p_graph.config.options import Options
from p2p_graph.config.options_file import save_options
from p2p_graph.config.output_folder import claimed
from p2p_graph.data.decode import decode_file, with_channels
from p2p_graph.data.image_pairs import scale
from p2p_graph.imaging import preview
from p2p_graph.inference.option_precedence import configure
from p2p_graph.inference.translation import image_channels, to_values, translated
from p2p_graph.runtime import devices
from p2p_graph.utils import signals
from p2p_graph.utils.atomic_write import remove
from p2p_graph.utils.errors import UserError, why_not_written

_META_GRAPH, _SAVED_MODEL = "export", "saved_model"
_OF_SAVED_MODEL = {"saved_model.pb", "variables"}
_TEMPORARY, _FORMER = ".unfinished", ".former"
_JPEG_QUALITY = 80


def export(given: Mapping[str, Any]) -> None:
    """Writes a checkpoint's generator as a meta graph and as a SavedModel.

    The meta graph (`export.meta`, `export.index`, `export.data-...`) is the reference's: the
    collections `inputs` and `outputs` name the tensors that its clients feed and fetch. The
    SavedModel is in `saved_model/`. A model whose inputs or outputs no image file holds is written
    as a SavedModel alone.

    Args:
      given: the flags' values by flat name.

    Raises:
      UserError: something that a person can mend; a former export is as it was.
    """
    options, checkpoint = configure(given, "export")
    default_folder = checkpoint.folder / f"export{options.run.step_suffix}"
    folder = Path(options.run.output_dir or default_folder)
    temporary, former = folder / _TEMPORARY, folder / _FORMER
    exported, task = _ExportedGraph(options), options.data.task

    def write(newest: Checkpoint) -> Path:
        """Writes both forms, of one checkpoint, to the temporary folder."""
        remove(temporary)
        temporary.mkdir()
        if exported.takes_files:
            exported.write_meta_graph(newest, temporary)
        exported.write_saved_model(newest, temporary / _SAVED_MODEL)
        return newest.prefix

    assert options.run.checkpoint is not None
    with claimed(folder, "export", (f"{_META_GRAPH}.meta", _SAVED_MODEL)):
        try:
            _recover(former, folder)
            _check_own(folder / _SAVED_MODEL)
            prefix = restore_checkpoint.with_newest(Path(options.run.checkpoint), write)
            save_options(options.replace(output_dir=str(folder)), temporary)
            _publish(temporary, folder, former)
        except (OSError, tf.errors.OpError) as error:
            reason = why_not_written(error)
            raise UserError(f"output_dir {folder} cannot be written: {reason}") from None
        finally:
            remove(temporary)
    print(f"checkpoint: {prefix}, {options.data.task.which_direction}")
    if exported.takes_files:
        print(f"wrote {folder}/{_META_GRAPH}.meta and {folder}/{_SAVED_MODEL}")
        return
    print(
        f"wrote {folder}/{_SAVED_MODEL}, whose signature takes arrays: no image file holds the "
        f"channels of this model, {task.input_parts} and {task.channels[1]}, and so there is no "
        "meta graph"
    )


def _check_own(saved_model: Path) -> None:
    """Refuses a former SavedModel beside whose files there are others, which would be removed."""
    found = {path.name for path in saved_model.iterdir()} if saved_model.is_dir() else set()
    if others := sorted(found - _OF_SAVED_MODEL):
        raise UserError(
            f"{saved_model} holds {others[0]}, which tools/export.py did not write and would "
            "remove: move it, or name another --output_dir"
        )


def _publish(temporary: Path, folder: Path, former: Path) -> None:
    """Puts new files in the place of former ones; all or, where that fails, none of them."""
    names = [path.name for path in temporary.iterdir()]
    former.mkdir(exist_ok=True)
    published = []
    try:
        for name in names:
            if (folder / name).exists():
                (folder / name).replace(former / name)
            published.append(name)
            (temporary / name).replace(folder / name)
    except OSError:
        for name in published:
            remove(folder / name)
        _recover(former, folder)
        raise
    remove(former)


def _recover(former: Path, folder: Path) -> None:
    """Puts back what an interrupted export has moved away."""
    if not former.exists():
        return
    for path in former.iterdir():
        remove(folder / path.name)
        path.replace(folder / path.name)
    former.rmdir()


class _ExportedGraph:
    """The generator with decoding before it and encoding behind it.

    Attributes:
      takes_files: whether image files hold the channels of inputs and outputs.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._task, self._scaling = options.data.task, options.data.scaling
        self._channels = image_channels(self._task)
        self.takes_files = all(map(preview.is_whole, self._task.shown_parts.values()))
        self._on_cpu = devices.choose("auto").is_cpu

    def write_meta_graph(self, checkpoint: Checkpoint, folder: Path) -> None:
        """Writes the reference's form: string in, string out, in web-safe base64."""
        with signals.held(), tf.Graph().as_default(), tf.Session() as session:
            encoded = tf.placeholder(tf.string, [1], "input")
            key = tf.placeholder(tf.string, [1], "key")
            values = self._decode(tf.decode_base64(encoded))
            output = tf.encode_base64(self._encode(self._translate(values)))
            names = {"key": key.name, "input": encoded.name}
            tf.add_to_collection("inputs", json.dumps(names))
            names = {"key": tf.identity(key).name, "output": output.name}
            tf.add_to_collection("outputs", json.dumps(names))

            checkpoint.restorer(tf.trainable_variables())(session)
            saver = tf.train.Saver()
            saver.export_meta_graph(str(folder / f"{_META_GRAPH}.meta"), clear_devices=True)
            prefix = str(folder / _META_GRAPH)
            saver.save(session, prefix, write_meta_graph=False, write_state=False)
        save_checkpoint.write_state(folder, _META_GRAPH)

    def write_saved_model(self, checkpoint: Checkpoint, folder: Path) -> None:
        """Writes a SavedModel whose signatures take images, or the contents of image files."""
        with signals.held(), tf.Graph().as_default(), tf.Session() as session:
            images = tf.placeholder(tf.float32, [None, None, None, self._channels], "images")
            outputs = self._translate(to_values(images, self._task))
            signature = tf.saved_model.predict_signature_def
            signatures = {"serving_default": signature({"images": images}, {"outputs": outputs})}
            if self.takes_files:
                encoded = tf.placeholder(tf.string, [None], "encoded")
                encoded_outputs = self._encode(self._translate(self._decode(encoded)))
                signatures["encoded"] = signature(
                    {"encoded": encoded}, {"outputs": encoded_outputs}
                )
            checkpoint.restorer(tf.trainable_variables())(session)
            builder = tf.saved_model.Builder(str(folder))
            builder.add_meta_graph_and_variables(
                session,
                [tf.saved_model.tag_constants.SERVING],
                signatures,
                clear_devices=True,
            )
            builder.save()

    def _decode(self, encoded: tf.Tensor) -> tf.Tensor:
        """Decodes and scales files' contents, string [N], to values [N, H, W, C] of crop_size."""
        crop_size = self._scaling.crop_size

        def decode(contents: tf.Tensor) -> tf.Tensor:
            image = decode_file(contents, max(RGB, self._channels))
            values = with_channels(to_values(image, self._task), self._channels)
            return scale(values, crop_size, self._scaling.resize)

        spec = tf.TensorSpec([*crop_size, self._channels], tf.float32)
        return tf.map_fn(decode, encoded, fn_output_signature=spec)

    def _translate(self, values: tf.Tensor) -> tf.Tensor:
        options = self._options
        return translated(values, self._task, options.model, options.run.seed, on_cpu=self._on_cpu)

    def _encode(self, images: tf.Tensor) -> tf.Tensor:
        """Encodes float32 [N, H, W, C] in [0, 1] to string [N], PNG or JPEG."""
        in_bytes = tf.image.convert_image_dtype(images, tf.uint8, saturate=True)

        def encode(image: tf.Tensor) -> tf.Tensor:
            if self._options.outputs.output_filetype == "png":
                return tf.image.encode_png(image)
            return tf.image.encode_jpeg(image, quality=_JPEG_QUALITY)

        return tf.map_fn(encode, in_bytes, fn_output_signature=tf.string)
