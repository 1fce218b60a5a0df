"""Models to convert: read from checkpoints, `.pict`, `.pth` and `.safetensors` files."""

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import tensorflow.compat.v1 as tf

from p2p_graph.checkpoints import (
    pict_files,
    restore_checkpoint,
    safetensors_files,
    torch_weights,
    variable_names,
)
from p2p_graph.checkpoints.restore_checkpoint import Checkpoint
from p2p_graph.checkpoints.variable_names import is_weight
from p2p_graph.config.data_options import TaskOptions
from p2p_graph.config.model_options import ModelOptions
from p2p_graph.config.options import Options
from p2p_graph.config.options_file import MODEL_FIELDS, check_options, read_options, read_record
from p2p_graph.config.system_presets import PRESETS
from p2p_graph.models import networks
from p2p_graph.utils import signals
from p2p_graph.utils.counted import counted
from p2p_graph.utils.errors import UserError, printable
from p2p_graph.utils.outside_files import damage_reported

FILES = (".pict", ".pth", safetensors_files.SUFFIX)  # that hold a model in one file
_MOST_LEVELS = 16  # images of 65536 pixels
Arrays = dict[str, "np.ndarray[Any, Any]"]


class Model(NamedTuple):
    """A model to convert.

    Attributes:
      source: the folder or file that holds the model, for messages.
      arrays: by native name: weights, and the optimizers' state if the source holds it.
      options: of the training run.
      step: number of training steps; 0 if the source does not store it.
      record: of the training run, as of `options_file.read_record`; empty for a file.
    """

    source: Path
    arrays: Arrays
    options: Options
    step: int
    record: Mapping[str, str] = MappingProxyType({})


def read_model(source: Path, which_direction: str, discriminator: Path | None = None) -> Model:
    """Reads a model to convert.

    Args:
      source: a folder with a checkpoint of either generation and its options.json, or one of
        `FILES`.
      which_direction: of a `.pict` or `.pth` file, which does not store it.
      discriminator: the `.pth` file of the discriminator of a generator's.

    Raises:
      UserError: it cannot be read.
    """
    if discriminator is not None and source.suffix != ".pth":
        raise UserError("discriminator goes with a generator's .pth file (--checkpoint G.pth)")
    if source.suffix == ".pth":
        return _read_torch(source, which_direction, discriminator)
    if source.suffix == ".pict":
        return _read_pict(source, which_direction)
    if source.suffix == safetensors_files.SUFFIX:
        return _read_safetensors(source)
    return restore_checkpoint.with_newest(source, _read)


def _read_safetensors(path: Path) -> Model:
    arrays, stored = safetensors_files.read(path)
    stored = check_options(stored, path)
    try:
        options = Options.of(**stored)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    with damage_reported(path, "what a training run writes"):
        for name, array in arrays.items():
            _check_array(name, array)
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise ValueError(f"{printable(name)} holds infinite values or NaN")
    generator = {name: a for name, a in arrays.items() if is_weight(name)}
    generator = {name: a for name, a in generator.items() if name.startswith("generator/")}
    _check_generator(generator, options.model, options.data.task, path)
    return Model(path, dict(arrays), options, int(arrays.get("global_step", 0)))


def _read_torch(path: Path, which_direction: str, discriminator: Path | None) -> Model:
    """Reads a generator, and perhaps a discriminator, of junyanz's program."""
    levels, arrays = torch_weights.read_generator(path)
    first = arrays["generator/encoder_1/conv/filter"]
    outputs = arrays["generator/decoder_1/deconv/filter"]
    found: dict[str, Any] = {
        "which_direction": which_direction,
        "ngf": first.shape[3],
        "levels": levels,
        "crop_size": 2**levels,
        "input_channels": first.shape[2],
        "target_channels": outputs.shape[2],
    }
    if discriminator is not None:
        name, weights = torch_weights.read_discriminator(discriminator)
        taken, ndf = weights["discriminator/layer_1/conv/filter"].shape[2:]
        pair = first.shape[2] + outputs.shape[2]
        if taken not in (pair, outputs.shape[2]):
            raise UserError(
                f"{discriminator} scores images of {counted(taken, 'channel')}, and the "
                f"generator's pairs have {pair}"
            )
        found |= {"discriminator": name, "ndf": ndf, "conditional": taken == pair}
        arrays |= weights
    try:
        options = Options.of(**{**PRESETS["junyanz"], **found, "preset": "junyanz"})
    except UserError as error:
        raise UserError(f"{path} does not hold a generator: its {error}") from None
    generator = {name: a for name, a in arrays.items() if name.startswith("generator/")}
    _check_generator(generator, options.model, options.data.task, path)
    return Model(path, arrays, options, 0)


