"""Values that JSON can hold."""

import math
from collections.abc import Mapping
from typing import Any


def without_non_finite(value: Any) -> Any:
    """Copies nested mappings and sequences with None for infinities and NaN, which JSON lacks."""
    if isinstance(value, Mapping):
        return {name: without_non_finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [without_non_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
