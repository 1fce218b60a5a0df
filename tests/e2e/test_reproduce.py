"""tools/reproduce.py: a table from nothing, what is not made again, and bad input."""

import json

import pytest
from PIL import Image

from .common import assert_refused, call, succeeded

SMALL = ("--", "--crop_size", 32, "--ngf", 2, "--ndf", 2, "--summary_freq", 0)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def flags(data, work):
    return ("facades", "--data", data, "--output_dir", work)


@pytest.fixture(scope="module")
def made(flags, work):
    """What is printed for one row, then for both."""
    one = succeeded(call("reproduce", *flags, "--budget", 3, "--rows", "L1", *SMALL))
    both = succeeded(call("reproduce", *flags, "--budget", 3, *SMALL))
    return one.stdout, both.stdout


def test_a_finished_row_is_not_made_again(made):
    one, both = made
    assert "done before" not in one
    assert [both.count(f"{stage}: done before") for stage in ("train", "test")] == [1, 1]
    assert both.count("evaluate facades: done before") == 1


def test_the_table_is_the_evaluations(made, work):
    text = (work / "facades" / "facades.md").read_text()
    assert text in made[1]
    assert "3 steps, batch 1, 32 pixels, ngf 2, ndf 2, fp32, preset paper" in text
    for name in ("L1", "L1+cGAN"):
        folder = work / "facades_BtoA" / name
        found = json.loads((folder / "evaluation-facades" / "evaluation.json").read_text())
        assert found["pictures"] == 7
        row = next(line for line in text.splitlines() if line.startswith(f"| {name} |"))
        wanted = ("l1", "psnr", "ssim", "histogram_l", "histogram_a", "histogram_b")
        values = [f"{found['figures'][figure]['value']:.3f}" for figure in wanted]
        assert row == f"| {name} | {' | '.join(values)} |"
        options = json.loads((folder / "options.json").read_text())
        assert (options["preset"], options["which_direction"]) == ("paper", "BtoA")
        assert options["gan_weight"] == (0 if name == "L1" else 1)
    record = json.loads((work / "facades" / "facades.json").read_text())
    assert [row["name"] for row in record["rows"]] == ["L1", "L1+cGAN"]


def test_the_figure_has_a_column_a_method(made, work, data):
    page = (work / "facades" / "index.html").read_text()
    for heading in ("input", "L1", "L1+cGAN", "ground truth"):
        assert f"<th>{heading}</th>" in page
    assert page.count("<img") == 4 * 7
    assert len(list((work / "facades" / "images").iterdir())) == 4 * 7
    with Image.open(work / "facades" / "figure.png") as figure:
        assert figure.width == 4 * 36 + 4


def test_an_unfinished_row_goes_on(made, flags, work):
    """What was not done, and what is made of it: here translation and evaluation."""
    path = work / "facades_BtoA" / "L1" / "row.json"
    record = json.loads(path.read_text())
    record["test"]["done"] = False
    path.write_text(json.dumps(record))
    done = succeeded(call("reproduce", *flags, "--budget", 3, "--rows", "L1", *SMALL)).stdout
    assert "train: done before" in done
    assert "test: python tools/test.py" in done
    assert "evaluate facades: python tools/evaluate.py" in done
    assert json.loads(path.read_text())["test"]["done"]


def test_dry_run_lists_commands_and_time(made, flags, work):
    before = sorted(work.rglob("*"))
    more = ("--budget", 5, "--rows", "L1", "--dry_run")
    done = succeeded(call("reproduce", *flags, *more, *SMALL)).stdout
    assert "== L1, seed 0: 5 steps, about 0 minutes" in done
    for program in ("train.py", "test.py", "evaluate.py"):
        assert f"python tools/{program} --" in done
    assert "--gan_weight 0" in done
    assert sorted(work.rglob("*")) == before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("--budget", "soon"), ("budget must be paper",)),
        (("--budget", "0"), ("budget must be paper",)),
        (("--budget", "3", "--rows", "L2"), ("rows must be of L1, L1+cGAN, not 'L2'",)),
        (("--budget", "3", "--seeds", "0"), ("seeds must be at least 1",)),
        (("--budget", "3", "--", "--max_steps", "9"), ("--max_steps is not for all rows",)),
        (("--budget", "3", "--", "--no_such_flag"), ("--no_such_flag",)),
        (("--budget", "3", "--", "--crop_size", "33"), ("crop_size must be a multiple",)),
    ],
)
def test_refuses(flags, change, words):
    assert_refused(call("reproduce", *flags, *change), *words)


def test_refuses_other_data(tmp_path):
    done = call("reproduce", "facades", "--data", tmp_path, "--budget", 3)
    assert_refused(done, "has no folder train")


def test_refuses_a_table_without_its_segmenter(data, tmp_path):
    (tmp_path / "val").mkdir()
    (tmp_path / "train").mkdir()
    done = call("reproduce", "table1", "--data", tmp_path, "--budget", 3)
    assert_refused(done, "table1 needs what reads labels off photos", "--segmenter")