def _read(checkpoint: Checkpoint) -> Model:
    options = Options.of(**read_options(checkpoint.folder))
    arrays = checkpoint.read(checkpoint.stored)
    with damage_reported(f"checkpoint {checkpoint.prefix}", "what a training run writes"):
        for name, array in arrays.items():
            _check_array(name, array)
    record = read_record(checkpoint.folder)
    return Model(checkpoint.folder, arrays, options, checkpoint.step(), record)


def _check_array(name: str, array: "np.ndarray[Any, Any]") -> None:
    """Raises ValueError if a weight, or its optimizer state, is not what a network has."""
    if is_weight(re.sub("/Adam(_1)?$", "", name)):
        rank = 4 if name.partition("/Adam")[0].endswith("filter") else 1
        if array.dtype != np.float32 or array.ndim != rank or 0 in array.shape:
            raise ValueError(f"{name} is {array.dtype} {list(array.shape)}")


def _read_pict(path: Path, which_direction: str) -> Model:
    named: Arrays = {}
    for current, array in pict_files.read(path).items():
        name = variable_names.to_native(current)
        if name in named:
            raise UserError(f"{path} holds {printable(name)} under two names")
        named[name] = array
    arrays = {name: array for name, array in named.items() if is_weight(name)}
    options = _pict_options(arrays, path, which_direction)
    _check_generator(arrays, options.model, options.data.task, path)
    return Model(path, arrays, options, 0)


def _pict_options(native: Arrays, source: Path, which_direction: str) -> Options:
    """Infers a model's options from a `.pict`: a generator of the current generation."""
    separable = any("/separable_conv/" in name for name in native)
    first = "separable_conv/pointwise_filter" if separable else "conv/filter"
    try:
        ngf = native[f"generator/encoder_1/{first}"].shape[3]
        depthwise = first.replace("pointwise", "depthwise")
        input_channels = native[f"generator/encoder_1/{depthwise}"].shape[2]
    except (KeyError, IndexError):
        raise UserError(f"{source} does not hold a generator") from None
    lab = input_channels != 3  # the L channel, or the ab channels
    if lab:
        which_direction = "AtoB" if input_channels == 1 else "BtoA"
    levels = sum(name.startswith("generator/encoder_") and name.endswith(first) for name in native)
    if levels > _MOST_LEVELS:
        raise UserError(f"{source} does not hold a generator: it has {levels} levels")
    options = {
        "which_direction": which_direction,
        "lab_colorization": lab,
        "ngf": int(ngf),
        "separable_conv": separable,
        "levels": levels,
        "crop_size": 2**levels,
        "bias": "all",
    }
    assert set(options) <= set(MODEL_FIELDS)
    try:
        return Options.of(**options)
    except UserError as error:
        raise UserError(f"{source} does not hold a generator: its {error}") from None


def _check_generator(native: Arrays, model: ModelOptions, task: TaskOptions, source: Path) -> None:
    """Checks that arrays are the weights of the generator that the options describe."""
    levels = model.generator.levels
    assert levels is not None
    side = 2**levels
    with damage_reported(source, "a generator"), signals.held(), tf.Graph().as_default():
        inputs = tf.placeholder(tf.float32, [1, side, side, task.channels[0]])
        networks.translate(inputs, model, task.channels[1], 0, on_cpu=True)
        wanted = {v.op.name: v.shape.as_list() for v in tf.global_variables()}
    for name in sorted(set(wanted) | set(native)):
        shape = list(native[name].shape) if name in native else "missing"
        if shape != wanted.get(name, "missing"):
            raise UserError(
                f"{source} does not hold a generator of {levels} levels: "
                f"{name} is {shape}, not {wanted.get(name, 'missing')}"
            )
