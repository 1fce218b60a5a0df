"""segmenter.json: what is read is what was written, and any other value is refused."""

import json
import os

import pytest

from p2p_graph.imaging.palettes import FACADES
from p2p_graph.segmentation.segmenter_file import SEGMENTER_FILE, Metadata
from p2p_graph.utils.errors import UserError

SCORES = {"pixel_accuracy": 0.5, "class_iou": float("nan")}
TRAINING = {"lr": 0.001, "seed": 0, "which_direction": "AtoB"}
METADATA = Metadata(FACADES, 32, 256, 5000, SCORES, "efficientnet_lite0", TRAINING)
CLASSES = FACADES.classes


def test_read(tmp_path):
    METADATA.save(tmp_path)
    found = Metadata.load(tmp_path)
    assert found[1:4] + found[5:] == METADATA[1:4] + METADATA[5:]
    assert found.palette.is_equivalent(FACADES)
    assert found.scores["pixel_accuracy"] == 0.5


def test_read_without_later_keys(tmp_path):
    """Files of before backbones have neither key."""
    METADATA.save(tmp_path)
    path = tmp_path / SEGMENTER_FILE
    record = json.loads(path.read_text())
    del record["backbone"], record["training"]
    path.write_text(json.dumps(record))
    assert Metadata.load(tmp_path)[5:] == (None, {})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("backbone", "resnet"),
        ("backbone", ["efficientnet_lite0"]),
        ("training", None),
        ("training", []),
        ("training", {"lr": None}),
        ("training", {"lr": [0.1]}),
        ("width", -2),
        ("width", 0),
        ("width", 10**30),
        ("width", 4097),
        ("width", 32.0),
        ("width", True),
        ("width", "32"),
        ("width", None),
        ("width", [32]),
        ("size", -32),
        ("size", 0),
        ("size", 33),
        ("size", 2**16 + 32),
        ("size", 256.0),
        ("size", 1e300),
        ("steps", -1),
        ("steps", 10**30),
        ("steps", False),
        ("scores", None),
        ("scores", []),
        ("scores", {"a": "b"}),
        ("scores", {"a": {}}),
        ("scores", {"a": "0"}),
        ("scores", {"a": True}),
        ("scores", {"a": 10**400}),
        ("palette", None),
        ("palette", {}),
        ("palette", {"name": 5, "classes": CLASSES, "ignored": []}),
        ("palette", {"name": "a", "classes": [], "ignored": []}),
        ("palette", {"name": "a", "classes": {"b": [0, 0, 0]}, "ignored": []}),
        ("palette", {"name": "a", "classes": {**CLASSES, "b": [0, 0, 256]}, "ignored": []}),
        ("palette", {"name": "a", "classes": {**CLASSES, "b": [0, 0, -1]}, "ignored": []}),
        ("palette", {"name": "a", "classes": {**CLASSES, "b": [0, 0, 1.0]}, "ignored": []}),
        ("palette", {"name": "a", "classes": {**CLASSES, "b": [0, 0, True]}, "ignored": []}),
        ("palette", {"name": "a", "classes": {**CLASSES, "b": [0, 0]}, "ignored": []}),
        ("palette", {"name": "a", "classes": {**CLASSES, "b": "012"}, "ignored": []}),
        ("palette", {"name": "a", "classes": {**CLASSES, "b": [0, 0, 222]}, "ignored": []}),
        ("palette", {"name": "a", "classes": CLASSES, "ignored": [[0, 0, 222]]}),
        ("palette", {"name": "a", "classes": CLASSES, "ignored": 5}),
        (
            "palette",
            {"name": "a", "classes": {str(n): [n, 0, n // 256] for n in range(256)}, "ignored": []},
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_other_values(tmp_path, name, value):
    METADATA.save(tmp_path)
    path = tmp_path / SEGMENTER_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | {name: value}))
    with pytest.raises(UserError, match=f"^{path}") as raised:
        Metadata.load(tmp_path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b"[" * 99_999, b"\xff", b"9" * 5000])
def test_other_contents(tmp_path, text):
    (tmp_path / SEGMENTER_FILE).write_bytes(text)
    with pytest.raises(UserError, match=f"^{tmp_path / SEGMENTER_FILE} cannot be read as what "):
        Metadata.load(tmp_path)


def test_a_file_that_an_editor_has_saved_with_a_byte_order_mark(tmp_path):
    METADATA.save(tmp_path)
    path = tmp_path / SEGMENTER_FILE
    path.write_text(path.read_text(), encoding="utf-8-sig")
    assert Metadata.load(tmp_path)[:4] == METADATA[:4]


def test_no_regular_file(tmp_path):
    os.mkfifo(tmp_path / SEGMENTER_FILE)
    with pytest.raises(UserError, match="is a FIFO, not a regular file"):
        Metadata.load(tmp_path)
