"""Training runs that are killed, and resumed: at the end, everything is as without a kill."""

import pytest

from .conftest import TRAINING_FLAGS, cases
from .points import BEFORE
from .programs import training
from .soaking import Soak, early_kill, kill_at

# Of the cases of `make soak`; the first is that of `make test`.
_KINDS = ("last save", "saving", "any point", "any time", "resuming", "same step")
_KILLS = 3  # in a case
_LAST = 6  # points behind the last checkpoint's renames: what is removed
_EARLY = 40  # points: more than a run that is resumed has before its first step


@pytest.mark.parametrize("number", cases(48))
def test_killed_training(number, server, stage, undisturbed, rng, tmp_path, counted):
    kind = _KINDS[number % len(_KINDS)]
    program = training((1, 3)[number // len(_KINDS) % 2], TRAINING_FLAGS)
    wanted = undisturbed(program, stage)
    soak = Soak(server, program, stage, tmp_path / "work")
    if kind == "any time":
        for _ in range(_KILLS):
            soak.kill(kill_after=rng.uniform(0, wanted.seconds))
    else:
        for fault in _faults(kind, wanted.points, rng):
            soak.kill(fault)
    soak.finish(wanted)
    while_saving = kind not in ("any point", "any time")
    counted(cases=1, kills=soak.kills, kills_while_saving=soak.kills * while_saving)


def _faults(kind, points, rng):
    """The kills of a case, the points of an earlier step first: a later one is then reached."""
    saving = [place for place, point in enumerate(points) if point.is_saving]
    if kind == "last save":
        return [kill_at(points[rng.choice(saving[-_LAST:])], rng)._replace(when=BEFORE)]
    if kind in ("saving", "any point"):
        places = saving if kind == "saving" else range(len(points))
        return [kill_at(points[place], rng) for place in sorted(rng.sample(places, _KILLS))]
    first = kill_at(points[rng.choice(saving)], rng)
    if kind == "same step":
        return [first, first]
    return [first, *(early_kill(rng, _EARLY) for _ in range(_KILLS - 1))]
