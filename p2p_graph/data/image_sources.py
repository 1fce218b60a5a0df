"""The images of a run: from folders, a manifest, an archive or shards, and one part of a split."""

import contextlib
import csv
import dataclasses
import hashlib
import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from p2p_graph.config.data_options import ImageSource
from p2p_graph.data.decode_check import verifying_session
from p2p_graph.data.image_files import Entry, SourceImage, find_entries
from p2p_graph.data.packed import npz_archives, tfrecord_shards
from p2p_graph.data.usable_images import SKIP_BAD_ADVICE, usable_images
from p2p_graph.utils.counted import counted
from p2p_graph.utils.errors import UserError
from p2p_graph.utils.file_names import ARCHIVE_SUFFIX
from p2p_graph.utils.outside_files import damage_reported, read_bytes, without_links_up

_Item = TypeVar("_Item")
_COLUMNS = ("input", "target")
_LARGEST_MANIFEST = 2**28  # bytes

_UPRIGHT_ADVICE = " (--no_upright)"


def list_images(
    source: ImageSource, *, single: bool, held_out: bool = False, at_most: int | None = None
) -> list[SourceImage]:
    """Lists the usable images of a source.

    Args:
      source: location of the images, and split.
      single: whether images are single, not pairs (`TaskOptions.is_single`).
      held_out: whether to list the remainder of the split instead of its training part.
      at_most: maximum number of images, the first ones; None for all.

    Raises:
      UserError: the source has no images, or unusable ones without `skip_bad`.
    """
    listed = list_unchecked(source, single=single, held_out=held_out)
    if not (entries := [image for image in listed if isinstance(image, Entry)]):
        return [image for image in listed if isinstance(image, SourceImage)][:at_most]
    if not source.skip_bad:
        entries = entries[:at_most]
    with verifying_session() as verify:
        good = usable_images(
            entries,
            Path(source.path),
            verify,
            pairs=not single,
            skip_bad=source.skip_bad,
            upright=source.upright,
        )
    return good[:at_most]


def list_unchecked(
    source: ImageSource, *, single: bool, held_out: bool = False
) -> list[Entry] | list[SourceImage]:
    """Lists the images of a source; image files are not opened.

    Args:
      source: as in `list_images`.
      single: as in `list_images`.
      held_out: as in `list_images`.

    Returns:
      Image files; or images in an archive or in shards, whose headers have been read.

    Raises:
      UserError: the source has no images, or is damaged.
    """
    data = Path(source.path)
    in_archive, in_shards = is_archive(source), is_packed(source)
    if in_archive or in_shards:
        refuse_packed_options(source)
    if in_archive:
        rows = npz_archives.archive_images(data, source.arrays, single=single)
        return _select_part(rows, source, held_out)
    if source.arrays is not None:
        raise UserError(f"arrays goes with an .npz archive only: {data} is not one")
    if in_shards:
        packed = tfrecord_shards.list_packed_images(data)
        _check_packed(packed, data, single)
        return _select_part(packed, source, held_out)
    return _select_part(list_entries(source, single=single), source, held_out)


def refuse_packed_options(source: ImageSource) -> None:
    """Refuses options that an archive and shards do not go with.

    Raises:
      UserError: the source has one.
    """
    data = source.path
    if source.target_dir is not None:
        raise UserError(
            f"target_dir goes with a folder of images only: {data} already holds A and B"
        )
    if source.more_inputs:
        raise UserError(
            f"more_inputs goes with a folder of images only: {data} holds packed images"
        )
    if source.upright:
        raise UserError(
            f"upright goes with image files only: {data} holds packed images, which "
            f"tools/pack_npz.py --upright may have turned{_UPRIGHT_ADVICE}"
        )


@contextlib.contextmanager
def source_named(option: str) -> Iterator[None]:
    """Lets errors name the option that gave the images, in programs that lack flags for it."""
    try:
        yield
    except UserError as error:
        message, *listed = error.args
        message = message.replace("input_dir", option, 1)
        for advice in (SKIP_BAD_ADVICE, _UPRIGHT_ADVICE):
            message = message.replace(advice, "")
        raise UserError(message, *listed) from None


def is_archive(source: ImageSource) -> bool:
    """Whether the images are in an .npz archive."""
    return source.manifest is None and Path(source.path).suffix.lower() == ARCHIVE_SUFFIX


def is_packed(source: ImageSource) -> bool:
    """Whether the images are in TFRecord shards."""
    named = source.manifest is not None or is_archive(source)
    return not named and bool(tfrecord_shards.find_shards(Path(source.path)))


def list_entries(source: ImageSource, *, single: bool) -> list[Entry]:
    """Lists the image files of folders or of a manifest, without opening them.

    Raises:
      UserError: there are none, or the manifest is malformed.
    """
    if source.manifest is not None:
        return read_manifest(Path(source.manifest), single=single)
    targets = Path(source.target_dir) if source.target_dir else None
    return find_entries(Path(source.path), targets, list(map(Path, source.more_inputs or ())))


