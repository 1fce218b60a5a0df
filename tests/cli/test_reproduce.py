"""tools/reproduce.py: a table from nothing, what is not done again, and bad input.

A child process takes seconds to import TensorFlow. So `call` is for tests of the programs that the
rows start, and `reproduce` runs these programs in this process.
"""

import contextlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from p2p_graph.cli.reproduce import parse
from p2p_graph.reproduction.reproduce import reproduce as reproduce_table
from p2p_graph.utils import file_lock
from p2p_graph.utils.errors import UserError

from .common import SMALL, assert_refused, call, start, succeeded, tensors

# Too small for some rows' discriminators, which may not be set where rows differ in them.
UNFIT = ("--", *SMALL, "--levels", 2)
SMALL = (*UNFIT, "--discriminator", "patch16")
LINEAR = (*SMALL, "--lr_schedule", "linear")  # depends on how many steps there are in all
# A segmenter that calls everything dark background, and the rest facade.
SEGMENTER = "def classes(photo):\n    return (photo.mean(2) > 99).astype(int)\n"


def in_this_process(program, flags):
    """Runs a program of a row as `call` does, and shows what it prints as a child would."""
    done = call(program.removesuffix(".py"), *flags)
    sys.modules.pop("by_brightness", None)  # a child would import SEGMENTER again
    print(done.stdout, end="")
    print(done.stderr, end="", file=sys.stderr)
    return done.returncode


