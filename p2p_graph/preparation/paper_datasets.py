"""The public pix2pix data sets: each is downloaded, then extracted without leaving its folder."""

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

from p2p_graph.preparation.download import fetch, need_space, reason
from p2p_graph.utils.errors import UserError

NAMES = ("facades", "cityscapes", "maps", "edges2shoes", "edges2handbags", "night2day")
URL_PREFIX = "http://efrosgans.eecs.berkeley.edu/pix2pix/datasets"

_BLOCK = 1 << 18  # bytes read at most at once


def get_dataset(
    name: str, output_dir: Path, url: str = URL_PREFIX, keep_archive: bool = False
) -> Path:
    """Fetches `url`/`name`.tar.gz and extracts it as `output_dir`/`name`.

    An archive that lies whole in `output_dir` is used as it is; one that lies there in part
    (`name`.tar.gz.part) is resumed.

    Args:
        name: one of `NAMES`.
        output_dir: where the folder goes; made if missing.
        url: what stands before `/name.tar.gz`; http or https.
        keep_archive: leave `name`.tar.gz in `output_dir` instead of deleting it at the end.

    Returns:
        The folder with the data.

    Raises:
        UserError: the name is unknown, the folder is there already, the file cannot be fetched,
            written or extracted, or the archive is damaged or unsafe.
    """
    if name not in NAMES:
        raise UserError(f"unknown data set {name!r}; choose one of {', '.join(NAMES)}")
    if not re.match(r"https?://[^/]", url):
        raise UserError(f"{url!r} is not a URL that begins with http:// or https://; check --url")
    folder, archive = output_dir / name, output_dir / f"{name}.tar.gz"
    with _as_user_error(output_dir):
        if folder.exists() or folder.is_symlink():
            raise UserError(f"{folder} is already there; delete it or choose another --output_dir")
        output_dir.mkdir(parents=True, exist_ok=True)
        if archive.exists():
            print(f"{archive} is already there and is not fetched again", flush=True)
        else:
            fetch(f"{url.rstrip('/')}/{archive.name}", archive)
        extract(archive, folder)
        if not keep_archive:
            archive.unlink()
    return folder


def extract(archive: Path, folder: Path) -> None:
    """Extracts a .tar.gz as `folder`, which appears only when all of it is there.

    The archive's own top folder, if it is called like `folder`, becomes `folder`, and what lies
    beside it is left out; else everything goes into `folder`.

    Raises:
        UserError: the archive is damaged or has a member that would leave the folder, or the disk
            has too little room.
        OSError: the disk cannot be written.
    """
    try:
        with gzip.open(archive) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
            members = list(tar)
            while stream.read(_BLOCK):  # the checksum stands at the very end
                pass
        if not any(member.isreg() for member in members):
            raise tarfile.ReadError("it holds no files")
        root = PurePosixPath(folder.name)
        if not any(root in _path(member).parents for member in members):
            root = PurePosixPath()
        _refuse_unsafe(archive, members, root)
        # Each file fills its last disk block only in part.
        need_space(folder.parent, sum(m.size + 4096 for m in members), f"to extract {archive}")
        print(f"extracting {archive}", flush=True)
        # Beside its final place: on the same disk, so that the last move is a mere renaming.
        with tempfile.TemporaryDirectory(
            prefix=f".{folder.name}-", dir=folder.parent, ignore_cleanup_errors=True
        ) as temporary:
            unpacked = Path(temporary) / "data"  # unlike `temporary`, with the usual permissions
            unpacked.mkdir()
            with tarfile.open(archive, "r:gz") as tar:
                # A second guard; the early releases of Python 3.10 do not have it.
                tar.extraction_filter = getattr(tarfile, "data_filter", None)
                for member in tar:
                    path = _path(member)
                    if root in (path, *path.parents):
                        member.name = str(path)  # so that a hard link finds it
                        member.mode = 0o755 if member.isdir() else 0o644
                        member.uid = member.gid = 0  # only root sets owners: the files be root's
                        member.uname = member.gname = ""
                        tar.extract(member, unpacked)
            (unpacked / root).rename(folder)
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, KeyError) as error:
        raise UserError(
            f"{archive} is damaged ({reason(error)}); delete it and run the same command again"
        ) from None


def _refuse_unsafe(archive: Path, members: list[tarfile.TarInfo], root: PurePosixPath) -> None:
    """Raises UserError if a member could write, or a link point, outside of `root`.

    A link may only name a plain member in `root`, in the shortest way, and nothing may be reached
    through a link: so the names alone tell where each link ends.
    """
    plain = {_path(m) for m in members if (m.isreg() or m.isdir()) and root in _path(m).parents}
    others = {_path(m) for m in members if not (m.isreg() or m.isdir())}
    times = Counter(map(_path, members))
    for member in members:
        path = _path(member)
        windows = PureWindowsPath(member.name)  # takes / and \\ as separators, and drives
        start = path.parent if member.issym() else ""  # a hard link counts from the top
        target = posixpath.normpath(posixpath.join(start, member.linkname))
        if (
            windows.anchor
            or ".." in windows.parts
            or not others.isdisjoint(path.parents)
            or (path in others and times[path] > 1)  # would be written to where the link points
            or (
                path in others
                and not (
                    (member.issym() or member.islnk())
                    and member.linkname == posixpath.normpath(member.linkname)
                    and PurePosixPath(target) in plain
                )
            )
        ):
            raise UserError(
                f"{archive} is unsafe and was not extracted: its member {member.name!r} is a "
                "device or leads out of the folder; delete the archive and check --url"
            )


def _path(member: tarfile.TarInfo) -> PurePosixPath:
    return PurePosixPath(member.name)


@contextmanager
def _as_user_error(folder: Path) -> Iterator[None]:
    """Turns an OSError of the disk into a UserError."""
    try:
        yield
    except OSError as error:
        where = error.filename or folder
        raise UserError(
            f"cannot write {where}: {reason(error)}; mend that or choose another --output_dir"
        ) from None
