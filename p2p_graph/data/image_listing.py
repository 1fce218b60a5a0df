"""Which images a run has: from folders, a list of files, an archive or shards; all or a part."""

import csv
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from p2p_graph.config.options import Config
from p2p_graph.data import npz_archives, tfrecord_shards
from p2p_graph.data.image_files import Entry, SourceImage, find_entries, usable_images
from p2p_graph.utils.errors import UserError

_Item = TypeVar("_Item")
_COLUMNS = ("input", "target")


def list_images(
    config: Config, *, held_out: bool = False, at_most: int | None = None
) -> list[SourceImage]:
    """Lists the images that `config` names; all of them can be used.

    Args:
      config: input_dir and target_dir, or manifest; split, split_seed.
      held_out: whether to take the part that training leaves, where there is a split.
      at_most: how many of the first ones to take.

    Raises:
      UserError: there are none, or some cannot be used.
    """
    data, single = Path(config.data), is_single(config)
    in_archive, in_shards = is_archive(config), is_packed(config)
    if config.target_dir is not None and (in_archive or in_shards):
        raise UserError(f"target_dir is for folders of images: {data} holds A and B")
    if in_archive:
        rows = npz_archives.archive_images(data, config.arrays, single=single)
        return _part(rows, config, held_out)[:at_most]
    if config.arrays is not None:
        raise UserError(f"arrays names those of an .npz archive, which {data} is not")
    if in_shards:
        packed = tfrecord_shards.packed_images(data)
        _check_packed(packed, data, single)
        return _part(packed, config, held_out)[:at_most]
    entries = _part(list_entries(config), config, held_out)
    if not config.skip_bad:
        entries = entries[:at_most]
    good = usable_images(entries, data, pairs=not single, skip_bad=config.skip_bad)
    return good[:at_most]


def is_archive(config: Config) -> bool:
    """Whether the images are in an .npz archive."""
    return config.manifest is None and Path(config.data).suffix.lower() == npz_archives.SUFFIX


def is_packed(config: Config) -> bool:
    """Whether the images are in shards."""
    named = config.manifest is not None or is_archive(config)
    return not named and bool(tfrecord_shards.find_shards(Path(config.data)))


def list_entries(config: Config) -> list[Entry]:
    """Lists the image files of folders or of a list, before they are looked at.

    Raises:
      UserError: there are none, or the list is wrong.
    """
    if config.manifest is not None:
        return read_manifest(Path(config.manifest), single=is_single(config))
    targets = Path(config.target_dir) if config.target_dir else None
    return find_entries(Path(config.data), targets)


def is_single(config: Config) -> bool:
    """Whether an image is input or both, rather than two halves or one of two."""
    return config.lab_colorization or config.inpaint != "none" or config.inputs_only


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


def names_digest(config: Config) -> str:
    """Tells these images from others by what they are called, all parts of a split together."""
    if is_archive(config) or is_packed(config):
        paths = [image.path for image in list_images(config.replace(split=1.0))]
    else:
        paths = [path for path, _ in list_entries(config)]
    names = "\n".join(path.name for path in paths).encode(errors="surrogateescape")
    return f"{len(paths)} {hashlib.sha256(names).hexdigest()}"


def _part(items: Sequence[_Item], config: Config, held_out: bool) -> list[_Item]:
    if config.split == 1:
        return list(items)
    parts = split_indices(len(items), config.split, config.split_seed)
    if not parts[held_out]:
        raise UserError(
            f"split {config.split} of {len(items)} images in {config.data} leaves none "
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
