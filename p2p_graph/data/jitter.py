"""Jitter: random crops and mirroring, as functions of (seed, position)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow.compat.v1 as tf

from p2p_graph.config.data_options import ScalingOptions
from p2p_graph.config.image_size import ImageSize

# The random stream of a seed: each purpose has its own; `image_order` has another.
_JITTER = 2


class Window(NamedTuple):
    """Where a part of an image begins, and whether the image is mirrored.

    Attributes:
      mirrored: bool scalar, whether left and right are swapped.
      top: int32 scalar, the first row in the image.
      left: int32 scalar, the first column in the image before mirroring.
    """

    mirrored: tf.Tensor
    top: tf.Tensor
    left: tf.Tensor


def draw_window(position: tf.Tensor, size: ImageSize, scaling: ScalingOptions, seed: int) -> Window:
    """Draws a mirroring and a crop (Isola et al. 2017, section 6.2).

    The image is mirrored, or not, and then cropped from row `top` and column `left` on.

    Args:
      position: int64 scalar; the window is a function of it and the seed.
      size: of the images, at least crop_size.
      scaling: crop_size, crop_from, flip.
      seed: of the draw.
    """
    position_seed = tf.random.experimental.stateless_fold_in(
        tf.constant([seed, _JITTER], tf.int64), position
    )
    chance = tf.random.stateless_uniform([3], position_seed)
    mirrored = chance[0] < 0.5
    room = np.subtract(size, scaling.crop_size)
    first = np.minimum(scaling.crop_from, room)
    top, left = tf.unstack(first + tf.cast(tf.floor(chance[1:] * (room - first + 1)), tf.int32))
    if scaling.flip:
        left = tf.where(mirrored, room[1] - left, left)
    return Window(mirrored, top, left)


def crop(
    parts: Sequence[tf.Tensor], top: tf.Tensor, left: tf.Tensor, size: ImageSize
) -> list[tf.Tensor]:
    """Cuts the same rectangle, [height, width, C], from each of the images [H, W, C]."""
    return [tf.slice(part, [top, left, 0], [*size, part.shape[-1]]) for part in parts]


def mirror(parts: Sequence[tf.Tensor], mirrored: tf.Tensor) -> list[tf.Tensor]:
    """Swaps left and right of all images [H, W, C], or of none."""
    return [
        tf.cond(mirrored, lambda p=part: tf.reverse(p, [1]), lambda p=part: p) for part in parts
    ]
