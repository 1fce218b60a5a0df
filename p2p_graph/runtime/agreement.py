"""Checks that all processes of a run on several hosts were given the same."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow.compat.v1 as tf

from p2p_graph.config.options_file import FREE_FIELDS
from p2p_graph.config.resumed_options import IMAGE_PATHS
from p2p_graph.runtime.replicas import Replicas
from p2p_graph.utils.errors import UserError

_LARGEST = 2**24
# Options that do not affect the result, but the number of Session.run calls.
_ALSO_COMPARED = {"max_steps", "max_epochs", "steps_per_run"}


class Agreement:
    """Compares numbers of all processes by their sum and the sum of their squares."""

    def __init__(self, replicas: Replicas) -> None:
        """Builds the sums."""
        self._count = replicas.count
        self._own = tf.placeholder(tf.int64, [None])
        self._sums = replicas.total(tf.stack([self._own, self._own**2]))

    def check(self, session: tf.Session, facts: Mapping[str, Any], folder: Any) -> None:
        """Waits for all processes, and compares what they were given.

        Args:
          session: of this process.
          facts: by name, the same names in all processes; values are compared as JSON.
          folder: of the run.

        Raises:
          UserError: a value is not the same in all processes.
        """
        own = np.array([_digest(value) for value in facts.values()], np.int64)
        sums, squares = session.run(self._sums, {self._own: own})
        # The variance of numbers is 0 where they are equal, and only there.
        differ = self._count * squares != sums**2
        if wrong := [name for name, differs in zip(facts, differ, strict=True) if differs]:
            raise UserError(
                f"the processes of this run differ in {', '.join(wrong)}: start them with the same "
                f"command and the same images, and with --output_dir {folder} on a disk that all "
                "hosts share"
            )


def compared_options(flat: Mapping[str, Any]) -> dict[str, Any]:
    """The options, by flat name, that must be the same in all processes."""
    left_out = set(FREE_FIELDS) - _ALSO_COMPARED | set(IMAGE_PATHS)
    return {name: value for name, value in flat.items() if name not in left_out}


def _digest(value: Any) -> int:
    text = json.dumps(value, sort_keys=True)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") % _LARGEST
