"""Hypothesis strategies: damaged files, and texts (JSON, CSV) that are wrong in some places."""

import json
import struct
from pathlib import Path
from typing import NamedTuple

from hypothesis import strategies as st

from p2p_graph.config.options import DEFAULTS
from p2p_graph.config.options_file import RECORD_FIELDS

from .damage import KINDS, Damage, damaged

_SHOWN = 150  # bytes of a file that are shown


class Files(NamedTuple):
    """A case that is a folder of files, for a function of `readers`.

    Attributes:
      files: (name, contents) of every file.
      options: further arguments of the function.
      note: how the files came about.
    """

    files: tuple[tuple[str, bytes], ...]
    options: tuple[object, ...] = ()
    note: str = ""

    def __repr__(self):
        named = ", ".join(
            f"{name}: {contents!r}" if len(contents) <= _SHOWN else f"{name}: {len(contents)} bytes"
            for name, contents in self.files
        )
        options = f", options {self.options}" if self.options else ""
        return f"[{named}{options}{f', {self.note}' if self.note else ''}]"

    def write(self, folder):
        """Writes the files into a folder."""
        for name, contents in self.files:
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(contents)


# --- damage

# Numbers at which sizes, offsets and counts go wrong.
_NUMBERS = (0, 1, 2, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63)
_number_bytes = st.builds(
    lambda number, form: struct.pack(form, number % 2 ** (8 * struct.calcsize(form))),
    st.sampled_from(_NUMBERS),
    st.sampled_from(("<H", ">H", "<I", ">I", "<Q", ">Q")),
)


def damages(size, others=()):
    """One to four damages of a file of some size; splices take parts of other files' contents."""
    ends = min(size, 64)
    # Headers and trailers are short, and more depends on them.
    at = st.one_of(
        st.integers(0, size), st.integers(0, ends), st.integers(max(0, size - ends), size)
    )
    values = [st.binary(min_size=1, max_size=16), _number_bytes]
    if others:
        values.append(
            st.sampled_from(others).flatmap(
                lambda other: st.integers(0, len(other)).map(lambda start: other[start:][:200])
            )
        )
    one = st.builds(
        Damage, st.sampled_from(KINDS), at, st.sampled_from((1, 2, 4, 8, 100)), st.one_of(values)
    )
    return st.lists(one, min_size=1, max_size=4)


@st.composite
def damaged_file(draw, bases):
    """One of some valid files, damaged: (contents, note); bases are contents by name."""
    name = draw(st.sampled_from(sorted(bases)))
    others = tuple(bases[other] for other in sorted(bases))
    done = draw(damages(len(bases[name]), others))
    return damaged(bases[name], done), f"{name} after {[tuple(one) for one in done]}"


def damaged_in_folder(name, bases):
    """A folder with one damaged file of this name."""
    return damaged_file(bases).map(lambda found: Files(((name, found[0]),), (), found[1]))


# --- JSON and options.json

texts = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        ("", " ", "\n", "a\nb", "\0", "\ud800", "../x", "/", "é", "1", "nan", "x" * 300)
    ),
)
json_values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-3, 70000),
        st.sampled_from((2**31, 2**53 + 1, 2**63, 2**64, 10**30, -(2**63))),
        st.floats(),
        texts,
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)


def json_text(value):
    """JSON as Python writes it, also of NaN and of halves of surrogate pairs."""
    return json.dumps(value).encode()


def changed_record(record, keys=()):
    """A JSON object with one to three values that are changed, removed or added.

    Args:
      record: the object, with values of JSON.
      keys: further keys whose values may be added.
    """
    known = sorted({*record, *keys})
    change = st.tuples(st.sampled_from(known), json_values | st.just(...))

    def apply(changes):
        result = dict(record)
        for key, value in changes:
            result.pop(key, None)
            if value is not ...:
                result[key] = value
        return json_text(result)

    return st.lists(change, min_size=1, max_size=3).map(apply)


def options_texts(options):
    """Texts of options.json: damaged, with wrong values, of any JSON, or cut into odd encodings."""
    valid = json_text(options)
    return st.one_of(
        damaged_file({"options.json": valid}),
        changed_record(options, (*DEFAULTS, *RECORD_FIELDS, "unknown")).map(lambda t: (t, "")),
        st.tuples(json_values.map(json_text), st.just("")),
        st.sampled_from(
            (
                (valid.decode().encode("utf-16"), "UTF-16"),
                (b"\xef\xbb\xbf" + valid, "with a byte order mark"),
                (b"[" * 100_000, "deep"),
                (b'{"a":' * 100_000, "deep"),
                (b'{"seed": ' + b"9" * 5000 + b"}", "5,000 digits"),
                (b'{"ngf": 1, "ngf": 2}', "a key twice"),
            )
        ),
    )


# --- CSV


def csv_texts(headers, cells):
    """CSV files with a header and rows that fit it more or less.

    Args:
      headers: lists of column names.
      cells: a strategy of cells.
    """
    width = max(map(len, headers))

    @st.composite
    def text(draw):
        header = draw(st.sampled_from(headers))
        rows = draw(st.lists(st.lists(cells, min_size=0, max_size=width + 1), max_size=4))
        full = st.lists(cells, min_size=len(header), max_size=len(header))
        rows += draw(st.lists(full, max_size=4))
        quote = draw(st.sampled_from((str, _quoted)))
        end = draw(st.sampled_from(("\n", "\r\n", "\r")))
        joint = draw(st.sampled_from((",", ",", ",", ", ", ";", "\t")))
        lines = [joint.join(map(quote, row)) for row in [header, *rows]]
        start = draw(st.sampled_from(("", "", "\ufeff", "\n", " ")))
        return (start + end.join(lines) + draw(st.sampled_from(("", end)))).encode(
            draw(st.sampled_from(("utf-8", "utf-8", "utf-8", "utf-16", "latin-1"))), "replace"
        )

    return text()


def _quoted(cell):
    return '"' + cell.replace('"', '""') + '"'
