"""Counts in messages."""


def counted(number: int, noun: str) -> str:
    """A number and its noun, as in "1 image" and "2 images"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
