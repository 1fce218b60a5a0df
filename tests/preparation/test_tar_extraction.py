"""Archives that claim what cannot be: refused in one line, at once, with nothing extracted."""

import gzip
import os
import tarfile

import pytest

from p2p_graph.preparation.tar_extraction import extract
from p2p_graph.utils.errors import UserError

from .dataset_server import FILES, check_files, names, targz

SIZE, CHECKSUM = slice(124, 136), slice(148, 156)


@pytest.fixture
def archive(tmp_path):
    return tmp_path / "facades.tar.gz"


def refusal(archive):
    with pytest.raises(UserError) as caught:
        extract(archive, archive.parent / "facades")
    message = str(caught.value)
    assert str(archive) in message
    assert "\n" not in message
    assert len(message) < 1000
    assert names(archive.parent) == {archive.name}
    return message


def header(name="facades/2.jpg", size=0, kind=b"0"):
    """A member's header; `size` is a number, or the field's bytes."""
    info = tarfile.TarInfo(name)
    info.type = kind
    block = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
    field = size if isinstance(size, bytes) else b"\x80" + size.to_bytes(11, "big", signed=True)
    if isinstance(size, int) and size < 0:
        field = b"\xff" + size.to_bytes(11, "big", signed=True)
    block[SIZE] = field
    return signed(block)


def signed(block):
    block[CHECKSUM] = b" " * 8
    block[CHECKSUM] = b"%06o\0 " % sum(block)
    return bytes(block)


def pax(**fields):
    """A member, after a block of pax fields."""
    info = tarfile.TarInfo("facades/2.jpg")
    info.pax_headers = fields
    return info.tobuf(tarfile.PAX_FORMAT)


FIRST = gzip.decompress(targz({"facades/1.jpg": b"1" * 600}))[: 512 + 1024]
END = bytes(1024)


def test_the_helpers_write_archives(archive):
    archive.write_bytes(gzip.compress(FIRST + header() + pax(comment="x") + END))
    extract(archive, archive.parent / "facades")
    assert names(archive.parent / "facades") == {"1.jpg", "2.jpg"}


DAMAGED = "cannot be read as a .tar.gz archive"


@pytest.mark.parametrize(
    ("blocks", "reason"),
    [
        (header(size=10**15), f"{DAMAGED}: a member claims {10**15} bytes"),
        (header(size=2**80), f"{DAMAGED}: a member claims {2**80} bytes"),
        (header(size=-512), f"{DAMAGED}: a member claims fewer than no bytes"),
        (header(size=-(2**40)), f"{DAMAGED}: a member claims fewer than no bytes"),
        (header(size=b"no number..."), f"{DAMAGED}: a member's header is damaged"),
        (header(size=100_000), f"{DAMAGED}: unexpected end of data"),
        (pax(size="1000000000000000"), f"{DAMAGED}: a member claims {10**15} bytes"),
        (pax(size="-1024"), f"{DAMAGED}: a member claims -1024 bytes"),
        (header(size=2**21, kind=b"x"), f"{DAMAGED}: a member's name has {2**21} bytes"),
        (header(size=2**60, kind=b"L"), f"{DAMAGED}: a member's name has {2**60} bytes"),
        (header(size=512, kind=b"x") + b"9" * 512, DAMAGED),
        (header(size=512, kind=b"L") + b"\xff" * 512, DAMAGED),
        (header()[:200], DAMAGED),
        (b"\1" * 512, f"{DAMAGED}: a member's header is damaged: invalid header"),
        (header()[:512].replace(b"2.jpg", b"3.jpg"), "header is damaged: bad checksum"),
        (bytes(range(256)) * 2, f"{DAMAGED}: a member's header is damaged"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, str) else "",
)
@pytest.mark.parametrize("end", [END, b""], ids=["end", ""])
def test_headers_that_lie(archive, blocks, reason, end):
    """Behind an intact member: the files that a damaged header hides are not left out."""
    archive.write_bytes(gzip.compress(FIRST + blocks + end))
    message = refusal(archive)
    assert reason in message
    assert message.endswith("; delete it and run the same command again")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("facades/" + "a/" * 2000 + "1.jpg", "1.jpg' lies in more than 100 folders"),
        ("facades/" + "a/" * 200_000 + "1.jpg", "has a name of 400013 characters"),
        ("facades/" + "\\" * 200, "lies in more than 100 folders"),
        ("facades/1\0.jpg", "its member 'facades/1\\x00.jpg' has a name with control characters"),
        ("facades/1\n.jpg", "its member 'facades/1\\n.jpg' has a name with control characters"),
        ("facades/\x1b[31m.jpg", "has a name with control characters"),
        ("facades/" + "é" * 128, "has a name of more than 255 bytes between two slashes"),
    ],
    ids=lambda value: value[:20],
)
def test_names(archive, name, reason):
    info = tarfile.TarInfo("facades/long.jpg")
    info.pax_headers = {"path": name}
    archive.write_bytes(gzip.compress(FIRST + info.tobuf(tarfile.PAX_FORMAT) + END))
    message = refusal(archive)
    assert f"{archive} is unsafe and was not extracted: its member 'facades/" in message
    assert reason.removeprefix("1.jpg'") in message


