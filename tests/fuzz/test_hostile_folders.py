"""Folders with FIFOs, devices, loops and the like where files should be, and with odd names."""

import functools
import os
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import strategies as st

from ..forked.verdicts import ACCEPTED, REFUSED, failed
from .campaign import Campaign
from .command_lines import Command
from .damage import damaged
from .hostile_places import KINDS, PLACES, READ_IMAGES
from .strategies import damages


class Hostile(NamedTuple):
    """A case: something in the place of a file or a folder, and a command.

    Attributes:
      command: that reads it, or writes there.
      place: its path.
      kind: a key of `KINDS`.
    """

    command: Command
    place: str
    kind: str


def test_wrong_kinds_of_files(run_in_stage, profile):
    all_cases = [
        Hostile(Command(command[0], command[1:]), place, kind)
        for kind in KINDS
        for place, commands in PLACES.items()
        for command in commands
    ]

    def answer_of(case):
        def prepare(folder):
            path = folder / case.place
            path.parent.mkdir(parents=True, exist_ok=True)
            _remove(path)
            KINDS[case.kind](path)

        return run_in_stage(case.command, prepare)

    cases = st.sampled_from(all_cases)
    Campaign("wrong kinds of files", cases, answer_of, profile, cost=5, shrink=False).run()


def _remove(path):
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


# --- odd names

_NAMES = (
    # Any folder and image may have these.
    *(
        "a b",
        "[a]",
        "[!a]",
        "a*b",
        "a?",
        "{}",
        "{a}",
        "a\\b",
        "é",
        "%s",
        "%d",
        "'",
        '"',
        "$HOME",
        "a#b",
    ),
    *(
        "a;b",
        "./-x",
        ".hidden",
        "x" * 200,
        "a,b",
        "a=b",
        "~",
        "a:b",
        "@x",
        "🎉",
        "a.tfrecord.d",
        "~x",
    ),
    # These may be refused, in one line.
    *("a\nb", "\udcff", "x" * 255, "a\tb", "\x1b[31m", "a\rb", "é" * 100, "x" * 300),
)
_REFUSABLE = _NAMES[-8:]
_PLAIN = "plain"
_MOVED = (
    "images",
    "model",
    "results",
    "records",
    "list.csv",
    "images.npz",
    "palette.csv",
    "model.pict",
)


class Renamed(NamedTuple):
    """A case: a valid file, folder or output with another name, and a command with this name.

    Attributes:
      command: its words, "NAME" for the new name, without a suffix.
      old: the path in the stage; empty for an output.
      new: the new path, with "NAME" in it.
      name: the new name.
    """

    command: tuple[str, ...]
    old: str
    new: str
    name: str


def _renamed_cases():
    for place, commands in PLACES.items():
        if place not in (*_MOVED, "out", "out.npz"):
            continue
        new = f"NAME{Path(place).suffix}"
        for command in commands:
            renamed = tuple(new if part == place else part for part in command)
            if renamed != command:
                yield Renamed(renamed, "" if place.startswith("out") else place, new, "")
    for command in READ_IMAGES[:9]:
        yield Renamed(command, "images/1.png", "images/NAME.png", "")


def test_odd_names(run_in_stage, profile):
    """What works under a plain name works under any; some names may be refused."""

    def run(case):
        program, *argv = (part.replace("NAME", case.name) for part in case.command)
        new = case.new.replace("NAME", case.name)

        def prepare(folder):
            if case.old and len(os.fsencode(Path(new).name)) <= 255:
                (folder / case.old).rename(folder / new)

        return run_in_stage(Command(program, tuple(argv)), prepare)

    @functools.cache
    def works(case):
        return run(case._replace(name=_PLAIN)).kind == ACCEPTED

    def answer_of(case):
        answer = run(case)
        is_refusal = answer.kind == REFUSED and case.name not in _REFUSABLE
        if is_refusal and works(case._replace(name="")):
            return failed(f"{case.command[0]} refuses a valid name", answer.text)
        return answer

    cases = st.builds(
        lambda case, name: case._replace(name=name),
        st.sampled_from(list(_renamed_cases())),
        st.sampled_from(_NAMES),
    )
    Campaign("odd names", cases, answer_of, profile, cost=5, shrink=False).run()


# --- damaged files of a whole stage


class DamagedRun(NamedTuple):
    """A case: damage of a file in the stage, and a command that reads it."""

    command: Command
    place: str
    damages: tuple


@pytest.fixture(scope="session")
def damaged_runs(stage):
    """A strategy of damaged files that a command reads."""
    read = [
        (Command(command[0], command[1:]), place, (stage / place).stat().st_size)
        for place, commands in PLACES.items()
        for command in commands
        if (stage / place).is_file()
    ]
    return st.sampled_from(read).flatmap(
        lambda one: damages(one[2]).map(lambda done: DamagedRun(one[0], one[1], tuple(done)))
    )


def test_damaged_files_of_programs(run_in_stage, profile, damaged_runs):
    def answer_of(case):
        def prepare(folder):
            path = folder / case.place
            path.write_bytes(damaged(path.read_bytes(), case.damages))

        return run_in_stage(case.command, prepare)

    name = "programs on damaged files"
    Campaign(name, damaged_runs, answer_of, profile, cost=5, shrink=False).run()
