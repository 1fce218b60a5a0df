"""Finds a trained generator: in a checkpoint, or in a file of another program."""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow.compat.v1 as tf

from p2p_graph.checkpoints import restore_checkpoint
from p2p_graph.checkpoints.model_files import FILES, read_model
from p2p_graph.checkpoints.restore_checkpoint import Checkpoint
from p2p_graph.checkpoints.weights_digest import digest_of_arrays, digest_of_checkpoint
from p2p_graph.config.options import Options
from p2p_graph.inference.option_precedence import configure
from p2p_graph.utils.errors import UserError

Array = np.ndarray[Any, Any]
# Restores variables in a session; returns the number of training steps.
Restore = Callable[[list[tf.Variable], tf.Session], int]


class FoundModel(NamedTuple):
    """A trained generator that is found, and not loaded yet.

    Attributes:
      options: of its use.
      restore: restores variables in a session; returns the number of training steps.
      weights: gives the result of `weights_digest`.
    """

    options: Options
    restore: Restore
    weights: Callable[[], str]


def find_model(source: Path, given: Mapping[str, Any], step: int | None) -> FoundModel:
    """Finds a trained generator.

    Args:
      source: see `generator.load`.
      given: options of its use, by flat name.
      step: see `generator.load`.

    Raises:
      UserError: see `generator.load`.
    """
    if source.suffix in FILES:
        if step is not None:
            raise UserError(f"step {step} is of no use: {source} holds one generator")
        model = read_model(source, "AtoB")
        used = model.options.model.generator.in_translation()
        options = model.options.replace(**{"mode": "test", "dropout": used.dropout, **given})
        assign = functools.partial(_assign, model.arrays, model.step)
        return FoundModel(options, assign, lambda: digest_of_arrays(model.arrays))
    by_name = {**given, "checkpoint": str(source)} | ({} if step is None else {"step": step})
    options, _ = configure(by_name, "test")
    assert options.run.checkpoint is not None
    path = Path(options.run.checkpoint)
    return FoundModel(
        options,
        functools.partial(_restore_newest, path),
        lambda: restore_checkpoint.with_newest(path, digest_of_checkpoint),
    )


def _assign(
    arrays: Mapping[str, Array], step: int, variables: list[tf.Variable], session: tf.Session
) -> int:
    for variable in variables:
        variable.load(arrays[variable.op.name], session)
    return step


def _restore_newest(path: Path, variables: list[tf.Variable], session: tf.Session) -> int:
    def restore(checkpoint: Checkpoint) -> int:
        checkpoint.restorer(variables)(session)
        return checkpoint.step()

    return restore_checkpoint.with_newest(path, restore)
