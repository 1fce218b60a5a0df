"""Downloads the paper's data sets and extracts them safely."""

import gzip
import posixpath
import re
import tarfile
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath

from p2p_graph.preparation.download import brief_reason, fetch, require_space
from p2p_graph.utils.errors import UserError

NAMES = ("facades", "cityscapes", "maps", "edges2shoes", "edges2handbags", "night2day")
URL_PREFIX = "http://efrosgans.eecs.berkeley.edu/pix2pix/datasets"

_BLOCK = 1 << 18  # bytes per read at most
_DISK_BLOCK = 4096  # bytes; each file fills its last disk block only in part


def get_dataset(
    name: str, output_dir: Path, url: str = URL_PREFIX, keep_archive: bool = False
) -> Path:
    """Downloads `url`/`name`.tar.gz and extracts the archive as `output_dir`/`name`.

    A complete archive in `output_dir` is not downloaded again. A partial one (`name`.tar.gz.part)
    is resumed.

    Args:
      name: one of `NAMES`.
      output_dir: the parent of the data set's folder, created if missing.
      url: what stands before `/name.tar.gz`; http or https.
      keep_archive: whether to leave `name`.tar.gz in `output_dir`.

    Returns:
      The data set's folder.

    Raises:
      UserError: the name is unknown, the folder exists, the file cannot be downloaded, written or
        extracted, or the archive is damaged or unsafe.
    """
    if name not in NAMES:
        raise UserError(f"unknown data set {name!r}; choose one of {', '.join(NAMES)}")
    if not re.match(r"https?://[^/]", url):
        raise UserError(f"{url!r} is not a URL that begins with http:// or https://; check --url")
    folder, archive = output_dir / name, output_dir / f"{name}.tar.gz"
    with _disk_errors_as_user_errors(output_dir):
        if folder.exists() or folder.is_symlink():
            raise UserError(f"{folder} is already there; delete it or choose another --output_dir")
        output_dir.mkdir(parents=True, exist_ok=True)
        if archive.exists():
            print(f"{archive} is already there and is not downloaded again", flush=True)
        else:
            fetch(f"{url.rstrip('/')}/{archive.name}", archive)
        extract(archive, folder)
        if not keep_archive:
            archive.unlink()
    return folder


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


@contextmanager
def _disk_errors_as_user_errors(folder: Path) -> Iterator[None]:
    """Turns an OSError into a UserError that names the path, or `folder` if the path is unknown."""
    try:
        yield
    except OSError as error:
        path = error.filename or folder
        raise UserError(
            f"cannot write {path}: {brief_reason(error)}; mend that or choose another --output_dir"
        ) from None
