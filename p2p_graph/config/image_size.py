"""Heights and widths of images as option values: 256 for a square, or 256x512."""

import re
from typing import Any, NamedTuple

from p2p_graph.utils.errors import UserError

LARGEST_SIDE = 2**16  # pixels of an image's height or width
_FORM = re.compile(r"([+-]?[0-9]{1,40})(?:x([0-9]{1,40}))?")
_ORIGINAL = "original"


class ImageSize(NamedTuple):
    """A height and a width, in pixels; or `ORIGINAL`."""

    height: int
    width: int

    @classmethod
    def parse(cls, value: Any) -> "ImageSize":
        """Makes a size from an option's value.

        Args:
          value: a size, a square's side as a number, or a text: "256", "256x512" (height first) or
            "original".

        Raises:
          UserError: it is none of these; the message lacks its subject, the option's name.
        """
        if isinstance(value, ImageSize):
            return value
        if value == _ORIGINAL:
            return ORIGINAL
        is_text_or_number = isinstance(value, int | str) and not isinstance(value, bool)
        found = _FORM.fullmatch(str(value)) if is_text_or_number else None
        if not found:
            raise UserError(
                f"must be a number of pixels, or HEIGHTxWIDTH as in 256x512, not {value!r}"
            )
        size = cls(int(found[1]), int(found[2] or found[1]))
        if min(size) < 1:
            raise UserError(f"must be at least 1, not {value}")
        if max(size) > LARGEST_SIDE:
            raise UserError(f"must be at most {LARGEST_SIDE}, not {value}")
        return size

    @property
    def stored(self) -> int | str:
        """The value in options.json; for a square the reference's, a number."""
        return str(self) if self == ORIGINAL or self.height != self.width else self.height

    def __str__(self) -> str:
        """The text that `parse` takes."""
        if self == ORIGINAL:
            return _ORIGINAL
        return str(self.height) if self.height == self.width else f"{self.height}x{self.width}"

    def scaled(self, factor: float) -> "ImageSize":
        """Both sides times a factor, rounded."""
        return ImageSize(round(self.height * factor), round(self.width * factor))

    def rounded(self, multiple: int) -> "ImageSize":
        """Each side as the nearest positive multiple of a number."""
        height, width = (multiple * max(1, round(side / multiple)) for side in self)
        return ImageSize(height, width)


# Each image's own size.
ORIGINAL = ImageSize(0, 0)