def reproduce(*args, cwd="."):
    """As `call("reproduce", ...)`, with the programs of the rows in this process, too."""
    argv, before = list(map(str, args)), Path.cwd()
    out, err = io.StringIO(), io.StringIO()
    try:
        os.chdir(cwd)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = reproduce_table(parse(argv), in_this_process)
    finally:
        os.chdir(before)
    return subprocess.CompletedProcess(argv, code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def flags(data, work):
    return ("facades", "--data", data, "--output_dir", work)


@pytest.fixture(scope="module")
def made(flags, work):
    """What is printed for one row, then for both."""
    one = succeeded(reproduce(*flags, "--budget", 3, "--rows", "L1", *LINEAR))
    both = succeeded(reproduce(*flags, "--budget", 3, *LINEAR))
    return one.stdout, both.stdout


def test_a_finished_row_is_not_made_again(made):
    one, both = made
    assert "already done" not in one
    assert [both.count(f"{stage}: already done") for stage in ("train", "test")] == [1, 1]
    assert both.count("evaluate facades: already done") == 1


def test_a_project_that_was_moved_goes_on(made, data, work, tmp_path):
    """Data and rows lie as before, seen from each other; rows name both by absolute paths."""
    start = Path(os.path.commonpath([data, work]))
    for folder in (data, work):
        shutil.copytree(folder, tmp_path / folder.relative_to(start))
    moved = tmp_path / data.relative_to(start)
    into = ("--output_dir", tmp_path / work.relative_to(start), "--budget", 3, *LINEAR)
    # A copy beside what may be another data set is refused.
    with pytest.raises(UserError, match="made with other options: input_dir"):
        reproduce("facades", "--data", moved, *into)
    away = data.with_name("away")
    data.rename(away)
    try:
        out = succeeded(reproduce("facades", "--data", moved, *into)).stdout
    finally:
        away.rename(data)
    assert out.count("already done") == made[1].count("already done") + 3


def test_the_table_is_the_evaluations(made, work):
    text = (work / "facades" / "facades.md").read_text()
    assert text in made[1]
    assert "3 steps, batch 1, 32 pixels, ngf 2, ndf 2, fp32, preset paper" in text
    for name in ("L1", "L1+cGAN"):
        folder = work / "facades_BtoA" / name
        found = json.loads((folder / "evaluation-facades" / "evaluation.json").read_text())
        assert found["images"] == 7
        row = next(line for line in text.splitlines() if line.startswith(f"| {name} |"))
        wanted = ("l1", "psnr", "ssim", "histogram_l", "histogram_a", "histogram_b")
        values = [f"{found['figures'][figure]['value']:.3f}" for figure in wanted]
        assert row == f"| {name} | {' | '.join(values)} |"
        options = json.loads((folder / "options.json").read_text())
        assert (options["preset"], options["which_direction"]) == ("paper", "BtoA")
        assert options["gan_weight"] == (0 if name == "L1" else 1)
    record = json.loads((work / "facades" / "facades.json").read_text())
    assert [row["name"] for row in record["rows"]] == ["L1", "L1+cGAN"]


def test_the_table_is_on_disk_before_it_is_printed(made, flags, work):
    (work / "facades" / "index.html").unlink()
    found = []

    class Reader(io.StringIO):
        def write(self, text):
            if "| L1 |" in text:
                found.append((work / "facades" / "index.html").exists())
            return super().write(text)

    with contextlib.redirect_stdout(Reader()):
        argv = [*map(str, flags), "--budget", "3", *map(str, LINEAR)]
        assert reproduce_table(parse(argv), in_this_process) == 0
    assert found == [True]


def test_the_figure_has_a_column_a_method(made, work, data):
    page = (work / "facades" / "index.html").read_text()
    for heading in ("input", "L1", "L1+cGAN", "ground truth"):
        assert f"<th>{heading}</th>" in page
    assert page.count("<img") == 4 * 7
    assert len(list((work / "facades" / "images").iterdir())) == 4 * 7
    with Image.open(work / "facades" / "figure.png") as figure:
        assert figure.width == 4 * 36 + 4


def test_rows_side_by_side_make_the_same_table(made, flags, work, tmp_path):
    """Of real rows, which have a share of the cores. What is written of times and cores differs."""
    succeeded(reproduce(*flags, "--budget", 3, *LINEAR))
    beside = (*flags[:-1], tmp_path, "--budget", 3, "--parallel", 2, *LINEAR)
    printed = succeeded(call("reproduce", *beside)).stdout
    assert "L1, seed 0: evaluate facades: python -m p2p_graph.cli.evaluate " in printed
    tables = [folder / "facades" for folder in (work, tmp_path)]
    times = re.compile(rb"CPU, \d+ cores?|L1 [^;\n]+; L1\+cGAN \d+|(?<= )\d+\.\d\n")
    one, two = (
        {path.name: times.sub(b"", path.read_bytes()) for path in folder.rglob("*.*")}
        for folder in tables
    )
    assert len(one) == 4 + 4 * 7
    assert one == two


def test_a_row_that_failed_goes_on(made, flags, work):
    """First the table has the other row only; then the failed stage and its followers are run."""
    path = work / "facades_BtoA" / "L1" / "row.json"
    record = json.loads(path.read_text())
    record["test"]["done"] = False
    record["evaluate another"] = record["evaluate facades"]  # of another table
    path.write_text(json.dumps(record))
    in_the_way = work / "facades_BtoA" / "L1" / "made"
    shutil.rmtree(in_the_way)
    in_the_way.write_text("not a folder")
    failed = reproduce(*flags, "--budget", 3, *LINEAR)
    assert failed.returncode == 2
    assert "row L1 ended with exit code 2; the same command continues it" in failed.stdout
    assert "== row 2 of 2" in failed.stdout
    table = json.loads((work / "facades" / "facades.json").read_text())
    assert [row["name"] for row in table["rows"]] == ["L1+cGAN"]
    in_the_way.unlink()
    # As if the row had been killed in training and then resumed: the time is unknown.
    record = json.loads(path.read_text())
    record["train"]["seconds"] = None
    path.write_text(json.dumps(record))
    other = work / "facades_BtoA" / "L1+cGAN" / "row.json"
    text = other.read_text()
    other.write_text(text.replace('"reads": "', '"reads": "other'))
    done = succeeded(reproduce(*flags, "--budget", 3, "--rows", "L1", *LINEAR))
    assert "seconds of training: L1 unknown\n" in done.stdout.replace("  \n", "\n")
    assert "omitted: L1+cGAN, seed 0 was trained on other images\n" in done.stdout
    assert "train: already done" in done.stdout
    assert "test: python -m p2p_graph.cli.test " in done.stdout
    assert "evaluate facades: python -m p2p_graph.cli.evaluate " in done.stdout
    record = json.loads(path.read_text())
    assert record["test"]["done"]
    # The other table's evaluation is of the old images.
    assert sorted(record) == ["evaluate facades", "test", "train"]
    other.write_text(text)
    both = succeeded(reproduce(*flags, "--budget", 3, *LINEAR))
    assert "omitted" not in both.stdout
    assert both.stdout.count("already done") == 6


@contextlib.contextmanager
def signalled(number, ready):
    """Sends the main thread a signal once `ready()` holds within the context."""
    over = threading.Event()

    def send():
        while not ready():
            if over.wait(0.02):
                return
        signal.pthread_kill(threading.main_thread().ident, number)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_an_interrupted_row_is_saved(data, tmp_path):
    flags = ("facades", "--data", data, "--output_dir", tmp_path, "--rows", "L1")
    folder = tmp_path / "facades_BtoA" / "L1"

    def has_trained():
        losses = folder / "losses.jsonl"
        return losses.exists() and losses.read_bytes().count(b"\n") >= 10

    with signalled(signal.SIGTERM, has_trained):  # the program alone, which passes the signal on
        done = call("reproduce", *flags, "--budget", 10**6, *SMALL)
    assert done.returncode == 143
    assert "row L1 ended with exit code 143; the same command continues it" in done.stdout
    train = json.loads((folder / "row.json").read_text())["train"]
    assert not train["done"]
    assert train["seconds"] > 0
    steps = tensors(folder)["global_step"]
    assert steps >= 10
    message = (
        f"L1 has {steps} steps already, more than the 2 of this budget: give as many (--budget"
    )
    assert_refused(call("reproduce", *flags, "--budget", 2, *SMALL), message)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child")
def test_training_is_saved_and_ends_when_the_program_is_killed(data, tmp_path):
    flags = ("facades", "--data", data, "--output_dir", tmp_path, "--rows", "L1")
    program = start("reproduce", *flags, "--budget", 10**6, *SMALL, "--progress_freq", 10)
    with program:
        for line in program.stdout:
            if line.startswith("progress"):
                program.kill()
                break
        killed = time.monotonic()
        rest = program.stdout.read()  # ends once the row's program has
    assert time.monotonic() - killed < 10
    stopped = re.search(r"^stopped by SIGTERM after step (\d+) of", rest, re.MULTILINE)
    assert tensors(tmp_path / "facades_BtoA" / "L1")["global_step"] == int(stopped[1]) >= 10


def test_sigint_to_the_program_alone(data, tmp_path):
    """No terminal sends the signal to the row's program, too."""
    began = tmp_path / "facades_BtoA" / "L1" / "options.json"
    flags = ("facades", "--data", data, "--output_dir", tmp_path, "--budget", 10**6)
    with signalled(signal.SIGINT, began.exists):
        done = call("reproduce", *flags, *SMALL)
    assert done.returncode == 130
    assert "row L1 ended with exit code 130" in done.stdout
    assert "row 2 of 2" not in done.stdout
    assert tensors(began.parent)["global_step"] > 0


def test_one_program_at_a_row(made, flags, work):
    with file_lock.held(work / "facades_BtoA" / "L1" / "row.lock"):
        done = call("reproduce", *flags, "--budget", 3, *LINEAR)
    assert_refused(done, "another program is at work in", "L1: wait for it, or stop it")


def test_measuring_ends_with_the_program(data, tmp_path):
    """A signal leaves no process behind."""
    flags = ("facades", "--data", data, "--output_dir", tmp_path / "work", "--budget", "9m")
    with start("reproduce", *flags, *SMALL, start_new_session=True) as program:
        assert program.stdout.readline().startswith("measuring")
        time.sleep(0.5)  # its child is there
        program.terminate()
        program.stdout.read()
    assert program.returncode == 143
    with pytest.raises(ProcessLookupError):
        os.killpg(program.pid, 0)
    assert not (tmp_path / "work").exists()


def test_tables_share_runs(data, tmp_path):
    """A run that one table trains further is evaluated again for the other table."""
    (tmp_path / "streets").mkdir()
    (tmp_path / "streets" / "train").symlink_to(data / "train")
    (tmp_path / "streets" / "val").symlink_to(data / "test")
    (tmp_path / "by_brightness.py").write_text(SEGMENTER)
    shared = ("--data", "streets", "--output_dir", "work", "--rows", "cGAN", "--budget")
    evaluator = ("--segmenter", "by_brightness:classes", "--palette", data / "palette.csv")

    def made(table, steps, *flags):
        done = succeeded(reproduce(table, *shared, steps, *flags, *UNFIT, cwd=tmp_path))
        record = json.loads((tmp_path / "work" / table / f"{table}.json").read_text())
        return done.stdout, record

    _, before = made("figure7", 2)
    printed, scores = made("table1", 4, *evaluator)
    for text in ("not FCN-8s", "| real photos | ", " / 0.57 ("):
        assert text in printed
    photos = scores["rows"][0]["figures"]["photos_pixel_accuracy"]
    assert 0 < photos < 1
    real, row = scores["real photos"], scores["rows"][0]
    assert real["figures"]["fcn_pixel_accuracy"] == photos
    assert real["difference"]["fcn_pixel_accuracy"] == photos - 0.8
    assert row["difference"]["fcn_class_iou"] == row["figures"]["fcn_class_iou"] - 0.16
    printed, after = made("figure7", 4)
    assert "train: already done" in printed
    assert "test: already done" in printed
    assert "evaluate figure7: already done" not in printed
    assert [one["rows"][0]["options"][0]["max_steps"] for one in (before, after)] == [2, 4]
    assert before["rows"][0]["figures"] != after["rows"][0]["figures"]
    printed, seeds = made("table1", 4, *evaluator, "--seeds", 2)
    assert printed.count("train: already done") == 1
    assert [one["seed"] for one in seeds["rows"][0]["options"]] == [0, 1]
    assert seeds["rows"][0]["figures"]["photos_pixel_accuracy"] == photos
    assert seeds["rows"][0]["figures"]["l1"] != scores["rows"][0]["figures"]["l1"]
    assert " (± " in printed
    # Another segmenter: one table does not mix the scores of two.
    (tmp_path / "by_brightness.py").write_text(SEGMENTER.replace("99", "150"))
    printed, other = made("table1", 4, *evaluator)
    assert "evaluate table1: already done" not in printed
    assert other["real photos"]["figures"] != scores["real photos"]["figures"]
    assert [len(row["options"]) for row in other["rows"]] == [1]
    # If the row that scores the real photos fails, the next row scores them.
    folder = tmp_path / "work" / "cityscapes_BtoA"
    shutil.rmtree(folder / "cGAN" / "made")
    (folder / "L1").mkdir()
    (folder / "L1" / "made").write_text("in the way")
    shared = (*shared[:-2], "cGAN,L1", "--budget")
    both = reproduce("table1", *shared, 4, *evaluator, *UNFIT, cwd=tmp_path)
    assert both.returncode == 2
    assert "row L1 ended with exit code 2" in both.stdout
    assert "| real photos | " in both.stdout
    (folder / "L1" / "made").unlink()
    # And other images.
    (tmp_path / "streets" / "val").unlink()
    (tmp_path / "streets" / "val").symlink_to(data / "train")
    printed, _ = made("figure7", 4)
    assert printed.count("train: already done") == 2
    assert "test: already done" not in printed
    assert "test images: 5" in printed
    # Training is not resumed on other images.
    (tmp_path / "streets" / "train").unlink()
    (tmp_path / "streets" / "train").symlink_to(data / "test")
    done = call("reproduce", "figure7", *shared, 5, *UNFIT, cwd=tmp_path)
    assert_refused(done, "L1 was trained on other images: restore them, or name another")


def test_dry_run_lists_commands_and_time(data, tmp_path):
    """In a minute for two seeds, a step is measured once, and each seed gets half of the time.

    Also with flags behind -- that do not fit the measurement's own numbers of steps.
    """
    work = tmp_path / "work"
    flags = ("--data", data, "--output_dir", work, "--budget", "1m", "--rows", "L1", "--seeds", 2)
    done = succeeded(
        call("reproduce", "facades", *flags, "--dry_run", *SMALL, "--steps_per_run", 25)
    )
    assert done.stdout.count("measuring") == 1
    rows = re.findall(r"^== L1, seed (\d): (\d+) steps, about (\d) minutes$", done.stdout, re.M)
    assert [seed for seed, *_ in rows] == ["0", "1"]
    assert rows[0][1] == rows[1][1] != "0"
    assert done.stdout.endswith("2 rows, about 0.0 hours of training\n")
    commands = [line for line in done.stdout.splitlines() if line.startswith("python ")]
    for program in ("train", "test", "evaluate"):
        start_of = f"python -m p2p_graph.cli.{program} --"
        assert sum(line.startswith(start_of) for line in commands) == 2
    assert f"--max_steps {rows[0][1]} " in done.stdout
    assert not work.exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("--budget", "soon"), ("budget must be paper",)),
        (("--budget", "0"), ("budget must be paper",)),
        (("--budget", "3", "--rows", "L2"), ("rows must be of L1, L1+cGAN, not 'L2'",)),
        (("--budget", "9" * 5000), ("budget must be paper, a number of steps up to",)),
        (("--budget", "9" * 400 + "m"), ("budget must be paper",)),
        (("--budget", "3", "--seeds", "0"), ("seeds must be 1 to 1000, not 0",)),
        (("--budget", "3", "--seeds", "1048576"), ("seeds must be 1 to 1000, not 1048576",)),
        (("--budget", "3", "--", "--max_steps", "9"), ("--max_steps is not for all rows",)),
        (("--budget", "3", "--", "--gan_weight", "7"), ("--gan_weight is not for all rows",)),
        (("--budget", "3", "--", "--save_freq", "0"), ("--save_freq 0 behind -- keeps no",)),
        (("--budget", "2", *LINEAR), ("made with other options: max_steps (was 3, now 2)",)),
        (("--budget", "3"), ("was made with other options: crop_size (was 32, now 256)",)),
        (("--budget", "3", "--segmenter", "a:b"), ("segmenter is for tables of FCN-scores",)),
        (("--budget", "3", "--palette", "facades"), ("palette is for tables of labels",)),
        (("--budget", "3", "--inception", "no.pb"), ("inception no.pb cannot be read",)),
        (("--budget", "3", "--", "--no_such_flag"), ("--no_such_flag",)),
        (("--budget", "3", "--", "--crop_size", "33"), ("row L1: crop_size must be a multiple",)),
    ],
)
def test_refuses(made, flags, change, words):
    assert_refused(call("reproduce", *flags, *change), *words)


