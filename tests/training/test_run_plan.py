"""What is said before training starts."""

import re

import pytest
from PIL import Image

from p2p_graph.training.option_precedence import configure
from p2p_graph.training.run_plan import announce, place_run, plan_run


@pytest.mark.parametrize(
    ("more", "count"),
    [
        ({"max_steps": 60_000}, None),
        ({"max_steps": 60_000, "keep_checkpoints": 14}, None),  # the run saves 12
        ({"max_steps": 60_000, "keep_checkpoints": 14, "save_freq": 100}, None),
        ({"max_steps": 60_000, "keep_checkpoints": 15, "save_freq": 100}, 15),
        ({"max_steps": 60_000, "keep_every": 1000}, 61),
        ({"max_steps": 60_000, "keep_every": 1000, "save_freq": 0}, 61),
        ({"max_steps": 60_000, "keep_every": 1000, "ngf": 16, "ndf": 16}, None),
    ],
    ids=str,
)
def test_much_disk_use_is_told(tmp_path, capsys, more, count):
    (tmp_path / "images").mkdir()
    Image.new("RGB", (8, 4)).save(tmp_path / "images" / "1.png")
    given = {"input_dir": str(tmp_path / "images"), **more}
    options = configure(given)
    announce(plan_run(options, tmp_path / "a" / "b", given, place_run(options)))
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("disk")]
    if count is None:
        assert lines == []
        return
    total = f"{count * 0.686:.0f}"
    assert re.fullmatch(
        rf"disk: {count} checkpoints of 0\.7 GB will take {total} GB, and \d+ GB are free", *lines
    )
