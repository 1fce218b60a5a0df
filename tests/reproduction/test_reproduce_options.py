"""What may be asked of a reproduction."""

from pathlib import Path

import pytest

from p2p_graph.reproduction.reproduce_options import Budget, ReproduceOptions
from p2p_graph.utils.errors import UserError


@pytest.fixture
def data(tmp_path):
    for part in ("train", "test", "val"):
        (tmp_path / part).mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("text", "steps", "minutes"),
    [
        ("paper", None, None),
        ("1", 1, None),
        ("10000", 10000, None),
        ("90m", None, 90),
        ("0.5m", None, 0.5),
    ],
)
def test_budgets(text, steps, minutes):
    assert (Budget(text).steps, Budget(text).minutes) == (steps, minutes)


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5", "m", "90 m", "90min", "Paper", "1e4"])
def test_refuses_other_budgets(text):
    with pytest.raises(UserError, match="budget must be paper, a number of steps up to"):
        Budget(text)


def test_paths_are_absolute(data, monkeypatch):
    """But names that are no paths stay names."""
    monkeypatch.chdir(data)
    (data / "labels.csv").write_text("")
    (data / "cityscapes").write_text("a file of a palette's name")
    paths = {"data": Path(), "output_dir": Path("out"), "labels_dir": Path("train")}
    options = ReproduceOptions(
        "table1", budget=Budget("1"), segmenter="module:name", palette="labels.csv", **paths
    )
    assert options.data == data.resolve()
    assert options.output_dir == data.resolve() / "out"
    assert options.labels_dir == data.resolve() / "train"
    assert options.palette == str(data.resolve() / "labels.csv")
    assert options.segmenter == "module:name"
    options = ReproduceOptions("table6", Path(), Budget("1"), palette="cityscapes")
    assert options.palette == "cityscapes"


def test_rows_keep_the_papers_order(data):
    options = ReproduceOptions("table6", data, Budget("1"), row_names=("L1+cGAN", "L1"))
    assert [row.name for row in options.rows] == ["L1", "L1+cGAN"]
    options = ReproduceOptions("table6", data, Budget("1"))
    assert [row.name for row in options.rows] == ["L1", "cGAN", "L1+cGAN"]
