"""Conversion of checkpoints between the reference's two generations, and to and from `.pict`."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow.compat.v1 as tf

from p2p_graph.checkpoints import checkpoint_files, pict_files, variable_names
from p2p_graph.config.options import DEFAULTS, Options
from p2p_graph.config.options_file import (
    MODEL_FIELDS,
    OPTIONS_FILE,
    REFERENCE_FIELDS,
    read_options,
    save_options,
)
from p2p_graph.utils.errors import UserError, one_line_reason

FORMS = ("native", "current", "pict")
Arrays = dict[str, "np.ndarray[Any, Any]"]

# Options of the networks of which the reference program knows the default alone.
_REFERENCE_NETWORKS = (
    "generator",
    "discriminator",
    "conditional",
    "target_first",
    "bottleneck_norm",
    "norm_epsilon",
    "lrelu_slope",
    "skip_activation",
    "gan_loss",
)


class _Model(NamedTuple):
    """A model to convert.

    Attributes:
      source: the folder or file that it is from, for messages.
      arrays: by native name: weights, and the optimizers' state where the source holds it.
      options: of its training.
      step: how many steps it was trained; 0 where the source does not say.
    """

    source: Path
    arrays: Arrays
    options: Options
    step: int


def convert(source: Path, target: Path, form: str, which_direction: str) -> None:
    """Converts a checkpoint, with its optimizers' state and step where the form holds them.

    Args:
      source: a folder with a checkpoint of either generation and its options.json, or a `.pict`.
      target: the folder to write, or the `.pict` file.
      form: one of `FORMS`.
      which_direction: the direction of a `.pict`, which does not say it.

    Raises:
      UserError: the source cannot be read, the form cannot hold it, or the target exists.
    """
    if target.exists():
        raise UserError(f"{target} is there already: remove it, or name another --output")
    model = _read_pict(source, which_direction) if source.suffix == ".pict" else _read(source)
    if form == "native":
        _write_native(model, target)
        return
    _check_reference_has(model)
    if form == "pict":
        _write_pict(model, target)
    else:
        _write_current(model, target)


def _write_native(model: _Model, target: Path) -> None:
    arrays, options = model.arrays, model.options
    if options.model.layers.bias in ("none", "all"):
        arrays = without_void_biases(arrays)
        options = options.replace(bias=variable_names.bias(arrays))
    _write(arrays, target, model.step, None)
    save_options(options, target)


def _write_current(model: _Model, target: Path) -> None:
    crop_size, levels = model.options.data.scaling.crop_size, model.options.model.generator.levels
    if (crop_size, levels) != (256, 8):
        raise UserError(
            f"{model.source} was trained with crop_size {crop_size} and {levels} levels: "
            "the reference program knows 256 and 8 alone"
        )
    flat = model.options.flat()
    options = {name: flat[name] for name in REFERENCE_FIELDS}
    text = json.dumps(options, sort_keys=True, indent=4)
    _write(to_current(model.arrays), target, model.step, text)


def _write_pict(model: _Model, target: Path) -> None:
    weights = {n: array for n, array in model.arrays.items() if variable_names.is_weight(n)}
    current = to_current(weights)
    generator = {
        name: array
        for name, array in current.items()
        if name.startswith("generator/") and not variable_names.is_moving(name)
    }
    pict_files.write(target, generator)


def _check_reference_has(model: _Model) -> None:
    """Checks that the reference program has such networks."""
    flat = model.options.flat()
    for name in _REFERENCE_NETWORKS:
        if flat[name] != DEFAULTS[name]:
            raise UserError(
                f"{model.source} was trained with {name} {flat[name]}: the reference program knows "
                f"{DEFAULTS[name]} alone"
            )
    if flat["bias"] not in ("none", "all"):
        raise UserError(
            f"{model.source} has biases in some layers: the reference program has them in all or "
            "none"
        )


def to_current(native: Mapping[str, Any]) -> Arrays:
    """Renames native arrays to the current generation's names, and adds its further variables.

    Missing biases are zero, so that the network computes the same; so is their optimizer's state.
    The unused moving averages have their initial values, 0 and 1.
    """
    current = {variable_names.to_current(name): array for name, array in native.items()}
    for name, array in native.items():
        scope, _, weight = name.rpartition("/")
        if not variable_names.is_weight(name):
            continue
        if weight in ("filter", "pointwise_filter"):
            channels = array.shape[2 if scope.endswith("/deconv") else 3]
            for slot in ("", "/Adam", "/Adam_1"):
                bias = f"{scope}/bias{slot}"
                if f"{name}{slot}" in native and bias not in native:
                    current[variable_names.to_current(bias)] = np.zeros(channels, np.float32)
        if weight == "offset":
            beta = variable_names.to_current(name)
            mean, variance = (beta.replace("/beta", f"/{m}") for m in variable_names.MOVING)
            current[mean] = np.zeros_like(array)
            current[variance] = np.ones_like(array)
    return current


def without_void_biases(native: Mapping[str, Any]) -> Arrays:
    """Leaves out biases if all are zero and were never updated: the model never had any."""
    biases = {
        name
        for name in native
        if name.endswith(("/bias", "/bias/Adam", "/bias/Adam_1")) and not name.startswith("/")
    }
    if any(np.any(native[name]) for name in biases):
        return dict(native)
    return {name: array for name, array in native.items() if name not in biases}


def _read(folder: Path) -> _Model:
    checkpoint = checkpoint_files.need(folder)
    reader = tf.train.load_checkpoint(str(checkpoint.prefix))
    arrays = {name: reader.get_tensor(stored) for name, stored in checkpoint.stored.items()}
    options = Options.of(**read_options(checkpoint.folder))
    return _Model(folder, arrays, options, checkpoint.step())


def _read_pict(path: Path, which_direction: str) -> _Model:
    named = {variable_names.to_native(n): array for n, array in pict_files.read(path).items()}
    arrays = {name: array for name, array in named.items() if variable_names.is_weight(name)}
    options = Options.of(**_pict_options(arrays, path, which_direction))
    return _Model(path, arrays, options, 0)


def _pict_options(native: Arrays, source: Path, which_direction: str) -> dict[str, Any]:
    """What a `.pict` tells of its model; it has a generator alone, always of the current form."""
    separable = any("/separable_conv/" in name for name in native)
    first = "separable_conv/pointwise_filter" if separable else "conv/filter"
    try:
        ngf = native[f"generator/encoder_1/{first}"].shape[3]
        seen = native[f"generator/encoder_1/{first.replace('pointwise', 'depthwise')}"].shape[2]
    except KeyError:
        raise UserError(f"{source} does not hold a generator") from None
    lab = seen != 3  # brightness is one channel, colours are two
    if lab:
        which_direction = "AtoB" if seen == 1 else "BtoA"
    levels = sum(name.startswith("generator/encoder_") and name.endswith(first) for name in native)
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
    return options


def _write(arrays: Arrays, target: Path, step: int, options: str | None) -> None:
    """Writes a checkpoint into a new folder."""
    prefix = target / f"model-{step}"
    temporary = target / ".unfinished"
    try:
        temporary.mkdir(parents=True)
        with tf.Graph().as_default(), tf.Session() as session:
            values = {name: tf.placeholder(array.dtype) for name, array in arrays.items()}
            write = tf.raw_ops.SaveV2(
                prefix=str(temporary / prefix.name),
                tensor_names=list(values),
                shape_and_slices=[""] * len(values),
                tensors=list(values.values()),
            )
            session.run(write, {values[name]: array for name, array in arrays.items()})
        if options is not None:
            (target / OPTIONS_FILE).write_text(options + "\n", encoding="utf-8")
        checkpoint_files.publish(temporary / prefix.name, prefix)
        temporary.rmdir()
    except (OSError, tf.errors.OpError) as error:
        shutil.rmtree(target, ignore_errors=True)
        raise UserError(f"{target} cannot be written: {one_line_reason(error)}") from None
