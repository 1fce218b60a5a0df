"""The channels of inputs and targets: what the options ask for, and what the data hold."""

import contextlib
from pathlib import Path
from typing import Any, NamedTuple

from p2p_graph.config.data_options import FILE_CHANNELS, RGB, ImageSource, TaskOptions
from p2p_graph.config.listed_values import Channels
from p2p_graph.data.image_files import Entry, Problem
from p2p_graph.data.image_sources import is_archive, is_packed, list_entries
from p2p_graph.data.packed import npz_archives, tfrecord_shards
from p2p_graph.imaging import array_files
from p2p_graph.imaging.image_arrays import read_contents
from p2p_graph.imaging.image_structure import ARRAY
from p2p_graph.imaging.read_structure import read_structure
from p2p_graph.utils.counted import counted
from p2p_graph.utils.errors import UserError
from p2p_graph.utils.file_names import ARRAY_SUFFIXES


class _Column(NamedTuple):
    """What the first image of a data set says of a column: A, B or a further input.

    Attributes:
      where: what holds the column, for messages.
      channels: of an array; of an image file 1 (grey) or 3.
      is_array: whether it is an array, whose channels are not converted.
    """

    where: str
    channels: int
    is_array: bool


class _Columns(NamedTuple):
    """The columns of a data set; `b` is `a` where both are halves of one image."""

    a: _Column
    b: _Column
    more: tuple[_Column, ...] = ()


def channels_of_data(task: TaskOptions, source: ImageSource) -> dict[str, Any]:
    """The channels of inputs and targets: what the task asks for, otherwise what the data hold.

    Only the first image that can be read is read: that the others are like it is checked when all
    are.

    Returns:
      `input_channels` and `target_channels`, as options.json has them; nothing where no image can
      be read, or they are those of Lab.

    Raises:
      UserError: the images have other channels than the task asks for, or there are no images.
    """
    found = _columns(source, single=task.is_single)
    if found is None:
        return {}
    if task.lab_colorization:
        _check_rgb(found.a)
        return {}
    input_column, target_column = found.a, found.b
    if task.which_direction == "BtoA" and not task.is_single:
        input_column, target_column = target_column, input_column
    parts = _input_parts(task.input_channels, (input_column, *found.more))
    target = task.target_channels
    if task.has_targets:
        target = target or (target_column.channels if target_column.is_array else RGB)
        _check(target_column, target, "target_channels")
    return {"input_channels": parts.stored, "target_channels": target}


def _input_parts(asked: Channels | None, columns: tuple[_Column, ...]) -> Channels:
    """The channels of each part of an input."""
    first, *more = columns
    held = first.channels if first.is_array or more else RGB
    by_data = Channels([held, *(column.channels for column in more)])
    if asked is None or (len(asked) == 1 and asked.total == by_data.total):
        asked = by_data
    names = ", ".join(f"{column.where} ({column.channels})" for column in columns)
    if len(asked) > 1 and len(asked) != len(columns):
        raise UserError(
            f"input_channels {asked} are those of {counted(len(asked), 'image')} an input, and "
            f"there is {names}: more_inputs names the folders after the first"
        )
    if len(asked) != len(columns):
        raise UserError(
            f"input_channels {asked} is not the sum of {names}: name the channels of each, as in "
            f"--input_channels {by_data}"
        )
    for column, channels in zip(columns, asked, strict=True):
        _check(column, channels, "input_channels")
    return asked


def _check(column: _Column, asked: int, option: str) -> None:
    """Checks that a column can be converted to the channels that are asked for."""
    if column.is_array:
        repeated = column.channels == 1 and asked == RGB
        if asked != column.channels and not repeated:
            raise UserError(
                f"{option} {asked} is not what {column.where} holds: "
                f"arrays of {counted(column.channels, 'channel')}"
            )
    elif asked not in FILE_CHANNELS:
        raise UserError(
            f"{option} must be 1, 3 or 4 for the image files in {column.where}, not {asked}"
        )


def _check_rgb(column: _Column) -> None:
    if column.is_array and column.channels not in (1, RGB):
        raise UserError(
            f"lab_colorization needs RGB images, and {column.where} holds arrays of "
            f"{counted(column.channels, 'channel')}"
        )


def _columns(source: ImageSource, *, single: bool) -> _Columns | None:
    """Reads the columns of the first image that can be read."""
    data = Path(source.path)
    if is_archive(source):
        names = npz_archives.choose_arrays(data, source.arrays, single=single)
        found = [
            _Column(f"{data}: {name}", channels, True)
            for name, channels in zip(names, npz_archives.channels_of(data, names), strict=True)
        ]
        return _Columns(found[0], found[-1])
    if is_packed(source):
        structures, is_pair = tfrecord_shards.first_record(data)
        columns = [_Column(str(data), s.channels, s.kind == ARRAY) for s in structures]
        count = 2 if is_pair else 1
        return _Columns(columns[0], columns[count - 1], tuple(columns[count:]))
    for entry in list_entries(source, single=single):
        with contextlib.suppress(UserError):  # it is reported when all images are checked
            return _of_entry(entry)
    return None


def _of_entry(entry: Entry) -> _Columns:
    a = _of_file(entry.path)
    b = a if entry.partner is None else _of_file(entry.partner)
    return _Columns(a, b, tuple(map(_of_file, entry.more)))


def _of_file(file: Path | Problem) -> _Column:
    """Reads a file's channels."""
    if isinstance(file, Problem):
        raise UserError(file.text)
    is_array = file.suffix.lower() in ARRAY_SUFFIXES
    contents = read_contents(file)
    structure = array_files.structure_of(contents) if is_array else read_structure(contents)
    return _Column(str(file.parent), structure.channels, is_array)
