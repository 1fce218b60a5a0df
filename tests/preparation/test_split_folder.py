"""The order in which images are assigned to train, test and val."""

import random

import pytest

from p2p_graph.preparation import split_folder


@pytest.mark.parametrize(
    ("count", "train", "test", "wanted"),
    [
        (10, 0.8, 0.0, "tr va tr tr tr tr tr tr va tr"),
        (10, 0.6, 0.2, "te va tr tr tr tr tr tr va te"),
        (7, 0.5, 0.3, "te tr tr tr va te va"),
    ],
)
def test_split_is_the_references(count, train, test, wanted):
    """Written down from Python's `random` with seed 0, as the reference uses it."""
    found = split_folder.assign(count, {"train": train, "test": test, "val": 1 - train - test})
    assert " ".join(part[:2] for part in found) == wanted


def test_split_leaves_the_global_random_state_alone():
    state = random.getstate()
    split_folder.assign(10, {"train": 0.5, "test": 0.5, "val": 0.0})
    assert random.getstate() == state


def test_sorted_split():
    fractions = {"train": 0.5, "test": 0.3, "val": 0.2}
    found = split_folder.assign(10, fractions, sort=True)
    assert found == ["train"] * 5 + ["test"] * 3 + ["val"] * 2
    fractions = {"train": 0.66, "test": 0.34, "val": 0.0}
    found = split_folder.assign(10, fractions, sort=True, rest="train")
    assert found == ["train"] * 7 + ["test"] * 3
