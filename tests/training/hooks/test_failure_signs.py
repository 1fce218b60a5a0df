import math

import pytest

from p2p_graph.training.hooks.failure_signs import (
    DISCRIMINATOR_WINS,
    FLAT,
    LASTING,
    LOST,
    ONE_COLOUR,
    FailureSigns,
)

GUESSING = 2 * math.log(2)
LOW = 0.9 * LOST * GUESSING


def watched(losses, guessing=GUESSING):
    """The signs of averaged losses of D, and what is reported after each step."""
    signs, reported = FailureSigns(guessing), []
    for step, loss in enumerate(losses, 1):
        signs.observe_loss(step, loss)
        reported += [(step, sign.name) for sign in signs.unreported()]
    return signs.all(), reported


def test_a_discriminator_that_wins_is_reported_once_each_time():
    losses = [1.0] * 10 + [LOW] * (LASTING + 200) + [1.0] + [LOW] * LASTING
    signs, reported = watched(losses)
    again = 10 + LASTING + 200 + 1 + LASTING
    assert reported == [(10 + LASTING, DISCRIMINATOR_WINS), (again, DISCRIMINATOR_WINS)]
    assert [(sign.first_step, sign.last_step, sign.held) for sign in signs] == [
        (11, 10 + LASTING + 200, False),
        (again - LASTING + 1, again, True),
    ]


@pytest.mark.parametrize(
    ("losses", "guessing"),
    [
        ([LOW] * (LASTING - 1) + [1.0] + [LOW] * (LASTING - 1), GUESSING),
        ([1.1 * LOST * GUESSING] * 2000, GUESSING),
        ([0.0] * 2000, None),  # no D
        ([0.0] * 2000, 0.0),  # d_scale 0
    ],
    ids=["short", "above", "no D", "no loss"],
)
def test_a_discriminator_that_does_not_win(losses, guessing):
    assert watched(losses, guessing) == ([], [])


def spread_signs(spreads, every):
    signs = FailureSigns(GUESSING)
    for number, (outputs, targets) in enumerate(spreads, 1):
        signs.observe_spread(number * every, outputs, targets)
    return [(sign.name, sign.first_step, sign.held) for sign in signs.all()]


def test_outputs_of_one_colour():
    flat, lively = (0.9 * FLAT * 0.4, 0.4), (1.1 * FLAT * 0.4, 0.4)
    enough = LASTING // 50 + 1
    assert spread_signs([lively, *[flat] * enough], 50) == [(ONE_COLOUR, 100, True)]
    assert spread_signs([*[flat] * enough, lively], 50) == [(ONE_COLOUR, 50, False)]
    assert spread_signs([flat] * (enough - 1), 50) == []
    assert spread_signs([*[flat] * 5, lively] * 9, 50) == []
    # Three reports at least, however far apart.
    assert spread_signs([flat] * 2, 5000) == []
    assert spread_signs([flat] * 3, 5000) == [(ONE_COLOUR, 5000, True)]


def test_targets_of_one_colour_say_nothing():
    blank = (0.0, 0.0)
    assert spread_signs([blank] * 99, 50) == []
    assert spread_signs([(0.0, 0.4), blank] * 99, 50) == [(ONE_COLOUR, 50, True)]
