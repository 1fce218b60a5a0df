"""Hypothesis strategies of binary files: .npz, PNG, .tar.gz, arrays; checksums are mostly right."""

import struct
import tarfile
import zlib

import numpy as np
from hypothesis import strategies as st

from . import crafted_files
from .crafted_files import Member
from .damage import damaged
from .strategies import damages

# --- .npz

_DESCRIPTIONS = (
    *("'|u1'", "'|u1'", "'|u1'", "'<f4'", "'<f8'", "'>f4'", "'<f2'", "'<i8'", "'>i2'", "'<u8'"),
    *("'|b1'", "'<c8'", "'|S3'", "'<U2'", "'|O'", "'<M8[s]'", "'|V3'", "'<f16'", "[('a', '<f4')]"),
    *("'<f4', 'x': 1", "None", "3", "''", "'|u1,|u1'", "('<f4', (2,))", "'?" + "x" * 200 + "'"),
)
_DIMENSIONS = (0, 1, 2, 3, 4, -1, 255, 2**31, 2**32, 2**62, 2**63, 2**64, 10**30)
_shapes = st.one_of(
    st.sampled_from(((2, 4, 4, 3), (2, 4, 4), (2, 4, 4, 1), (1, 1, 1, 3))).map(str),
    st.lists(st.sampled_from(_DIMENSIONS), max_size=5).map(lambda shape: str(tuple(shape))),
    st.sampled_from(
        (
            "[2, 4, 4, 3]",
            "2",
            "()",
            "(True, 4, 4, 3)",
            "(2.0, 4, 4, 3)",
            "'x'",
            "None",
            "(2, 4, 4, 3",
        )
    ),
)


_HEADERS = (*("{}", "(" * 5000, "[]", "{'descr': '<f4'}", "-" * 3000 + "1", "{[]: 1}", "9" * 6000),)


@st.composite
def npy_files(draw, valid):
    """An .npy file: valid, damaged, or with a header of some description and shape."""
    kind = draw(st.sampled_from(("valid", "valid", "valid", "damaged", "crafted", "crafted")))
    name = draw(st.sampled_from(sorted(valid)))
    if kind == "valid":
        return valid[name], name
    if kind == "damaged":
        done = draw(damages(len(valid[name])))
        return damaged(valid[name], done), f"{name} after {[tuple(one) for one in done]}"
    order = draw(st.sampled_from(("False", "False", "False", "True", "0", "None")))
    description, shape = draw(st.sampled_from(_DESCRIPTIONS)), draw(_shapes)
    header = f"{{'descr': {description}, 'fortran_order': {order}, 'shape': {shape}}}"
    if draw(st.integers(0, 9)) == 0:
        header = draw(st.sampled_from(_HEADERS))
    count = draw(st.sampled_from((96, 0, 1, 32, 96, 192, 384, 768)))
    byte = draw(st.sampled_from((b"\7", b"\0", b"\1", b"\xff", b"\x7f")))
    version = draw(st.sampled_from((1, 1, 1, 2, 3, 9)))
    return crafted_files.npy(header, byte * count, version), f"{header[:200]} {byte} * {count}"


_FAULTS = st.one_of(
    st.fixed_dictionaries({"method": st.sampled_from((12, 14, 99))}),
    st.fixed_dictionaries({"flags": st.sampled_from((1, 0x800, 8, 0x20, 0x40))}),
    st.fixed_dictionaries({"crc": st.just(1)}),
    st.fixed_dictionaries({"size": st.sampled_from((1, -1, 2**31))}),
    st.fixed_dictionaries({"extra": st.just(b"\1\0\4\0abcd")}),
)


@st.composite
def npz_archives(draw, names, valid):
    """A zip archive of .npy files, with these names or others, and a fault here and there."""
    others = (*names, "x", "../x", "/x", "", "é", "arr_0.npy")
    if draw(st.integers(0, 4)) == 0:
        names = draw(st.lists(st.sampled_from(others), max_size=3))
    members, notes = [], []
    for name in names:
        contents, note = draw(npy_files(valid))
        suffix = "" if draw(st.integers(0, 9)) == 0 else ".npy"
        fields = {"method": draw(st.sampled_from((0, 8)))}
        if draw(st.integers(0, 3)) == 0:
            fields |= draw(_FAULTS)
        members.append(Member(f"{name}{suffix}", contents, **fields))
        notes.append(f"{name}{suffix} {fields} of {note}")
    return crafted_files.zip_archive(members), "; ".join(notes)


# --- images

_COLOR_TYPES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # channels of PNG's colour types


