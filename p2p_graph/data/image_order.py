"""The order of images in training, a function of (seed, position): shuffled or drawn."""

import tensorflow.compat.v1 as tf

# The random stream of a seed for image order; `jitter` has its own.
_ORDER = 1


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
