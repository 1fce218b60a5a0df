"""Calls of the operating system that fail: one line says what, and nothing half-written stays."""

import errno

import pytest

from .conftest import TRAINING_FLAGS, cases, cases_of_programs
from .programs import PROGRAMS, training
from .soaking import Soak, failing

_FAILING = ("write", "close", "fsync", "replace", "rename", "mkdir", "save", "flush")
_ERRORS = (errno.ENOSPC, errno.EIO, errno.EDQUOT)


@pytest.mark.parametrize("number", cases(24, few=0))
def test_failing_calls_of_training(number, server, stage, undisturbed, rng, tmp_path, counted):
    program = training((1, 3)[number % 2], TRAINING_FLAGS)
    _disturb(program, server, stage, undisturbed, rng, tmp_path, counted)


@pytest.mark.parametrize(("name", "number"), cases_of_programs(4))
def test_failing_calls_of_programs(
    name, number, server, stage_of, undisturbed, rng, tmp_path, counted
):
    _disturb(PROGRAMS[name], server, stage_of(PROGRAMS[name]), undisturbed, rng, tmp_path, counted)


def _disturb(program, server, stage, undisturbed, rng, tmp_path, counted):
    wanted = undisturbed(program, stage)
    points = [point for point in wanted.points if point.operation in _FAILING]
    soak = Soak(server, program, stage, tmp_path / "work")
    fault = failing(rng.choice(points), rng, rng.choice(_ERRORS))
    # An export that is complete need not be able to rename what it replaces.
    has_failed = soak.fail(fault, maybe=fault.path.endswith(".former"))
    (soak.finish if has_failed else soak.compare)(wanted)
    counted(cases=1)
