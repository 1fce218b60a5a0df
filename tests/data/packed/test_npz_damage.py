"""Damaged archives: every one is refused in a line that names the archive, and the array."""

import contextlib
import io
import os
import struct
import zipfile

import numpy as np
import pytest

from p2p_graph.data.packed.npz_archives import archive_images, load_arrays
from p2p_graph.utils.errors import UserError

SHAPE = (5, 6, 8, 3)
SIZE = 5 * 6 * 8 * 3


@pytest.fixture
def path(tmp_path):
    return tmp_path / "maps.npz"


@pytest.fixture
def values(rng):
    return rng.integers(0, 256, SHAPE, np.uint8)


def refusal(path):
    with pytest.raises(UserError) as caught:
        archive_images(path, "a", single=True)
    message = str(caught.value)
    assert message.count(str(path)) == 1
    assert "\n" not in message
    return message


def npy(header, contents, version=1):
    """An .npy file with any text in its header."""
    text = (header + " " * (-(len(header) + 11) % 64) + "\n").encode()
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + length + text + contents


def header(shape=str(SHAPE), descr="'|u1'", order="False"):
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"


def write(path, contents, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("a.npy", contents)


def patch(path, where, layout, *fields):
    """Writes numbers over a part of the archive's bytes."""
    contents = bytearray(path.read_bytes())
    struct.pack_into(layout, contents, where, *fields)
    path.write_bytes(contents)


def directory(path):
    """Where the directory's first entry begins; APPNOTE.TXT, section 4.3.12."""
    return path.read_bytes().index(b"PK\x01\x02")


def test_the_helpers_write_archives(path, values):
    for version in (1, 2, 3):
        for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2):
            write(path, npy(header(), values.tobytes(), version), compression)
            [found] = load_arrays(path, ("a",))
            np.testing.assert_array_equal(found, values)
            assert isinstance(found, np.memmap) == (compression == zipfile.ZIP_STORED)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_zeroed_bytes(path, values, save, kind):
    save(path, a=values.astype(kind))
    contents = bytearray(path.read_bytes())
    where = len(contents) // 2
    contents[where : where + 40] = bytes(40)
    path.write_bytes(contents)
    assert "maps.npz: a cannot be read as an array: " in refusal(path)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("shape", ["(6, 6, 8, 3)", "(4, 6, 8, 3)", f"({2**70}, 6, 8, 3)"])
def test_a_header_of_another_size(path, values, compression, shape):
    """The last image would be what follows in the archive."""
    write(path, npy(header(shape), values.tobytes()), compression)
    message = refusal(path)
    assert f"the header of a says uint8 [{shape[1:-1]}]" in message
    assert f"and there are {SIZE}" in message


@pytest.mark.parametrize(
    "text",
    [
        header("(True, 6, 8, 3)"),
        header("(-5, -6, 8, 3)"),
        header("(5.0, 6, 8, 3)"),
        header("(5, 6, 8, '3')"),
        header("[5, 6, 8, 3]"),
        header("5"),
        header(f"({'9' * 5000}, 6, 8, 3)"),
        header("(" * 4000),
        header(descr="'|O'"),
        header(descr="'<U9'"),
        header(descr="'|V1'"),
        header(descr="'no type'"),
        header(descr="[('x', '|u1')]"),
        header(descr="('|u1', (2, 2))"),
        header(descr="'<M8[s]'"),
        header(order="1"),
        header(order="True"),
        header("()"),
        header("(0, 6, 8, 3)"),
        "{}",
        "",
        "\0",
        "{'descr': __import__('os')}",
        "9" * 20_000,
        "\\d",
    ],
)
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_headers(path, values, text, compression, recwarn):
    write(path, npy(text, values.tobytes()), compression)
    assert "maps.npz: a " in refusal(path)
    assert not recwarn.list


@pytest.mark.parametrize(
    "contents",
    [
        b"",
        b"\x93NUMPY",
        b"\x93NUMPY\x01\x00\xff\xff{",
        b"\x93NUMPY\x09\x00" + npy(header(), b"")[8:],
        b"\x93NUMPX" + npy(header(), b"")[6:],
        npy(header(), b""),
    ],
)
def test_contents(path, contents):
    write(path, contents)
    assert "maps.npz: a cannot be read as an array" in refusal(path)


