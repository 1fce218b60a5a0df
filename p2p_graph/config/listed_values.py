"""Option values of several parts: the channels of an input, and folders that are given in a row."""

import re
from typing import Any

from p2p_graph.utils.errors import UserError

MOST_CHANNELS = 2**10  # of an input or a target
_FORM = re.compile(r"[+-]?[0-9]{1,40}(\+[0-9]{1,40})*")


class Channels(tuple[int, ...]):
    """How many channels each part of an input has: (3, 1) for RGB and a grey image."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: Any) -> "Channels":
        """Makes channels from an option's value.

        Args:
          value: channels, a number, or a text: "3" or "3+1".

        Raises:
          UserError: it is none of these; the message lacks its subject, the option's name.
        """
        if isinstance(value, Channels):
            return value
        is_text_or_number = isinstance(value, int | str) and not isinstance(value, bool)
        if not (is_text_or_number and _FORM.fullmatch(str(value))):
            raise UserError(f"must be a number of channels, or a sum as in 3+1, not {value!r}")
        sign = "-" if str(value).startswith("-") else ""
        first, *more = str(value).lstrip("+-").split("+")
        channels = cls(map(int, [sign + first, *more]))
        if min(channels) < 1:
            raise UserError(f"must be at least 1, not {value}")
        if channels.total > MOST_CHANNELS:
            raise UserError(f"must be at most {MOST_CHANNELS}, not {value}")
        return channels

    @property
    def total(self) -> int:
        """The channels of all parts."""
        return sum(self)

    @property
    def stored(self) -> int | str:
        """The value in options.json; of one part a number."""
        return self[0] if len(self) == 1 else str(self)

    def __str__(self) -> str:
        """The text that `parse` takes."""
        return "+".join(map(str, self))


class Folders(tuple[str, ...]):
    """Paths of folders, whose flag is given once for each."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: Any) -> "Folders":
        """Makes folders from a list of texts.

        Raises:
          UserError: it is none; the message lacks its subject, the option's name.
        """
        is_list = isinstance(value, list | tuple) and value
        if not is_list or not all(isinstance(path, str) and path for path in value):
            raise UserError(f"must be a list of folders, not {value!r}")
        return cls(value)

    @property
    def stored(self) -> list[str]:
        """The value in options.json."""
        return list(self)
