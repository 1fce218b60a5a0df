"""Bootstrap intervals of figures, against resampling the images one by one."""

import math

import numpy as np
import pytest

from p2p_graph.metrics.bootstrap import percentile_intervals


def figures(mean):
    """One that is a mean, and one that is a ratio of sums."""
    return {"mean": float(mean[0]), "ratio": float(mean[1] / mean[2])}


def statistics_of(rng, count=60):
    hits, total = rng.integers(0, 20, count), rng.integers(20, 60, count)
    return np.stack([rng.gamma(2, 3, count), hits, total], 1).astype(np.float64)


def drawn_slowly(statistics, names, repetitions=4000, tails=(2.5, 97.5)):
    rng = np.random.default_rng(7)
    values = {name: [] for name in names}
    for _ in range(repetitions):
        chosen = [statistics[rng.integers(len(statistics))] for _ in statistics]
        for name, value in figures(sum(chosen) / len(chosen)).items():
            values[name].append(value)
    return {name: np.percentile(found, tails) for name, found in values.items()}


def test_drawing_one_by_one(rng):
    statistics = statistics_of(rng)
    found = percentile_intervals(statistics, figures, 4000)
    wanted = drawn_slowly(statistics, ("mean", "ratio"))
    assert list(found) == ["mean", "ratio"]
    for name, (low, high) in wanted.items():
        np.testing.assert_allclose(found[name], (low, high), atol=0.05 * (high - low))
        assert found[name][0] < figures(statistics.mean(0))[name] < found[name][1]


@pytest.mark.parametrize(("level", "deviations"), [(0.95, 1.96), (0.9, 1.645), (0.5, 0.674)])
def test_the_mean_of_many_normal_values(rng, level, deviations):
    values = rng.normal(3, 2, (500, 1))
    half = deviations * values.std() / math.sqrt(500)
    [found] = percentile_intervals(values, lambda m: {"x": m[0]}, 4000, level=level).values()
    np.testing.assert_allclose(
        found, (values.mean() - half, values.mean() + half), atol=0.08 * half
    )


def test_the_true_mean_is_mostly_within(rng):
    within = 0
    for seed in range(400):
        values = rng.normal(0, 1, (60, 1))
        low, high = percentile_intervals(values, lambda m: {"x": m[0]}, 300, seed)["x"]
        within += low < 0 < high
    assert 0.91 < within / 400 < 0.97


def test_a_ratio_of_sums_is_not_a_mean_of_ratios():
    """A large image weighs more: its ratio is nearly all there is, in each draw that has it."""
    statistics = np.array([[1.0, 900, 1000], *[[1.0, 0, 1]] * 200])
    low, high = percentile_intervals(statistics, figures, 2000)["ratio"]
    assert low == 0
    assert 0.8 < high < 0.9
    low, high = percentile_intervals(statistics[:, [0]], lambda m: {"x": m[0]}, 100)["x"]
    assert (low, high) == pytest.approx((1, 1))


def test_the_seed_decides(rng):
    statistics = statistics_of(rng)
    first, again, other = (
        percentile_intervals(statistics, figures, 200, seed) for seed in (5, 5, 6)
    )
    assert first == again
    assert all(first[name] != other[name] for name in first)


@pytest.mark.parametrize("repetitions", [1, 63, 64, 65, 150])
def test_as_many_draws_as_are_asked_for(rng, repetitions):
    seen = []

    def keep(mean):
        seen.append(mean[0])
        return {"x": mean[0]}

    found = percentile_intervals(statistics_of(rng), keep, repetitions)["x"]
    assert len(seen) == len(set(seen)) == repetitions
    np.testing.assert_allclose(found, np.percentile(seen, (2.5, 97.5)))


def test_every_draw_has_as_many_images(rng):
    """What all images share is there in every draw, to the digit."""
    statistics = np.stack([np.ones(37), rng.normal(size=37)], 1)
    means = []
    percentile_intervals(statistics, lambda mean: means.append(mean) or {}, 100)
    np.testing.assert_allclose(np.array(means)[:, 0], 1, rtol=1e-12)
    assert np.array(means)[:, 1].std() == pytest.approx(statistics[:, 1].std() / 37**0.5, rel=0.3)


def test_one_image():
    found = percentile_intervals(np.array([[3.0, 1, 4]]), figures, 100)
    assert found == {"mean": (3, 3), "ratio": (0.25, 0.25)}


def test_a_figure_that_some_draws_lack():
    """As a class's accuracy, where a draw has no image of the class."""
    statistics = np.array([[1.0, 1], [0.0, 0], [0.0, 0]])

    def ratio(mean):
        return {"x": mean[0] / mean[1] if mean[1] else math.nan}

    assert percentile_intervals(statistics, ratio, 300) == {"x": (1, 1)}


def test_a_figure_that_no_draw_has():
    """Has no interval; others keep theirs."""
    found = percentile_intervals(np.ones((4, 1)), lambda mean: {"x": math.nan, "y": mean[0]}, 100)
    assert found == {"y": (1, 1)}
