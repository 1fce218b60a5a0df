"""Damage to a file's bytes, as data: each kind is what a bad disk, cable or program leaves."""

from typing import NamedTuple


class Damage(NamedTuple):
    """One change of a file's bytes.

    Attributes:
      kind: a key of `_CHANGES`.
      at: the first byte that changes; positions beyond the end count from the start again.
      size: how many bytes change.
      value: the bytes that are written there.
    """

    kind: str
    at: int
    size: int = 1
    value: bytes = b""


def damaged(contents, damages):
    """A file's contents after some damages, one after the other."""
    for damage in damages:
        at = damage.at % (len(contents) + 1)
        contents = _CHANGES[damage.kind](contents, at, damage.size, damage.value)
    return contents


def _flip(contents, at, size, value):
    mask = value or b"\1"
    changed = bytes(
        byte ^ mask[place % len(mask)] for place, byte in enumerate(contents[at : at + size])
    )
    return contents[:at] + changed + contents[at + size :]


def _cut(contents, at, size, value):
    return contents[:at]


def _insert(contents, at, size, value):
    return contents[:at] + value + contents[at:]


def _delete(contents, at, size, value):
    return contents[:at] + contents[at + size :]


def _overwrite(contents, at, size, value):
    return contents[:at] + value + contents[at + len(value) :]


def _zero(contents, at, size, value):
    end = min(len(contents), at + size)
    return contents[:at] + bytes(end - at) + contents[end:]


def _duplicate(contents, at, size, value):
    return contents[: at + size] + contents[at:]


_CHANGES = {
    "flip": _flip,
    "cut": _cut,
    "insert": _insert,
    "delete": _delete,
    "overwrite": _overwrite,  # with a part of another file, this is a splice
    "zero": _zero,
    "duplicate": _duplicate,
}
KINDS = tuple(_CHANGES)
