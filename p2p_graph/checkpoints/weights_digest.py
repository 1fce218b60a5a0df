"""A digest of a generator's weights: equal for equal weights, wherever their files lie."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from p2p_graph.checkpoints.restore_checkpoint import Checkpoint
from p2p_graph.checkpoints.variable_names import is_weight

Array = np.ndarray[Any, Any]
_GENERATOR = "generator/"


def digest_of_checkpoint(checkpoint: Checkpoint) -> str:
    """The digest of the generator in a checkpoint, as `digest_of_arrays`; reads them one by one.

    Raises:
      UserError: the checkpoint is damaged, or a value is not finite.
    """
    return _digest(checkpoint.read_each(sorted(filter(_is_of_generator, checkpoint.stored))))


def digest_of_arrays(arrays: Mapping[str, Array]) -> str:
    """SHA-256 of a generator's names, types, shapes and values, in hexadecimal digits.

    Args:
      arrays: weights by native name; those of other networks and of optimizers are left out.
    """
    return _digest((name, arrays[name]) for name in sorted(filter(_is_of_generator, arrays)))


def _is_of_generator(name: str) -> bool:
    return name.startswith(_GENERATOR) and is_weight(name)


def _digest(named: Iterator[tuple[str, Array]]) -> str:
    digest = hashlib.sha256()
    for name, array in named:
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