@pytest.mark.parametrize("text", ["[]", '{"train": 5}', '{"train": {"seconds": "x"}}', "{", "x"])
def test_refuses_damaged_records(made, flags, work, text):
    """Before any row is run, also if another row is requested."""
    path = work / "facades_BtoA" / "L1+cGAN" / "row.json"
    before = path.read_text()
    path.write_text(text)
    try:
        done = call("reproduce", *flags, "--budget", 3, "--rows", "L1", *LINEAR)
        assert_refused(done, str(path))
        assert "== row" not in done.stdout
    finally:
        path.write_text(before)


@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        (
            "evaluation",
            lambda found: [],
            ["is not what tools/evaluate.py writes: remove ", "/evaluation-facades, and run"],
        ),
        ("evaluation", lambda found: found | {"figures": [1]}, ["is not what tools/evaluate.py"]),
        ("evaluation", lambda found: found | {"images": "7"}, ["is not what tools/evaluate.py"]),
        ("evaluation", lambda found: found | {"notes": None}, ["is not what tools/evaluate.py"]),
        ("evaluation", lambda found: found | {"figures": {}}, ["lacks the figure"]),
        ("evaluation", lambda found: figure(found, value="many"), ["is not what tools/evalu"]),
        ("evaluation", lambda found: figure(found, value=10**400), ["is not what tools/evalu"]),
        ("evaluation", lambda found: figure(found, value=True), ["is not what tools/evaluate"]),
        ("evaluation", lambda found: figure(found, interval_95=[1]), ["is not what tools/eval"]),
        ("evaluation", lambda found: figure(found, interval_95="ab"), ["is not what tools/eval"]),
        ("row", lambda found: found | {"train": entry(found, seconds=10**400)}, ["remove it"]),
        ("row", lambda found: found | {"train": entry(found, seconds=True)}, ["remove it"]),
        ("row", lambda found: found | {"train": entry(found, command=[5])}, ["remove it"]),
        ("row", lambda found: found | {"\nx": entry(found)}, ["remove it"]),
    ],
)
def test_refuses_damaged_results(made, flags, work, file, change, words):
    """Of a finished row, when the table is written again."""
    folder = work / "facades_BtoA" / "L1+cGAN"
    path = folder / ("row.json" if file == "row" else "evaluation-facades/evaluation.json")
    before = path.read_text()
    path.write_text(json.dumps(change(json.loads(before))))
    try:
        with pytest.raises(UserError, match=re.escape(str(path))) as raised:
            reproduce(*flags, "--budget", 3, *LINEAR)
    finally:
        path.write_text(before)
    assert "\n" not in str(raised.value)
    for word in words:
        assert word in str(raised.value)


