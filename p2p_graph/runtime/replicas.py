"""Replicas: copies of the networks, each on a device of its own with its own part of a batch.

They are those of `tf.distribute`. Every replica computes the gradients of its images. The
optimizers sum the gradients of all replicas, over all hosts, and all replicas update alike.
"""

import contextlib
from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow.compat.v1 as tf


class Position(NamedTuple):
    """Which of all replicas a part of the graph is built for.

    Attributes:
      replica: its number, from 0.
      replicas: how many there are, on all hosts.
    """

    replica: int
    replicas: int


def position() -> Position:
    """The replica that the graph is being built for; outside of replicas the only one."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return Position(0, 1)
    index = tf.get_static_value(context.replica_id_in_sync_group)
    return Position(int(index), context.num_replicas_in_sync)


class Replicas:
    """The replicas of a training run, of which this process has some.

    Attributes:
      count: of all replicas, of all hosts.
      local: how many of them this process has; they follow each other.
      worker: number of this process, from 0: its first replica is number `worker * local`.
    """

    def __init__(self, strategy: Any = None, local: int = 1, workers: int = 1, worker: int = 0):
        """Describes them.

        Args:
          strategy: of `tf.distribute`; None for one replica, which is built without one.
          local: replicas of each process.
          workers: how many processes there are.
          worker: the number of this process.
        """
        self._strategy = strategy
        self.count, self.local, self.worker = local * workers, local, worker

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the run's folder."""
        return self.worker == 0

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """A context in which every variable has a copy on each replica."""
        scope: contextlib.AbstractContextManager[Any] = (
            self._strategy.scope() if self._strategy else contextlib.nullcontext()
        )
        return scope

    def run(self, build: Callable[[Any], Any], batch: Any) -> Any:
        """Builds the same on each replica.

        Args:
          build: from a replica's part of the batch to tensors, operations and variables.
          batch: a named tuple of tensors [local * N, ...] or None. What is built runs after it.

        Returns:
          The result of `build`, whose leaves are for the methods below.
        """
        if not self._strategy:
            return build(batch)

        def build_one() -> Any:
            # Replicas are built in threads of their own, where the control dependencies of this
            # one do not hold. The batch was made under them.
            with tf.control_dependencies([batch[0]]):
                return build(self._own_part(batch))

        return self._strategy.run(build_one)

    def mean(self, value: Any) -> Any:
        """The mean of a tensor of `run` over all replicas of all hosts."""
        if not self._strategy:
            return value
        return self._strategy.reduce(tf.distribute.ReduceOp.MEAN, value, axis=None)

    def together(self, operation: Any) -> tf.Operation:
        """An operation of `run`, done by all replicas of this process."""
        if not self._strategy:
            return operation
        return tf.group(*self._strategy.experimental_local_results(operation))

    def total(self, value: tf.Tensor) -> tf.Tensor:
        """The sum over all replicas of all hosts of a tensor that each process has."""
        if not self._strategy:
            return value
        of_replicas = self._strategy.run(lambda: tf.identity(value))
        return self._strategy.reduce(tf.distribute.ReduceOp.SUM, of_replicas, axis=None)

    def own_mean(self, gradient: Any) -> Any:
        """The mean gradient of this process's replicas, which each have their share of a sum."""
        if not self._strategy:
            return gradient
        with tf.device("/cpu:0"):
            own = tf.add_n(self._strategy.experimental_local_results(gradient))
            return own * (self.count / self.local)

    def joined(self, value: Any) -> Any:
        """Tensors [N, ...] of this process's replicas, as one tensor [local * N, ...] or None."""
        if not self._strategy or value is None:
            return value
        with tf.device("/cpu:0"):
            return tf.concat(self._strategy.experimental_local_results(value), 0)

    def _own_part(self, batch: Any) -> Any:
        number = position().replica - self.worker * self.local

        def own(part: tf.Tensor | None) -> tf.Tensor | None:
            if part is None:
                return None
            size = part.shape[0] // self.local
            return part[number * size : (number + 1) * size]

        with tf.device("/cpu:0"):
            return batch._make(map(own, batch))


ONE = Replicas()