def read_manifest(path: Path, *, single: bool) -> list[Entry]:
    """Reads a manifest: a CSV file whose first line names the columns input and target.

    Args:
      path: the manifest; file names in it are relative to its folder.
      single: whether the column target is absent.

    Raises:
      UserError: the manifest cannot be read, lacks a column or a file name, or is empty.
    """
    columns = _COLUMNS[:1] if single else _COLUMNS
    try:
        with damage_reported(f"manifest {path}", "CSV"):
            text = read_bytes(path, _LARGEST_MANIFEST).decode("utf-8-sig")
            reader = csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True)
            _check_columns(path, reader.fieldnames or (), single=single)
            entries: list[Entry] = []
            for row in reader:
                names = [row[name] for name in columns]
                if not all(names):
                    lacking = columns[names.index(next(n for n in names if not n))]
                    raise UserError(f"manifest {path}, line {reader.line_num}: no {lacking}")
                files = [Path(without_links_up(str(path.parent / name))) for name in names]
                entries.append(Entry(files[0], None if single else files[1]))
    except FileNotFoundError:
        raise UserError(f"manifest {path} does not exist") from None
    if not entries:
        raise UserError(f"manifest {path} lists no images")
    return entries


def _check_columns(path: Path, found: Sequence[str], *, single: bool) -> None:
    """Checks the first line of a manifest."""
    columns = _COLUMNS[:1] if single else _COLUMNS
    if missing := [name for name in columns if name not in found]:
        raise UserError(
            f"manifest {path} has no column {missing[0]!r}: "
            f"its first line must name {','.join(columns)}"
        )
    if single and _COLUMNS[1] in found:
        raise UserError(
            f"manifest {path} lists pairs, but this task takes single images: "
            f"remove the column {_COLUMNS[1]}"
        )


def split_indices(count: int, share: float, seed: int) -> tuple[list[int], list[int]]:
    """Splits the indices below `count` into a training part and the remainder, both sorted.

    The training part is the first round(count * share) indices of NumPy's shuffle after
    numpy.random.seed(seed), as in the deblurring article.
    """
    order = np.random.RandomState(seed).permutation(count)
    training_count = round(count * share)
    return sorted(order[:training_count].tolist()), sorted(order[training_count:].tolist())


def names_digest(source: ImageSource, *, single: bool) -> str:
    """A fingerprint of the images' names, over all parts of a split: count and SHA-256 digest."""
    if is_archive(source) or is_packed(source):
        return digest_of(list_images(dataclasses.replace(source, split=1.0), single=single), source)
    return digest_of(list_entries(source, single=single), source)


def digest_of(images: Sequence[Entry | SourceImage], source: ImageSource) -> str:
    """A fingerprint of the names of images that have been listed, as `names_digest`.

    It is the same in any locale: this decodes the names in a folder, but not those in a file.
    """
    is_stored = isinstance(images[0], SourceImage) and images[0].position is not None
    digest = hashlib.sha256()
    for number, image in enumerate(images):
        name = image.path.name
        in_bytes = name.encode(errors="surrogateescape")
        if not (is_stored or source.manifest):
            in_bytes = os.fsencode(name)
        digest.update(b"\n" * (number > 0) + in_bytes)
    return f"{len(images)} {digest.hexdigest()}"


def count_before(digest: str | None, source: ImageSource, *, single: bool) -> str | None:
    """The number of images when `names_digest` gave a digest, if they have changed since.

    Returns:
      None if the images are the same, or the digest is unknown.
    """
    if digest is None or digest == names_digest(source, single=single):
        return None
    return digest.partition(" ")[0]


def _select_part(items: Sequence[_Item], source: ImageSource, held_out: bool) -> list[_Item]:
    if source.split == 1:
        return list(items)
    parts = split_indices(len(items), source.split, source.split_seed)
    if not parts[held_out]:
        raise UserError(
            f"split {source.split} of {counted(len(items), 'image')} in {source.path} leaves none "
            f"to {'test' if held_out else 'train on'}: choose another --split"
        )
    return [items[index] for index in parts[held_out]]


def _check_packed(images: Sequence[SourceImage], folder: Path, single: bool) -> None:
    """Checks that shards were packed for this kind of task."""
    if single and images[0].target is not None:
        raise UserError(
            f"the shards in {folder} hold two files a pair, but this task takes single images"
        )
    if single or images[0].target is not None:
        return
    odd = next((image for image in images if image.width % 2), None)
    if odd:
        raise UserError(
            f"{odd.path} is {counted(odd.width, 'pixel')} wide: two equal halves need an even width"
        )
