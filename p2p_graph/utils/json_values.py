"""Values that JSON can hold."""

import math
from collections.abc import Mapping
from typing import Any

_LARGEST = 1e300


def is_number(value: Any) -> bool:
    """Whether a value is a finite number, and no bool; huge integers count as infinite."""
    is_kind = isinstance(value, int | float) and not isinstance(value, bool)
    return is_kind and -_LARGEST < value < _LARGEST


def without_non_finite(value: Any) -> Any:
    """Copies nested mappings and sequences with None for infinities and NaN, which JSON lacks."""
    if isinstance(value, Mapping):
        return {name: without_non_finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [without_non_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
