"""The images of a source, cut into fixed shards: what each holds, and how it is read.

A shard is a number of images in the source's order, so that it is the same in every run. The list
names files, or where records begin; the images are read by who translates them.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from p2p_graph.config.data_options import ImageSource
from p2p_graph.data.image_files import Entry
from p2p_graph.data.image_sources import is_packed, list_entries, refuse_packed_options
from p2p_graph.data.packed.tfrecord_shards import MOST_SHARDS, complete_shards, find_records
from p2p_graph.inference.bulk import parquet_files
from p2p_graph.utils.counted import counted
from p2p_graph.utils.errors import UserError

FILES, RECORDS, PARQUET = "files", "records", "parquet"
_ONE = (0,)
# A file, and where each of its images begins.
_Run = tuple[Path, Sequence[int]]


class Columns(NamedTuple):
    """The names of the columns of Parquet files: of images as bytes, and of their names."""

    image: str = "image"
    name: str = "name"


class Piece(NamedTuple):
    """Images of a shard that lie in one file.

    Attributes:
      path: absolute; of an image file, a file of records, or a Parquet file.
      first: the first image: byte at which its record begins, or row.
      images: how many.
    """

    path: str
    first: int
    images: int


class WorkShard(NamedTuple):
    """Images that are translated together.

    Attributes:
      number: from 0 on.
      kind: `FILES`, `RECORDS` or `PARQUET`.
      pieces: in their order.
    """

    number: int
    kind: str
    pieces: Sequence[Piece]

    def to_json(self) -> str:
        """The shard as text, for another process."""
        return json.dumps(self)

    @classmethod
    def from_json(cls, text: str) -> "WorkShard":
        """Makes a shard from the text of `to_json`."""
        number, kind, pieces = json.loads(text)
        return cls(number, kind, [Piece(*piece) for piece in pieces])


class WorkList(NamedTuple):
    """All shards of a source.

    Attributes:
      shards: in their order.
      images: their number.
      digest: of the files' names and numbers of images.
    """

    shards: Sequence[WorkShard]
    images: int
    digest: str


def list_work(
    source: ImageSource, columns: Columns, shard_size: int, *, single: bool, b_is_input: bool
) -> WorkList:
    """Lists the images of a source, and cuts them into shards.

    Args:
      source: a folder of image files, of TFRecord shards or of Parquet files, one Parquet file, or
        a list of files.
      columns: of Parquet files.
      shard_size: images in a shard; the last may hold fewer.
      single: whether images are single, not pairs.
      b_is_input: whether B is the input of a pair of two files.

    Raises:
      UserError: there are no images, a file is damaged, columns are named of what has none, or
        there would be too many shards.
    """
    data = Path(source.path)
    runs: Iterable[_Run]
    tables = parquet_files.find(data) if source.manifest is None else []
    if not tables and columns != Columns():
        raise UserError(f"image_column and name_column are for Parquet files, and {data} has none")
    if tables:
        kind = PARQUET
        runs = ((path, range(parquet_files.count_rows(path, *columns))) for path in tables)
    elif is_packed(source):
        refuse_packed_options(source)
        kind, runs = RECORDS, complete_shards(data, find_records)
    else:
        kind, entries = FILES, list_entries(source, single=single)
        runs = ((_input_of(entry, b_is_input=b_is_input), _ONE) for entry in entries)
    counts = _Counts()
    shards = [
        WorkShard(number, kind, pieces)
        for number, pieces in enumerate(_cut(map(counts.add, runs), shard_size))
    ]
    if not shards:
        raise UserError(f"{data} holds no images")
    if len(shards) > MOST_SHARDS:
        raise UserError(
            f"shard_size must be at least {math.ceil(counts.images / MOST_SHARDS)} for "
            f"{counted(counts.images, 'image')}, not {shard_size}: there are {MOST_SHARDS} shards "
            "at most"
        )
    return WorkList(shards, counts.images, counts.digest.hexdigest())


class _Counts:
    """What is counted while files are listed.

    Attributes:
      images: their number.
      digest: of the files' names and numbers of images.
    """

    def __init__(self) -> None:
        self.images = 0
        self.digest = hashlib.sha256()

    def add(self, run: _Run) -> _Run:
        """Counts a file's images; gives the file back."""
        path, firsts = run
        self.images += len(firsts)
        self.digest.update(f"{len(firsts)} {path.name}\n".encode(errors="surrogateescape"))
        return run


def _cut(runs: Iterable[_Run], shard_size: int) -> Iterator[list[Piece]]:
    """Cuts the images of files, one file after the other, into shards."""
    pieces: list[Piece] = []
    room = shard_size
    for path, firsts in runs:
        start, name = 0, str(path.absolute())
        while start < len(firsts):
            taken = min(room, len(firsts) - start)
            pieces.append(Piece(name, firsts[start], taken))
            start, room = start + taken, room - taken
            if not room:
                yield pieces
                pieces, room = [], shard_size
    if pieces:
        yield pieces


def _input_of(entry: Entry, *, b_is_input: bool) -> Path:
    """The file of an image's input."""
    return entry.partner if b_is_input and isinstance(entry.partner, Path) else entry.path
