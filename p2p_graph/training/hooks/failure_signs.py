"""Signs that a GAN has failed: D wins, or every output is one colour.

A state counts as a sign once it has held for 500 steps: each epoch begins with what the other
network has not seen, and single images are odd.
"""

from typing import NamedTuple

from p2p_graph.pages.run_page import TIPS
from p2p_graph.utils.errors import UserError

DISCRIMINATOR_WINS = "the discriminator wins"
ONE_COLOUR = "one colour out"

# Sections of docs/TIPS.md.
ANCHORS = {DISCRIMINATOR_WINS: "the-discriminator-wins", ONE_COLOUR: "one-colour-output"}
NAN_ANCHOR = "nan-losses"
SMALLER_RATE = f"try a smaller --lr ({TIPS}#{NAN_ANCHOR})"

LASTING = 500  # steps
_FEWEST_REPORTS = 3

# Of D's loss where D guesses. A D that wins gives G no direction (Arjovsky and Bottou 2017, theorem
# 2.4; Chintala et al., "How to train a GAN", tip 10: "D loss goes to 0: failure mode"). 5 % is a D
# that gives the right answer a probability of 0.97. The averaged loss of nine GANs that learned
# (Cityscapes and facades, D of 1 to 286 pixels, 4,000 to 30,000 steps) was never below 15 %. Of a D
# whose opponent did not mind it (gan_weight 1e-6) it stayed below 5 % for 930 steps.
LOST = 0.05
# Of the targets' spread. Of 900 outputs of nine of these models, the flattest had 31 %.
FLAT = 0.05
# Targets that are flat themselves say nothing: about 2.5 of 255 levels.
_FLAT_TARGET = 0.02


class NotFiniteError(UserError):
    """A loss, a gradient or a weight is not finite; the message names the step."""


class Sign(NamedTuple):
    """A state that has held for long.

    Attributes:
      name: a key of `ANCHORS`.
      first_step: where the state began.
      last_step: where it was seen last.
      held: whether it still holds.
    """

    name: str
    first_step: int
    last_step: int
    held: bool

    @property
    def text(self) -> str:
        """What is seen, in one sentence without an end."""
        if self.name == DISCRIMINATOR_WINS:
            return f"{self.name}: its averaged loss is below {LOST:.0%} of what guessing costs"
        return f"{self.name}: outputs have below {FLAT:.0%} of the targets' contrast"


class LastingState:
    """Follows a state from step to step, and counts as a sign each time that it lasts."""

    def __init__(self, name: str, fewest: int = 1) -> None:
        """Begins without a state.

        Args:
          name: a key of `ANCHORS`.
          fewest: how many observations must show it in a row.
        """
        self._name, self._fewest = name, fewest
        self._first_step = self._last_step = self._count = 0
        self._holds = False
        self._ended: list[Sign] = []

    def observe(self, step: int, holds: bool) -> None:
        """Takes whether the state holds after a step, which is later than all before."""
        if holds:
            if not self._holds:
                self._first_step, self._count = step, 0
            self._holds, self._last_step = True, step
            self._count += 1
            return
        if (sign := self._current()) is not None:
            self._ended.append(sign._replace(held=False))
        self._holds = False

    def signs(self) -> list[Sign]:
        """All signs so far, the one that holds last."""
        current = self._current()
        return [*self._ended, *([current] if current else [])]

    def _current(self) -> Sign | None:
        lasted = self._last_step - self._first_step + 1 >= LASTING
        if not self._holds or not lasted or self._count < self._fewest:
            return None
        return Sign(self._name, self._first_step, self._last_step, held=True)


class FailureSigns:
    """Watches D's averaged loss at every step, and the outputs' contrast at every report."""

    def __init__(self, guessing: float | None) -> None:
        """Begins without a sign.

        Args:
          guessing: D's loss where every score says 0.5; None where there is no D.
        """
        self._guessing = guessing
        self._wins = LastingState(DISCRIMINATOR_WINS)
        self._flat = LastingState(ONE_COLOUR, _FEWEST_REPORTS)
        self._reported: set[tuple[str, int]] = set()

    def observe_loss(self, step: int, average: float) -> None:
        """Takes D's averaged loss after a step."""
        if self._guessing:
            self._wins.observe(step, average < LOST * self._guessing)

    def observe_spread(self, step: int, outputs: float, targets: float) -> None:
        """Takes the outputs' and the targets' spread of a step (see `spread_figures`)."""
        if targets > _FLAT_TARGET:
            self._flat.observe(step, outputs < FLAT * targets)

    def all(self) -> list[Sign]:
        """All signs so far."""
        return [*self._wins.signs(), *self._flat.signs()]

    def unreported(self) -> list[Sign]:
        """The signs that this function has not given before."""
        found = [sign for sign in self.all() if (sign.name, sign.first_step) not in self._reported]
        self._reported |= {(sign.name, sign.first_step) for sign in found}
        return found
