"""Conversion of checkpoints between the reference's two generations, and to and from `.pict`."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow.compat.v1 as tf

from p2p_graph.checkpoints import pict_files, restore_checkpoint, save_checkpoint, variable_names
from p2p_graph.checkpoints.restore_checkpoint import Checkpoint
from p2p_graph.checkpoints.variable_names import is_weight
from p2p_graph.config.data_options import RGB, TaskOptions
from p2p_graph.config.image_size import ImageSize
from p2p_graph.config.model_options import ModelOptions
from p2p_graph.config.options import DEFAULTS, Options
from p2p_graph.config.options_file import (
    MODEL_FIELDS,
    OPTIONS_FILE,
    REFERENCE_FIELDS,
    read_options,
    save_options,
)
from p2p_graph.config.output_folder import claimed
from p2p_graph.models import networks
from p2p_graph.utils.atomic_write import remove
from p2p_graph.utils.errors import UserError, printable, why_not_written
from p2p_graph.utils.outside_files import damage_reported

FORMS = ("native", "current", "pict")
_MOST_LEVELS = 16  # images of 65536 pixels
Arrays = dict[str, "np.ndarray[Any, Any]"]

# Options for which the reference program supports the default only: of G, and of D and its loss.
_REFERENCE_GENERATOR = (
    "generator",
    "bottleneck_norm",
    "norm_epsilon",
    "lrelu_slope",
    "skip_activation",
)
_REFERENCE_DISCRIMINATOR = ("discriminator", "conditional", "target_first", "gan_loss")


class _Model(NamedTuple):
    """A model to convert.

    Attributes:
      source: the folder or file that holds the model, for messages.
      arrays: by native name: weights, and the optimizers' state if the source holds it.
      options: of the training run.
      step: number of training steps; 0 if the source does not store it.
    """

    source: Path
    arrays: Arrays
    options: Options
    step: int


def convert(source: Path, target: Path, form: str, which_direction: str) -> None:
    """Converts a checkpoint, with the optimizers' state and the step if the form can hold them.

    Args:
      source: a folder with a checkpoint of either generation and its options.json, or a `.pict`.
      target: the folder to write, or the `.pict` file.
      form: one of `FORMS`.
      which_direction: of a `.pict` that is read, which does not store it.

    Raises:
      UserError: the source cannot be read, the form cannot hold the model, or the target exists.
    """
    if target.exists():
        raise UserError(f"{target} already exists: remove it, or name another --output")
    if source.suffix == ".pict":
        model = _read_pict(source, which_direction)
    else:
        model = restore_checkpoint.with_newest(source, _read)
    if form == "pict":
        _check_supported(model, _REFERENCE_GENERATOR)
        _write_pict(model, target)
        return
    if form == "current":
        _check_supported(model, (*_REFERENCE_GENERATOR, *_REFERENCE_DISCRIMINATOR))
        _check_biases(model)
    with claimed(target, "convert"):
        if form == "native":
            _write_native(model, target)
        else:
            _write_current(model, target)


def _write_native(model: _Model, target: Path) -> None:
    arrays, options = model.arrays, model.options
    if options.model.layers.bias in ("none", "all"):
        arrays = drop_unused_biases(arrays)
        options = options.replace(bias=variable_names.bias(arrays))
    _write(arrays, target, model.step, None)
    save_options(options, target)


def _write_current(model: _Model, target: Path) -> None:
    crop_size, levels = model.options.data.scaling.crop_size, model.options.model.generator.levels
    if (crop_size, levels) != (ImageSize(256, 256), 8):
        raise UserError(
            f"{model.source} was trained with crop_size {crop_size} and {levels} levels: "
            "the reference program supports only 256 and 8"
        )
    flat = model.options.flat()
    options = {name: flat[name] for name in REFERENCE_FIELDS}
    text = json.dumps(options, sort_keys=True, indent=4)
    _write(to_current(model.arrays), target, model.step, text)


def _write_pict(model: _Model, target: Path) -> None:
    if not any(name.startswith("generator/") for name in filter(is_weight, model.arrays)):
        raise UserError(f"{model.source} does not hold a generator")
    weights = {n: array for n, array in model.arrays.items() if is_weight(n)}
    current = to_current(weights)
    generator = {
        name: array
        for name, array in current.items()
        if name.startswith("generator/") and not variable_names.is_moving_average(name)
    }
    pict_files.write(target, generator)


def _check_supported(model: _Model, names: Sequence[str]) -> None:
    """Checks that the reference program supports the model's values of some options."""
    task = model.options.data.task
    if not task.lab_colorization and task.channels != (RGB, RGB):
        raise UserError(
            f"{model.source} was trained with input_channels {task.channels[0]} and "
            f"target_channels {task.channels[1]}: the reference program supports only 3 and 3"
        )
    flat = model.options.flat()
    for name in names:
        if flat[name] != DEFAULTS[name]:
            raise UserError(
                f"{model.source} was trained with {name} {flat[name]}: the reference program "
                f"supports only {DEFAULTS[name]}"
            )


