"""Operations with gradients of their own."""

import functools
from collections.abc import Callable
from typing import Any

import tensorflow.compat.v1 as tf

_NAME, _ATTRIBUTE = "p2p_graph", "p2p_graph_gradients"
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
