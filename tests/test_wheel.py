"""The wheel: what it holds, and that its programs work where there is no clone of the project."""

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import p2p_graph

ROOT = Path(__file__).parents[1]
FILES = ("LICENSE", "MANIFEST.in", "README.md", "pyproject.toml", "setup.py")
FOLDERS = ("p2p_graph", "tests", "tools")
SMALL = ("--crop_size", "32", "--ngf", "2", "--ndf", "2")


def run(*command, cwd):
    """Runs a command as someone does who has no clone: only the installed package is found."""
    hidden = ("PYTHONPATH", "TF_CPP_MIN_LOG_LEVEL")
    return subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=cwd,
        env={name: value for name, value in os.environ.items() if name not in hidden},
    )


def succeeded(done):
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A folder outside the clone."""
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def distributions(work):
    """A folder with the source distribution, and the wheel that is built from it.

    They are built from a copy: the build writes beside setup.py, where old files would be found.
    """
    copy = work / "source"
    copy.mkdir()
    for name in FILES:
        shutil.copy(ROOT / name, copy)
    for name in FOLDERS:
        ignored = shutil.ignore_patterns("__pycache__", "golden")
        shutil.copytree(ROOT / name, copy / name, ignore=ignored)
    build = (sys.executable, "-m", "build", "--no-isolation", "--outdir", work / "dist", copy)
    succeeded(run(*build, cwd=work))
    shutil.rmtree(copy)
    return work / "dist"


@pytest.fixture(scope="module")
def wheel(distributions):
    [path] = distributions.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def programs(wheel, work):
    """The folder of programs of a new virtual environment in which the wheel is installed.

    The environment finds the packages that these tests use, but not an editable p2p_graph: Python
    ignores .pth files in folders that a .pth file names.
    """
    folder = work / "environment"
    succeeded(run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=work))
    python = folder / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet")
    succeeded(run(*pip, "--no-deps", "--no-index", "--no-compile", wheel, cwd=work))
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = Path(succeeded(run(python, "-c", ask, cwd=work)).strip())
    assert packages.is_relative_to(folder)
    borrowed = [path for path in sys.path if path.endswith("-packages")]
    (packages / "borrowed.pth").write_text("".join(f"{path}\n" for path in borrowed))
    return folder / "bin"


@pytest.fixture(scope="module")
def data(work):
    """A folder with `train` (2 pairs) and `test` (3): drawn facades of 64x32 pixels."""
    make = (sys.executable, ROOT / "data" / "make_facades.py", "--output_dir", work / "facades")
    succeeded(run(*make, "--train", 2, "--test", 3, "--size", 32, cwd=work))
    return work / "facades"


def test_holds_the_package_and_nothing_else(wheel):
    modules = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("p2p_graph/**/*.py")}
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
        assert [name for name in archive.namelist() if name.endswith("licenses/LICENSE")]
    kinds = {".css", ".html", ".js", ".svg"}
    pages = [path for path in ROOT.glob("p2p_graph/**/*") if path.suffix in kinds]
    assert found == {
        *modules,
        *(path.relative_to(ROOT).as_posix() for path in pages),
        "p2p_graph/py.typed",
    }


def test_an_index_would_take_both(distributions, work):
    version = p2p_graph.__version__
    names = {f"p2p_graph-{version}.tar.gz", f"p2p_graph-{version}-py3-none-any.whl"}
    assert {path.name for path in distributions.iterdir()} == names
    paths = sorted(distributions.iterdir())
    said = succeeded(run(sys.executable, "-m", "twine", "check", "--strict", *paths, cwd=work))
    assert said.count("PASSED") == 2


def test_every_program_has_a_console_script(programs, work):
    [metadata] = (programs.parent / "lib").rglob("p2p_graph-*.dist-info")
    found = importlib.metadata.PathDistribution(metadata).entry_points
    modules = {path.stem for path in (ROOT / "tools").glob("*.py")}
    assert {(entry.group, entry.name, entry.value) for entry in found} == {
        ("console_scripts", f"p2p-{name.replace('_', '-')}", f"p2p_graph.cli.start:{name}")
        for name in modules
    }
    for entry in found:
        assert (programs / entry.name).is_file()


def test_the_installed_package_is_imported(programs, work):
    ask = "import p2p_graph; print(p2p_graph.__file__)"
    path = Path(succeeded(run(programs / "python", "-c", ask, cwd=work)).strip())
    assert path.is_relative_to(programs.parent)
    assert not path.is_relative_to(ROOT)


def test_help_without_tensorflow(programs, work):
    command = (programs / "python", "-X", "importtime", programs / "p2p-train", "--help")
    done = run(*command, cwd=work)
    assert succeeded(done).startswith("usage: p2p-train ")
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "p2p_graph.config.flags" in loaded
    assert not {"tensorflow", "keras", "numpy"} & loaded


@pytest.mark.parametrize(
    ("command", "name"),
    [(["p2p-train"], "p2p-train"), (["python", "-m", "p2p_graph.cli.train"], "train.py")],
)
def test_a_message_begins_with_the_programs_name(programs, work, command, name):
    for flags in (["--no_such_flag"], ["--input_dir", "nowhere"]):
        done = run(programs / command[0], *command[1:], *flags, cwd=work)
        assert done.returncode == 2
        assert done.stderr.startswith(f"{name}: ")
        assert done.stderr.count("\n") == 1


def test_trains_translates_and_reproduces(programs, data, work):
    """Each in a process that the program of the tables starts."""
    reproduce = (programs / "p2p-reproduce", "facades", "--data", data, "--output_dir", "tables")
    said = succeeded(run(*reproduce, "--budget", 2, "--rows", "L1", "--", *SMALL, cwd=work))
    for stage in ("train", "test", "evaluate"):
        assert f"python -m p2p_graph.cli.{stage} " in said
    table = json.loads((work / "tables" / "facades" / "facades.json").read_text())
    assert [row["name"] for row in table["rows"]] == ["L1"]
    assert (work / "tables" / "facades" / "facades.md").read_text() in said
    row = work / "tables" / "facades_BtoA" / "L1"
    assert json.loads((row / "options.json").read_text())["ngf"] == 2
    assert (row / "model-2.index").is_file()
    assert len(list((row / "made" / "images").glob("*-outputs.png"))) == 3
    assert (row / "made" / "index.html").read_text().count("<img") == 9
