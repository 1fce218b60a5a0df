"""`program()`: exit codes, and errors in one line."""

import errno
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from p2p_graph.cli.program import program
from p2p_graph.utils.errors import UserError


def outcome(main, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["tools/train.py", "--seed", "1"])
    with pytest.raises(SystemExit) as caught:
        program(main)()
    return caught.value.code, *capsys.readouterr()


def test_lists_below_a_user_error_are_lines(monkeypatch, capsys):
    def main(argv):
        raise UserError("2 images in a\nb cannot be used:", "c\nd: is empty", "e: is empty")

    said = "2 images in a\\nb cannot be used:\n  c\\nd: is empty\n  e: is empty\n"
    assert outcome(main, monkeypatch, capsys) == (2, "", f"train.py: {said}")


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
        (
            OSError(errno.ENOSPC, "whatever"),
            f"{os.strerror(errno.ENOSPC)}: free some space on that disk, then run the same command "
            "again",
        ),
        (
            PermissionError(errno.EACCES, os.strerror(errno.EACCES), "run/x\ny"),
            rf"run/x\ny: {os.strerror(errno.EACCES)}",
        ),
        # `shutil` names both files.
        (
            OSError(errno.EIO, os.strerror(errno.EIO), "a", None, "b"),
            f"a -> b: {os.strerror(errno.EIO)}",
        ),
    ],
)
def test_errors_of_the_operating_system_are_one_line(error, said, monkeypatch, capsys):
    def main(argv):
        raise error

    assert outcome(main, monkeypatch, capsys) == (2, "", f"train.py: {said}\n")


def test_a_lack_of_memory_is_one_line(monkeypatch, capsys):
    def main(argv):
        np.empty(2**59)

    code, out, err = outcome(main, monkeypatch, capsys)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("train.py: not enough memory: Unable to allocate 4.00 EiB for an array")
    assert err.endswith("; end other programs, or take smaller images or batches\n")


def test_a_lack_of_memory_without_a_reason(monkeypatch, capsys):
    def main(argv):
        raise MemoryError

    said = "this work needs more than there is; end other programs, or take smaller images or"
    assert outcome(main, monkeypatch, capsys) == (
        2,
        "",
        f"train.py: not enough memory: {said} batches\n",
    )


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


@pytest.mark.parametrize(
    "error",
    [ZeroDivisionError("x"), OSError("no number"), ValueError("x"), RecursionError("x")],
)
def test_other_errors_are_raised(error, monkeypatch):
    def main(argv):
        raise error

    monkeypatch.setattr(sys, "argv", ["train.py"])
    with pytest.raises(type(error)) as caught:
        program(main)()
    assert caught.value is error


def test_the_current_folder_has_been_removed(monkeypatch, capsys, tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()

    def main(argv):
        Path("file").resolve(strict=True)

    code, _, said = outcome(main, monkeypatch, capsys)
    assert code == 2
    assert said.endswith("the current folder has been removed, change to another\n")


def test_too_many_open_files(monkeypatch, capsys):
    def main(argv):
        raise OSError(errno.EMFILE, "Too many open files")

    said = "train.py: Too many open files at once: raise the limit (ulimit -n), or take fewer "
    assert outcome(main, monkeypatch, capsys) == (2, "", f"{said}--workers\n")
