"""Why a stage of a row is done again, or its row omitted."""

import pytest

from p2p_graph.reproduction import row_record
from p2p_graph.reproduction.row_stages import Stage

COMMAND = ("train.py", "--ngf", "8", "--unconditional", "--lr", "1")
ENTRY = {"command": list(COMMAND), "reads": "abc", "hardware": "", "done": True}


def stage(folder, name="train", **changed):
    return Stage(name, COMMAND, folder / "output", "abc", folder)._replace(**changed)


def test_a_stage_that_is_done(tmp_path):
    (tmp_path / "output").touch()
    assert row_record.why_not_done(stage(tmp_path), {"train": ENTRY}) == ""
    assert row_record.is_done(stage(tmp_path), {"train": ENTRY})


@pytest.mark.parametrize(
    ("name", "changed", "reason"),
    [
        ("train", {"done": False}, "was not trained to the end"),
        ("train", {"reads": "abd"}, "was trained on other images"),
        ("test", {"reads": "abd"}, "was tested on other images"),
        (
            "evaluate facades",
            {"reads": "abd"},
            "was evaluated with other files of the segmenter, palette, labels or Inception",
        ),
        (
            "train",
            {"command": ["train.py", "--ngf", "16", "--lr", "1", "--ndf", "8"]},
            "was trained with other flags: --ngf 16, now --ngf 8; --ndf 8, now no --ndf; "
            "no --unconditional, now --unconditional",
        ),
        (
            "train",
            {"command": ["train.py", "--lr", "1", "--ngf", "8", "--unconditional"]},
            "was trained with other flags: the same in another order",
        ),
    ],
)
def test_reasons(tmp_path, name, changed, reason):
    (tmp_path / "output").touch()
    record = {name: ENTRY | changed}
    assert row_record.why_not_done(stage(tmp_path, name), record) == reason
    assert not row_record.is_done(stage(tmp_path, name), record)


def test_a_command_whose_files_were_moved_with_the_run(tmp_path):
    (tmp_path / "output").touch()
    command = ("train.py", "--input_dir", str(tmp_path / "set"), "--lr", "1")
    now = stage(tmp_path, command=command)
    before = ["train.py", "--input_dir", "/was/set", "--lr", "1"]
    for folder, is_same in (("/was", True), ("/was/one", False), (None, False)):
        entry = ENTRY | {"command": before} | ({"folder": folder} if folder else {})
        assert row_record.is_done(now, {"train": entry}) == is_same


def test_stages_without_entry_or_output(tmp_path):
    assert row_record.why_not_done(stage(tmp_path), {}) == "was not trained to the end"
    missing = row_record.why_not_done(stage(tmp_path), {"train": ENTRY})
    assert missing == f"lacks {tmp_path / 'output'}"
