"""Matmul convolutions: 4x4 convolutions of stride 2 as matrix products, with gradients.

They are faster where a filter is applied at few positions; `ops` chooses.
"""

from collections.abc import Callable
from typing import Any

import tensorflow.compat.v1 as tf

from p2p_graph.models.custom_gradient import custom_gradient
from p2p_graph.models.tensor_shapes import size_of


def conv(inputs: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """A 4x4 convolution of stride 2 as a matrix product.

    Args:
      inputs: float32 or bfloat16 [N, H, W, C_in]; H and W are even.
      weights: of the same type [4, 4, C_in, C_out].

    Returns:
      [N, H/2, W/2, C_out].
    """
    _, height, width = size_of(inputs)
    channels = inputs.shape[-1]
    out_channels = weights.shape[-1]
    patches = tf.reshape(_extract_patches(inputs), [-1, 16 * channels])
    outputs = _matmul(patches, tf.reshape(weights, [16 * channels, out_channels]))
    return tf.reshape(outputs, [-1, height // 2, width // 2, out_channels])


def deconv(
    inputs: tf.Tensor,
    weights: tf.Tensor,
    compute_once: Callable[[tf.Tensor], tf.Tensor] | None = None,
) -> tf.Tensor:
    """A 4x4 transposed convolution of stride 2 as a matrix product.

    Args:
      inputs: float32 or bfloat16 [N, H, W, C_in].
      weights: of the same type [4, 4, C_out, C_in].
      compute_once: for frozen weights, replaces a tensor computed from them by a stored value.

    Returns:
      [N, 2H, 2W, C_out].
    """
    _, height, width = size_of(inputs)
    channels = inputs.shape[-1]
    weights = tf.reshape(weights, [-1, channels])
    rows = tf.reshape(inputs, [-1, channels])
    if compute_once:
        patches = tf.matmul(rows, compute_once(tf.transpose(weights)))
    else:
        patches = _matmul_transposed(rows, weights)
    return _sum_patches(tf.reshape(patches, [-1, height, width, weights.shape[0]]))


# X W^T is computed as (W X^T)^T in half or a quarter of the time: the matrix library then packs the
# few rows of X instead of the filter W.


@custom_gradient
def _matmul(x: tf.Tensor, weights: tf.Tensor) -> tuple[tf.Tensor, Callable[..., Any]]:
    """X W and its gradient function."""

    def grad(dy: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        d_x = tf.transpose(tf.matmul(weights, dy, transpose_b=True))
        return d_x, tf.matmul(x, dy, transpose_a=True)

    return tf.matmul(x, weights), grad


@custom_gradient
def _matmul_transposed(x: tf.Tensor, weights: tf.Tensor) -> tuple[tf.Tensor, Callable[..., Any]]:
    """X W^T and its gradient function."""

    def grad(dy: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.matmul(dy, weights), tf.matmul(dy, x, transpose_a=True)

    return tf.transpose(tf.matmul(weights, x, transpose_b=True)), grad


@custom_gradient
def _extract_patches(inputs: tf.Tensor) -> tuple[tf.Tensor, Callable[..., Any]]:
    """Extracts the 4x4 patches of a stride of 2: [N, H, W, C] => [N, H/2, W/2, 16C]."""
    four, two, one = ([1, n, n, 1] for n in (4, 2, 1))
    return tf.image.extract_patches(inputs, four, two, one, "SAME"), _sum_patches


@custom_gradient
def _sum_patches(patches: tf.Tensor) -> tuple[tf.Tensor, Callable[..., Any]]:
    """Adds overlapping patches, the adjoint of `_extract_patches`: => [N, 2h, 2w, C]."""
    _, height, width = size_of(patches)
    channels = patches.shape[-1] // 16
    # Row 2u + p of patch i lands on row p of the 2x2 block i + u; columns likewise, with v and q.
    parts = tf.reshape(patches, [-1, height, width, 2, 2, 2, 2, channels])
    parts = tf.transpose(parts, [3, 5, 0, 1, 4, 2, 6, 7])  # => [u, v, N, h, p, w, q, C]
    total = tf.add_n(
        [
            tf.pad(part, [[0, 0], [u, 1 - u], [0, 0], [v, 1 - v], [0, 0], [0, 0]])
            for u, row in enumerate(tf.unstack(parts, 2))
            for v, part in enumerate(tf.unstack(row, 2))
        ]
    )
    image = tf.reshape(total, [-1, 2 * height + 2, 2 * width + 2, channels])
    return image[:, 1:-1, 1:-1], _extract_patches