def test_refuses_an_evaluation_of_another_translation(made, flags, work):
    """As of `test.py` and `evaluate.py` run by hand in a row's folder."""
    folder = work / "facades_BtoA" / "L1+cGAN"
    path = folder / "evaluation-facades" / "evaluation.json"
    before = path.read_text()
    path.write_text(json.dumps(figure(json.loads(before), value=0.5)))
    try:
        with pytest.raises(UserError) as raised:
            reproduce(*flags, "--budget", 3, *LINEAR)
    finally:
        path.write_text(before)
    assert str(raised.value).startswith(f"{path} is not the evaluation that this command made: ")
    assert f"remove the folder {folder / 'made'}, and run the same" in str(raised.value)


def remove(path):
    path.unlink()


def empty(path):
    path.write_bytes(b"")


def shrink(path):
    Image.new("RGB", (16, 16)).save(path)


@pytest.mark.parametrize(
    ("kind", "damage", "words"),
    [
        ("outputs", remove, ["holds 6 translated images, and 7 were evaluated"]),
        ("inputs", remove, ["-inputs.png does not exist"]),
        ("outputs", empty, ["holds images that were changed since they were evaluated"]),
        ("targets", shrink, ["holds images that were changed since they were evaluated"]),
    ],
)
def test_refuses_damaged_translations(made, flags, work, kind, damage, words):
    results = work / "facades_BtoA" / "L1" / "made"
    path = min((results / "images").glob(f"*-{kind}.png"))
    before = path.read_bytes()
    damage(path)
    try:
        with pytest.raises(UserError) as raised:
            reproduce(*flags, "--budget", 3, *LINEAR)
    finally:
        path.write_bytes(before)
    for word in (*words, f"remove the folder {results}, and run the same command again"):
        assert word in str(raised.value)


