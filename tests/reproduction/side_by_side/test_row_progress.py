"""What is shown of rows that run at the same time, and their logs."""

import io
import sys

import pytest

from p2p_graph.reproduction.side_by_side import row_log
from p2p_graph.reproduction.side_by_side.row_progress import ProgressReader, RowScreen
from p2p_graph.utils.errors import UserError

BEFORE = "examples count = 400, 100 steps an epoch, 20000 steps in all"
LINE = "progress  epoch 3  step 50  image/sec 7.1  remaining 12m"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown(monkeypatch, stderr):
    """What two rows show: on stdout, and on stderr."""
    out = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stderr)
    monkeypatch.setattr(sys, "stdout", out)
    with RowScreen(2) as screen:
        screen.begin(0, "L1: train")
        screen.begin(1, "cGAN: test")
        for line in (BEFORE, LINE, "discrim_loss 0.5", "warning: much"):
            screen.report(0, "L1", line)
        screen.say("a line")
        screen.begin(0, "")
    return out.getvalue(), stderr.getvalue()


def test_lines_without_a_terminal(monkeypatch):
    out, err = shown(monkeypatch, io.StringIO())
    assert out == f"L1: {LINE}\nL1: warning: much\na line\n"
    assert err == ""


def test_a_bar_a_row_on_a_terminal(monkeypatch):
    out, err = shown(monkeypatch, Terminal())
    assert out == "L1: warning: much\na line\n"
    assert "L1: train   1%|" in err
    assert "| 250/20000 steps, image/sec 7.1  remaining 12m" in err
    assert "cGAN: test" in err


def test_progress_is_in_steps_of_the_whole_run():
    reader = ProgressReader()
    assert reader.read(BEFORE) is None
    assert reader.read("discrim_loss 0.5") is None
    assert reader.read(LINE) == (250, 20000, "image/sec 7.1  remaining 12m")


def test_a_log_is_read_while_it_is_written_and_grows(tmp_path):
    path = tmp_path / row_log.LOG_FILE
    for number in range(2):
        with row_log.opened(path) as log, path.open("ab", 0) as program:
            log.begin(f"program {number}")
            assert log.new_lines() == []
            program.write(b"one\ntw")
            assert log.new_lines() == ["one"]
            program.write(b"o\n\xff\x1b[2J\n")
            assert log.new_lines() == ["two", "\N{REPLACEMENT CHARACTER}\\x1b[2J"]
            assert log.last_lines()[:2] == ["one", "two"]
    assert path.read_bytes().count(b"== program ") == 2


def test_a_folder_in_the_place_of_a_log(tmp_path):
    (tmp_path / row_log.LOG_FILE).mkdir()
    with pytest.raises(UserError, match="is in the way"), row_log.opened(tmp_path / "row.log"):
        pass
