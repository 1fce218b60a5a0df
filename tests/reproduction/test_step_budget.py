"""How many steps a table's rows get."""

import json

import numpy as np
import pytest
from PIL import Image

from p2p_graph.config.options import Config
from p2p_graph.reproduction import step_budget
from p2p_graph.utils.errors import UserError


@pytest.fixture
def config(tmp_path):
    """Five pairs in batches of two, and files that are none."""
    folder = tmp_path / "train"
    folder.mkdir()
    for number in range(5):
        Image.fromarray(np.zeros((8, 16, 3), np.uint8)).save(folder / f"{number}.png")
    for name in (".DS_Store", "README.txt"):
        (folder / name).write_text("not an image")
    return Config(input_dir=str(folder), recipe="facades", batch_size=2)


@pytest.mark.parametrize("text", ["paper", "1", "10000", "90m", "0.5m"])
def test_budgets(text):
    step_budget.check(text)


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5", "m", "90 m", "90min", "Paper", "1e4"])
def test_what_is_no_budget(text):
    with pytest.raises(UserError, match="budget must be paper, a number of steps, or minutes"):
        step_budget.check(text)


# What the runs are trained with.
GIVEN = {"a": ("--lr", "1"), "b": ("--ngf", "2 3"), "one": (), "two": ()}


def test_steps(config, tmp_path):
    found = step_budget.steps_of(
        "70", {"a": config, "b": config}, GIVEN, {}.get, tmp_path / "plans", keep=True
    )
    assert found == {"a": 70, "b": 70}
    assert not (tmp_path / "plans").exists()


def test_the_papers_steps_are_of_the_images_there_are(config, tmp_path):
    """200 epochs of 3 batches; with one in a batch, of 5."""
    runs = {"two": config, "one": config.replace(batch_size=1)}
    found = step_budget.steps_of("paper", runs, GIVEN, {}.get, tmp_path / "plans", keep=True)
    assert found == {"two": 600, "one": 1000}


def test_minutes_are_counted_once(config, tmp_path):
    """What they came to for these runs is kept; there is nothing here that could be measured."""
    plans = tmp_path / "plans"
    plans.write_text(json.dumps({"90m: a (--lr 1), b (--ngf '2 3')": 1234, "90m: a (--lr 1)": 9}))
    runs = {"b": config, "a": config}
    assert step_budget.steps_of("90m", runs, GIVEN, {}.get, plans, keep=True) == {
        "a": 1234,
        "b": 1234,
    }


def test_minutes_are_shared_by_all_runs(config, tmp_path):
    """A step of each takes 2 + 4 s, and there are 60 s: as many for all, kept only if asked for."""
    plans, runs = tmp_path / "new" / "plans", {"b": config, "a": config}
    seconds = {"a": 2.0, "b": 4.0}
    for keep in (False, True):
        found = step_budget.steps_of("1m", runs, GIVEN, seconds.__getitem__, plans, keep=keep)
        assert found == {"a": 10, "b": 10}
        assert plans.exists() == keep
    assert json.loads(plans.read_text()) == {"1m: a (--lr 1), b (--ngf '2 3')": 10}
    with pytest.raises(UserError, match=r"budget 0.05m is too short: .* 6\.0 s"):
        step_budget.steps_of("0.05m", runs, GIVEN, seconds.__getitem__, plans, keep=True)


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"90m: a": "many"}', '{"90m: a": 0}', '{"90m: a": Infinity}', '{"90m: a": null}'],
)
def test_plans_that_are_none(config, tmp_path, text):
    plans = tmp_path / "plans"
    plans.write_text(text)
    with pytest.raises(UserError, match="cannot be read"):
        step_budget.steps_of("90m", {"a": config}, GIVEN, {}.get, plans, keep=True)


def test_minutes_are_counted_anew_for_other_flags(config, tmp_path):
    plans, runs = tmp_path / "plans", {"a": config}
    for flags, seconds in ((("--ngf", "4"), 2), (("--ngf", "64"), 20), (("--ngf", "4"), 99)):
        found = step_budget.steps_of(
            "1m", runs, {"a": flags}, lambda _, s=seconds: s, plans, keep=True
        )
        assert found == {"a": 3 if flags[1] == "64" else 30}


def test_a_signal_while_measuring(tmp_path):
    """It ends what measures with the same code."""
    program = tmp_path / "is_killed.py"
    program.write_text("import os\nos.kill(os.getpid(), 15)\n")
    with pytest.raises(SystemExit) as ended:
        step_budget.seconds_a_step([str(program)], 1)
    assert ended.value.code == 143


def test_what_does_not_train_is_told(tmp_path):
    program = tmp_path / "fails.py"
    program.write_text("import sys\nprint('wrong', file=sys.stderr)\nsys.exit('worse')\n")
    with pytest.raises(UserError, match=r"^worse$"):
        step_budget.seconds_a_step([str(program)], 1)


def test_the_first_steps_are_not_counted(tmp_path):
    """Ten steps of four images in 20 s with the start, then thirty in 3."""
    rates = (4 * 10 / 20, 4 * 40 / 23)
    lines = [f"progress  epoch 1  step 9  image/sec {rate}" for rate in rates]
    program = tmp_path / "slow_start.py"
    program.write_text(f"print({chr(10).join(lines)!r})\n")
    assert step_budget.seconds_a_step([str(program)], 4) == pytest.approx(0.1)