@st.composite
def crafted_pngs(draw):
    """A PNG file of any form, with chunks that may be wrong but have right checksums."""
    width = draw(st.sampled_from((1, 2, 3, 4, 6, 8, 0, 2**15, 2**31 - 1, 2**31)))
    height = draw(st.sampled_from((1, 2, 3, 4, 0, 2**15, 2**31 - 1)))
    depth = draw(st.sampled_from((8, 8, 16, 1, 2, 4, 3, 0)))
    color, interlaced = draw(st.sampled_from((*_COLOR_TYPES, 1, 5))), draw(st.integers(0, 2))
    row = 1 + (min(width, 64) * _COLOR_TYPES.get(color, 1) * max(depth, 1) + 7) // 8
    filters = draw(st.sampled_from((b"\0", b"\4", b"\7")))
    rows = (filters + bytes(place % 256 for place in range(row - 1))) * min(height, 64)
    rows = rows[: len(rows) - draw(st.sampled_from((0, 0, 0, 0, 1, 7)))]
    stream = zlib.compress(rows + draw(st.sampled_from((b"", b"", b"more"))))
    stream = stream[: len(stream) - draw(st.sampled_from((0, 0, 0, 1, 5)))]
    more = st.sampled_from(
        (
            (b"PLTE", bytes(range(12))),
            (b"PLTE", bytes(5)),
            (b"PLTE", bytes(800)),
            (b"tRNS", b"\0\1"),
            (b"tRNS", bytes(300)),
            (b"gAMA", b"\0\0\0\0"),
            (b"tEXt", b"Comment\0text"),
            (b"zTXt", b"Comment\0\0" + zlib.compress(b"x" * 2000)),
            (b"zTXt", b"Comment\0\0" + zlib.compress(bytes(2**21))),
            (b"iTXt", b"\0\0\0\0\0"),
            (b"iCCP", b"name\0\0" + zlib.compress(bytes(128))),
            (b"eXIf", b"II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0"),
            (b"acTL", struct.pack(">II", 2, 0)),
            (b"fcTL", bytes(26)),
            (b"pHYs", b""),
            (b"IHDR", bytes(13)),
            (b"abCd", b"private"),
            (b"ABCD", b"critical"),
        )
    )
    before = draw(st.lists(more, max_size=3))
    if color == 3 and draw(st.booleans()):
        before = [(b"PLTE", bytes(range(12))), *before]
    after = draw(st.lists(more, max_size=1))
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlaced)
    contents = crafted_files.png(header, [*before, (b"IDAT", stream), *after])
    return contents, f"PNG {width}x{height}, depth {depth}, colour type {color}, {before} {after}"


# --- .tar.gz

_TAR_KINDS = (
    *((tarfile.REGTYPE,) * 6 + (tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE)),
    *(tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.CONTTYPE),
    *(tarfile.GNUTYPE_SPARSE, b"Z"),
)
_TAR_NAMES = (
    *("facades/train/1.jpg", "facades/train/2.jpg", "facades/a", "facades", "facades/"),
    *("facades/a/b", "./facades/a", "facades/./a", "facades//a", "facades/../a", "../a", "/a"),
    *("a", "", ".", "..", "C:\\a", "facades\\..\\..\\a", "facades/é", "facades/\udcff"),
    *("facades/a\nb", "facades/" + "x" * 300, "other/a", "facades/a\tb", "facades/ ", "~/a"),
    *("facades/.hidden", "facades/" + "d/" * 60 + "f"),
)


_tar_names = st.one_of(st.sampled_from(_TAR_NAMES[:4]), st.sampled_from(_TAR_NAMES))


@st.composite
def tar_archives(draw):
    """A .tar.gz of a few members of any kind and name."""
    members, notes = [], []
    for name in draw(st.lists(_tar_names, min_size=1, max_size=4)):
        member = tarfile.TarInfo(name)
        member.type = draw(st.sampled_from(_TAR_KINDS))
        contents = draw(st.binary(max_size=20)) if member.isreg() else b""
        member.size = len(contents)
        member.mode = draw(st.sampled_from((0o644, 0, 0o7777, 0o400)))
        member.mtime = draw(st.sampled_from((0, 1.5, 2**33, -1)))
        if member.type in (tarfile.SYMTYPE, tarfile.LNKTYPE):
            member.linkname = draw(
                st.sampled_from((*_TAR_NAMES, "1.jpg", "../../..", "train/1.jpg"))
            )
        if draw(st.integers(0, 9)) == 0:
            keys = ("size", "path", "linkpath", "mtime", "uid", "GNU.sparse.size", "hdrcharset")
            values = ("-1", "x", "9" * 20, "../x", "/x", "1e400", "nan", "", "\n")
            headers = st.dictionaries(st.sampled_from(keys), st.sampled_from(values), min_size=1)
            member.pax_headers = draw(headers)
        members.append((member, contents))
        notes.append(f"{member.type!r} {name!r} -> {member.linkname!r} {member.pax_headers}")
    form = draw(st.sampled_from((tarfile.PAX_FORMAT, tarfile.GNU_FORMAT)))
    try:
        return crafted_files.tar_gz(members, form), "; ".join(notes)
    except (ValueError, UnicodeError):  # GNU's form has no place for such numbers
        return crafted_files.tar_gz(members), "; ".join(notes)


# --- feature statistics

_arrays = st.one_of(
    st.sampled_from(
        (
            np.int64(3),
            np.int64(-1),
            np.int64(2**62),
            np.uint64(2**64 - 1),
            np.float64(3.0),
            np.array([3]),
            np.zeros(4),
            np.full(4, 1e308),
            np.full(4, np.nan),
            np.eye(4),
            -np.eye(4),
            np.full((4, 4), 1e300),
            np.arange(16.0).reshape(4, 4),
            np.zeros((0, 0)),
            np.zeros(0),
            np.zeros((4, 4), np.float32),
            np.zeros(4, complex),
            np.str_("digest"),
            np.array([b"x"]),
            np.array("2024", "M8[Y]"),
        )
    ),
    st.lists(st.floats(-10, 10), min_size=4, max_size=4).map(np.array),
)


def moments_arrays(valid):
    """The arrays of a statistics file with one to three of them changed, removed or added."""
    change = st.tuples(st.sampled_from((*sorted(valid), "more")), _arrays | st.just(...))

    def apply(changes):
        result = dict(valid)
        for name, array in changes:
            result.pop(name, None)
            if array is not ...:
                result[name] = array
        return result

    return st.lists(change, min_size=1, max_size=3).map(apply)
