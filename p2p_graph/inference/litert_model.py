"""The generator as LiteRT models (.tflite), by TensorFlow's converter."""

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow.compat.v1 as tf

from p2p_graph.config.data_options import DataOptions
from p2p_graph.data.image_sources import source_named
from p2p_graph.inference.input_images import read_inputs
from p2p_graph.runtime.glob_free_paths import without_pattern
from p2p_graph.runtime.quiet_import import hidden_stderr
from p2p_graph.utils import signals
from p2p_graph.utils.errors import UserError

Array = np.ndarray[Any, Any]

FORMS = ("litert", "litert-fp16", "litert-int8-weights", "litert-int8")
_CALIBRATED = "litert-int8"
_MOST_IMAGES = 100  # of a calibration
# Operations that stay in float32 in litert-int8. Means and variances in 8 bits would be far off,
# and LiteRT ends the process at 1 / sqrt(0) in 8 bits; the curves of Lab are steep.
_IN_FLOAT = (
    *("ABS", "ADD", "DIV", "LESS_EQUAL", "MAXIMUM", "MEAN", "MINIMUM", "MUL", "POW", "RSQRT"),
    *("SELECT", "SELECT_V2", "SQUARED_DIFFERENCE", "SUB", "SUM", "TANH"),
    *("BATCH_MATMUL", "FULLY_CONNECTED"),
)


def calibration_images(
    folder: str | None, data: DataOptions, formats: Sequence[str]
) -> list[Array]:
    """Reads the images that litert-int8 is calibrated with.

    Args:
      folder: `calibration_dir`.
      data: of the export.
      formats: to be written.

    Returns:
      float32 [1, H, W, C] in [0, 1] of `crop_size`, as the model takes them; none for formats
      without calibration.

    Raises:
      UserError: the folder is missing, of no use, or has no usable images of the model's channels.
    """
    if _CALIBRATED not in formats:
        if folder is not None:
            raise UserError(f"calibration_dir is for the format {_CALIBRATED}")
        return []
    if folder is None:
        raise UserError(
            f"format {_CALIBRATED} needs --calibration_dir: a folder of images as in training"
        )
    with source_named("calibration_dir"):
        return read_inputs(folder, data, _MOST_IMAGES)


def convert(saved_model: Path, form: str, calibration: Sequence[Array] = ()) -> bytes:
    """Converts a SavedModel to a LiteRT model with the same signature.

    Args:
      saved_model: its folder; it takes `images` of a fixed shape.
      form: one of `FORMS`. litert computes in float32; litert-fp16 stores weights in 16 bits, and
        litert-int8-weights in 8; litert-int8 also computes convolutions in 8 bits. All take and
        give float32.
      calibration: images for litert-int8, of the model's shape.

    Returns:
      The contents of a .tflite file.
    """
    with (
        warnings.catch_warnings(),
        hidden_stderr(),
        signals.held(),
        without_pattern(saved_model, [saved_model]) as plain,
    ):
        warnings.simplefilter("ignore")
        return _convert(plain, form, calibration)


def _convert(saved_model: str, form: str, calibration: Sequence[Array]) -> bytes:
    converter = tf.compat.v2.lite.TFLiteConverter.from_saved_model(saved_model)
    if form != "litert":
        converter.optimizations = [tf.compat.v2.lite.Optimize.DEFAULT]
    if form == "litert-fp16":
        converter.target_spec.supported_types = [tf.float16]
    contents: bytes
    if form != _CALIBRATED:
        contents = converter.convert()
        return contents

    def one_by_one() -> Iterator[dict[str, Array]]:
        for image in calibration:
            yield {"images": image}

    converter.representative_dataset = one_by_one
    options = tf.compat.v2.lite.experimental.QuantizationDebugOptions(
        denylisted_ops=list(_IN_FLOAT)
    )
    debugger = tf.compat.v2.lite.experimental.QuantizationDebugger(
        converter=converter, debug_dataset=one_by_one, debug_options=options
    )
    contents = debugger.get_nondebug_quantized_model()
    return contents
