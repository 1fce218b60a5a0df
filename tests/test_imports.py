"""Import rules besides those of import-linter, which pyproject.toml states.

Programs answer --help and a wrong flag before TensorFlow is imported. Only cli and config use
argparse.
"""

import ast
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import p2p_graph
from p2p_graph.config.option_fields import leaves
from p2p_graph.config.options import Options

FOLDER = Path(p2p_graph.__file__).parent
ROOT = FOLDER.parent
PROGRAMS = sorted(path.stem for path in (ROOT / "tools").glob("*.py"))
# The frozen records of options, by name.
RECORDS = {record.__name__ for record, _ in leaves(Options)} | {"Options", "DataOptions"}
# Runs a program and prints its exit code and which packages it has imported by then.
_PROBE = """
import runpy, sys
sys.argv = {argv!r}
try:
    runpy.run_module("p2p_graph.cli.{program}", run_name="__main__")
except SystemExit as stop:
    loaded = [name for name in sys.modules if name.partition(".")[0] in ("tensorflow", "keras")]
    print("exit", stop.code, "loaded", loaded)
"""


def answer(program, *flags):
    """Runs `_PROBE` with a program and its flags; returns the CompletedProcess."""
    source = _PROBE.format(argv=[f"{program}.py", *flags], program=program)
    return subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=True, cwd=ROOT
    )


def test_every_program_has_a_module_and_every_module_a_program():
    modules = {path.stem for path in (FOLDER / "cli").glob("*.py")}
    assert set(PROGRAMS) == modules - {"__init__", "program", "start"}
    assert PROGRAMS


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_without_tensorflow(program):
    said = answer(program, "--help")
    assert said.stdout.startswith("usage: ")
    assert said.stdout.endswith("exit 0 loaded []\n")


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_wrong_flag_without_tensorflow(program):
    said = answer(program, "--no_such_flag")
    assert said.stdout == "exit 2 loaded []\n"
    assert said.stderr.startswith(f"{program}.py: ")
    assert said.stderr.count("\n") == 1


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_shortened_flag_is_refused(program, monkeypatch, capsys):
    """Otherwise a new flag could change what an old script's flag means."""
    monkeypatch.setattr(sys, "argv", [f"{program}.py", "--hel"])
    monkeypatch.setattr(sys, "path", [*sys.path])  # the program adds to it
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(ROOT / "tools" / f"{program}.py"), run_name="__main__")
    out, err = capsys.readouterr()
    assert (stop.value.code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"{program}.py: ")


def test_programs_outside_the_package_refuse_shortened_flags():
    found = 0
    for path in (
        path for name in ("benchmarks", "data", "docs") for path in ROOT.glob(f"{name}/*.py")
    ):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Parser"):
                found += 1
                assert "allow_abbrev=False" in map(ast.unparse, node.keywords), path
    assert found == 17


def imports(path):
    """Yields the top-level package of every import in a module, also those inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


def test_only_cli_and_config_parse_command_lines():
    users = {
        path.relative_to(FOLDER).parts[0]
        for path in FOLDER.rglob("*.py")
        if "argparse" in imports(path)
    }
    assert users == {"cli", "config"}


def test_no_record_of_options_goes_everywhere():
    """A function takes the records that it reads; the record of all options stays near the top."""
    users = {}
    for path in FOLDER.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                for argument in [*node.args.args, *node.args.kwonlyargs]:
                    named = re.findall(r"\w+", ast.unparse(argument.annotation or ast.Constant("")))
                    for name in RECORDS & set(named):
                        users.setdefault(name, set()).add(path)
    assert users["Options"]
    counts = {name: len(paths) for name, paths in users.items()}
    assert counts["Options"] <= 8
    assert {name: count for name, count in counts.items() if count > 10} == {}


def test_package_itself_imports_little():
    """So that signals have handlers before a program's long imports."""
    code = (
        "import sys, p2p_graph; known = set(sys.modules); "
        "print([name for name in ('tensorflow', 'numpy', 'PIL', 'scipy') if name in known], "
        "sorted(name for name in known if name.startswith('p2p_graph')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=FOLDER.parent
    )
    assert done.stdout == "[] ['p2p_graph', 'p2p_graph.version']\n"
