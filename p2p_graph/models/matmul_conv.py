"""4x4 convolutions of stride 2 as matrix products, for inputs of few places; with gradients.

`ops` chooses them where they are quicker.
"""

from collections.abc import Callable
from typing import Any

import tensorflow.compat.v1 as tf


def conv(inputs: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """A 4x4 convolution of stride 2 as a matrix product.

    Args:
      inputs: [N, H, W, in]; H and W are known, and even.
      weights: [4, 4, in, out].

    Returns:
      [N, H/2, W/2, out].
    """
    height, width, channels = inputs.shape.as_list()[1:]
    out_channels = weights.shape[-1]
    patches = tf.reshape(_patches(inputs), [-1, 16 * channels])
    outputs = _product(patches, tf.reshape(weights, [16 * channels, out_channels]))
    return tf.reshape(outputs, [-1, height // 2, width // 2, out_channels])


def deconv(
    inputs: tf.Tensor, weights: tf.Tensor, once: Callable[[tf.Tensor], tf.Tensor] | None = None
) -> tf.Tensor:
    """A 4x4 transposed convolution of stride 2 as a matrix product.

    Args:
      inputs: [N, H, W, in]; H and W are known.
      weights: [4, 4, out, in].
      once: where the weights do not change, what makes a tensor of them a single time.

    Returns:
      [N, 2H, 2W, out].
    """
    height, width, channels = inputs.shape.as_list()[1:]
    weights = tf.reshape(weights, [-1, channels])
    rows = tf.reshape(inputs, [-1, channels])
    if once:
        patches = tf.matmul(rows, once(tf.transpose(weights)))
    else:
        patches = _product_transposed(rows, weights)
    return _sum_of_patches(tf.reshape(patches, [-1, height, width, weights.shape[0]]))


# A product with a transposed filter is made as the transpose of the filter's product, which takes
# half or a quarter of the time: few rows on the right are packed instead of the filter.


@tf.custom_gradient  # type: ignore[untyped-decorator]
def _product(x: tf.Tensor, weights: tf.Tensor) -> tuple[tf.Tensor, Callable[..., Any]]:
    """X W, and its gradients."""

    def grad(dy: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        d_x = tf.transpose(tf.matmul(weights, dy, transpose_b=True))
        return d_x, tf.matmul(x, dy, transpose_a=True)

    return tf.matmul(x, weights), grad


@tf.custom_gradient  # type: ignore[untyped-decorator]
def _product_transposed(x: tf.Tensor, weights: tf.Tensor) -> tuple[tf.Tensor, Callable[..., Any]]:
    """X W^T, and its gradients."""

    def grad(dy: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.matmul(dy, weights), tf.matmul(dy, x, transpose_a=True)

    return tf.transpose(tf.matmul(weights, x, transpose_b=True)), grad


@tf.custom_gradient  # type: ignore[untyped-decorator]
def _patches(inputs: tf.Tensor) -> tuple[tf.Tensor, Callable[..., Any]]:
    """The 4x4 patches around every second pixel: [N, H, W, C] => [N, H/2, W/2, 16C]."""
    four, two, one = ([1, n, n, 1] for n in (4, 2, 1))
    return tf.image.extract_patches(inputs, four, two, one, "SAME"), _sum_of_patches


@tf.custom_gradient  # type: ignore[untyped-decorator]
def _sum_of_patches(patches: tf.Tensor) -> tuple[tf.Tensor, Callable[..., Any]]:
    """Adds patches up where `_patches` takes them: [N, h, w, 16C] => [N, 2h, 2w, C]."""
    height, width, channels = patches.shape.as_list()[1:]
    channels //= 16
    # Row 2u + p of a patch falls on row p of the 2x2 pixels that lie u further down; so do columns.
    parts = tf.reshape(patches, [-1, height, width, 2, 2, 2, 2, channels])
    parts = tf.transpose(parts, [3, 5, 0, 1, 4, 2, 6, 7])  # => [u, v, N, h, p, w, q, C]
    total = tf.add_n(
        [
            tf.pad(parts[u, v], [[0, 0], [u, 1 - u], [0, 0], [v, 1 - v], [0, 0], [0, 0]])
            for u in (0, 1)
            for v in (0, 1)
        ]
    )
    image = tf.reshape(total, [-1, 2 * height + 2, 2 * width + 2, channels])
    return image[:, 1:-1, 1:-1], _patches
