"""The graphs that an export writes: a generator with decoding before it and encoding behind it."""

import functools
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow.compat.v1 as tf

from p2p_graph.checkpoints import save_checkpoint
from p2p_graph.checkpoints.restore_checkpoint import Checkpoint
from p2p_graph.config.data_options import RGB
from p2p_graph.config.options import Options
from p2p_graph.data.decode import decode_file, with_channels
from p2p_graph.data.image_pairs import scale
from p2p_graph.imaging import preview
from p2p_graph.inference import litert_model, onnx_model
from p2p_graph.inference.translation import image_channels, to_values, translated
from p2p_graph.models.layer_settings import FROZEN
from p2p_graph.models.networks import generator_spec, layer_settings, translate
from p2p_graph.models.precision import compute_once
from p2p_graph.runtime import devices
from p2p_graph.utils import signals
from p2p_graph.utils.atomic_write import remove
from p2p_graph.utils.errors import UserError

Array = np.ndarray[Any, Any]

_JPEG_QUALITY = 80
_LARGEST_FILE = 2**31 - 2**20  # bytes of Protocol Buffers, without what is not weights
_OPTIMIZER = re.compile(r"/Adam(_1)?$")  # ends the names of its state


def _check_fits(name: str, weights: int) -> None:
    """Refuses more weights than one file of Protocol Buffers holds."""
    if weights * 4 > _LARGEST_FILE:
        raise UserError(
            f"format {name} holds at most 2 GB, and the generator's weights take "
            f"{weights * 4 / 1e9:.1f} GB: leave it out (--format meta,saved_model)"
        )


def _save(
    session: tf.Session, checkpoint: Checkpoint, signatures: Mapping[str, Any], folder: Path
) -> None:
    """Writes the session's graph, with the checkpoint's weights, as a SavedModel."""
    checkpoint.restorer(tf.trainable_variables())(session)
    compute_once(session)
    fetched = [info for one in signatures.values() for info in one.outputs.values()]
    read = _operations_read(session.graph, [info.name for info in fetched])
    variables = (*tf.trainable_variables(), *tf.get_collection(FROZEN))
    builder = tf.saved_model.Builder(str(folder))
    builder.add_meta_graph_and_variables(
        session,
        [tf.saved_model.tag_constants.SERVING],
        signatures,
        saver=tf.train.Saver([v for v in variables if v.op.name in read]),
        clear_devices=True,
    )
    builder.save()


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


class ExportedGraph:
    """The generator with decoding before it and encoding behind it.

    Attributes:
      takes_files: whether image files hold the channels of inputs and outputs.
      channels: of images that clients give and get.
    """

    def __init__(self, options: Options) -> None:
        """Builds nothing yet; each form has a graph of its own.

        Args:
          options: of the checkpoint's model, and of the export.
        """
        self._options = options
        self._task, self._scaling = options.data.task, options.data.scaling
        self.channels = image_channels(self._task)
        self.takes_files = all(map(preview.is_whole, self._task.shown_parts.values()))
        self._on_cpu = devices.choose("auto").is_cpu

    def write_meta_graph(self, checkpoint: Checkpoint, path: Path) -> None:
        """Writes the reference's form: string in, string out, in web-safe base64.

        Args:
          checkpoint: the generator's weights.
          path: of the .meta file; the weights are written beside it.
        """
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
            saver.export_meta_graph(str(path), clear_devices=True)
            prefix = str(path.with_suffix(""))
            saver.save(session, prefix, write_meta_graph=False, write_state=False)
        save_checkpoint.write_state(path.parent, path.stem)

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
                # TF Serving gives bytes in JSON for names that end so, and broken text otherwise.
                signatures["encoded_bytes"] = signature(
                    {"encoded": encoded}, {"outputs_bytes": encoded_outputs}
                )
            _save(session, checkpoint, signatures, folder)

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

    def write_litert(
        self, checkpoint: Checkpoint, paths: Mapping[str, Path], calibration: Sequence[Array]
    ) -> None:
        """Writes LiteRT models, for one image of `crop_size`.

        Args:
          checkpoint: the generator's weights.
          paths: of the files, by form.
          calibration: images for the form litert-int8, as `litert_model.convert`.
        """
        first = next(iter(paths.values()))
        folder = first.with_name(f"{first.name}.saved_model")
        with signals.held(), tf.Graph().as_default(), tf.Session() as session:
            # Not as on a CPU: LiteRT has convolutions of its own, and matmul convolutions are
            # TensorFlow's way around slow ones. Frozen: dropout masks are constants.
            shape = [1, *self._scaling.crop_size, self.channels[0]]
            images = tf.placeholder(tf.float32, shape, "images")
            outputs = self._translate(to_values(images, self._task), frozen=True, on_cpu=False)
            _check_fits("litert", sum(v.shape.num_elements() for v in tf.trainable_variables()))
            signature = tf.saved_model.predict_signature_def(
                {"images": images}, {"outputs": outputs}
            )
            _save(session, checkpoint, {"serving_default": signature}, folder)
        for form, path in paths.items():
            path.write_bytes(litert_model.convert(folder, form, calibration))
        remove(folder)

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

    def _translate(
        self, values: tf.Tensor, *, frozen: bool = False, on_cpu: bool | None = None
    ) -> tf.Tensor:
        options = self._options
        generate = functools.partial(
            translate,
            model=options.model,
            target_channels=self._task.channels[1],
            seed=options.run.seed,
            on_cpu=self._on_cpu if on_cpu is None else on_cpu,
            frozen=frozen,
            expected=self._scaling.crop_size,
        )
        return translated(values, self._task, generate)

    def _encode(self, images: tf.Tensor) -> tf.Tensor:
        """Encodes float32 [N, H, W, C] in [0, 1] to string [N], PNG or JPEG."""
        in_bytes = tf.image.convert_image_dtype(images, tf.uint8, saturate=True)

        def encode(image: tf.Tensor) -> tf.Tensor:
            if self._options.outputs.output_filetype == "png":
                return tf.image.encode_png(image)
            return tf.image.encode_jpeg(image, quality=_JPEG_QUALITY)

        return tf.map_fn(encode, in_bytes, fn_output_signature=tf.string)
