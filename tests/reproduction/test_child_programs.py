"""Programs of the package as child processes."""

import os
import sys
from pathlib import Path

import pytest

import p2p_graph
from p2p_graph.reproduction import child_programs
from p2p_graph.utils import child_process

PACKAGE_PARENT = str(Path(p2p_graph.__file__).resolve().parents[1])


@pytest.mark.skipif(sys.version_info < (3, 11), reason="no PYTHONSAFEPATH before Python 3.11")
def test_a_child_imports_this_package_from_any_folder(tmp_path, monkeypatch):
    """Also where the current folder and the caller's PYTHONPATH hold modules of the same names."""
    for folder, names in (("here", ["p2p_graph", "json"]), ("path", ["p2p_graph"])):
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / f"{name}.py").write_text("raise SystemExit('the wrong module')\n")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "path"))
    lines = []
    code = child_process.run_program(
        [sys.executable, "-c", "import json, p2p_graph; print(p2p_graph.__file__)"],
        on_line=lines.append,
        env=child_process.environment(),
    )
    assert code == 0
    assert lines == [f"{PACKAGE_PARENT}{os.sep}p2p_graph{os.sep}__init__.py\n"]


def test_the_callers_path_comes_after_the_package(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "before")
    found = child_process.environment()["PYTHONPATH"]
    assert found == os.pathsep.join([PACKAGE_PARENT, "before"])
    monkeypatch.delenv("PYTHONPATH")
    assert child_process.environment()["PYTHONPATH"] == PACKAGE_PARENT


def test_runs_a_program_from_any_folder(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert child_programs.run_child("train.py", ["--no_such_flag"]) == 2
    assert capfd.readouterr().err.startswith("train.py: ")


def test_shell_commands_name_modules_and_short_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flags = ["--input_dir", str(tmp_path / "my images"), "--output_dir", "/elsewhere", "--lr", "0"]
    assert child_programs.shell_command("train.py", flags) == (
        "python -m p2p_graph.cli.train --input_dir 'my images' --output_dir /elsewhere --lr 0"
    )
