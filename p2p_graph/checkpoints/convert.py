"""Conversion of checkpoints between the reference's two generations, and to and from `.pict`."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow.compat.v1 as tf

from p2p_graph.checkpoints import checkpoint_files, pict_files, variable_names
from p2p_graph.config.options import OPTIONS_FILE, Config
from p2p_graph.config.options_file import MODEL_FIELDS, REFERENCE_FIELDS, read_options
from p2p_graph.utils.errors import UserError, reason_of

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


def convert(source: Path, target: Path, form: str, which_direction: str) -> None:
    """Converts a checkpoint, its optimizers' state and step included where the form holds them.

    Args:
      source: a folder with a checkpoint of either generation and its options.json, or a `.pict`.
      target: the folder to write, or the `.pict` file.
      form: one of `FORMS`.
      which_direction: what a `.pict` was trained for, which it does not say itself.

    Raises:
      UserError: the source cannot be read, the form cannot hold it, or the target is there.
    """
    if target.exists():
        raise UserError(f"{target} is there already: remove it, or name another --output")
    if source.suffix == ".pict":
        native = {variable_names.to_native(n): a for n, a in pict_files.read(source).items()}
        native = {name: array for name, array in native.items() if variable_names.is_weight(name)}
        options = _pict_options(native, source, which_direction)
        step = 0
    else:
        checkpoint = checkpoint_files.need(source)
        native, step = _read(checkpoint), checkpoint.step()
        options = read_options(checkpoint.folder)
    config = Config(**options)

    if form != "native":
        _check_reference_has(config, source)
    if form == "pict":
        weights = {name: array for name, array in native.items() if variable_names.is_weight(name)}
        generator = {name: a for name, a in to_current(weights).items() if name[0] == "g"}
        kept = {
            name: array for name, array in generator.items() if not variable_names.is_moving(name)
        }
        pict_files.write(target, kept)
    elif form == "current":
        if (config.crop_size, config.levels) != (256, 8):
            raise UserError(
                f"{source} was trained with crop_size {config.crop_size} and {config.levels} "
                "levels: the reference program knows 256 and 8 alone"
            )
        chosen = {name: getattr(config, name) for name in REFERENCE_FIELDS}
        _write(to_current(native), target, step, json.dumps(chosen, sort_keys=True, indent=4))
    else:
        if config.bias in ("none", "all"):
            native = without_void_biases(native)
            config = config.replace(bias=variable_names.bias(native))
        _write(native, target, step, None)
        config.save(target)


def _check_reference_has(config: Config, source: Path) -> None:
    """Checks that the reference program has such networks."""
    for name in _REFERENCE_NETWORKS:
        found, wanted = getattr(config, name), getattr(Config, name)
        if found != wanted:
            raise UserError(
                f"{source} was trained with {name} {found}: the reference program knows {wanted} "
                "alone"
            )
    if config.bias not in ("none", "all"):
        raise UserError(
            f"{source} has biases in some layers: the reference program has them in all or none"
        )


def to_current(native: Mapping[str, Any]) -> Arrays:
    """Renames native arrays to the current generation's names, and adds what it has besides.

    Biases that are not there are zero, so that the network computes the same; so is their
    optimizer's state. The unused moving moments are as they are made: 0 and 1.
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
            mean, variance = (
                variable_names.to_current(name).replace("/beta", f"/{moment}")
                for moment in variable_names.MOVING
            )
            current[mean] = np.zeros_like(array)
            current[variance] = np.ones_like(array)
    return current


def without_void_biases(native: Mapping[str, Any]) -> Arrays:
    """Leaves out biases if all are zero and never moved: the model then never had any."""
    biases = {
        name
        for name in native
        if name.endswith(("/bias", "/bias/Adam", "/bias/Adam_1")) and not name.startswith("/")
    }
    if any(np.any(native[name]) for name in biases):
        return dict(native)
    return {name: array for name, array in native.items() if name not in biases}


def _read(checkpoint: checkpoint_files.Checkpoint) -> Arrays:
    reader = tf.train.load_checkpoint(str(checkpoint.prefix))
    return {name: reader.get_tensor(stored) for name, stored in checkpoint.stored.items()}


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
        raise UserError(f"{target} cannot be written: {reason_of(error)}") from None
