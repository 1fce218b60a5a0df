"""Curves of any number of steps, thinned to a few hundred points."""

from typing import NamedTuple

MOST_POINTS = 300  # a chart has about as many pixels across


class Point(NamedTuple):
    """Values of consecutive steps.

    Attributes:
      first_step: the first of the steps.
      first: its value.
      last_step: the last of the steps.
      last: its value.
      low: the smallest value.
      high: the largest value.
    """

    first_step: int
    first: float
    last_step: int
    last: float
    low: float
    high: float

    def joined(self, later: "Point") -> "Point":
        """These steps and those of a later point as one point."""
        low, high = min(self.low, later.low), max(self.high, later.high)
        return Point(self.first_step, self.first, later.last_step, later.last, low, high)


class ThinnedCurve:
    """A value of some steps, in bounded memory: adding a value takes the same time at any step.

    The values of equally long stretches of steps are joined to a point, which keeps the first, the
    last, the smallest and the largest value. A stretch is one step long at first. Where there are
    more points than allowed, the stretches become twice as long.
    """

    def __init__(self, most: int = MOST_POINTS) -> None:
        """Makes a curve without values, of at most `most` points."""
        self._most = most
        self._length = 1  # steps of a stretch
        self._points: list[Point] = []

    def add(self, step: int, value: float) -> None:
        """Adds the value of a step, which is later than all before."""
        point = Point(step, value, step, value, value, value)
        if self._points and self._stretch(self._points[-1]) == self._stretch(point):
            self._points[-1] = self._points[-1].joined(point)
            return
        self._points.append(point)
        while len(self._points) > self._most:
            self._length *= 2
            former, self._points = self._points, []
            for each in former:
                if self._points and self._stretch(self._points[-1]) == self._stretch(each):
                    self._points[-1] = self._points[-1].joined(each)
                else:
                    self._points.append(each)

    @property
    def points(self) -> list[Point]:
        """The points, from the first step to the last."""
        return self._points

    def _stretch(self, point: Point) -> int:
        return (point.first_step - 1) // self._length
