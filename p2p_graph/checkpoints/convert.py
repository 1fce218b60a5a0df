"""Conversion of checkpoints: the reference's two generations, `.pict`, PyTorch, `.safetensors`."""

import functools
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow.compat.v1 as tf

from p2p_graph.checkpoints import (
    pict_files,
    safetensors_files,
    save_checkpoint,
    torch_weights,
    variable_names,
)
from p2p_graph.checkpoints.model_files import Arrays, Model, read_model
from p2p_graph.checkpoints.variable_names import is_weight
from p2p_graph.config.data_options import RGB
from p2p_graph.config.image_size import ImageSize
from p2p_graph.config.model_options import N_LAYERS
from p2p_graph.config.options import DEFAULTS, Options
from p2p_graph.config.options_file import (
    MODEL_FIELDS,
    OPTIONS_FILE,
    REFERENCE_FIELDS,
    save_options,
)
from p2p_graph.config.output_folder import claimed
from p2p_graph.config.system_presets import PRESETS
from p2p_graph.utils.atomic_write import remove
from p2p_graph.utils.errors import UserError, why_not_written

FORMS = ("native", "current", "pict", "torch", "safetensors")
# Options for which the reference program supports the default only: of G, and of D and its loss.
_REFERENCE_GENERATOR = (
    "generator",
    "bottleneck_norm",
    "norm_epsilon",
    "lrelu_slope",
    "skip_activation",
    "dropout_levels",
)
_REFERENCE_DISCRIMINATOR = (
    "discriminator",
    "discriminator_bias",
    "conditional",
    "target_first",
    "gan_loss",
)
# What junyanz's generator has, by option.
_TORCH_GENERATOR = {
    "generator": "unet",
    "separable_conv": False,
    "bottleneck_norm": False,
    "norm_epsilon": DEFAULTS["norm_epsilon"],
    "lrelu_slope": DEFAULTS["lrelu_slope"],
    "skip_activation": "relu",
}
_TORCH_LAYERS = {"pixel": 0, "patch16": 1, "patch70": 3, "image286": 5}  # of discriminators


def convert(
    source: Path,
    target: Path,
    form: str,
    which_direction: str = "AtoB",
    discriminator: Path | None = None,
) -> list[str]:
    """Converts a checkpoint, with the optimizers' state and the step if the form can hold them.

    Args:
      source: a folder with a checkpoint of either generation and its options.json, or one of
        `FILES`.
      target: the folder or the file to write.
      form: one of `FORMS`.
      which_direction: of a `.pict` or `.pth` file, which does not store it.
      discriminator: the `.pth` file of the discriminator of a generator's.

    Returns:
      What a person should know about the converted model, a sentence each.

    Raises:
      UserError: the source cannot be read, the form cannot hold the model, or the target exists.
    """
    if target.exists():
        raise UserError(f"{target} already exists: remove it, or name another --output")
    if form == "safetensors" and target.suffix != safetensors_files.SUFFIX:
        raise UserError(f"output {target} must end in {safetensors_files.SUFFIX}")
    if form == "safetensors":
        safetensors_files.check_installed()
    if form == "torch":
        torch_weights.check_installed()
    model = read_model(source, which_direction, discriminator)
    if form == "torch":
        return _write_torch(model, target)
    if form == "safetensors":
        arrays, options = _native(model)
        flat = options.flat()
        kept = {name: flat[name] for name in (*MODEL_FIELDS, *_REFERENCE_DISCRIMINATOR)}
        safetensors_files.write(target, arrays, kept)
        return []
    if form == "pict":
        _check_supported(model, _REFERENCE_GENERATOR)
        _write_pict(model, target)
        return _dropout_notes(model, "the reference program")
    if form == "current":
        _check_supported(model, (*_REFERENCE_GENERATOR, *_REFERENCE_DISCRIMINATOR))
        _check_biases(model)
    with claimed(target, "convert"):
        if form == "native":
            _write_native(model, target)
        else:
            _write_current(model, target)
    return _dropout_notes(model, "the reference program") if form == "current" else []


def _write_native(model: Model, target: Path) -> None:
    arrays, options = _native(model)
    # With the run's record: paths are seen from where it was, and its images are known by it.
    save = functools.partial(save_options, options, record=model.record)
    _write(arrays, target, model.step, save)


