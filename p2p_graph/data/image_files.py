"""Image files: listing folders, pairing files by name, naming output files."""

import collections
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePath
from typing import NamedTuple

from p2p_graph.imaging import array_files
from p2p_graph.utils.errors import UserError, why_no_folder
from p2p_graph.utils.file_names import ARRAY_SUFFIXES, IMAGE_SUFFIXES, shortened

# Of an output name, in bytes: 00000100-NAME-outputs.png.unfinished is a name of at most 255.
_LONGEST_OUTPUT_NAME = 200
_SHOWN = 20
CORRUPT, ODD_WIDTH, MISMATCH = PROBLEMS = ("corrupt", "odd width", "mismatched pair")


class SourceImage(NamedTuple):
    """A usable image, or a pair of two images A and B of equal size, and perhaps further inputs.

    Attributes:
      path: the file, or A's file; for an archive or a shard, its path and the image's name in it.
      width: in pixels.
      height: in pixels.
      is_16_bit: whether a channel has more than 8 bits, in A or in B.
      target: B's path, where A and B are separate images.
      position: index in an archive's arrays, or the first byte of the record in a shard.
      arrays: names of the archive's arrays that hold the image, or A and B.
      orientations: of each of `columns`, to be turned upright (see `imaging.exif`); width and
        height are those of the upright images. Empty where all are upright.
      more: paths of further inputs, of the input's size.
      channels: of each of `columns` that is an array; 0 for image files, whose channels are
        converted. Empty where none is an array.
    """

    path: Path
    width: int
    height: int
    is_16_bit: bool
    target: Path | None = None
    position: int | None = None
    arrays: tuple[str, ...] = ()
    orientations: tuple[int, ...] = ()
    more: tuple[Path, ...] = ()
    channels: tuple[int, ...] = ()

    @property
    def columns(self) -> tuple[Path, ...]:
        """The paths of A, of B where that is separate, and of the further inputs."""
        return (self.path, *filter(None, [self.target]), *self.more)

    def channels_of(self, column: int) -> int:
        """The channels of one of `columns` if it is an array, otherwise 0."""
        return self.channels[column] if self.channels else 0


class Problem(NamedTuple):
    """Why an image cannot be used.

    Attributes:
      kind: "corrupt", "odd width" or "mismatched pair".
      text: the reason; a message puts the image's path before it.
    """

    kind: str
    text: str


class Entry(NamedTuple):
    """The files of an image.

    Attributes:
      path: the file, or A's.
      partner: B's file, a problem with it, or None without pairing.
      more: the files of further inputs, or problems with them.
    """

    path: Path
    partner: Path | Problem | None = None
    more: tuple[Path | Problem, ...] = ()


def find_images(
    folder: Path, option: str = "input_dir", suffixes: Sequence[str] = IMAGE_SUFFIXES
) -> list[Path]:
    """Lists a folder's images: by number where all names are numbers, otherwise by name.

    Args:
      folder: the folder; folders inside it are ignored.
      option: the option that names the folder, for messages.
      suffixes: of the images' names.

    Raises:
      UserError: the folder does not exist, cannot be read, or holds no image.
    """
    if not folder.is_dir():
        raise UserError(f"{option} {folder} {why_no_folder(folder)}")
    try:
        with os.scandir(folder) as found:  # which knows the kinds of files without reading each
            entries = list(found)
    except OSError as error:
        raise UserError(f"{option} {folder} cannot be read: {error.strerror}") from None
    # All but folders: a broken link or a FIFO is listed, to be reported as an unusable image.
    paths = [
        folder / entry.name
        for entry in entries
        if PurePath(entry.name).suffix.lower() in suffixes
        and (entry.is_symlink() or not _is_folder(entry))
    ]
    if not paths:
        inner = sorted(entry.name for entry in entries if _is_folder(entry))
        if inner:
            shown = ", ".join(inner[:_SHOWN])
            raise UserError(
                f"{option} {folder} holds folders but no images: name one of them ({shown})"
            )
        raise UserError(f"{option} {folder} holds no images ({', '.join(suffixes)})")
    if all(path.stem.isdecimal() for path in paths):
        return sorted(paths, key=lambda path: (int(path.stem), path.name))
    return sorted(paths, key=lambda path: path.name)


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def find_images_or_arrays(folder: Path, option: str = "input_dir") -> list[Path]:
    """Lists a folder's images; where there is no JPEG or PNG file, its arrays (.npy and TIFF).

    Raises:
      UserError: as `find_images`.
    """
    try:
        return find_images(folder, option)
    except UserError as error:
        try:
            arrays = find_images(folder, option, ARRAY_SUFFIXES)
        except UserError:
            raise error from None
    if any(array_files.lacks_reader(path) for path in arrays):
        raise UserError(f"{option} {folder} {array_files.MISSING}")
    return arrays


