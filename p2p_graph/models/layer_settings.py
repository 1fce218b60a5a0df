"""What all layers of a model share: slopes, epsilons, precision, initial distributions."""

from typing import NamedTuple

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
      image_moments: whether mean and variance in training are per-image statistics, instead of the
        statistics of all images that a device has of a batch.
      frozen: whether weights do not change: what layers compute from a filter alone, such as its
        transpose, is then computed once, by the initializers of the collection `FROZEN`.
      fixed_seed: with `frozen`, whether the seed does not change either: dropout masks are then
        computed once, too.
      expected: height and width of most images, where the graph does not know them; decides which
        filters are applied by matmul convolutions.
    """

    slope: float = 0.2
    epsilon: float = 1e-5
    norm_stddev: float = 0.02
    fused: bool = True
    glorot: bool = False
    matmul_positions: int = 0
    mixed: bool = False
    image_moments: bool = False
    frozen: bool = False
    fixed_seed: bool = False
    expected: tuple[int, int] | None = None


DEFAULT_LAYERS = LayerSettings()


def has_bias(which: str, *, norm: bool, last: bool = False) -> bool:
    """Whether a layer has a bias.

    Args:
      which: the layers of the model that have one: "none", "all", "last" or "unnormed".
      norm: whether this layer is normalised.
      last: whether it is the last layer of its network.
    """
    return {"none": False, "all": True, "last": last, "unnormed": not norm}[which]
