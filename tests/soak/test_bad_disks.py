"""Disks that are full or protected, and folders that go: one line, and the last checkpoint."""

import contextlib
import os
import subprocess
import time

import pytest

from .conftest import IS_SOAK, TRAINING_FLAGS
from .folders import restored_step
from .programs import PROGRAMS, training
from .soaking import Soak

_DISK = 64 * 2**20  # bytes
_HELPERS_END = 10  # seconds
_PARTS = 4  # of the sizes of a disk for training, so that several processes share them
_SIZES = 8 if IS_SOAK else 1  # of a disk for each other program


@contextlib.contextmanager
def _disk(folder):
    """A disk of its own in a folder; skips the test where none can be mounted."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={_DISK}", "tmpfs", folder]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no disk can be mounted: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        _unmount(folder)


def _unmount(folder):
    """Waits for helper processes, which end a moment after their program (as multiprocessing's)."""
    end = time.monotonic() + _HELPERS_END
    while subprocess.run(["umount", folder], capture_output=True, check=False).returncode:
        assert time.monotonic() < end, f"a process still works in {folder}"
        time.sleep(0.1)


@contextlib.contextmanager
def _room(disk, size):
    """Leaves a number of bytes of a disk free."""
    status = os.statvfs(disk)
    filler = disk / "filler"
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, status.f_bavail * status.f_frsize - size)
    try:
        yield
    finally:
        filler.unlink()


def _programs():
    return {"train": training(1, TRAINING_FLAGS)} | PROGRAMS


def _cases():
    """(name, part): training has the most writes."""
    if not IS_SOAK:
        return [("pack_records", 0)]
    return [
        (name, part) for name in _programs() for part in range(_PARTS if name == "train" else 1)
    ]


@pytest.mark.parametrize(("name", "part"), _cases())
def test_full_disk(name, part, server, stage_of, rng, tmp_path, counted):
    """The disk has room for a part of what is written: another write fails each time.

    In training, each write in turn is the one that fails.
    """
    program = _programs()[name]
    stage = stage_of(program)
    with _disk(tmp_path / "disk") as disk:
        wanted = Soak(server, program, stage, disk / "work").undisturbed()
        used = [point.used for point in wanted.points]
        sizes = sorted({size - used[0] for size in used if size > used[0]})
        sizes = (
            sizes[part::_PARTS] if name == "train" else rng.sample(sizes, min(_SIZES, len(sizes)))
        )
        for number, size in enumerate(sizes):
            soak = Soak(server, program, stage, disk / f"work-{number}")
            with _room(disk, size):
                has_failed = soak.fail(maybe=True)
            (soak.finish if has_failed else soak.compare)(wanted)
    counted(cases=len(sizes))


@pytest.mark.parametrize("name", _programs() if IS_SOAK else [])
def test_protected_folder(name, server, trained_stage, tmp_path, counted):
    """A folder that cannot be written from the start, on a disk of its own."""
    with _disk(tmp_path / "disk") as disk:
        soak = Soak(server, _programs()[name], trained_stage, disk / "work")
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        soak.fail()
        assert not soak.output.exists()
    counted(cases=1)


@pytest.mark.parametrize("listener", ["remove_folder", "protect_folder"])
@pytest.mark.parametrize("step", (0, 4, 7, 11) if IS_SOAK else ())
def test_folder_that_goes(step, listener, server, stage, undisturbed, tmp_path, counted):
    """A folder that is removed, or can no longer be written, after a step of training."""
    program = training(1, TRAINING_FLAGS)
    wanted = undisturbed(program, stage)
    soak = Soak(server, program, stage, tmp_path / "work")
    is_removed = listener == "remove_folder"
    soak.fail(
        listener=(f"tests.soak.listeners:{listener}", str(soak.output), step + 1),
        prepare="tests.soak.points:prepare" if is_removed else "tests.soak.listeners:respect_modes",
        maybe=step == 11,
    )
    for path in (soak.output, *soak.output.rglob("*")):
        if path.is_dir():
            path.chmod(0o755)
    assert restored_step(soak.output) in (0, 3, 6, 9, 12)
    soak.finish(wanted)
    counted(cases=1)
