"""TFRecord shards, and packed.json beside them."""

import pytest
from hypothesis import strategies as st

from . import valid_files
from .strategies import Files, changed_record, damaged_file, damages, json_text, json_values

_SHARD = "pairs-{:05d}-of-{:05d}.tfrecord"
_SHARD_NAMES = (
    *(_SHARD.format(0, 2), _SHARD.format(1, 1), "x.tfrecord", ".tfrecord", "é-0-of-1.tfrecord"),
)
# Values of a record's features, in which lists are several values.
_NUMBERS = (0, 1, -1, 2, 6, 7, 8, 10, 16, 2**31, 2**62, -(2**63), [], [8, 8], b"8")
_NAMES = (
    b"1.png",
    b"",
    b"a/b",
    b"/etc/x",
    b"../x",
    b"a\0b",
    b"a\nb",
    b"\xff",
    b"x" * 300,
    [],
    1,
    b".",
)
_FILES = (
    *valid_files.images().values(),
    *valid_files.arrays().values(),
    b"",
    b"x",
    [],
    5,
    valid_files.images()["rgb.png"][:40],
)


@pytest.fixture
def shard_of(tmp_path):
    """A function from records to a shard's contents."""
    folder = tmp_path / "shards"
    folder.mkdir()
    return lambda records: valid_files.shard(folder, records)


def test_shards(fuzz_files, shard_of):
    records = [valid_files.example(**valid_files.record_values(n, n == 2)) for n in (1, 2)]
    valid = {"one": shard_of(records[:1]), "two": shard_of(records), "none": shard_of([])}
    changes = {
        "width": _NUMBERS,
        "height": _NUMBERS,
        "deep": (0, 1, 2, [], b"1"),
        "name": _NAMES,
        "a": _FILES,
        "b": _FILES,
        "more": (1.5, *_FILES, [valid_files.images()["rgb.png"]] * 2),
    }
    change = st.sampled_from(sorted(changes)).flatmap(
        lambda name: st.tuples(st.just(name), st.integers(0, len(changes[name]) - 1))
    )

    def record(drawn):
        values = {name: changes[name][place] for name, place in drawn}
        return valid_files.example(**{**valid_files.record_values(1), **values})

    crafted = st.lists(
        st.one_of(st.lists(change, max_size=2).map(record), st.sampled_from((b"", b"x", b"\n\0"))),
        min_size=1,
        max_size=2,
    )
    one = st.one_of(damaged_file(valid), crafted.map(lambda found: (shard_of(found), "crafted")))
    shard_names = st.sampled_from((_SHARD.format(0, 1),) * 15 + _SHARD_NAMES)
    cases = st.builds(
        lambda name, found: Files(((name, found[0]),), (), found[1]), shard_names, one
    )
    fuzz_files("shards", cases, "image_readers:shards")


def test_packed_json(fuzz_files):
    record = {"images": "0" * 64, "per_shard": 1, "name": "pairs"}
    shard = _SHARD.format(0, 2)
    changes = st.one_of(
        st.tuples(st.just(None), damages(150)),
        st.tuples(st.just(None), changed_record(record)),
        st.tuples(st.just(None), json_values.map(json_text)),
        st.tuples(st.just(shard), damages(300)),
        st.tuples(st.just("pairs-00000-of-00001.tfrecord"), st.binary(max_size=30)),
    )
    images = tuple(valid_files.pairs().items())
    cases = changes.map(lambda change: Files(images, change, repr(change)[:300]))
    fuzz_files("packed.json", cases, "image_readers:repacked")
