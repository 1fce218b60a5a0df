import numpy as np
import pytest

from p2p_graph.pages.thinned_curve import ThinnedCurve


def curve_of(steps, values, most):
    curve = ThinnedCurve(most)
    for step, value in zip(steps, values, strict=True):
        curve.add(step, value)
    return curve


@pytest.mark.parametrize(
    ("first", "count", "every"), [(1, 1, 1), (1, 20, 1), (1, 21, 1), (1, 5000, 1), (4711, 999, 50)]
)
def test_each_point_has_the_first_last_and_extreme_values_of_its_steps(rng, first, count, every):
    steps = first + every * np.arange(count)
    values = rng.normal(size=count)
    points = curve_of(steps.tolist(), values.tolist(), 20).points
    assert len(points) <= 20
    assert len(points) > 5 or count <= 20
    assert (points[0].first_step, points[-1].last_step) == (steps[0], steps[-1])
    assert (points[0].first, points[-1].last) == (values[0], values[-1])
    assert min(point.low for point in points) == values.min()
    assert max(point.high for point in points) == values.max()
    covered = 0
    for point in points:
        inside = values[(steps >= point.first_step) & (steps <= point.last_step)]
        assert (point.low, point.high) == (inside.min(), inside.max())
        assert (point.first, point.last) == (inside[0], inside[-1])
        covered += len(inside)
    assert covered == count


def test_few_values_are_points_of_their_own():
    points = curve_of(range(1, 8), range(7), 20).points
    assert [(point.first_step, point.last_step) for point in points] == [
        (i, i) for i in range(1, 8)
    ]


def test_points_stand_for_equally_many_steps():
    points = curve_of(range(1, 4097), range(4096), 20).points
    assert {point.last_step - point.first_step + 1 for point in points} == {256}
