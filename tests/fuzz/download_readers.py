"""What a worker calls for downloads and data sets' archives; see `readers`."""

import os
import stat
import tarfile
from pathlib import PurePosixPath

from p2p_graph.preparation import resumable_download
from p2p_graph.preparation.tar_extraction import extract
from p2p_graph.utils.errors import UserError

from ..forked.verdicts import expect

# --- tar archives


def tar_archive(folder):
    """Extraction writes the archive's plain files below the data set's folder, and nothing else."""
    archive, target = folder / "facades.tar.gz", folder / "facades"
    around = _tree(folder.parent)
    try:
        extract(archive, target)
    except (UserError, OSError):
        expect(_tree(folder.parent) == around, "a refused archive leaves files")
        raise
    added = [path for path in _tree(folder.parent) if path not in around]
    outside = [path for path in added if target not in (path, *path.parents)]
    expect(not outside, "files outside of the folder", outside)
    contents = _plain_members(archive, target)
    for path in target.rglob("*"):
        kind = path.lstat().st_mode
        expect(stat.S_ISREG(kind) or stat.S_ISDIR(kind) or stat.S_ISLNK(kind), "a device", path)
        expect(target in path.resolve().parents, "a link leads out of the folder", path)
        if stat.S_ISREG(kind) and path in contents:
            expect(path.read_bytes() == contents[path], "a file's contents", path)


def _plain_members(archive, target):
    """The contents of an archive's plain files by the path that they are extracted to."""
    with tarfile.open(archive) as tar:
        members = list(tar)
        paths = [PurePosixPath(member.name) for member in members]
        root = PurePosixPath(target.name)
        if not any(root in path.parents for path in paths):
            root = PurePosixPath()
        return {
            target / path.relative_to(root): tar.extractfile(member).read()
            for member, path in zip(members, paths, strict=True)
            if member.isreg() and root in path.parents
        }


def _tree(folder):
    return sorted(folder.rglob("*"))


# --- downloads


def download(folder, url, body):
    """A download ends with the server's file, or with an error that leaves no file.

    Args:
      folder: where to download; may hold a part and its note.
      url: of the file.
      body: the file's contents; None if any contents are right.
    """
    resumable_download.RETRY_SECONDS = 0.001
    resumable_download.TIMEOUT = 2.0
    path = folder / "facades.tar.gz"
    os.environ["no_proxy"] = "127.0.0.1"
    try:
        resumable_download.fetch(url, path)
    except (UserError, OSError):
        expect(not path.exists(), "a refused download leaves a file")
        raise
    left = sorted(each.name for each in folder.iterdir())
    expect(left == [path.name], "a download leaves files", left)
    if body is not None:
        expect(path.read_bytes() == body, "the file is not the server's", path.stat().st_size)
