"""The names of a model's variables in its checkpoints, in both generations of the reference.

Native names are those of the first generation (`conv/filter`), which this package writes; the
current one (December 2017 on: `conv2d/kernel`) has biases and moving moments besides.
"""

import re
from collections.abc import Iterable

MOVING = ("moving_mean", "moving_variance")  # in the current generation, never updated or read

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
# network/layer/operation/weight, then what belongs to an optimizer.
_WEIGHT = re.compile(r"((?:generator|discriminator)/[^/]+)/([^/]+/[^/]+)(/Adam(?:_1)?)?")


def _renamed(name: str, table: dict[str, str]) -> str:
    parts = _WEIGHT.fullmatch(name)
    if not parts or parts[2] not in table:
        return name
    return f"{parts[1]}/{table[parts[2]]}{parts[3] or ''}"


def to_current(name: str) -> str:
    """A native name as the current generation has it; what has one name in both is left alone."""
    return _renamed(name, _TO_CURRENT)


def to_native(name: str) -> str:
    """A name of either generation as the first one has it."""
    return _renamed(name, _TO_NATIVE)


def is_moving(name: str) -> bool:
    """Whether it is one of the current generation's unused moving moments."""
    return name.rpartition("/")[2] in MOVING


def is_weight(name: str) -> bool:
    """Whether a native name is a network's weight, not part of an optimizer's state."""
    parts = _WEIGHT.fullmatch(name)
    return parts is not None and parts[2] in _TO_CURRENT and not parts[3]


def bias(names: Iterable[str]) -> str | None:
    """Whether "all" convolutions among native names have a bias, or "none"; None if some have."""
    weights = {name for name in names if is_weight(name)}
    filters = {name for name in weights if name.endswith(("/filter", "/pointwise_filter"))}
    biased = {name for name in filters if f"{name.rpartition('/')[0]}/bias" in weights}
    if not biased:
        return "none"
    return "all" if biased == filters else None
