"""Precision: the type that layers compute in, and values computed once from frozen weights.

With mixed precision it is bfloat16, whose exponent is float32's: losses are not scaled.
"""

from collections.abc import Collection

import tensorflow.compat.v1 as tf

from p2p_graph.models.layer_settings import FROZEN, LayerSettings


def cast_for_compute(values: tf.Tensor, settings: LayerSettings) -> tf.Tensor:
    """Casts to the type that the layers compute in; a variable's value is read here."""
    return tf.cast(values, tf.bfloat16) if settings.mixed else values


def computed_once(values: tf.Tensor, settings: LayerSettings) -> tf.Tensor:
    """Values computed from a filter or the seed alone, read from a variable with frozen weights."""
    if not settings.frozen:
        return values
    # One variable for all uses, in the layer's scope.
    variable = tf.get_variable(
        "computed", initializer=values, trainable=False, collections=[FROZEN], use_resource=True
    )
    return variable.value()


def compute_once(session: tf.Session, done: Collection[str] = ()) -> None:
    """Computes the values of `computed_once` from the weights, after these have been restored.

    Args:
      session: of the graph.
      done: names of variables that have been computed before.
    """
    computed = [v for v in tf.get_collection(FROZEN) if v.name not in done]
    session.run([variable.initializer for variable in computed])


def filter_value(variable: tf.Variable, settings: LayerSettings) -> tf.Tensor:
    """A filter's value as the layers compute with it."""
    value = cast_for_compute(variable, settings)
    return computed_once(value, settings) if settings.mixed else value