def output_names(paths: Sequence[Path]) -> list[str]:
    """Names the output files of each image, uniquely.

    The name is the image's stem. If stems coincide, it is the file name; if file names coincide
    too, as in a manifest of several folders, it is a number and the file name. A name of more than
    200 bytes is shortened, since what is added to it (-outputs.png) must fit into a file name, too.
    """
    stems = collections.Counter(path.stem for path in paths)
    names = [path.stem if stems[path.stem] == 1 else path.name for path in paths]
    # A stem may equal another image's file name: a.png.jpg beside a.png and a.jpg.
    if len(set(names)) < len(names):
        names = [path.name for path in paths]
    if len(set(map(shortened_name, names))) < len(names):
        names = [f"{number:05d}_{name}" for number, name in enumerate(names, 1)]
    return [shortened_name(name) for name in names]


def shortened_name(name: str) -> str:
    """The output name of an image whose stem is a name: the name, or a shortened one."""
    return shortened(name, _LONGEST_OUTPUT_NAME)


def files_of(images: Iterable[SourceImage]) -> Iterator[Path]:
    """The files of images, and the shards that hold images; an archive lies where it is made."""
    for image in images:
        if image.position is None:
            yield from image.columns
        elif not image.arrays:
            yield image.path.parent


def find_entries(
    folder: Path, target_dir: Path | None, more_inputs: Sequence[Path] = ()
) -> list[Entry]:
    """Lists a folder's images and, if further folders are given, their partners in these.

    Partners have equal stems; their suffixes may differ.

    Raises:
      UserError: as `find_images`.
    """
    paths = find_images_or_arrays(folder)
    partners: Sequence[Path | Problem | None] = [None] * len(paths)
    if target_dir:
        partners = find_partners(paths, target_dir, "target_dir", arrays=True)
    more = [find_partners(paths, other, "more_inputs", arrays=True) for other in more_inputs]
    further_of = zip(*more, strict=True) if more else [()] * len(paths)
    return [Entry(*files) for files in zip(paths, partners, further_of, strict=True)]


def find_partners(
    paths: Sequence[Path], folder: Path, option: str, *, arrays: bool = False
) -> list[Path | Problem]:
    """Finds each image's partner in another folder, or the problem with the partner.

    Args:
      paths: the images.
      folder: of the partners.
      option: the option that names the folder, for messages.
      arrays: whether partners may be arrays.

    Raises:
      UserError: as `find_images`.
    """
    names = collections.Counter(path.stem for path in paths)
    found: dict[str, list[Path]] = {}
    for path in (find_images_or_arrays if arrays else find_images)(folder, option):
        found.setdefault(path.stem, []).append(path)
    partners: list[Path | Problem] = []
    for path in paths:
        named = found.get(path.stem, [])
        if not named:
            partners.append(Problem(MISMATCH, f"has no partner in {folder}"))
        elif len(named) > 1 or names[path.stem] > 1:
            why = f"shares its name with another file in its folder or in {folder}"
            partners.append(Problem(MISMATCH, why))
        else:
            partners.append(named[0])
    return partners
