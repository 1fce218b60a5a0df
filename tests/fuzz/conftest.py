"""Profiles, and the table of a fuzz run.

`make test` runs 50 cases of every parser, the same ones each time. `make fuzz` sets the variables
below; see the Makefile.
"""

import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from p2p_graph.reproduction.reproduce_options import Budget, ReproduceOptions
from p2p_graph.reproduction.row_stages import all_runs

from ..forked.forked_programs import MEMORY
from ..forked.verdicts import ACCEPTED, REFUSED, answer_of_run, failed
from . import valid_files
from .campaign import Campaign, Profile, table_of

_CASES = 50  # in `make test`


@pytest.fixture(scope="session")
def profile():
    """The number of cases and their seed, from the environment."""
    folder, replay = os.environ.get("P2P_FUZZ_FOLDER"), os.environ.get("P2P_FUZZ_REPLAY")
    return Profile(
        int(os.environ.get("P2P_FUZZ_CASES") or _CASES),
        int(os.environ.get("P2P_FUZZ_SEED") or 0),
        Path(folder).absolute() if folder else None,
        Path(replay).absolute() if replay else None,
    )


@pytest.fixture
def fuzz_files(server, profile, tmp_path):
    """A function that runs a campaign of `Files` cases against a function of `readers`."""
    count = 0

    def fuzz(name, strategy, reader, cost=1):
        def answer_of(case):
            nonlocal count
            count += 1
            # A new folder for every case: the package caches what it has read by path and time.
            around = tmp_path / f"{name}-{count}"
            folder = around / "case"
            folder.mkdir(parents=True)
            case.write(folder)
            answer = server.call(f"tests.fuzz.{reader}", folder, *case.options)
            shutil.rmtree(around)
            return answer

        Campaign(name, strategy, answer_of, profile, cost=cost).run()

    return fuzz


# Training and labels of 16 pixels, in the fewest steps.
TINY = (
    *("--crop_size", "16", "--ngf", "2", "--ndf", "2", "--levels", "2", "--summary_freq", "0"),
    *("--discriminator", "patch16"),
)
_LABEL_COLOURS = ((1, 2, 3), (200, 30, 40))


@pytest.fixture(scope="session")
def stage(server, tmp_path_factory):
    """A folder with one of everything that a program reads; a run takes a copy of it."""
    folder = tmp_path_factory.mktemp("stage")

    def make(program, *argv):
        run = server.run(program, argv, folder, seconds=120)
        assert run.code == 0, run

    rng = np.random.default_rng(1)
    for name in ("images", "labelled", "set/train", "set/test", "empty"):
        (folder / name).mkdir(parents=True)
    for number in (1, 2):
        photo = rng.integers(0, 256, (16, 16, 3), np.uint8)
        labels = np.array(_LABEL_COLOURS, np.uint8)[rng.integers(0, 2, (16, 16))]
        for name, other in (("images", photo[::-1]), ("labelled", labels), ("set/train", photo)):
            Image.fromarray(np.hstack([photo, other])).save(folder / name / f"{number}.png")
    shutil.copy(folder / "set/train/1.png", folder / "set/test/1.png")
    (folder / "list.csv").write_text("input,target\nimages/1.png,images/2.png\n")
    rows = [f"class{id},{','.join(map(str, rgb))}" for id, rgb in enumerate(_LABEL_COLOURS)]
    (folder / "palette.csv").write_text("\n".join(["class,red,green,blue", *rows]) + "\n")
    (folder / "statistics.npz").write_bytes(valid_files.savez(valid_files.moments()))
    valid_files.pict(folder)
    os.mkfifo(folder / "fifo")
    (folder / "loop").symlink_to("loop")
    (folder / "dangling").symlink_to("nothing")
    make("train", "--input_dir", "images", "--output_dir", "model", "--max_steps", "1", *TINY)
    make("test", "--input_dir", "images", "--checkpoint", "model", "--output_dir", "results")
    make("pack_npz", "--input_dir", "images", "--output_file", "images.npz")
    make("pack_records", "--input_dir", "images", "--output_dir", "records")
    return folder


@pytest.fixture(scope="session")
def trained_rows(stage, server):
    """Trains the rows of `reproduce facades --data STAGE/set --budget 1 --output_dir runs`."""
    options = ReproduceOptions("facades", stage / "set", Budget("1"), train_flags=TINY)
    for row in all_runs(options):
        into = stage / "runs" / row.folder.relative_to(options.output_dir)
        argv = (*row.train_flags, "--max_steps", "1", "--output_dir", into)
        run = server.run("train", argv, stage, seconds=120)
        assert run.code == 0, run


@pytest.fixture
def run_in_stage(server, stage, tmp_path):
    """A function that runs a program in a copy of the stage, and returns the answer.

    A refusal before any work, which would be on stdout, leaves every file as it was; a write that
    fails comes later. Success gives the result `product`.
    """
    count = 0

    def run(command, prepare=lambda folder: None, product=None, before=None):
        nonlocal count
        count += 1
        # Deep enough that names such as ../.. do not leave the test's folder.
        around = tmp_path / f"run-{count}"
        folder = around / "a" / "b" / "stage"
        shutil.copytree(stage, folder, symlinks=True, copy_function=_copy_any)
        prepare(folder)
        former = _state_of(around)
        done = server.run(command.program, command.argv, folder, before=before)
        answer = answer_of_run(done, MEMORY)
        is_first = not done.stdout and os.strerror(errno.EFBIG) not in done.stderr
        if answer.kind == REFUSED and is_first and _state_of(around) != former:
            changed = sorted(set(_state_of(around).items()) ^ set(former.items()))
            answer = failed("a refusal changes files", f"{answer.text}\n{changed[:5]}")
        is_success = answer.kind == ACCEPTED and done.code == 0
        if is_success and product and not (folder / product).exists():
            answer = failed(f"no {product} after success", done.stdout + done.stderr)
        shutil.rmtree(around)
        return answer

    return run


def _copy_any(source, target):
    """Copies a file, or makes a FIFO."""
    if Path(source).is_fifo():
        os.mkfifo(target)
    else:
        shutil.copyfile(source, target)


def _state_of(folder):
    """Size and time of every file below a folder; only the names of folders."""
    found = {}
    for path in folder.rglob("*"):
        status = path.lstat()
        found[str(path)] = None if path.is_dir() else (status.st_size, status.st_mtime_ns)
    return found


def pytest_terminal_summary(terminalreporter, config):
    """Prints the table of `make fuzz`, by the process that starts the others."""
    folder = os.environ.get("P2P_FUZZ_FOLDER")
    if not folder or hasattr(config, "workerinput"):
        return
    for line in table_of(Path(folder)):
        terminalreporter.write_line(line)
