"""Export: a trained generator for use without this package, in the reference's form and TF's."""

import contextlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow.compat.v1 as tf

from p2p_graph.checkpoints import checkpoint_files
from p2p_graph.checkpoints.checkpoint_files import Checkpoint
from p2p_graph.config.options import Config
from p2p_graph.data import lab_color, postprocess
from p2p_graph.data.decode import decode
from p2p_graph.data.image_pairs import scaled
from p2p_graph.data.input_graph import Batch
from p2p_graph.inference.translate_folder import configure
from p2p_graph.models.networks import translate
from p2p_graph.utils.errors import UserError, reason_of

_NAME = "export"
_UNFINISHED = ".unfinished"
_JPEG_QUALITY = 80


def export(given: Mapping[str, Any]) -> None:
    """Writes a checkpoint's generator as a meta graph and as a SavedModel.

    The meta graph (`export.meta`, `export.index`, `export.data-...`) is the reference's: what its
    clients feed and fetch is named in the collections `inputs` and `outputs`. The SavedModel is in
    `saved_model/`.

    Raises:
      UserError: something that a person can mend; what was there before is as it was.
    """
    config, checkpoint = configure(given, "export")
    folder = Path(config.output_dir or checkpoint.folder / "export")
    temporary = folder / _UNFINISHED
    try:
        temporary.mkdir(parents=True, exist_ok=True)
        _write_meta_graph(config, checkpoint, temporary)
        _write_saved_model(config, checkpoint, temporary / "saved_model")
        shutil.rmtree(folder / "saved_model", ignore_errors=True)
        checkpoint_files.publish(temporary / _NAME, folder / _NAME)
        for path in temporary.iterdir():
            path.replace(folder / path.name)
        config.replace(output_dir=str(folder)).save(folder)
    except (OSError, tf.errors.OpError) as error:
        raise UserError(f"output_dir {folder} cannot be written: {reason_of(error)}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        with contextlib.suppress(OSError):  # it goes if nothing came into it
            folder.rmdir()
    print(f"checkpoint: {checkpoint.prefix}, {config.which_direction}")
    print(f"wrote {folder}/export.meta and {folder}/saved_model")


def _write_meta_graph(config: Config, checkpoint: Checkpoint, folder: Path) -> None:
    with tf.Graph().as_default(), tf.Session() as session:
        encoded = tf.placeholder(tf.string, [1], "input")
        key = tf.placeholder(tf.string, [1], "key")
        images = _decoded(tf.decode_base64(encoded), config)
        output = tf.encode_base64(_encoded(_translated(images, config), config))
        names = {"key": key.name, "input": encoded.name}
        tf.add_to_collection("inputs", json.dumps(names))
        names = {"key": tf.identity(key).name, "output": output.name}
        tf.add_to_collection("outputs", json.dumps(names))

        checkpoint.restorer(tf.trainable_variables())(session)
        saver = tf.train.Saver()
        saver.export_meta_graph(str(folder / f"{_NAME}.meta"), clear_devices=True)
        saver.save(session, str(folder / _NAME), write_meta_graph=False, write_state=False)


def _write_saved_model(config: Config, checkpoint: Checkpoint, folder: Path) -> None:
    with tf.Graph().as_default(), tf.Session() as session:
        images = tf.placeholder(tf.float32, [None, None, None, 3], "images")
        translated = _translated(_values(images, config), config)
        encoded = tf.placeholder(tf.string, [None], "encoded")
        shown = _encoded(_translated(_decoded(encoded, config), config), config)
        checkpoint.restorer(tf.trainable_variables())(session)
        signature = tf.saved_model.predict_signature_def
        builder = tf.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(
            session,
            [tf.saved_model.tag_constants.SERVING],
            {
                "serving_default": signature({"images": images}, {"outputs": translated}),
                "encoded": signature({"encoded": encoded}, {"outputs": shown}),
            },
            clear_devices=True,
        )
        builder.save()


def _values(rgb: tf.Tensor, config: Config) -> tf.Tensor:
    """From float32 RGB [..., 3] in [0, 1] to what is translated, RGB or Lab, in [-1, 1]."""
    return lab_color.split_lab(rgb) if config.lab_colorization else rgb * 2 - 1


def _decoded(encoded: tf.Tensor, config: Config) -> tf.Tensor:
    """Decodes and scales files' contents, string [N], to [N, crop_size, crop_size, 3] values."""

    def image(contents: tf.Tensor) -> tf.Tensor:
        return scaled(_values(decode(contents), config), config.crop_size, config.resize)

    size = [config.crop_size, config.crop_size, 3]
    return tf.map_fn(image, encoded, fn_output_signature=tf.TensorSpec(size, tf.float32))


def _translated(images: tf.Tensor, config: Config) -> tf.Tensor:
    """Translates values [N, H, W, 3], RGB or Lab in [-1, 1], to float32 [N, H, W, C] in [0, 1]."""
    inputs, targets = images, None
    if config.lab_colorization:
        brightness, colors = tf.split(images, [1, 2], axis=3)
        a_to_b = config.which_direction == "AtoB"
        inputs, targets = (brightness, colors) if a_to_b else (colors, brightness)
    batch = Batch(None, inputs, targets)
    return postprocess.to_rgb(batch, translate(inputs, config), config)["outputs"]


def _encoded(images: tf.Tensor, config: Config) -> tf.Tensor:
    """Encodes float32 [N, H, W, C] in [0, 1] to string [N], PNG or JPEG."""
    as_bytes = tf.image.convert_image_dtype(images, tf.uint8, saturate=True)

    def encode(image: tf.Tensor) -> tf.Tensor:
        if config.output_filetype == "png":
            return tf.image.encode_png(image)
        return tf.image.encode_jpeg(image, quality=_JPEG_QUALITY)

    return tf.map_fn(encode, as_bytes, fn_output_signature=tf.string)