# Fields of the directory's entry, and of the local header: name, place, layout, value.
CENTRAL = {
    "encrypted": (8, "<H", 1, "a is encrypted"),
    "unknown compression": (10, "<H", 77, "compression"),
    "deflate that is none": (10, "<H", 8, ""),
    "checksum": (16, "<I", 1, "Bad CRC-32"),
    "stored in fewer bytes": (20, "<I", 5, "it has two sizes"),
    "more bytes than stored": (24, "<I", 2**31, "it has two sizes"),
    "beyond the file": (20, "<II", 2**31, "it overlaps what lies behind it"),
    "local header elsewhere": (42, "<I", 7, ""),
    "local header beyond the file": (42, "<I", 2**31, ""),
}
LOCAL = {
    "magic": (0, "<I", 1, "magic number"),
    "longer name": (26, "<H", 6, "it overlaps what lies behind it"),
    "shorter name": (26, "<H", 4, "differ"),
    "longer extra field": (28, "<H", 21, "it overlaps what lies behind it"),
    "shorter extra field": (28, "<H", 19, "Bad CRC-32"),
    "endless extra field": (28, "<H", 65535, ""),
}


@pytest.mark.parametrize("case", [*CENTRAL, *LOCAL])
def test_headers_of_the_archive_that_lie(path, values, case):
    np.savez(path, a=values)
    offset, layout, value, reason = (CENTRAL | LOCAL)[case]
    start = directory(path) if case in CENTRAL else 0
    patch(path, start + offset, layout, *[value] * len(layout[1:]))
    assert reason in refusal(path)


def test_a_small_member_that_claims_to_be_huge(path, values):
    """It is refused before memory is allocated, whichever the compression."""
    shape = (10**12, 6, 8, 3)
    for compression in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2):
        contents = npy(header(str(shape)), values.tobytes())
        with zipfile.ZipFile(path, "w", compression) as archive:
            archive.writestr("a.npy", contents)
            size = len(contents) - SIZE + 10**12 * 6 * 8 * 3
            archive.getinfo("a.npy").file_size = size
        reason = refusal(path)
        assert "claims more bytes" in reason or "takes 144,000.0 GB of memory" in reason


def test_names_that_are_held_twice(path, values):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", npy(header(), values.tobytes()))
        archive.writestr("a", npy(header(), values.tobytes()))
    assert "it has several arrays a" in refusal(path)


def test_names_that_do_not_fit_in_a_line(path, values):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("one\ntwo.npy", b"")
        for number in range(30):
            archive.writestr(f"{number}.npy", b"")
    message = refusal(path)
    assert "holds 'one\\ntwo', 0, 1" in message
    assert message.endswith(", 18 and 11 more")


def test_only_regular_files(path, tmp_path):
    for make, reason in (
        (lambda: os.mkfifo(path), "is a FIFO, not a regular file"),
        (lambda: path.symlink_to("/dev/zero"), "is a device, not a regular file"),
        (lambda: path.symlink_to(path), "Too many levels of symbolic links"),
        (lambda: path.symlink_to(tmp_path / "nowhere"), "does not exist"),
    ):
        make()
        assert reason in refusal(path)
        path.unlink()


def test_any_cut_and_any_flipped_byte_is_refused_or_harmless(path, rng, values):
    """Bytes that no reader looks at, such as times, may change; images may not."""
    for save in (np.savez, np.savez_compressed):
        file = io.BytesIO()
        save(file, a=values)
        intact = file.getvalue()
        for where in rng.integers(0, len(intact), 60):
            damaged = bytearray(intact)
            damaged[where] ^= rng.integers(1, 256)
            for contents in (damaged, intact[:where]):
                path.write_bytes(contents)
                with contextlib.suppress(UserError):
                    [image, *_] = archive_images(path, "a", single=True)
                    np.testing.assert_array_equal(load_arrays(path, image.arrays)[0], values)
