"""Previews: what of an image of any number of channels is shown, and how that is said."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from p2p_graph.config.data_options import FILE_CHANNELS

# The kind in a file name, as in NAME-outputs.png -> the title of the column that shows it.
KINDS: Mapping[str, str] = MappingProxyType(
    {"inputs": "input", "outputs": "output", "targets": "target"}
)


def is_whole(parts: Sequence[int]) -> bool:
    """Whether an image file can hold all channels.

    Args:
      parts: the channels of each part of an image.
    """
    return len(parts) == 1 and parts[0] in FILE_CHANNELS


def shown_channels(parts: Sequence[int]) -> int:
    """The number of first channels that are shown: of the first part, at most three or all."""
    return parts[0] if parts[0] in FILE_CHANNELS else min(parts[0], 3)


def titles(parts_of: Mapping[str, Sequence[int]]) -> dict[str, str]:
    """The titles of columns of images: "input", or "input, channels 1 to 3 of 5".

    Args:
      parts_of: the channels of each part of an image, by kind (see `KINDS`).
    """
    return {kind: KINDS[kind] + _which(parts) for kind, parts in parts_of.items()}


def _which(parts: Sequence[int]) -> str:
    if is_whole(parts):
        return ""
    count, shown = sum(parts), shown_channels(parts)
    return f", channels 1 to {shown} of {count}" if shown > 1 else f", channel 1 of {count}"
