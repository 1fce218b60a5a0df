"""Files written byte by byte, so that every field can be wrong while the checksums are right."""

import gzip
import io
import struct
import tarfile
import zlib
from typing import NamedTuple

# --- .npz: a zip archive of .npy files


class Member(NamedTuple):
    """A file in a zip archive; the fields may contradict the contents.

    Attributes:
      name: its name.
      contents: its bytes, before compression.
      method: 0 for none, 8 for deflate; other numbers claim a method that was not applied.
      flags: general purpose bits: 1 claims encryption, 0x800 UTF-8 names.
      crc: added to the right checksum.
      size: added to the right size.
      extra: of the local header, which may be longer than that of the directory.
    """

    name: str
    contents: bytes
    method: int = 0
    flags: int = 0
    crc: int = 0
    size: int = 0
    extra: bytes = b""


def zip_archive(members):
    """A zip archive (APPNOTE.TXT, sections 4.3.7, 4.3.12 and 4.3.16)."""
    body, directory = b"", b""
    for member in members:
        name = member.name.encode(errors="surrogateescape")
        packed = _deflated(member.contents) if member.method == 8 else member.contents
        crc = (zlib.crc32(member.contents) + member.crc) % 2**32
        size = (len(member.contents) + member.size) % 2**32
        fields = struct.pack(
            "<HHHHHIII", 20, member.flags, member.method, 0, 33, crc, len(packed), size
        )
        local = b"PK\3\4" + fields + struct.pack("<HH", len(name), len(member.extra))
        directory += b"PK\1\2\x14\0" + fields
        directory += struct.pack("<HHHHHII", len(name), 0, 0, 0, 0, 0, len(body)) + name
        body += local + name + member.extra + packed
    count = len(members)
    end = struct.pack("<HHHHIIH", 0, 0, count, count, len(directory), len(body), 0)
    return body + directory + b"PK\5\6" + end


def npy(header, contents, version=1):
    """An .npy file: a header (text of a Python dict) of some format version, then the values."""
    text = header.encode() + b"\n"
    kind = "<H" if version == 1 else "<I"
    return (
        b"\x93NUMPY" + bytes([version, 0]) + struct.pack(kind, len(text) % 2**16) + text + contents
    )


def _deflated(contents):
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(contents) + packer.flush()


# --- PNG


def png(header, chunks):
    """A PNG file: IHDR with these 13 bytes, then (type, contents) chunks, with right checksums."""
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(contents)) + kind + contents
        + struct.pack(">I", zlib.crc32(kind + contents))
        for kind, contents in ((b"IHDR", header), *chunks, (b"IEND", b""))
    )  # fmt: skip


# --- .tar.gz


def tar_gz(members, form=tarfile.PAX_FORMAT):
    """A compressed tar archive of (TarInfo, contents)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for member, contents in members:
            tar.addfile(member, io.BytesIO(contents))
    return gzip.compress(out.getvalue(), mtime=0)


# --- .pict


def pict(blocks):
    """A `.pict`: blocks with their big-endian lengths before them."""
    return b"".join(struct.pack(">I", len(block)) + block for block in blocks)
