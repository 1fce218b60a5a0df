"""Operations with gradients of their own."""

import functools
from collections.abc import Callable
from typing import Any

import tensorflow.compat.v1 as tf

_NAME, _ATTRIBUTE = "p2p_graph", "p2p_graph_gradients"
_SCALED, _PADDED = "p2p_graph_scaled", "p2p_graph_padded"
_ONE_EACH_SIDE = [[0, 0], [1, 1], [1, 1], [0, 0]]
_Gradient = Callable[[tf.Tensor], Any]


def custom_gradient(
    function: Callable[..., tuple[tf.Tensor, _Gradient]],
) -> Callable[..., tf.Tensor]:
    """A decorator that gives a function of tensors a gradient.

    tf.custom_gradient does the same, but keeps each call's gradient, and thereby the graph, for the
    life of the process. Here, the graph itself keeps the gradients.

    Args:
      function: given tensors, returns a tensor and a function from the gradient to this tensor to
        the gradients to all inputs: a tuple, a list, or of one input the gradient alone.

    Returns:
      A function that returns the tensor.
    """

    @functools.wraps(function)
    def op(*inputs: tf.Tensor) -> tf.Tensor:
        outputs, gradient = function(*inputs)
        graph = tf.get_default_graph()
        # The gradient passes the function's own operations: only this one has the name.
        with graph.gradient_override_map({"IdentityN": _NAME}):
            outputs, *_ = tf.identity_n([outputs, *inputs])
        if not hasattr(graph, _ATTRIBUTE):
            setattr(graph, _ATTRIBUTE, {})
        getattr(graph, _ATTRIBUTE)[outputs.op.name] = gradient
        return outputs

    return op


@tf.RegisterGradient(_NAME)  # type: ignore[untyped-decorator]
def _gradients(op: tf.Operation, d_outputs: tf.Tensor, *_: Any) -> list[tf.Tensor | None]:
    found = getattr(op.graph, _ATTRIBUTE)[op.name](d_outputs)
    return [None, *(found if isinstance(found, (tuple, list)) else [found])]


# TensorFlow's own gradients of the two operations below have the same values, but also make what no
# training uses, such as the gradient to a number: six operations more at every layer.


def scale(number: float, values: tf.Tensor) -> tf.Tensor:
    """The product of a number and float32 values of any shape."""
    with tf.get_default_graph().gradient_override_map({"Mul": _SCALED}):
        return number * values


@tf.RegisterGradient(_SCALED)  # type: ignore[untyped-decorator]
def _of_scaled(op: tf.Operation, d_outputs: tf.Tensor) -> list[tf.Tensor | None]:
    return [None, op.inputs[0] * d_outputs]


def pad_one(images: tf.Tensor) -> tf.Tensor:
    """Images with a border of zeros: [N, H, W, C] => [N, H + 2, W + 2, C]."""
    with tf.get_default_graph().gradient_override_map({"Pad": _PADDED}):
        return tf.pad(images, _ONE_EACH_SIDE)


@tf.RegisterGradient(_PADDED)  # type: ignore[untyped-decorator]
def _of_padded(op: tf.Operation, d_outputs: tf.Tensor) -> list[tf.Tensor | None]:
    return [tf.slice(d_outputs, [0, 1, 1, 0], tf.shape(op.inputs[0])), None]