def _native(model: Model) -> tuple[Arrays, Options]:
    """The arrays without biases that nothing uses, and the options that say which biases remain."""
    # The reference's options do not say whether there are biases; its layers are all alike.
    others = model.options.model.discriminator.discriminator_bias != "same"
    if others or variable_names.bias(model.arrays) is None:
        return model.arrays, model.options
    arrays = drop_unused_biases(model.arrays)
    return arrays, model.options.replace(bias=variable_names.bias(arrays))


def _write_current(model: Model, target: Path) -> None:
    crop_size, levels = model.options.data.scaling.crop_size, model.options.model.generator.levels
    if (crop_size, levels) != (ImageSize(256, 256), 8):
        raise UserError(
            f"{model.source} was trained with crop_size {crop_size} and {levels} levels: "
            "the reference program supports only 256 and 8"
        )
    flat = model.options.flat()
    options = {name: flat[name] for name in REFERENCE_FIELDS}

    def write_options(folder: Path) -> None:
        text = json.dumps(options, sort_keys=True, indent=4)
        (folder / OPTIONS_FILE).write_text(text + "\n", encoding="utf-8")

    _write(to_current(model.arrays), target, model.step, write_options)


def _write_pict(model: Model, target: Path) -> None:
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


def _check_supported(model: Model, names: Sequence[str]) -> None:
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


def _dropout_notes(model: Model, other: str) -> list[str]:
    """Says that another program, to which the rate of dropout is not told, uses its own."""
    own, others = model.options.model.generator.in_translation().dropout, DEFAULTS["dropout"]
    if own == others:
        return []
    return [f"dropout {own} in translation, where {other} has {others}: outputs are equal without"]


def _check_biases(model: Model) -> None:
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


def _write_torch(model: Model, target: Path) -> list[str]:
    """Writes state dictionaries of junyanz's program; a discriminator only where it fits."""
    flat, levels = model.options.flat(), model.options.model.generator.levels
    assert levels is not None
    for name, value in _TORCH_GENERATOR.items():
        if flat[name] != value:
            raise UserError(
                f"{model.source} was trained with {name} {flat[name]}: junyanz's U-Net has {value}"
            )
    if levels < torch_weights.FEWEST_LEVELS:
        raise UserError(
            f"{model.source} has {levels} levels: junyanz's U-Net has at least "
            f"{torch_weights.FEWEST_LEVELS}"
        )
    try:
        generator = torch_weights.generator_state(model.arrays, levels)
    except KeyError as error:
        raise UserError(f"{model.source} lacks {error.args[0]}") from None
    except UserError as error:
        raise UserError(f"{model.source}: {error}") from None
    notes = _dropout_notes(model, "junyanz's network")
    if flat["dropout_levels"] != PRESETS["junyanz"]["dropout_levels"]:
        notes.append("dropout in other levels than junyanz's network: outputs are equal without it")
    if target.suffix == ".pth":
        torch_weights.write(target, generator)
        return notes
    files = {"latest_net_G.pth": generator}
    if any(name.startswith("discriminator/") for name in model.arrays):
        try:
            files["latest_net_D.pth"] = _discriminator_state(model)
        except UserError as error:
            notes.append(f"no latest_net_D.pth: {error}")
    with claimed(target, "convert"):
        for name, state in files.items():
            torch_weights.write(target / name, state)
    return notes


def _discriminator_state(model: Model) -> Arrays:
    options = model.options.model.discriminator
    name = options.discriminator
    numbered = N_LAYERS.fullmatch(name)
    layers = int(numbered[1]) if numbered else _TORCH_LAYERS.get(name)
    if layers is None or options.target_first:
        raise UserError(
            f"junyanz's program has no discriminator {name}"
            f"{' with the target first' if options.target_first else ''}"
        )
    return torch_weights.discriminator_state(model.arrays, layers)


def _write(arrays: Arrays, target: Path, step: int, write_options: Callable[[Path], None]) -> None:
    """Writes options.json and a checkpoint to a new folder; removes it on an error."""
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
        write_options(target)
        save_checkpoint.publish(temporary / prefix.name, prefix)
        temporary.rmdir()
    except (OSError, tf.errors.OpError) as error:
        remove(target)
        raise UserError(f"{target} cannot be written: {why_not_written(error)}") from None
