"""Writes the translated images of a shard, which appear under their names all at once.

A worker writes under a name of its own (its machine and process), and renames what it wrote. Two
workers with the same shard, as after a lost connection, do not meet, and write the same bytes.
"""

import contextlib
import os
import socket
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import tensorflow.compat.v1 as tf

from p2p_graph.data.image_files import output_names
from p2p_graph.data.packed.make_records import example_of
from p2p_graph.data.packed.tfrecord_shards import shard_name
from p2p_graph.inference.bulk import parquet_files
from p2p_graph.utils.atomic_write import remove
from p2p_graph.utils.errors import UserError, why_not_written
from p2p_graph.utils.file_names import LONGEST_NAME, shortened

_UNFINISHED = ".unfinished"
_NAME = "outputs"
_ENDING = "-outputs.png"


class TranslatedImage(NamedTuple):
    """A translated image.

    Attributes:
      name: of its output, as the input's record, row or file is named.
      contents: of a PNG file.
      width: in pixels.
      height: in pixels.
    """

    name: str
    contents: bytes
    width: int
    height: int


Images = Iterable[TranslatedImage]


def write_shard(folder: Path, form: str, number: int, count: int, images: Images) -> None:
    """Writes a shard of translated images.

    Args:
      folder: an existing folder.
      form: a key of `FORMS`.
      number: the shard's.
      count: of all shards.
      images: in the order of the shard.

    Raises:
      UserError: the files cannot be written.
    """
    path = shard_path(folder, form, number, count)
    try:
        with _renamed(path) as temporary:
            FORMS[form](temporary, images)
    except (OSError, tf.errors.OpError) as error:
        raise UserError(f"{path} cannot be written: {why_not_written(error)}") from None


def shard_path(folder: Path, form: str, number: int, count: int) -> Path:
    """The file, or folder of files, of a shard."""
    name = shard_name(_NAME, number, count)
    return folder / Path(name).with_suffix("" if form == "files" else f".{form}")


def written_size(folder: Path, form: str, number: int, count: int) -> int | None:
    """A shard's size: the bytes of its file, or the number of images in its folder.

    Where a file was emptied or cut off, or an image was removed, it is another one.

    Returns:
      The size; None if there is no such file or folder.
    """
    path = shard_path(folder, form, number, count)
    try:
        if form == "files":
            with os.scandir(path) as entries:
                return sum(entry.name.endswith(_ENDING) for entry in entries)
        return path.stat().st_size
    except OSError:
        return None


def refuse_foreign(folder: Path, form: str, numbers: Iterable[int], count: int) -> None:
    """Refuses what stands where shards are to be written, and was not written by this program.

    Args:
      folder: as in `write_shard`.
      form: as in `write_shard`.
      numbers: of the shards.
      count: of all shards.

    Raises:
      UserError: there is something; the message names it.
    """
    for number in numbers:
        path = shard_path(folder, form, number, count)
        if not os.path.lexists(path):
            continue
        is_folder = path.is_dir() and not path.is_symlink()
        if is_folder != (form == "files"):
            what = "is no folder" if form == "files" else "is a folder"
            raise UserError(f"{path} {what}, and a shard is to be written there: move it elsewhere")
        if not is_folder:
            continue
        with os.scandir(path) as entries:
            for entry in entries:
                if not entry.name.endswith(_ENDING):
                    raise UserError(
                        f"{path} is to be written again, and holds {entry.name}, which is no "
                        "output: move it elsewhere"
                    )


def remove_unfinished(folder: Path) -> None:
    """Removes what killed workers have left."""
    for path in folder.glob(f".*{_UNFINISHED}"):
        remove(path)


@contextlib.contextmanager
def _renamed(path: Path) -> Iterator[Path]:
    """Yields a path of this process, and renames it to the target on success."""
    host = socket.gethostname()[:64]
    temporary = path.with_name(f".{path.name}.{host}-{os.getpid()}{_UNFINISHED}")
    remove(temporary)
    try:
        yield temporary
        if path.is_dir():  # a folder that a worker has left, killed before it recorded the shard
            remove(path)
        temporary.replace(path)
    except BaseException:
        remove(temporary)
        raise


def _write_files(path: Path, images: Images) -> None:
    """Writes PNG files into a new folder, named as by tools/test.py among those of the shard."""
    path.mkdir()
    names = []
    for number, image in enumerate(images):
        (path / f".{number}").write_bytes(image.contents)
        names.append(image.name)
    for number, name in enumerate(output_names([Path(name) for name in names])):
        (path / f".{number}").rename(path / f"{name}{_ENDING}")


def _write_records(path: Path, images: Images) -> None:
    """Writes a shard as tools/pack_records.py does, which all programs take as inputs."""
    plain = (image._replace(name=Path(image.name).name) for image in images)
    with tf.io.TFRecordWriter(os.fsencode(path)) as writer:
        for name, image in unique_names(plain):
            files: dict[str, bytes | list[bytes]] = {"a": image.contents}
            writer.write(example_of(name, image.width, image.height, files, is_16_bit=False))


def _write_parquet(path: Path, images: Images) -> None:
    rows = ((name, image.contents) for name, image in unique_names(images))
    parquet_files.write(path, rows)


def unique_names(images: Images) -> Iterator[tuple[str, TranslatedImage]]:
    """Yields the images of a shard with names; one that came before has a number put before it."""
    taken: set[str] = set()
    for number, image in enumerate(images, 1):
        name = image.name
        while name in taken:
            path = Path(name)
            name = str(path.with_name(shortened(f"{number:05d}_{path.name}", LONGEST_NAME)))
        taken.add(name)
        yield name, image


FORMS: dict[str, Callable[[Path, Images], None]] = {
    "files": _write_files,
    "tfrecord": _write_records,
    "parquet": _write_parquet,
}
