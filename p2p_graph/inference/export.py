"""Export: a trained generator without this package, in the reference's form and TensorFlow's."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow.compat.v1 as tf

from p2p_graph.checkpoints import restore_checkpoint, save_checkpoint
from p2p_graph.checkpoints.find_checkpoint import STATE_FILE
from p2p_graph.checkpoints.restore_checkpoint import Checkpoint
from p2p_graph.config.data_options import RGB, TaskOptions
from p2p_graph.config.options import Options
from p2p_graph.config.options_file import OPTIONS_FILE, save_options
from p2p_graph.config.output_folder import claimed
from p2p_graph.data.decode import decode_file, with_channels
from p2p_graph.data.image_pairs import scale
from p2p_graph.imaging import preview
from p2p_graph.inference import model_card, onnx_model
from p2p_graph.inference.option_precedence import configure
from p2p_graph.inference.translation import image_channels, to_values, translated
from p2p_graph.models.layer_settings import FROZEN
from p2p_graph.models.networks import generator_spec, layer_settings
from p2p_graph.models.precision import compute_once
from p2p_graph.runtime import devices
from p2p_graph.utils import signals
from p2p_graph.utils.atomic_write import remove, write_json
from p2p_graph.utils.errors import UserError, why_not_written

_META_GRAPH, _SAVED_MODEL = "export", "saved_model"
_FROZEN_GRAPH, _ONNX_MODEL = "frozen_graph.pb", "generator.onnx"
_FILES = {
    "meta": f"{_META_GRAPH}.meta",
    "saved_model": _SAVED_MODEL,
    "frozen": _FROZEN_GRAPH,
    "onnx": _ONNX_MODEL,
}
# What former exports may have written, of any format.
_OURS = re.compile(
    rf"{_META_GRAPH}\.(meta|index|data-\d+-of-\d+)|{STATE_FILE}|{OPTIONS_FILE}|{_SAVED_MODEL}|"
    rf"{re.escape(_FROZEN_GRAPH)}|{re.escape(_ONNX_MODEL)}|"
    rf"{re.escape(model_card.CARD_FILE)}|{re.escape(model_card.RECORD_FILE)}"
)
_OF_SAVED_MODEL = {"saved_model.pb", "variables"}
_TEMPORARY, _FORMER = ".unfinished", ".former"
_JPEG_QUALITY = 80
_LARGEST_FILE = 2**31 - 2**20  # bytes of Protocol Buffers, without what is not weights
_OPTIMIZER = re.compile(r"/Adam(_1)?$")  # ends the names of its state


def export(given: Mapping[str, Any]) -> None:
    """Writes a checkpoint's generator in the forms that `format` names.

    The meta graph (`export.meta`, `export.index`, `export.data-...`) is the reference's: the
    collections `inputs` and `outputs` name the tensors that its clients feed and fetch. The
    SavedModel is in `saved_model/`. A model whose inputs or outputs no image file holds has no meta
    graph.

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
    formats = options.outputs.format.split(",")
    if "onnx" in formats:
        onnx_model.check_installed()
    if formats == ["meta"] and not exported.takes_files:
        raise UserError(f"format meta is for image files, and {_no_file_holds(task)}")

    files = {name: file for name, file in _FILES.items() if name in formats}
    if not exported.takes_files:
        files.pop("meta", None)

    def write(newest: Checkpoint) -> Path:
        """Writes all forms, of one checkpoint, to the temporary folder."""
        remove(temporary)
        temporary.mkdir()
        if "meta" in files:
            exported.write_meta_graph(newest, temporary)
        if "saved_model" in files:
            exported.write_saved_model(newest, temporary / _SAVED_MODEL)
        if "frozen" in files:
            exported.write_frozen_graph(newest, temporary / _FROZEN_GRAPH)
        if "onnx" in files:
            exported.write_onnx(newest, temporary / _ONNX_MODEL)
        record = model_card.make_record(
            options.flat(), newest.folder, newest.step(), files, exported.channels
        )
        write_json(temporary / model_card.RECORD_FILE, record)
        text = model_card.card(record, options.data.scaling.crop_size)
        (temporary / model_card.CARD_FILE).write_text(text, encoding="utf-8")
        return newest.prefix

    assert options.run.checkpoint is not None
    with claimed(folder, "export", tuple(_FILES.values())):
        try:
            _recover(former, folder)
            _check_own(folder)
            prefix = restore_checkpoint.with_newest(Path(options.run.checkpoint), write)
            save_options(options.replace(output_dir=str(folder)), temporary)
            _publish(temporary, folder, former)
        except (OSError, tf.errors.OpError) as error:
            reason = why_not_written(error)
            raise UserError(f"output_dir {folder} cannot be written: {reason}") from None
        finally:
            remove(temporary)
    print(f"checkpoint: {prefix}, {options.data.task.which_direction}")
    if "meta" in formats and "meta" not in files:
        print(f"no meta graph, and signatures for arrays alone: {_no_file_holds(task)}")
    print("wrote", " and ".join(f"{folder}/{file}" for file in files.values()))


