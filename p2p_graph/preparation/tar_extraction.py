"""Extraction of a .tar.gz archive that cannot leave its folder."""

import gzip
import posixpath
import tarfile
import tempfile
import zlib
from collections import Counter
from pathlib import Path, PurePosixPath, PureWindowsPath

from p2p_graph.preparation.resumable_download import brief_reason, require_space
from p2p_graph.utils.errors import UserError

_BLOCK = 1 << 18  # bytes per read at most
_DISK_BLOCK = 4096  # bytes; each file fills its last disk block only in part


def extract(archive: Path, folder: Path) -> None:
    """Extracts a .tar.gz as `folder`, which appears only once it is complete.

    The archive's top folder becomes `folder` if both have the same name, and members beside the
    top folder are skipped. An archive without such a top folder is extracted into `folder`.

    Raises:
      UserError: the archive is damaged, a member would leave the folder, or the disk has too little
        room.
      OSError: the disk cannot be written.
    """
    try:
        members = _read_members(archive)
        root = PurePosixPath(folder.name)
        if not any(root in _path(member).parents for member in members):
            root = PurePosixPath()
        _refuse_unsafe(archive, members, root)
        size = sum(member.size + _DISK_BLOCK for member in members)
        require_space(folder.parent, size, f"to extract {archive}")
        print(f"extracting {archive}", flush=True)
        # Beside the final folder: on the same disk, so that the last step is a mere renaming.
        with tempfile.TemporaryDirectory(
            prefix=f".{folder.name}-", dir=folder.parent, ignore_cleanup_errors=True
        ) as temporary:
            unpacked = Path(temporary) / "data"  # unlike `temporary`, with the usual permissions
            unpacked.mkdir()
            _extract_members(archive, unpacked, root)
            (unpacked / root).rename(folder)
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, KeyError) as error:
        raise UserError(
            f"{archive} is damaged ({brief_reason(error)}); delete it and run the same command "
            "again"
        ) from None


def _read_members(archive: Path) -> list[tarfile.TarInfo]:
    """Lists an archive's members, having read the archive to its end and checked its checksum.

    Raises:
      tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError: the archive is damaged.
    """
    with gzip.open(archive) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
        members = list(tar)
        while stream.read(_BLOCK):  # the checksum follows the last byte
            pass
    if not any(member.isreg() for member in members):
        raise tarfile.ReadError("it holds no files")
    return members


def _extract_members(archive: Path, folder: Path, root: PurePosixPath) -> None:
    """Extracts the members in `root` into `folder`, with the usual owner and permissions."""
    with tarfile.open(archive, "r:gz") as tar:
        # A second guard; the early releases of Python 3.10 lack the filter.
        tar.extraction_filter = getattr(tarfile, "data_filter", None)
        for member in tar:
            path = _path(member)
            if root in (path, *path.parents):
                member.name = str(path)  # so that a hard link finds its target
                member.mode = 0o755 if member.isdir() else 0o644
                member.uid = member.gid = 0  # only root sets owners: the files are root's then
                member.uname = member.gname = ""
                tar.extract(member, folder)


def _refuse_unsafe(archive: Path, members: list[tarfile.TarInfo], root: PurePosixPath) -> None:
    """Raises UserError if a member could write, or a link point, outside of `root`.

    A link may only name a plain member in `root`, in the shortest way, and no member's path may
    lead through a link. The names alone therefore say where each link ends.
    """
    plain = {_path(m) for m in members if (m.isreg() or m.isdir()) and root in _path(m).parents}
    special = {_path(m) for m in members if not (m.isreg() or m.isdir())}
    times = Counter(map(_path, members))
    for member in members:
        path = _path(member)
        windows = PureWindowsPath(member.name)  # reads / and \\ as separators, and drives
        if (
            windows.anchor
            or ".." in windows.parts
            or not special.isdisjoint(path.parents)
            or (path in special and times[path] > 1)  # would be written to the link's target
            or (path in special and not _is_safe_link(member, plain))
        ):
            raise UserError(
                f"{archive} is unsafe and was not extracted: its member {member.name!r} is a "
                "device or leads out of the folder; delete the archive and check --url"
            )


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
