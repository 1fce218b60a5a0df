"""Settings that the layers of a model share, and the making and reading of their variables."""

import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow.compat.v1 as tf

FROZEN = "frozen"  # the collection of values computed once from frozen weights


class LayerSettings(NamedTuple):
    """Settings of all layers of a model; the defaults are affinelayer's.

    Attributes:
      slope: of leaky ReLU below 0.
      epsilon: of batch normalisation.
      norm_stddev: batch normalisation's scales are initialised from N(1, norm_stddev).
      fused: whether the gradient of batch normalisation is that of one fused operation, as
        affinelayer's has been since December 2017, or that of separate operations. The two differ
        where weights are reread (see `ops`). Both are computed by the fused operation here.
      glorot: whether filters are initialised from Glorot's uniform distribution (Glorot and Bengio
        2010, equation 16) instead of N(0, 0.02), not truncated (Isola et al. 2017, section 6.2).
      matmul_positions: the most positions at which a filter is applied by a matmul convolution
        (4x4, stride 2).
      mixed: whether activations, and the factors of convolutions, are bfloat16; variables,
        statistics of batch normalisation and all gradients of variables stay float32.
      frozen: whether weights do not change: what layers compute from a filter alone, such as its
        transpose, is then computed once, by the initializers of the collection `FROZEN`.
    """

    slope: float = 0.2
    epsilon: float = 1e-5
    norm_stddev: float = 0.02
    fused: bool = True
    glorot: bool = False
    matmul_positions: int = 0
    mixed: bool = False
    frozen: bool = False


DEFAULT_LAYERS = LayerSettings()


def has_bias(which: str, *, norm: bool, last: bool = False) -> bool:
    """Whether a layer has a bias.

    Args:
      which: the layers of the model that have one: "none", "all", "last" or "unnormed".
      norm: whether this layer is normalised.
      last: whether it is the last layer of its network.
    """
    return {"none": False, "all": True, "last": last, "unnormed": not norm}[which]


def filter_variable(name: str, shape: Sequence[int], settings: LayerSettings) -> tf.Variable:
    """Makes or reuses a convolution's filter."""
    if settings.glorot:
        initializer = tf.glorot_uniform_initializer(variable_seed(name))
    else:
        initializer = tf.random_normal_initializer(0.0, 0.02, variable_seed(name))
    return tf.get_variable(name, shape, tf.float32, initializer=initializer)


def zeros_variable(name: str, size: int) -> tf.Variable:
    """Makes or reuses a variable [size] whose initial values are 0."""
    return tf.get_variable(name, [size], tf.float32, initializer=tf.zeros_initializer())


def variable_seed(name: str) -> int:
    """The seed of a variable's initial values in the current scope.

    By default the operation's number in the graph would be part of the seed, and with it whatever
    was built before. The name makes initial values a function of (graph's seed, name) alone.
    """
    return zlib.crc32(f"{tf.get_variable_scope().name}/{name}".encode()) % 2**31


def cast_for_compute(values: tf.Tensor, settings: LayerSettings) -> tf.Tensor:
    """Casts to the type that the layers compute in; a variable's value is read here."""
    return tf.cast(values, tf.bfloat16) if settings.mixed else values


def computed_once(values: tf.Tensor, settings: LayerSettings) -> tf.Tensor:
    """Values computed from a filter alone, read from a variable where weights are frozen."""
    if not settings.frozen:
        return values
    return tf.Variable(values, trainable=False, collections=[FROZEN], use_resource=True).value()


def filter_value(variable: tf.Variable, settings: LayerSettings) -> tf.Tensor:
    """A filter's value as the layers compute with it."""
    value = cast_for_compute(variable, settings)
    return computed_once(value, settings) if settings.mixed else value


def size_of(images: tf.Tensor) -> list[Any]:
    """Batch, height and width of [N, H, W, C]: numbers where the graph knows them, else tensors."""
    dynamic = tf.shape(images)
    return [dynamic[i] if n is None else n for i, n in enumerate(images.shape.as_list()[:3])]
