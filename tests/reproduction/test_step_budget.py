"""How many steps a table's rows get."""

import json

import numpy as np
import pytest
from PIL import Image

from p2p_graph.config.options import Options
from p2p_graph.data.image_sources import list_images
from p2p_graph.reproduction.reproduce_options import Budget
from p2p_graph.reproduction.step_budget import training_steps
from p2p_graph.reproduction.table_plan import paper_steps
from p2p_graph.utils.errors import UserError

# The flags of each run.
FLAGS = {"a": ("--lr", "1"), "b": ("--ngf", "2 3"), "one": (), "two": ()}


@pytest.fixture
def config(tmp_path):
    """Five pairs in batches of two, beside two files that are no images."""
    folder = tmp_path / "train"
    folder.mkdir()
    for number in range(5):
        Image.fromarray(np.zeros((8, 16, 3), np.uint8)).save(folder / f"{number}.png")
    for name in (".DS_Store", "README.txt"):
        (folder / name).write_text("not an image")
    return Options.of(input_dir=str(folder), recipe="facades", batch_size=2)


def steps_of(text, configs, plans, seconds_per_step=None, flags=FLAGS, save_plan=True):
    """Without `seconds_per_step`, a step that is measured is an error."""
    return training_steps(
        Budget(text),
        lambda name: paper_steps(
            configs[name], len(list_images(configs[name].data.source, single=False))
        ),
        {name: flags[name] for name in configs},
        seconds_per_step or {}.__getitem__,
        plans,
        save_plan=save_plan,
    )


def test_a_number_of_steps(config, tmp_path):
    plans = tmp_path / "plans"
    assert steps_of("70", {"a": config, "b": config}, plans) == {"a": 70, "b": 70}
    assert not plans.exists()


def test_the_papers_epochs_of_the_images_in_the_folder(config, tmp_path):
    """200 epochs of 3 batches; with one image in a batch, of 5 batches."""
    runs = {"two": config, "one": config.replace(batch_size=1)}
    assert steps_of("paper", runs, tmp_path / "plans") == {"two": 600, "one": 1000}


def test_stored_minutes_are_not_measured_again(config, tmp_path):
    plans = tmp_path / "plans"
    plans.write_text(json.dumps({"90m: a (--lr 1), b (--ngf '2 3')": 1234, "90m: a (--lr 1)": 9}))
    runs = {"b": config, "a": config}
    assert steps_of("90m", runs, plans) == {"a": 1234, "b": 1234}


def test_stored_minutes_of_a_project_that_was_moved(config, tmp_path):
    """The paths in the key are seen from the file; those of older files are absolute."""
    found = []
    for name in ("was", "now"):
        folder = tmp_path / name / "runs"
        flags = {folder / "one": ("--input_dir", str(tmp_path / name / "set"))}
        runs = dict.fromkeys(flags, config)
        if name == "now":
            (tmp_path / "was").rename(tmp_path / "now")
        seconds = {folder / "one": 6.0}.__getitem__ if name == "was" else None
        found.append([*steps_of("1m", runs, folder / "plans", seconds, flags=flags).values()])
    assert found == [[10], [10]]


def test_minutes_are_shared_by_all_runs(config, tmp_path):
    """A step of both runs takes 2 + 4 s: 10 steps each in 60 s. A plan is stored on request."""
    plans, runs = tmp_path / "new" / "plans", {"b": config, "a": config}
    seconds = {"a": 2.0, "b": 4.0}.__getitem__
    for save_plan in (False, True):
        found = steps_of("1m", runs, plans, seconds, save_plan=save_plan)
        assert found == {"a": 10, "b": 10}
        assert plans.exists() == save_plan
    assert json.loads(plans.read_text()) == {"1m: a (--lr 1), b (--ngf '2 3')": 10}
    with pytest.raises(UserError, match=r"budget 0.05m is too short: .* 6\.0 s"):
        steps_of("0.05m", runs, plans, seconds)


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "5", "null", "[" * 99_999),
        *('{"90m: a": "many"}', '{"90m: a": "5"}', '{"90m: a": 0}', '{"90m: a": -5}'),
        *('{"90m: a": Infinity}', '{"90m: a": null}', '{"90m: a": 5.5}', '{"90m: a": true}'),
        f'{{"90m: a": {10**30}}}',
    ],
    ids=lambda text: text[:20],
)
def test_refuses_damaged_plans(config, tmp_path, text):
    plans = tmp_path / "plans"
    plans.write_text(text)
    with pytest.raises(UserError, match="cannot be read"):
        steps_of("90m", {"a": config}, plans)


def test_plans_that_an_editor_has_saved_with_a_byte_order_mark(config, tmp_path):
    plans = tmp_path / "plans"
    plans.write_text('{"90m: a (--lr 1)": 7}', encoding="utf-8-sig")
    assert steps_of("90m", {"a": config}, plans) == {"a": 7}


def test_minutes_are_measured_again_for_other_flags(config, tmp_path):
    plans, runs = tmp_path / "plans", {"a": config}
    for flags, seconds in ((("--ngf", "4"), 2), (("--ngf", "64"), 20), (("--ngf", "4"), 99)):
        found = steps_of("1m", runs, plans, lambda _, s=seconds: s, {"a": flags})
        assert found == {"a": 3 if flags[1] == "64" else 30}
