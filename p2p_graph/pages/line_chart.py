"""Charts of thinned curves as inline SVG."""

import math
from collections.abc import Mapping, Sequence

from p2p_graph.pages.html_page import escaped
from p2p_graph.pages.thinned_curve import Point, ThinnedCurve

# Units of the drawing, of which a chart on a phone has about one a pixel.
_WIDTH, _HEIGHT = 320, 180
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 10, 8, 22
_TICKS = 4  # about as many on each axis


def line_chart(
    curves: Mapping[str, ThinnedCurve],
    label: str,
    *,
    bounds: tuple[float, float] | None = None,
    is_log: bool = False,
    kind: str = "",
) -> str:
    """Draws curves over their steps: a line, and an area from the smallest to the largest value.

    Args:
      curves: by name; at least one has a value. The n-th has the CSS class `curve-n`, from 1.
      label: says what is drawn, for people who do not see it; the values' range is added.
      bounds: the lower and upper end of the vertical axis; by default those of the values.
      is_log: whether the vertical axis is logarithmic; values that are not positive then lie at the
        smallest positive value.
      kind: a CSS class of the drawing.

    Returns:
      An `svg` element.
    """
    points = [point for curve in curves.values() for point in curve.points]
    low, high = bounds or (min(each.low for each in points), max(each.high for each in points))
    axis = _LogAxis(points) if is_log else _Axis(low, high)
    steps = _StepAxis(
        min(each.first_step for each in points), max(each.last_step for each in points)
    )
    said = f"{label}. Steps {steps.first} to {steps.last}; " + "; ".join(
        f"{name}: {_described(curve.points)}" for name, curve in curves.items() if curve.points
    )
    lines = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" class="chart {kind}" '
        f'aria-label="{escaped(said)}">',
        *axis.drawn(),
        *steps.drawn(),
    ]
    for number, curve in enumerate(curves.values(), 1):
        if curve.points:
            lines.append(f'<g class="curve-{number}">{_drawn(curve.points, steps, axis)}</g>')
    return "".join([*lines, "</svg>"])


def short(value: float) -> str:
    """A number of three digits, as labels show it."""
    return f"{value:.3g}"


def _described(points: Sequence[Point]) -> str:
    low, high = min(each.low for each in points), max(each.high for each in points)
    return (
        f"from {short(points[0].first)} to {short(points[-1].last)}, "
        f"at least {short(low)}, at most {short(high)}"
    )


class _Axis:
    """The vertical axis."""

    def __init__(self, low: float, high: float) -> None:
        if high - low < 1e-9 * max(abs(low), abs(high), 1e-9):  # one value, or equal ones
            low, high = low - abs(low) / 2 - 1e-9, high + abs(high) / 2 + 1e-9
        self._low, self._high = low, high

    def place(self, value: float) -> float:
        """The height of a value in the drawing, from its top."""
        share = (self.scaled(value) - self._low) / (self._high - self._low)
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)

    def scaled(self, value: float) -> float:
        """The value on the axis's scale."""
        return value

    def ticks(self) -> Sequence[float]:
        """The values with a label."""
        return nice_ticks(self._low, self._high)

    def drawn(self) -> list[str]:
        """A line across, and a label, for each tick."""
        lines = []
        for value in self.ticks():
            y = f"{self.place(value):.1f}"
            lines += [
                f'<path class="grid" d="M{_LEFT} {y}H{_WIDTH - _RIGHT}"/>',
                f'<text class="left" x="{_LEFT - 5}" y="{y}">{value:.6g}</text>',
            ]
        return lines


class _LogAxis(_Axis):
    def __init__(self, points: Sequence[Point]) -> None:
        positive = [v for each in points for v in (each.low, each.last, each.high) if v > 0]
        self._least = min(positive, default=1.0)
        super().__init__(math.log10(self._least), math.log10(max(positive, default=1.0)))

    def scaled(self, value: float) -> float:
        return math.log10(max(value, self._least))

    def ticks(self) -> Sequence[float]:
        decades = range(math.floor(self._low), math.ceil(self._high) + 1)
        for factors in ((1,), (1, 3), (1, 2, 5)):
            found = [factor * 10.0**decade for decade in decades for factor in factors]
            shown = [value for value in found if self._low <= math.log10(value) <= self._high]
            if len(shown) >= _TICKS - 1:
                return shown[:: max(1, len(shown) // _TICKS)]
        linear = nice_ticks(10**self._low, 10**self._high)
        return [value for value in linear if value > 0]


class _StepAxis:
    """The horizontal axis."""

    def __init__(self, first: int, last: int) -> None:
        self.first, self.last = first, last

    def place(self, step: int) -> float:
        """How far right a step is in the drawing."""
        if self.first == self.last:
            return (_LEFT + _WIDTH - _RIGHT) / 2
        share = (step - self.first) / (self.last - self.first)
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def drawn(self) -> list[str]:
        """A label for each tick."""
        ticks = [int(value) for value in nice_ticks(self.first, self.last) if value == int(value)]
        labels = ticks or [self.first]
        return [
            f'<text class="below" x="{self.place(step):.1f}" y="{_HEIGHT - 6}">{_thousands(step)}'
            "</text>"
            for step in labels
        ]


def _thousands(step: int) -> str:
    return f"{step // 1000}k" if step and step % 1000 == 0 else str(step)


def nice_ticks(low: float, high: float) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten from `low` to `high`, about four of them."""
    if high <= low:
        return [low]
    rough = (high - low) / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    count = range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)
    return [round(number * step, 12) for number in count]


def _drawn(points: Sequence[Point], steps: _StepAxis, axis: _Axis) -> str:
    """The area, where points join several values, and the line."""
    ends = [(points[0].first_step, points[0].first)]
    ends += [(each.last_step, each.last) for each in points]
    line = "L".join(f"{steps.place(step):.1f} {axis.place(value):.1f}" for step, value in ends)
    # A line without length is a dot by its round ends.
    drawn = f'<path class="line" d="M{line}"/>'
    if all(each.low == each.high for each in points):
        return drawn
    places = [(f"{steps.place(each.last_step):.1f}", each) for each in points]
    upper = [f"{x} {axis.place(each.high):.1f}" for x, each in places]
    lower = [f"{x} {axis.place(each.low):.1f}" for x, each in reversed(places)]
    return f'<path class="area" d="M{"L".join([*upper, *lower])}Z"/>{drawn}'
