import re

import pytest

from p2p_graph.pages.line_chart import line_chart, nice_ticks
from p2p_graph.pages.thinned_curve import ThinnedCurve


def curve_of(*values, most=300):
    curve = ThinnedCurve(most)
    for step, value in enumerate(values, 1):
        curve.add(step, value)
    return curve


def places(chart, kind="line"):
    """The points of the first line or area: x and y in the drawing's units."""
    path = re.search(rf'class="{kind}" d="M([^"]*?)Z?"', chart)[1]
    return [tuple(map(float, point.split())) for point in path.split("L")]


def test_a_line_goes_from_the_first_step_to_the_last():
    chart = line_chart({"a": curve_of(1.0, 3.0, 2.0)}, "Losses")
    xs, ys = zip(*places(chart), strict=True)
    assert xs == (44.0, 44.0, 177.0, 310.0)
    # 8 units from the top, and 22 from the bottom.
    assert ys == (158.0, 158.0, 8.0, 83.0)
    assert "area" not in chart
    assert "Losses. Steps 1 to 3; a: from 1 to 2, at least 1, at most 3" in chart


def test_a_logarithmic_scale_spaces_factors_equally():
    chart = line_chart({"a": curve_of(0.01, 0.1, 1.0, 0.0)}, "Losses", is_log=True)
    ys = [y for _, y in places(chart)]
    assert ys == [158.0, 158.0, 83.0, 8.0, 158.0]
    assert [label for label in re.findall(r">([\d.]+)</text>", chart) if "." in label]


def test_an_area_covers_the_extremes_of_joined_steps():
    chart = line_chart({"a": curve_of(0.0, 9.0, 1.0, 5.0, 4.0, 6.0, most=2)}, "Losses")
    ys = [y for _, y in places(chart, "area")]
    assert (min(ys), max(ys)) == (8.0, 158.0)
    assert 8.0 not in [y for _, y in places(chart)]


@pytest.mark.parametrize("values", [(0.0,), (0.5, 0.5), (0.0, 0.0), (1e-30, 1e30), (-1.0, 2.0)])
@pytest.mark.parametrize("is_log", [False, True])
def test_any_values_stay_within_the_drawing(values, is_log):
    chart = line_chart({"a": curve_of(*values)}, "Losses", is_log=is_log)
    assert all(44 <= x <= 310 and 8 <= y <= 158 for x, y in places(chart))


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 1, [0, 0.5, 1]),
        (1, 600, [200, 400, 600]),
        (0.31, 0.42, [0.35, 0.4]),
        (3, 3, [3]),
        (1, 80000, [20000, 40000, 60000, 80000]),
    ],
)
def test_ticks_are_round(low, high, ticks):
    assert nice_ticks(low, high) == ticks


def test_names_are_escaped():
    chart = line_chart({'<b>"': curve_of(1.0)}, "<i>")
    assert "<b>" not in chart
    assert "<i>" not in chart
