"""Parquet files of images: a column of their files' bytes, and one of their names."""

import contextlib
import importlib.util
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from p2p_graph.utils.errors import UserError, one_line_reason
from p2p_graph.utils.outside_files import damage_reported, open_regular

SUFFIX = ".parquet"
INSTALL = "pip install -c constraints.txt -e '.[ray]'"
_ROWS = 64  # that are held


def check_ray() -> None:
    """Checks that Ray is there, and pyarrow, before long work.

    Raises:
      UserError: it is not installed.
    """
    if not all(map(importlib.util.find_spec, ("ray", "pyarrow"))):
        raise UserError(f"Ray is not installed: {INSTALL}")


def find(path: Path) -> list[Path]:
    """Lists the Parquet files of a folder by name, or a path that names one itself."""
    if path.suffix == SUFFIX and not path.is_dir():
        return [path]
    return sorted(path.glob(f"*{SUFFIX}")) if path.is_dir() else []


def count_rows(path: Path, image: str, name: str) -> int:
    """Counts a file's rows.

    Args:
      path: of the file.
      image: the column of images, of a binary type.
      name: the column of names, of a string type.

    Raises:
      UserError: it is no Parquet file with these columns.
    """
    with _opened(path) as file:
        schema = file.schema_arrow
        for column, kinds in (
            (image, ("binary", "large_binary")),
            (name, ("string", "large_string")),
        ):
            if column not in schema.names:
                raise UserError(
                    f"{path} has no column {column}, but {', '.join(schema.names)}: name it "
                    "(--image_column, --name_column)"
                )
            if schema.names.count(column) > 1:
                raise UserError(f"{path} has several columns {column}: rename all but one")
            if str(schema.field(column).type) not in kinds:
                raise UserError(
                    f"{path} has the type {schema.field(column).type} in its column {column}, "
                    f"not {kinds[0]}"
                )
        rows: int = file.metadata.num_rows
        return rows


def read_rows(
    path: Path, first: int, count: int, image: str, name: str
) -> Iterator[tuple[str | None, bytes | str | None]]:
    """Yields names and images of rows.

    A name is None where a row has none, or one that is not UTF-8. An image is None where a row has
    none, and a text that says why where it cannot be read: a group of rows may be damaged in a file
    that can be read otherwise.

    Raises:
      UserError: the file can no longer be read.
    """
    last = first + count
    with _opened(path) as file:
        start = 0
        for group in range(file.metadata.num_row_groups):
            end = start + file.metadata.row_group(group).num_rows
            if start < last and end > first:
                rows = _read_group(file, group, start, end, [image, name])
                yield from itertools.islice(rows, max(first - start, 0), last - start)
            start = end


def _read_group(
    file: Any, group: int, start: int, end: int, columns: list[str]
) -> Iterator[tuple[str | None, bytes | str | None]]:
    """Yields the rows of a group, `start` to `end` of the file, as `read_rows` does."""
    place = start
    try:
        for batch in file.iter_batches(_ROWS, row_groups=[group], columns=columns):
            images, names = map(batch.column, columns)
            for row in range(batch.num_rows):
                values = _text(names[row]), images[row].as_py()
                place += 1
                yield values
    except (OSError, ValueError) as error:  # pyarrow's errors are of these types
        reason = f"cannot be read: {one_line_reason(error)}"
        yield from itertools.repeat((None, reason), end - place)


def _text(value: Any) -> str | None:
    """A value of a column of strings; None for none, or bytes that are no UTF-8."""
    try:
        text: str | None = value.as_py()
    except UnicodeDecodeError:
        return None
    return text


def write(path: Path, rows: Iterable[tuple[str, bytes]]) -> None:
    """Writes names and images to a file with the columns name and image.

    Raises:
      OSError: the file cannot be written.
    """
    arrow, parquet = _libraries()
    schema = arrow.schema([("name", arrow.string()), ("image", arrow.binary())])
    held: list[tuple[str, bytes]] = []
    with parquet.ParquetWriter(path, schema) as writer:

        def write_held() -> None:
            if held:
                names, images = (list(column) for column in zip(*held, strict=True))
                writer.write_table(arrow.table({"name": names, "image": images}, schema))
                held.clear()

        for row in rows:
            held.append(row)
            if len(held) == _ROWS:
                write_held()
        write_held()


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Opens a Parquet file.

    Raises:
      UserError: it is none, or cannot be read.
    """
    arrow, parquet = _libraries()
    try:
        with damage_reported(path, "Parquet"):
            stream = open_regular(path)
            try:
                file = parquet.ParquetFile(stream)
            except arrow.ArrowException as error:
                stream.close()
                raise ValueError(one_line_reason(error)) from None
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    with stream, file:
        yield file


def _libraries() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise UserError(f"Parquet files need pyarrow: {INSTALL}") from None
    return pyarrow, pyarrow.parquet