@pytest.mark.parametrize(
    "name", ["facades.json", "facades.md", "figure.png", "index.html", "images"]
)
def test_refuses_files_of_a_person(data, tmp_path, name):
    path = tmp_path / "facades" / name
    path.parent.mkdir()
    path.write_text("{}")
    done = call("reproduce", "facades", "--data", data, "--output_dir", tmp_path, "--budget", 3)
    assert_refused(done, f"{path} is in the way: it is not what tools/reproduce.py writes")
    assert path.read_text() == "{}"


def test_files_of_a_person_among_the_images_of_a_table_stay(made, flags, work):
    path = work / "facades" / "images" / "notes.txt"
    path.write_text("mine")
    succeeded(reproduce(*flags, "--budget", 3, *LINEAR))
    assert path.read_text() == "mine"
    path.unlink()


def figure(found, **changed):
    return found | {"figures": found["figures"] | {"l1": found["figures"]["l1"] | changed}}


def entry(found, **changed):
    return found["train"] | changed


def test_refuses_what_does_not_fit(data, tmp_path):
    """Before anything is trained; but rows that are not requested may not fit."""
    for name, part in (("train", "train"), ("val", "test")):
        (tmp_path / name).symlink_to(data / part)
    flags = ("--data", tmp_path, "--output_dir", tmp_path / "work", "--budget", 3)
    done = call("reproduce", "table6", *flags, *UNFIT)
    assert_refused(done, "palette cityscapes does not fit the labels in", "val")
    done = call("reproduce", "table3", *flags, "--rows", "1x1", *UNFIT)
    assert_refused(done, "table3 needs a network that reads labels off photos")
    done = call("reproduce", "table3", *flags, "--segmenter", "a:b", *UNFIT)
    assert_refused(done, "row 286x286: crop_size must be at least 96")
    assert not (tmp_path / "work").exists()


