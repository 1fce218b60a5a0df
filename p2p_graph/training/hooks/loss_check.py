"""Stops training whose losses are not finite."""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow.compat.v1 as tf

from p2p_graph.training.hooks.checkpoint_schedule import what_is_kept
from p2p_graph.training.hooks.failure_signs import SMALLER_RATE, NotFiniteError
from p2p_graph.training.hooks.step_hook import StepHook
from p2p_graph.training.session_calls import Schedule, SessionCall
from p2p_graph.training.updates import Losses


class CheckLosses(StepHook):
    """Stops training whose losses are not finite, before anything is made of them."""

    def __init__(self, call: SessionCall, folder: Path, schedule: Schedule) -> None:
        super().__init__(1, schedule)
        self._folder = folder
        self._fetches = {"losses": call.losses, "paths": call.paths}

    def request(self) -> tf.train.SessionRunArgs:
        """All losses, and the images that they are of."""
        return tf.train.SessionRunArgs(self._fetches)

    def report(self, step: int, values: Any, session: tf.Session) -> None:
        """Searches for NaN and infinity.

        Raises:
          NotFiniteError: a loss is not finite; the message names the step and the images.
        """
        rows = values.results["losses"]
        wrong = [i for i, row in enumerate(rows) if not np.isfinite(row).all()]
        if not wrong:
            return
        step += wrong[0] + 1 - len(rows)
        losses = zip(Losses._fields, rows[wrong[0]], strict=True)
        found = ", ".join(f"{name} {float(loss)}" for name, loss in losses)
        paths = ", ".join(path.decode() for path in values.results["paths"][wrong[0]])
        raise NotFiniteError(
            f"the losses of step {step} are not finite ({found}) on {paths}; "
            f"{what_is_kept(self._folder)}: {SMALLER_RATE}"
        )