def _no_file_holds(task: TaskOptions) -> str:
    return (
        f"no image file holds the channels of this model, {task.input_parts} and {task.channels[1]}"
    )


def _check_own(folder: Path) -> None:
    """Refuses files of a person, which would be removed or replaced."""
    if (folder / model_card.CARD_FILE).exists() and not (folder / model_card.RECORD_FILE).exists():
        raise UserError(
            f"{folder} holds {model_card.CARD_FILE}, which tools/export.py did not write and would "
            "replace: move it, or name another --output_dir"
        )
    saved_model = folder / _SAVED_MODEL
    found = {path.name for path in saved_model.iterdir()} if saved_model.is_dir() else set()
    if others := sorted(found - _OF_SAVED_MODEL):
        raise UserError(
            f"{saved_model} holds {others[0]}, which tools/export.py did not write and would "
            "remove: move it, or name another --output_dir"
        )


def _publish(temporary: Path, folder: Path, former: Path) -> None:
    """Puts new files in the place of former ones; all or, where that fails, none of them.

    Former files of other formats go: they may be of another checkpoint.
    """
    names = [path.name for path in temporary.iterdir()]
    others = [path.name for path in folder.iterdir() if _OURS.fullmatch(path.name)]
    former.mkdir(exist_ok=True)
    published = []
    try:
        for name in dict.fromkeys([*names, *others]):
            if (folder / name).exists():
                (folder / name).replace(former / name)
            if name in names:
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


def _check_fits(name: str, weights: int) -> None:
    """Refuses more weights than one file of Protocol Buffers holds."""
    if weights * 4 > _LARGEST_FILE:
        raise UserError(
            f"format {name} holds at most 2 GB, and the generator's weights take "
            f"{weights * 4 / 1e9:.1f} GB: leave it out (--format meta,saved_model)"
        )


def _operations_read(graph: tf.Graph, outputs: Sequence[str]) -> set[str]:
    """The names of the operations, and so of the variables, that outputs are computed from."""
    waiting = [graph.get_tensor_by_name(name).op for name in outputs]
    found: set[str] = set()
    while waiting:
        operation = waiting.pop()
        if operation.name not in found:
            found.add(operation.name)
            waiting += [tensor.op for tensor in operation.inputs]
    return found


