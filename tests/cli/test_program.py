"""`program()`: exit codes, and errors in one line."""

import errno
import os
import sys

import pytest

from p2p_graph.cli.program import program
from p2p_graph.utils.errors import UserError


def outcome(main, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["tools/train.py", "--seed", "1"])
    with pytest.raises(SystemExit) as caught:
        program(main)()
    return caught.value.code, *capsys.readouterr()


def test_user_errors_are_one_line(monkeypatch, capsys):
    def main(argv):
        raise UserError("lr must be at least 0, not -1")

    assert outcome(main, monkeypatch, capsys) == (
        2,
        "",
        "train.py: lr must be at least 0, not -1\n",
    )


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
def test_errors_of_the_operating_system_are_one_line(error, said, monkeypatch, capsys):
    def main(argv):
        raise error

    assert outcome(main, monkeypatch, capsys) == (2, "", f"train.py: {said}\n")


def test_an_interrupt_ends_quietly(monkeypatch, capsys):
    def main(argv):
        raise KeyboardInterrupt

    assert outcome(main, monkeypatch, capsys) == (130, "", "interrupted\n")


@pytest.mark.parametrize(("result", "code"), [(None, 0), (0, 0), (143, 143)])
def test_arguments_and_exit_code_are_passed(result, code, monkeypatch, capsys):
    seen = []

    def main(argv):
        seen.append(list(argv))
        return result

    assert outcome(main, monkeypatch, capsys) == (code, "", "")
    assert seen == [["--seed", "1"]]


@pytest.mark.parametrize("error", [ZeroDivisionError("x"), OSError("no number"), ValueError("x")])
def test_other_errors_are_raised(error, monkeypatch):
    def main(argv):
        raise error

    monkeypatch.setattr(sys, "argv", ["train.py"])
    with pytest.raises(type(error)) as caught:
        program(main)()
    assert caught.value is error
