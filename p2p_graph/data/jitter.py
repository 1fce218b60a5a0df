"""Randomness of the input graph: image order, random crops and mirroring, from (seed, position)."""

from typing import NamedTuple

import tensorflow.compat.v1 as tf

from p2p_graph.config.data_options import ScalingOptions

# The random streams of a seed: each purpose has its own.
_ORDER, _JITTER = 1, 2


def shuffle_index(position: tf.Tensor, count: int, seed: int) -> tf.Tensor:
    """The image at a position (int64 scalar), in a new shuffle of all images every epoch."""
    epoch_seed = tf.random.experimental.stateless_fold_in(
        tf.constant([seed, _ORDER], tf.int64), position // count
    )
    return tf.random.experimental.index_shuffle(position % count, epoch_seed, count - 1)


def draw_index(position: tf.Tensor, count: int, seed: int) -> tf.Tensor:
    """The image at a position (int64 scalar), drawn from all images with replacement."""
    seeds = tf.constant([seed, _ORDER], tf.int64)
    position_seed = tf.random.experimental.stateless_fold_in(seeds, position)
    return tf.random.stateless_uniform([], position_seed, maxval=count, dtype=tf.int64)


class Window(NamedTuple):
    """A square part of an image, mirrored or not.

    Attributes:
      mirrored: bool scalar, whether left and right are swapped.
      top: int32 scalar, the first row in the image.
      left: int32 scalar, the first column in the image before mirroring.
    """

    mirrored: tf.Tensor
    top: tf.Tensor
    left: tf.Tensor


def jitter(position: tf.Tensor, side: int, scaling: ScalingOptions, seed: int) -> Window:
    """Draws a mirroring and a crop (Isola et al. 2017, section 6.2).

    The image is mirrored, or not, and then cropped from row `top` and column `left` on.

    Args:
      position: int64 scalar; the window is a function of it and the seed.
      side: of the images, at least crop_size.
      scaling: crop_size, crop_from, flip.
      seed: of the draw.
    """
    position_seed = tf.random.experimental.stateless_fold_in(
        tf.constant([seed, _JITTER], tf.int64), position
    )
    chance = tf.random.stateless_uniform([3], position_seed)
    mirrored = chance[0] < 0.5
    room = side - scaling.crop_size
    first = min(scaling.crop_from, room)
    top, left = tf.unstack(first + tf.cast(tf.floor(chance[1:] * (room - first + 1)), tf.int32))
    if scaling.flip:
        left = tf.where(mirrored, room - left, left)
    return Window(mirrored, top, left)
