"""What `program()` makes of a main function: exit codes, and errors in one line."""

import errno
import os
import sys

import pytest

from p2p_graph.cli.program import program
from p2p_graph.utils.errors import UserError


def run(main, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["tools/train.py", "--seed", "1"])
    with pytest.raises(SystemExit) as caught:
        program(main)()
    return caught.value.code, *capsys.readouterr()


def test_run_makes_user_errors_one_line(monkeypatch, capsys):
    def main(argv):
        raise UserError("lr must be at least 0, not -1")

    assert run(main, monkeypatch, capsys) == (2, "", "train.py: lr must be at least 0, not -1\n")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "whatever"), os.strerror(errno.ENOSPC)),
        (
            PermissionError(errno.EACCES, "whatever", "run/x"),
            f"run/x: {os.strerror(errno.EACCES)}",
        ),
    ],
)
def test_run_makes_the_systems_errors_one_line(error, said, monkeypatch, capsys):
    def main(argv):
        raise error

    assert run(main, monkeypatch, capsys) == (2, "", f"train.py: {said}\n")


def test_run_ends_quietly_when_interrupted(monkeypatch, capsys):
    def main(argv):
        raise KeyboardInterrupt

    assert run(main, monkeypatch, capsys) == (130, "", "interrupted\n")


@pytest.mark.parametrize(("result", "code"), [(None, 0), (0, 0), (143, 143)])
def test_run_passes_arguments_and_code(result, code, monkeypatch, capsys):
    seen = []

    def main(argv):
        seen.append(list(argv))
        return result

    assert run(main, monkeypatch, capsys) == (code, "", "")
    assert seen == [["--seed", "1"]]


@pytest.mark.parametrize("error", [ZeroDivisionError("x"), OSError("no number"), ValueError("x")])
def test_run_does_not_hide_other_errors(error, monkeypatch):
    def main(argv):
        raise error

    monkeypatch.setattr(sys, "argv", ["train.py"])
    with pytest.raises(type(error)) as caught:
        program(main)()
    assert caught.value is error