@pytest.mark.parametrize("names", [("a", "a/1.jpg"), ("a/1.jpg", "a")])
def test_a_file_that_is_also_a_folder(archive, names):
    blocks = b"".join(header(f"facades/{name}") for name in names)
    archive.write_bytes(gzip.compress(FIRST + blocks + END))
    assert "member 'facades/a' is a file and also a folder of other members" in refusal(archive)


@pytest.mark.parametrize("kind", ["0.1", "1.0", "old"])
def test_holes(archive, kind):
    """A few bytes would become a terabyte."""
    if kind == "old":
        block = bytearray(header(kind=b"S"))
        block[386:410] = b"%011o\0%011o\0" % (0, 0)
        block[483:495] = b"\x80" + (10**12).to_bytes(11, "big")
        blocks = signed(block)
    elif kind == "0.1":
        fields = {"GNU.sparse.map": "0,0", "GNU.sparse.size": str(10**12)}
        blocks = pax(**fields | {"GNU.sparse.numblocks": "1", "GNU.sparse.name": "facades/2.jpg"})
    else:
        fields = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}
        blocks = pax(**fields | {"GNU.sparse.realsize": str(10**12), "size": "512"})
        blocks += b"1\n0\n0\n".ljust(512, b"\0")
    archive.write_bytes(gzip.compress(FIRST + blocks + END))
    assert "has holes (it is sparse)" in refusal(archive)


@pytest.mark.parametrize("time", ["nan", "inf", "-1e300", str(10**30)])
def test_times_that_no_system_has(archive, time):
    archive.write_bytes(gzip.compress(FIRST + pax(mtime=time) + END))
    extract(archive, archive.parent / "facades")
    assert names(archive.parent / "facades") == {"1.jpg", "2.jpg"}


def test_only_regular_files(archive):
    os.mkfifo(archive)
    assert "is a FIFO, not a regular file; delete it" in refusal(archive)
    archive.unlink()
    archive.symlink_to("/dev/zero")
    assert "is a device, not a regular file; delete it" in refusal(archive)


def test_what_tar_programs_leave_out_or_add(archive):
    """No empty blocks at the end, or many."""
    for change in (lambda data: data.rstrip(b"\0") + b"\0" * 508, lambda data: data + bytes(10**6)):
        contents = gzip.decompress(targz())
        archive.write_bytes(gzip.compress(change(contents)))
        folder = archive.parent / "facades"
        extract(archive, folder)
        check_files(folder)
        for path in sorted(folder.rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
        folder.rmdir()


def test_any_damage_is_refused_or_harmless(archive, rng):
    """Damage under a right checksum, as of a tar that was damaged before it was compressed."""
    intact = bytearray(gzip.decompress(targz(dict.fromkeys(FILES, b"0" * 100))))
    wanted = dict.fromkeys(FILES, b"0" * 100)
    folder = archive.parent / "facades"
    for _ in range(60):
        damaged = bytearray(intact)
        block = 1024 * int(rng.integers(len(FILES)))  # a header; its file is a block behind
        for where in block + rng.integers(0, 345, 2):
            damaged[where] = rng.integers(256)
        if rng.integers(2):
            damaged[block : block + 512] = signed(damaged[block : block + 512])
        archive.write_bytes(gzip.compress(damaged))
        try:
            extract(archive, folder)
        except (UserError, OSError):
            assert names(archive.parent) == {archive.name}
            continue
        found = {p.relative_to(folder.parent): p for p in folder.rglob("*") if p.is_file()}
        assert len(found) <= len(wanted)
        for path in sorted(folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        folder.rmdir()


def test_padding_without_an_end(archive, monkeypatch):
    """Gigabytes of nothing behind the last member are no padding."""
    monkeypatch.setattr("p2p_graph.preparation.tar_extraction._MOST_PADDING", 2**20)
    archive.write_bytes(gzip.compress(bytes(FIRST) + END + bytes(2**22)))
    assert "gigabytes follow the last member" in refusal(archive)
