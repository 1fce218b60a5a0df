"""Programs that are killed: the same command gives the result of a run without a kill."""

import pytest

from .conftest import cases_of_programs
from .programs import PROGRAMS
from .soaking import Soak, kill_at

_ONCE = ("convert",)  # refuses to write where anything is, also where a kill has left it


@pytest.mark.parametrize(("name", "number"), cases_of_programs(8, without=_ONCE))
def test_killed_programs(name, number, server, stage_of, undisturbed, rng, tmp_path, counted):
    """Every second case replaces the result of an earlier run."""
    program = PROGRAMS[name]
    stage = stage_of(program)
    wanted = undisturbed(program, stage)
    soak = Soak(server, program, stage, tmp_path / "work")
    if number % 2:
        soak.finish(wanted)
    soak.kill(kill_at(rng.choice(wanted.points), rng))
    soak.finish(wanted)
    counted(cases=1, kills=soak.kills)
