"""Training runs that are killed, and resumed: at the end, everything is as without a kill."""

import pytest

from .conftest import TRAINING_FLAGS, cases
from .programs import training
from .soaking import Soak, early_kill, kill_at

# Of the cases of `make soak`; the first is that of `make test`.
_KINDS = ("last save", "saving", "any point", "any time", "resuming", "same step")
_LAST = 5  # points: what is removed, and renamed, when the last checkpoint is saved
_EARLY = 40  # points: more than a run that is resumed has before its first step


@pytest.mark.parametrize("number", cases(100))
def test_killed_training(number, server, stage, undisturbed, rng, tmp_path, counted):
    kind = _KINDS[number % len(_KINDS)]
    program = training((1, 3)[number // len(_KINDS) % 2], TRAINING_FLAGS)
    wanted = undisturbed(program, stage)
    soak = Soak(server, program, stage, tmp_path / "work")
    saving = [point for point in wanted.points if point.is_saving]
    if kind == "any time":
        soak.kill(kill_after=rng.uniform(0, wanted.seconds))
        soak.kill(kill_after=rng.uniform(0, wanted.seconds))
    else:
        points = {"any point": wanted.points, "last save": saving[-_LAST:]}.get(kind, saving)
        fault = kill_at(rng.choice(points), rng)
        soak.kill(fault)
        if kind == "same step":
            soak.kill(fault)
        elif kind == "resuming":
            soak.kill(early_kill(rng, _EARLY))
    soak.finish(wanted)
    counted(cases=1, kills=soak.kills, saving=soak.kills * (kind not in ("any point", "any time")))
