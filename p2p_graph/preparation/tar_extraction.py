"""Extraction of a .tar.gz archive that cannot leave its folder."""

import contextlib
import gzip
import os
import posixpath
import re
import tarfile
import tempfile
from collections import Counter
from collections.abc import Generator
from pathlib import Path, PurePosixPath, PureWindowsPath

from p2p_graph.preparation.resumable_download import require_space
from p2p_graph.utils.counted import counted
from p2p_graph.utils.errors import UserError, one_line_reason
from p2p_graph.utils.outside_files import damage_reported, open_regular

_BLOCK = 1 << 18  # bytes per read at most
_DISK_BLOCK = 4096  # bytes; each file fills its last disk block only in part
_MOST_DEFLATED = 1032  # bytes that a byte can stand for; zlib's technical details
_MOST_PADDING = 2**30  # bytes behind the last member
_MOST_NAMING = 2**20  # bytes of a block that names the next member
_NAMING_TYPES = (b"L", b"K", b"x", b"g", b"X")  # of GNU tar, pax and Solaris
_READS_AT_END = 100  # `tarfile` needs few
_LONGEST_NAME = 4096  # characters
_LONGEST_PART = 255  # bytes; of a file's or a folder's name in most file systems
_MOST_FOLDERS = 100  # from the top to a member
_LATEST = 2**33  # seconds; later times of change overflow in some systems
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def extract(archive: Path, folder: Path) -> None:
    """Extracts a .tar.gz as `folder`, which appears only once it is complete.

    The archive's top folder becomes `folder` if both have the same name, and members beside the
    top folder are skipped. An archive without such a top folder is extracted into `folder`.

    Raises:
      UserError: the archive is damaged, a member would leave the folder, or the disk has too little
        room.
      OSError: the disk cannot be written.
    """
    members = _check_members(archive, folder.parent)
    root = PurePosixPath(folder.name)
    if not any(root in _path(member).parents for member in members):
        root = PurePosixPath()
    _refuse_unsafe(archive, members, root)
    print(f"extracting {archive}", flush=True)
    # Beside the final folder: on the same disk, so that the last step is a mere renaming.
    with tempfile.TemporaryDirectory(
        prefix=f".{folder.name}-", dir=folder.parent, ignore_cleanup_errors=True
    ) as temporary:
        unpacked = Path(temporary) / "data"  # unlike `temporary`, with the usual permissions
        unpacked.mkdir()
        _extract_members(archive, unpacked, root)
        (unpacked / root).rename(folder)


class _Header(tarfile.TarInfo):
    """A header that ends the archive only if it is empty."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_Header":
        """Reads a header.

        Raises:
          tarfile.ReadError: it is damaged. `tarfile` takes a damaged header, other than the first,
            for the end of the archive.
        """
        try:
            header = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if not any(buf):
                raise
            raise _damaged_header(error) from None
        if header.size < 0:
            raise tarfile.ReadError("a member claims fewer than no bytes")
        if header.type in _NAMING_TYPES and header.size > _MOST_NAMING:
            raise tarfile.ReadError(f"a member's name has {counted(header.size, 'byte')}")
        return header

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> "_Header":
        """Reads a header, and those that it names the next member by.

        Raises:
          tarfile.ReadError: one of them is damaged. Python's newer releases take a damaged pax
            header for the end of the archive, too.
        """
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.InvalidHeaderError as error:  # type: ignore[attr-defined]
            raise _damaged_header(error) from None


def _damaged_header(error: tarfile.HeaderError) -> tarfile.ReadError:
    return tarfile.ReadError(f"a member's header is damaged: {error}")


class _Stream(gzip.GzipFile):
    """A compressed stream that cannot be read for ever at its end.

    `tarfile` skips what a member claims by reading, and does not notice the end.
    """

    _reads_left = _READS_AT_END

    def read(self, size: int | None = -1) -> bytes:
        """Reads up to `size` bytes."""
        contents = super().read(size)
        self._reads_left -= not contents
        if not self._reads_left:
            raise tarfile.ReadError("unexpected end of data")
        return contents


def _check_members(archive: Path, folder: Path) -> list[tarfile.TarInfo]:
    """Lists an archive's members; each is checked before more is read.

    Args:
      archive: the archive.
      folder: where it is going to be extracted.

    Raises:
      UserError: the archive is damaged, a member has a name or a form that is not extracted, or the
        disk of `folder` has too little room.
    """
    members, size = [], 0
    with contextlib.closing(_read_members(archive)) as found:
        for member in found:
            if problem := _problem_of(member):
                raise _unsafe(archive, member, problem)
            members.append(member)
            size += member.size + _DISK_BLOCK
            require_space(folder, size, f"to extract {archive}")
    return members


def _read_members(archive: Path) -> Generator[tarfile.TarInfo, None, None]:
    """Reads an archive's members in order, and at the end its checksum.

    Raises:
      UserError: the archive is damaged.
    """
    has_files, padding = False, 0
    try:
        with (
            damage_reported(archive, "a .tar.gz archive"),
            open_regular(archive) as file,
            _Stream(fileobj=file) as stream,
            tarfile.open(fileobj=stream, mode="r|", tarinfo=_Header) as tar,
        ):
            most = (archive.stat().st_size + 1) * _MOST_DEFLATED
            for member in tar:
                if not (member.issparse() or 0 <= member.size <= most):
                    raise tarfile.ReadError(f"a member claims {counted(member.size, 'byte')}")
                has_files |= member.isreg()
                yield member
            while block := stream.read(_BLOCK):  # the checksum follows the last byte
                padding += len(block)
                if padding > _MOST_PADDING:
                    raise tarfile.ReadError("gigabytes follow the last member")
            if not has_files:
                raise tarfile.ReadError("it holds no files")
    except UserError as error:
        raise UserError(f"{error}; delete it and run the same command again") from None


def _problem_of(member: tarfile.TarInfo) -> str | None:
    """Why a member is not extracted, whatever its folder; the text continues the member's name."""
    if len(member.name) > _LONGEST_NAME:
        return f"has a name of {len(member.name)} characters"
    if _CONTROL.search(member.name):
        return "has a name with control characters"
    if max(len(os.fsencode(part)) for part in _path(member).parts or ("",)) > _LONGEST_PART:
        return f"has a name of more than {_LONGEST_PART} bytes between two slashes"
    if max(map(member.name.count, "/\\")) > _MOST_FOLDERS:
        return f"lies in more than {_MOST_FOLDERS} folders"
    return "has holes (it is sparse)" if member.issparse() else None


