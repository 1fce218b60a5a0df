"""Downloads the paper's data sets and extracts them safely."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from p2p_graph.config.output_folder import claimed
from p2p_graph.preparation.http_answers import brief_reason
from p2p_graph.preparation.resumable_download import fetch
from p2p_graph.preparation.tar_extraction import extract
from p2p_graph.utils.errors import UserError

NAMES = ("facades", "cityscapes", "maps", "edges2shoes", "edges2handbags", "night2day")
URL_PREFIX = "http://efrosgans.eecs.berkeley.edu/pix2pix/datasets"


def get_dataset(
    name: str, output_dir: Path, url: str = URL_PREFIX, keep_archive: bool = False
) -> Path:
    """Downloads `url`/`name`.tar.gz and extracts the archive as `output_dir`/`name`.

    A complete archive in `output_dir` is not downloaded again, and stays. A partial one
    (`name`.tar.gz.part) is resumed.

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
        with claimed(output_dir, "download_dataset"):
            was_there = archive.exists()
            if was_there:
                print(f"{archive} is already there and is not downloaded again", flush=True)
            else:
                fetch(f"{url.rstrip('/')}/{archive.name}", archive)
            extract(archive, folder)
            if not (keep_archive or was_there):
                archive.unlink()
    return folder


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
