"""Names of a model's variables in checkpoints of both generations of the reference program.

The first generation's names (`conv/filter`) are the native ones: this package writes them. The
current generation (since December 2017: `conv2d/kernel`) also stores biases and moving averages.
"""

import re
from collections.abc import Iterable

# Stored by the current generation, but never updated or read.
MOVING_AVERAGES = ("moving_mean", "moving_variance")

_TO_CURRENT = {
    "deconv/filter": "conv2d_transpose/kernel",
    "deconv/bias": "conv2d_transpose/bias",
    "separable_conv/depthwise_filter": "separable_conv2d/depthwise_kernel",
    "separable_conv/pointwise_filter": "separable_conv2d/pointwise_kernel",
    "separable_conv/bias": "separable_conv2d/bias",
    "conv/filter": "conv2d/kernel",
    "conv/bias": "conv2d/bias",
    "batchnorm/scale": "batch_normalization/gamma",
    "batchnorm/offset": "batch_normalization/beta",
}
_TO_NATIVE = {current: native for native, current in _TO_CURRENT.items()}
# network/layer/operation/weight, then the slot of an optimizer.
_WEIGHT = re.compile(r"((?:generator|discriminator)/[^/]+)/([^/]+/[^/]+)(/Adam(?:_1)?)?")


def _rename(name: str, table: dict[str, str]) -> str:
    parts = _WEIGHT.fullmatch(name)
    if not parts or parts[2] not in table:
        return name
    return f"{parts[1]}/{table[parts[2]]}{parts[3] or ''}"


def to_current(name: str) -> str:
    """Converts a native name to the current generation's; other names are unchanged."""
    return _rename(name, _TO_CURRENT)


def to_native(name: str) -> str:
    """Converts a name of either generation to the native one; other names are unchanged."""
    return _rename(name, _TO_NATIVE)


def is_moving_average(name: str) -> bool:
    """Whether a name is that of one of the current generation's unused moving averages."""
    return name.rpartition("/")[2] in MOVING_AVERAGES


def is_weight(name: str) -> bool:
    """Whether a native name is a network's weight, as opposed to an optimizer's state."""
    parts = _WEIGHT.fullmatch(name)
    return parts is not None and parts[2] in _TO_CURRENT and not parts[3]


def bias(names: Iterable[str]) -> str | None:
    """Which convolutions among native names have a bias: "all" or "none"; None if only some do."""
    weights = {name for name in names if is_weight(name)}
    filters = {name for name in weights if name.endswith(("/filter", "/pointwise_filter"))}
    biased = {name for name in filters if f"{name.rpartition('/')[0]}/bias" in weights}
    if not biased:
        return "none"
    return "all" if biased == filters else None