def test_refuses_several_hosts(monkeypatch, data, tmp_path):
    """The programs of a row would wait for processes that nobody starts."""
    task = {"cluster": {"worker": ["one:1", "two:2"]}, "task": {"type": "worker", "index": 1}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(task))
    flags = ("--data", data, "--output_dir", tmp_path / "work", "--budget", 2, *SMALL)
    done = call("reproduce", "facades", *flags)
    assert_refused(done, "TF_CONFIG names several processes", "unset TF_CONFIG")
    assert not (tmp_path / "work").exists()


def test_refuses_data_of_other_channels(tmp_path):
    for part in ("train", "test"):
        (tmp_path / "bands" / part).mkdir(parents=True)
        np.save(tmp_path / "bands" / part / "1.npy", np.zeros((32, 64, 5), np.uint8))
    with pytest.raises(
        UserError, match=r"are of RGB images, and .* has others \(input_channels 5, "
    ):
        reproduce(
            "facades", "--data", tmp_path / "bands", "--output_dir", tmp_path / "out",
            "--budget", 2, *SMALL,
        )  # fmt: skip
    assert not (tmp_path / "out" / "facades_BtoA").exists()


def test_refuses_other_data(tmp_path):
    done = call("reproduce", "facades", "--data", tmp_path, "--budget", 3)
    assert_refused(done, "has no folder train")
