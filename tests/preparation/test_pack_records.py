"""The record of what a folder of shards was packed from: written atomically, damage is named."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from p2p_graph.config.data_options import ImageSource
from p2p_graph.preparation.pack_records import pack_records
from p2p_graph.utils.errors import UserError


@pytest.fixture
def pack(tmp_path, rng):
    """A function that packs five images into `packed`, two to a shard."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(5):
        values = rng.integers(0, 256, (4, 8, 3), np.uint8)
        Image.fromarray(values).save(folder / f"{number}.png")
    return lambda: pack_records(
        ImageSource(input_dir=str(folder)), tmp_path / "packed", 2, single=False
    )


@pytest.fixture
def record(tmp_path):
    return tmp_path / "packed" / "packed.json"


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: b"",
        lambda text: text[:40],
        lambda text: b"null\n",
        lambda text: b"[]\n",
        lambda text: b"\xff" + text,
    ],
    ids=["empty", "cut", "null", "list", "not UTF-8"],
)
def test_a_damaged_record_is_named(pack, record, damage):
    pack()
    record.write_bytes(damage(record.read_bytes()))
    before = {path.name: path.read_bytes() for path in record.parent.iterdir()}
    with pytest.raises(UserError) as caught:
        pack()
    message = str(caught.value)
    assert message.startswith(f"{record} ")
    assert "remove it and the shards beside it" in message
    assert "other" not in message
    assert "\n" not in message
    assert {path.name: path.read_bytes() for path in record.parent.iterdir()} == before
    for path in record.parent.iterdir():
        path.unlink()
    assert pack() == 5
    assert {path.name for path in record.parent.iterdir()} == set(before)


def test_a_record_that_cannot_be_written_in_full_leaves_none(pack, record, monkeypatch):
    """A full disk, say: the next run starts from nothing instead of from half a record."""

    def write_some(path, text, **options):
        path.write_bytes(text[:40].encode())
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_text", write_some)
        with pytest.raises(UserError, match="cannot be written: No space left on device"):
            pack()
    assert not record.exists()
    assert pack() == 5
