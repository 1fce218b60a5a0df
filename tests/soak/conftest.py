"""What the tests of a soak share.

`make test` runs one small case of each kind. `make soak` sets P2P_SOAK_SEED and P2P_SOAK_FOLDER;
see the Makefile.
"""

import collections
import json
import os
import random
import re
from pathlib import Path

import pytest

from .programs import MODEL, PROGRAMS, RESULTS, draw_images
from .soaking import Soak

_FOLDER = os.environ.get("P2P_SOAK_FOLDER")
IS_SOAK = bool(_FOLDER)
SEED = int(os.environ.get("P2P_SOAK_SEED") or 0)
TRAINING_FLAGS = tuple(os.environ.get("P2P_SOAK_TRAINING_FLAGS", "").split())


def cases(count, few=1):
    """The numbers of a test's cases: few in `make test`."""
    return range(count if IS_SOAK else few)


def cases_of_programs(count, without=()):
    """(name, number) of the cases of a test of programs: one of a fast one in `make test`."""
    names = [name for name in PROGRAMS if name not in without] if IS_SOAK else ["pack_records"]
    return [(name, number) for name in names for number in cases(count)]


@pytest.fixture
def rng(request):
    """Random numbers of this case, which its name and the seed decide."""
    return random.Random(f"{SEED} {request.node.name}")


@pytest.fixture
def counted(request):
    """A function that adds to the counts of the soak, by kind."""
    kind = request.node.originalname.removeprefix("test_").replace("_", " ")

    def add(**counts):
        if IS_SOAK:
            row = json.dumps({"kind": kind, **counts}) + "\n"
            with (Path(_FOLDER) / "counts.jsonl").open("a", encoding="utf-8") as file:
                file.write(row)

    return add


@pytest.fixture(scope="session")
def stage(server, tmp_path_factory):
    """A folder with one of everything that a program reads."""
    folder = tmp_path_factory.mktemp("stage")
    draw_images(folder)
    return folder


@pytest.fixture(scope="session")
def trained_stage(server, tmp_path_factory):
    """The stage with a model and its results."""
    folder = tmp_path_factory.mktemp("stage")
    draw_images(folder)
    for program in (MODEL, RESULTS):
        run = server.run(program.name, program.argv, folder, seconds=60)
        assert run.code == 0, run
    return folder


@pytest.fixture
def stage_of(request):
    """A function from a `Program` to the stage that it needs."""

    def find(program):
        of_model = {"model", "results"} & set(program.argv)
        return request.getfixturevalue("trained_stage" if of_model else "stage")

    return find


@pytest.fixture(scope="session")
def undisturbed(server, tmp_path_factory):
    """A function from a `Program` and a stage to its `Undisturbed` run, which is made once."""
    made = {}

    def find(program, stage):
        if program not in made:
            folder = tmp_path_factory.mktemp("undisturbed")
            made[program] = Soak(server, program, stage, folder / "work").undisturbed()
        return made[program]

    return find


def pytest_runtest_logreport(report):
    """Writes why a case of `make soak` has failed, at once."""
    if IS_SOAK and report.failed:
        name = re.sub(r"[^\w\[\]-]", "_", report.nodeid.rpartition("/")[2])
        text = f"make soak SEED={SEED} REPLAY='{report.nodeid}'\n\n{report.longreprtext}\n"
        (Path(_FOLDER) / f"{name}.txt").write_text(text, encoding="utf-8")


def pytest_terminal_summary(terminalreporter, config):
    """Prints the counts of `make soak`, by the process that starts the others."""
    if not IS_SOAK or hasattr(config, "workerinput"):
        return
    totals = collections.defaultdict(collections.Counter)
    path = Path(_FOLDER) / "counts.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    for row in map(json.loads, lines):
        totals[row.pop("kind")].update(row)
    for kind, counts in sorted(totals.items()):
        shown = ", ".join(f"{count} {name}" for name, count in counts.items())
        terminalreporter.write_line(f"{kind}: {shown}")