def _unsafe(archive: Path, member: tarfile.TarInfo, problem: str) -> UserError:
    return UserError(
        f"{archive} is unsafe and was not extracted: its member {member.name[:100]!r} {problem}; "
        "delete the archive and check --url"
    )


def _extract_members(archive: Path, folder: Path, root: PurePosixPath) -> None:
    """Extracts the members in `root` into `folder`, with the usual owner and permissions."""
    with open_regular(archive) as file, tarfile.open(fileobj=file, mode="r:gz") as tar:
        # A second guard; the early releases of Python 3.10 lack the filter.
        tar.extraction_filter = getattr(tarfile, "data_filter", None)
        for member in tar:
            path = _path(member)
            if root in (path, *path.parents):
                member.name = str(path)  # so that a hard link finds its target
                member.mode = 0o755 if member.isdir() else 0o644
                member.uid = member.gid = 0  # only root sets owners: the files are root's then
                member.uname = member.gname = ""
                if not 0 <= member.mtime <= _LATEST:
                    member.mtime = 0
                _extract(archive, tar, member, folder)


def _extract(archive: Path, tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    """Extracts a member; only the disk's errors stay what they are."""
    try:
        tar.extract(member, folder)
    except OSError:
        raise
    except Exception as error:  # which one depends on the member and on Python's version
        raise UserError(
            f"{archive}: its member {member.name[:100]!r} cannot be extracted: "
            f"{one_line_reason(error)}; delete the archive and run the same command again"
        ) from error


def _refuse_unsafe(archive: Path, members: list[tarfile.TarInfo], root: PurePosixPath) -> None:
    """Raises UserError if a member could write, or a link point, outside of `root`.

    A link may only name a plain member in `root`, in the shortest way, and no member's path may
    lead through a link. The names alone therefore say where each link ends.
    """
    plain = {_path(m) for m in members if (m.isreg() or m.isdir()) and root in _path(m).parents}
    special = {_path(m) for m in members if not (m.isreg() or m.isdir())}
    times = Counter(map(_path, members))
    folders = {folder for member in members for folder in _path(member).parents}
    for member in members:
        path = _path(member)
        if path in folders and not member.isdir():
            raise _unsafe(archive, member, "is a file and also a folder of other members")
        windows = PureWindowsPath(member.name)  # reads / and \\ as separators, and drives
        if (
            windows.anchor
            or ".." in windows.parts
            or not special.isdisjoint(path.parents)
            or (path in special and times[path] > 1)  # would be written to the link's target
            or (path in special and not _is_safe_link(member, plain))
        ):
            raise _unsafe(archive, member, "is a device or leads out of the folder")


def _is_safe_link(member: tarfile.TarInfo, plain: set[PurePosixPath]) -> bool:
    """Whether a member is a link to one of the plain members, written in the shortest way."""
    # A symbolic link is relative to its own folder, a hard link to the archive's top.
    start = _path(member).parent if member.issym() else ""
    target = posixpath.normpath(posixpath.join(start, member.linkname))
    return (
        (member.issym() or member.islnk())
        and member.linkname == posixpath.normpath(member.linkname)
        and PurePosixPath(target) in plain
    )


def _path(member: tarfile.TarInfo) -> PurePosixPath:
    return PurePosixPath(member.name)