def _check_biases(model: _Model) -> None:
    """Checks that the reference program, which trains all biases or none, can train the model."""
    if model.options.model.layers.bias not in ("none", "all"):
        raise UserError(
            f"{model.source} has biases in some layers: the reference program supports biases in "
            "all layers or in none"
        )


def to_current(native: Mapping[str, Any]) -> Arrays:
    """Renames native arrays to the current generation's names, and adds the missing variables.

    Added biases and their optimizer state are 0, so that the network computes the same values.
    Added moving averages, which the reference never reads, have their initial values 0 and 1.
    """
    current = {variable_names.to_current(name): array for name, array in native.items()}
    for name, array in native.items():
        scope, _, weight = name.rpartition("/")
        if not is_weight(name):
            continue
        if weight in ("filter", "pointwise_filter"):
            channels = array.shape[2 if scope.endswith("/deconv") else 3]
            for slot in ("", "/Adam", "/Adam_1"):
                bias = f"{scope}/bias{slot}"
                if f"{name}{slot}" in native and bias not in native:
                    current[variable_names.to_current(bias)] = np.zeros(channels, np.float32)
        if weight == "offset":
            beta = variable_names.to_current(name)
            mean, variance = (
                beta.replace("/beta", f"/{name}") for name in variable_names.MOVING_AVERAGES
            )
            current[mean] = np.zeros_like(array)
            current[variance] = np.ones_like(array)
    return current


def drop_unused_biases(native: Mapping[str, Any]) -> Arrays:
    """Drops the biases if all of them and their optimizer state are 0: training had none."""
    biases = {
        name
        for name in native
        if name.endswith(("/bias", "/bias/Adam", "/bias/Adam_1")) and not name.startswith("/")
    }
    if any(np.any(native[name]) for name in biases):
        return dict(native)
    return {name: array for name, array in native.items() if name not in biases}


def read_pict(path: Path, which_direction: str = "AtoB") -> tuple[Options, Arrays]:
    """Reads the generator in a `.pict` file.

    Args:
      path: the file.
      which_direction: of the generator, which the file does not store.

    Returns:
      The options of the model, and its weights by native name.

    Raises:
      UserError: the file cannot be read, or does not hold a generator.
    """
    model = _read_pict(path, which_direction)
    return model.options, model.arrays


def _read(checkpoint: Checkpoint) -> _Model:
    options = Options.of(**read_options(checkpoint.folder))
    arrays = checkpoint.read(checkpoint.stored)
    with damage_reported(f"checkpoint {checkpoint.prefix}", "what a training run writes"):
        for name, array in arrays.items():
            _check_array(name, array)
    return _Model(checkpoint.folder, arrays, options, checkpoint.step())


def _check_array(name: str, array: "np.ndarray[Any, Any]") -> None:
    """Raises ValueError if a weight, or its optimizer state, is not what a network has."""
    if is_weight(re.sub("/Adam(_1)?$", "", name)):
        rank = 4 if name.partition("/Adam")[0].endswith("filter") else 1
        if array.dtype != np.float32 or array.ndim != rank or 0 in array.shape:
            raise ValueError(f"{name} is {array.dtype} {list(array.shape)}")


def _read_pict(path: Path, which_direction: str) -> _Model:
    named: Arrays = {}
    for current, array in pict_files.read(path).items():
        name = variable_names.to_native(current)
        if name in named:
            raise UserError(f"{path} holds {printable(name)} under two names")
        named[name] = array
    arrays = {name: array for name, array in named.items() if is_weight(name)}
    options = _pict_options(arrays, path, which_direction)
    _check_generator(arrays, options.model, options.data.task, path)
    return _Model(path, arrays, options, 0)


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
    with damage_reported(source, "a generator"), tf.Graph().as_default():
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


def _write(arrays: Arrays, target: Path, step: int, options: str | None) -> None:
    """Writes a checkpoint, and options.json if given, to a new folder; removes it on an error."""
    prefix = target / f"model-{step}"
    temporary = target / ".unfinished"
    try:
        temporary.mkdir()
        with tf.Graph().as_default(), tf.Session() as session:
            values = {name: tf.placeholder(array.dtype) for name, array in arrays.items()}
            write = tf.raw_ops.SaveV2(
                prefix=os.fsencode(temporary / prefix.name),
                tensor_names=list(values),
                shape_and_slices=[""] * len(values),
                tensors=list(values.values()),
            )
            session.run(write, {values[name]: array for name, array in arrays.items()})
        if options is not None:
            (target / OPTIONS_FILE).write_text(options + "\n", encoding="utf-8")
        save_checkpoint.publish(temporary / prefix.name, prefix)
        temporary.rmdir()
    except (OSError, tf.errors.OpError) as error:
        remove(target)
        raise UserError(f"{target} cannot be written: {why_not_written(error)}") from None
