"""Which images a run has: from folders, a list of files, an archive or shards; all or a part."""

import csv
import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from p2p_graph.config.data_options import ImageSource
from p2p_graph.data import npz_archives, tfrecord_shards
from p2p_graph.data.image_checks import usable_images
from p2p_graph.data.image_files import Entry, SourceImage, find_entries
from p2p_graph.utils.errors import UserError

_Item = TypeVar("_Item")
_COLUMNS = ("input", "target")


def list_images(
    source: ImageSource, *, single: bool, held_out: bool = False, at_most: int | None = None
) -> list[SourceImage]:
    """Lists the images of a source; each of them can be used.

    Args:
      source: where the images are, and which part of them to take.
      single: whether they are single images, not pairs (`TaskOptions.is_single`).
      held_out: whether to take the remainder of a split instead of its training part.
      at_most: how many of the first ones to take.

    Raises:
      UserError: there are none, or some cannot be used.
    """
    data = Path(source.path)
    in_archive, in_shards = is_archive(source), is_packed(source)
    if source.target_dir is not None and (in_archive or in_shards):
        raise UserError(f"target_dir is for folders of images: {data} holds A and B")
    if in_archive:
        rows = npz_archives.archive_images(data, source.arrays, single=single)
        return _part(rows, source, held_out)[:at_most]
    if source.arrays is not None:
        raise UserError(f"arrays names those of an .npz archive, which {data} is not")
    if in_shards:
        packed = tfrecord_shards.packed_images(data)
        _check_packed(packed, data, single)
        return _part(packed, source, held_out)[:at_most]
    entries = _part(list_entries(source, single=single), source, held_out)
    if not source.skip_bad:
        entries = entries[:at_most]
    good = usable_images(entries, data, pairs=not single, skip_bad=source.skip_bad)
    return good[:at_most]


def is_archive(source: ImageSource) -> bool:
    """Whether the images are in an .npz archive."""
    return source.manifest is None and Path(source.path).suffix.lower() == npz_archives.SUFFIX


def is_packed(source: ImageSource) -> bool:
    """Whether the images are in shards."""
    named = source.manifest is not None or is_archive(source)
    return not named and bool(tfrecord_shards.find_shards(Path(source.path)))


def list_entries(source: ImageSource, *, single: bool) -> list[Entry]:
    """Lists the image files of folders or of a list, before they are looked at.

    Raises:
      UserError: there are none, or the list is wrong.
    """
    if source.manifest is not None:
        return read_manifest(Path(source.manifest), single=single)
    targets = Path(source.target_dir) if source.target_dir else None
    return find_entries(Path(source.path), targets)


def read_manifest(path: Path, *, single: bool) -> list[Entry]:
    """Reads a list of files: CSV whose first line names the columns input and target.

    Args:
      path: the list; the files' names in it are relative to its folder.
      single: whether there is no column target.

    Raises:
      UserError: it cannot be read, lacks a column, or has a line without a file's name.
    """
    columns = _COLUMNS[:1] if single else _COLUMNS
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            if missing := [name for name in columns if name not in (reader.fieldnames or ())]:
                raise UserError(
                    f"manifest {path} has no column {missing[0]!r}: "
                    f"its first line must name {','.join(columns)}"
                )
            if single and _COLUMNS[1] in (reader.fieldnames or ()):
                raise UserError(
                    f"manifest {path} lists pairs, but this task takes single images: "
                    f"leave out the column {_COLUMNS[1]}"
                )
            entries: list[Entry] = []
            for row in reader:
                names = [row[name] for name in columns]
                if not all(names):
                    lacking = columns[names.index(next(n for n in names if not n))]
                    raise UserError(f"manifest {path}, line {reader.line_num}: no {lacking}")
                files = [path.parent / name for name in names]
                entries.append((files[0], None if single else files[1]))
    except FileNotFoundError:
        raise UserError(f"manifest {path} does not exist") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"manifest {path} cannot be read: {error}") from None
    if not entries:
        raise UserError(f"manifest {path} lists no images")
    return entries


def split_indices(count: int, share: float, seed: int) -> tuple[list[int], list[int]]:
    """Parts the numbers below `count` into those to train on and the others, both in order.

    It is NumPy's shuffle after numpy.random.seed(seed), whose first `share`, rounded, is trained
    on, as in the deblurring article.
    """
    order = np.random.RandomState(seed).permutation(count)
    trained = round(count * share)
    return sorted(order[:trained].tolist()), sorted(order[trained:].tolist())


def names_digest(source: ImageSource, *, single: bool) -> str:
    """Tells these images from others by what they are called, all parts of a split together."""
    if is_archive(source) or is_packed(source):
        unsplit = dataclasses.replace(source, split=1.0)
        paths = [image.path for image in list_images(unsplit, single=single)]
    else:
        paths = [path for path, _ in list_entries(source, single=single)]
    names = "\n".join(path.name for path in paths).encode(errors="surrogateescape")
    return f"{len(paths)} {hashlib.sha256(names).hexdigest()}"


def _part(items: Sequence[_Item], source: ImageSource, held_out: bool) -> list[_Item]:
    if source.split == 1:
        return list(items)
    parts = split_indices(len(items), source.split, source.split_seed)
    if not parts[held_out]:
        raise UserError(
            f"split {source.split} of {len(items)} images in {source.path} leaves none "
            f"to {'test' if held_out else 'train on'}"
        )
    return [items[index] for index in parts[held_out]]


def _check_packed(images: Sequence[SourceImage], folder: Path, single: bool) -> None:
    """Refuses shards that were not packed for this kind of task."""
    if single and images[0].target is not None:
        raise UserError(
            f"the shards in {folder} hold two files a pair, but this task takes single images"
        )
    if single or images[0].target is not None:
        return
    odd = next((image for image in images if image.width % 2), None)
    if odd:
        raise UserError(
            f"{odd.path} is {odd.width} pixels wide: two equal halves need an even width"
        )