class _ExportedGraph:
    """The generator with decoding before it and encoding behind it.

    Attributes:
      takes_files: whether image files hold the channels of inputs and outputs.
      channels: of images that clients give and get.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._task, self._scaling = options.data.task, options.data.scaling
        self.channels = image_channels(self._task)
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
            images, outputs = self._images_to_outputs(frozen=True)
            signature = tf.saved_model.predict_signature_def
            signatures = {"serving_default": signature({"images": images}, {"outputs": outputs})}
            if self.takes_files:
                encoded = tf.placeholder(tf.string, [None], "encoded")
                values = self._decode(encoded)
                encoded_outputs = self._encode(self._translate(values, frozen=True))
                signatures["encoded"] = signature(
                    {"encoded": encoded}, {"outputs": encoded_outputs}
                )
            checkpoint.restorer(tf.trainable_variables())(session)
            compute_once(session)
            fetched = [info for one in signatures.values() for info in one.outputs.values()]
            read = _operations_read(session.graph, [info.name for info in fetched])
            used = [
                v
                for v in (*tf.trainable_variables(), *tf.get_collection(FROZEN))
                if v.op.name in read
            ]
            builder = tf.saved_model.Builder(str(folder))
            builder.add_meta_graph_and_variables(
                session,
                [tf.saved_model.tag_constants.SERVING],
                signatures,
                saver=tf.train.Saver(used),
                clear_devices=True,
            )
            builder.save()

    def write_frozen_graph(self, checkpoint: Checkpoint, path: Path) -> None:
        """Writes a graph from `images` to `outputs`, with the weights as constants."""
        with signals.held(), tf.Graph().as_default() as graph, tf.Session() as session:
            _, outputs = self._images_to_outputs()
            tf.identity(outputs, "outputs")
            _check_fits("frozen", sum(v.shape.num_elements() for v in tf.trainable_variables()))
            checkpoint.restorer(tf.trainable_variables())(session)
            frozen = tf.graph_util.convert_variables_to_constants(
                session, graph.as_graph_def(), ["outputs"]
            )
            path.write_bytes(frozen.SerializeToString())

    def write_onnx(self, checkpoint: Checkpoint, path: Path) -> None:
        """Writes an ONNX model from `images` to `outputs`."""
        model, seed = self._options.model, self._options.run.seed
        settings = layer_settings(model.layers, on_cpu=True)
        spec = generator_spec(model.generator, model.layers, self._task.channels[1], settings)
        names = [name for name in checkpoint.stored if name.startswith("generator/")]
        names = [name for name in names if not _OPTIMIZER.search(name)]
        _check_fits("onnx", sum(math.prod(checkpoint.shapes[name]) for name in names))
        weights = checkpoint.read(names)
        properties = {
            "checkpoint": checkpoint.prefix.name,
            "which_direction": self._task.which_direction,
            "seed": str(seed),
            "dropout": str(model.generator.dropout),
        }
        crop_size = self._scaling.crop_size
        path.write_bytes(
            onnx_model.onnx_model(
                spec,
                self.channels,
                self._task.which_direction if self._task.lab_colorization else None,
                weights,
                seed,
                crop_size,
                properties,
            )
        )

    def _images_to_outputs(self, *, frozen: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """Builds the translation of float32 [N, H, W, C] in [0, 1] to the same."""
        images = tf.placeholder(tf.float32, [None, None, None, self.channels[0]], "images")
        return images, self._translate(to_values(images, self._task), frozen=frozen)

    def _decode(self, encoded: tf.Tensor) -> tf.Tensor:
        """Decodes and scales files' contents, string [N], to values [N, H, W, C] of crop_size."""
        crop_size, channels = self._scaling.crop_size, self.channels[0]

        def decode(contents: tf.Tensor) -> tf.Tensor:
            image = decode_file(contents, max(RGB, channels))
            values = with_channels(to_values(image, self._task), channels)
            return scale(values, crop_size, self._scaling.resize)

        spec = tf.TensorSpec([*crop_size, channels], tf.float32)
        return tf.map_fn(decode, encoded, fn_output_signature=spec)

    def _translate(self, values: tf.Tensor, *, frozen: bool = False) -> tf.Tensor:
        options = self._options
        return translated(
            values,
            self._task,
            options.model,
            options.run.seed,
            on_cpu=self._on_cpu,
            frozen=frozen,
            expected=self._scaling.crop_size,
        )

    def _encode(self, images: tf.Tensor) -> tf.Tensor:
        """Encodes float32 [N, H, W, C] in [0, 1] to string [N], PNG or JPEG."""
        in_bytes = tf.image.convert_image_dtype(images, tf.uint8, saturate=True)

        def encode(image: tf.Tensor) -> tf.Tensor:
            if self._options.outputs.output_filetype == "png":
                return tf.image.encode_png(image)
            return tf.image.encode_jpeg(image, quality=_JPEG_QUALITY)

        return tf.map_fn(encode, in_bytes, fn_output_signature=tf.string)
