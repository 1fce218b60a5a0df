"""tools/reproduce.py --parallel and --devices: rows that run at the same time.

A real row takes seconds to import TensorFlow in each of its programs. Here `row_program.py` stands
for them. `test_reproduce.py` has the table of real rows.
"""

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time

import pytest
import tensorflow.compat.v1 as tf
from PIL import Image

from p2p_graph.cli.reproduce import parse
from p2p_graph.config import flags as config_flags
from p2p_graph.config.options_file import save_options
from p2p_graph.reproduction import row_stages
from p2p_graph.reproduction.reproduce import reproduce as reproduce_table
from p2p_graph.training.option_precedence import configure
from p2p_graph.utils import file_lock
from p2p_graph.utils.signals import STOPPING

from .common import ROOT, SMALL, assert_refused, call

SMALL = ("--", *SMALL, "--levels", 2)


class Work:
    """A folder of rows whose programs are row_program.py."""

    def __init__(self, data, folder):
        self.data, self.folder = data, folder
        self.control()
        (folder / "images").mkdir()
        for number, kind in enumerate(("inputs", "outputs", "targets")):
            Image.new("RGB", (32, 32), (9, 99, 70 * number)).save(folder / f"images/1-{kind}.png")

    def control(self, **what):
        """Says what the programs do from now on, and forgets what they did."""
        (self.folder / "control.json").write_text(json.dumps(what))
        (self.folder / "events").write_text("")

    def events(self):
        return (self.folder / "events").read_text().splitlines()

    def command(self, program):
        return [sys.executable, str(ROOT / "tests" / "cli" / "row_program.py"), program]

    def one_by_one(self, program, flags):
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.run([*self.command(program), *flags], env=env, check=False).returncode

    def reproduce(self, *args, table="facades", budget=8, out="out"):
        """Reproduces a table; returns the exit code and what was printed."""
        flags = ("--data", self.data, "--output_dir", self.folder / out, "--budget", budget)
        options = parse(list(map(str, (table, *flags, *args, *SMALL))))
        for run in row_stages.all_runs(options):  # training's options.json
            given = config_flags.given("train", "", (*run.train_flags, "--max_steps", str(budget)))
            save_options(configure(given), self.folder)
            (self.folder / "options.json").rename(self.folder / f"{run.folder.name}.json")
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            code = reproduce_table(options, self.one_by_one, self.command)
        return code, printed.getvalue()

    def row(self, name, table="facades_BtoA", out="out"):
        return self.folder / out / table / name

    def table(self, out):
        """The files of a table, by name, without seconds and the number of cores."""
        folder = self.folder / out / "facades"
        varies = re.compile(rb"L1 \d+, L1\+cGAN \d+|L1 \d+; L1\+cGAN \d+|CPU, \d+ cores?|\d\.\d\n")
        paths = [path for path in folder.rglob("*") if path.is_file()]
        return {path.relative_to(folder): varies.sub(b"", path.read_bytes()) for path in paths}


@pytest.fixture
def work(data, tmp_path, monkeypatch):
    monkeypatch.setenv("ROW_PROGRAM", str(tmp_path))
    return Work(data, tmp_path)


def test_the_table_of_rows_side_by_side_is_that_of_rows_one_after_the_other(work):
    code, _ = work.reproduce(out="one")
    assert code == 0
    work.control(together=2)
    code, printed = work.reproduce("--parallel", 2, out="two")
    assert code == 0, printed
    for name in ("L1", "L1+cGAN"):
        assert f"{name}, seed 0: train: python -m p2p_graph.cli.train " in printed
        assert f"\n{name}, seed 0: progress  epoch 2  step 3  image/sec 9.5" in printed
        log = (work.row(name, out="two") / "row.log").read_text()
        assert log.startswith("== python -m p2p_graph.cli.train ")
        assert "\nexamples count = 5" in log
    assert "examples count" not in printed
    one, two = work.table("one"), work.table("two")
    assert len(one) == 4 + 4
    assert one == two


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="only Linux has affinities")
def test_rows_share_the_cores(work):
    cores = sorted(os.sched_getaffinity(0))
    work.control(together=2)
    assert work.reproduce("--parallel", 2)[0] == 0
    logs = [(work.row(name) / "row.log").read_text() for name in ("L1", "L1+cGAN")]
    given = [re.search(r"^cores (.+)$", log, re.M)[1].split() for log in logs]
    if len(cores) == 1:
        assert given == [list(map(str, cores))] * 2
    else:
        assert sorted(map(int, given[0] + given[1])) == cores
    assert sorted(os.sched_getaffinity(0)) == cores
    record = json.loads((work.row("L1") / "row.json").read_text())
    count = len(given[0])
    assert record["train"]["hardware"].startswith(f"CPU, {count} core{'s' * (count > 1)}, ")


def test_a_row_that_fails_is_quoted_and_the_others_go_on(work):
    work.control(fails=["test.py", "L1"], together=2)
    code, printed = work.reproduce("--parallel", 5)
    assert code == 3
    assert "2 rows to run: 2 at once, not 5\n" in printed
    log = work.row("L1") / "row.log"
    lines = "".join(f"  line {number}\n" for number in range(10, 20))
    assert (
        "row L1, seed 0 ended with exit code 3; the same command continues it\n"
        f"{log} ends:\n{lines}" in printed
    )
    table = json.loads((work.folder / "out" / "facades" / "facades.json").read_text())
    assert [row["name"] for row in table["rows"]] == ["L1+cGAN"]
    work.control()
    code, printed = work.reproduce("--parallel", 2)  # what is done is not done again
    assert code == 0
    assert "1 row to run: 1 at once, not 2\n" in printed
    assert "L1+cGAN, seed 0: already done\n" in printed
    assert "L1, seed 0: train: already done\n" in printed
    began = [line for line in work.events() if line.startswith("begin")]
    assert began == ["begin test.py L1", "begin evaluate.py L1"]
    work.control()
    code, printed = work.reproduce()
    assert (code, work.events()) == (0, [])
    code, printed = work.reproduce("--parallel", 2)
    assert (code, work.events()) == (0, [])
    assert "at once" not in printed


@pytest.mark.parametrize(
    ("number", "taken_by_main"), [*((number, True) for number in STOPPING), (signal.SIGTERM, False)]
)
def test_one_signal_ends_all_rows_and_each_is_saved(work, number, taken_by_main):
    """A second one changes nothing. Then the rows go on one after the other.

    Where another thread takes the signal, the main thread's waiting is not interrupted.
    """
    assert work.reproduce("--rows", "L1")[0] == 0
    work.control(endless=True)

    def stop_when_both_train():
        latest = time.monotonic() + 20
        while len(work.events()) < 2 and time.monotonic() < latest:
            time.sleep(0.01)
        taker = threading.main_thread() if taken_by_main else threading.current_thread()
        for _ in range(1 + taken_by_main):
            signal.pthread_kill(taker.ident, number)
            time.sleep(0.1)

    thread = threading.Thread(target=stop_when_both_train)
    thread.start()
    code, printed = work.reproduce("--parallel", 2, "--seeds", 2)
    thread.join()
    assert code == 128 + number
    assert printed.endswith(
        f"stopped by {number.name}: what is trained is saved\nthe same command goes on from there\n"
    )
    assert "wrote" not in printed  # no table
    stopped = ["stopped train.py L1+cGAN", "stopped train.py L1-seed1"]
    assert sorted(work.events()[2:]) == stopped
    assert (work.row("L1+cGAN") / "row.log").read_text().endswith("saved\n")
    work.control()
    assert work.reproduce()[0] == 0
    assert work.events()[0] == "begin train.py L1+cGAN"


def test_another_program_at_a_row_does_not_end_the_others(work):
    work.row("L1").mkdir(parents=True)
    with file_lock.held(work.row("L1") / "row.lock"):
        code, printed = work.reproduce("--parallel", 2)
    assert code == 2
    assert (
        "row L1, seed 0 ended with exit code 2; the same command continues it: another" in printed
    )
    assert "end evaluate.py L1+cGAN" in work.events()


def test_real_photos_are_scored_by_another_row_if_the_first_fails(work, data):
    """As one after the other: it is evaluated again, once it is known that the first failed."""
    (work.folder / "streets").mkdir()
    (work.folder / "streets" / "train").symlink_to(data / "train")
    (work.folder / "streets" / "val").symlink_to(data / "test")
    module = work.folder / "one_class_of_all.py"
    module.write_text("def classes(photo):\n    return (photo.mean(2) > 99).astype(int)\n")
    work.data = work.folder / "streets"
    flags = ("--rows", "L1,cGAN", "--segmenter", "one_class_of_all:classes")
    flags = (*flags, "--palette", data / "palette.csv")
    work.control(fails=["train.py", "L1"], together=2)
    sys.path.append(str(work.folder))
    try:
        code, printed = work.reproduce(*flags, "--parallel", 2, table="table1")
    finally:
        sys.path.remove(str(work.folder))
        sys.modules.pop("one_class_of_all", None)
    assert code == 3
    assert work.events().count("end train.py cGAN") == 1
    assert work.events().count("end evaluate.py cGAN") == 2
    assert "| real photos | " in printed


def test_a_row_that_is_omitted_has_its_reason(work):
    assert work.reproduce("--parallel", 2)[0] == 0
    code, printed = work.reproduce("--rows", "L1", budget=9)
    assert code == 0
    assert (
        "omitted: L1+cGAN, seed 0 was trained with other flags: --max_steps 8, now --max_steps 9\n"
        in printed
    )


def test_features_of_the_targets_are_computed_once(work):
    """By the first evaluation, for which the other one waits."""
    with tf.Graph().as_default() as graph:
        images = tf.expand_dims(tf.zeros([8, 8, 3]), 0, name="ExpandDims")
        mean = tf.tile(tf.reshape(tf.reduce_mean(images), [1]), [2048])
        tf.reshape(mean, [1, 1, 1, 2048], name="pool_3")
    (work.folder / "graph.pb").write_bytes(graph.as_graph_def().SerializeToString())
    work.control(together=2, evaluation=1.5)
    code, printed = work.reproduce("--parallel", 2, "--inception", work.folder / "graph.pb")
    assert code == 0, printed
    evaluations = [line.split() for line in work.events() if "evaluate" in line]
    assert [what for what, *_ in evaluations] == ["begin", "end"] * 2


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--devices", "7"), "devices: there is no GPU 7: TensorFlow finds "),
        (("--devices", "0,x"), "devices must be numbers of GPUs, as in 0,1, not '0,x'"),
        (("--devices", ""), "devices must be numbers of GPUs, as in 0,1, not ''"),
        (("--devices", "1,1"), "devices names a GPU twice"),
        (("--devices", "0,1", "--parallel", "1"), "devices names 2 GPUs for 1 row at once"),
        (("--devices", "0", "--", "--device", "cpu"), "and --device cpu behind -- uses none"),
        (("--parallel", "0"), "parallel must be at least 1, not 0"),
        (("--parallel", "1048576"), "parallel must be at most 256"),
        (
            ("--parallel", "2", "--", "--crop_size", "4096", "--batch_size", "512"),
            "2 rows at once need about ",
        ),
    ],
)
def test_refuses_before_any_work(data, tmp_path, flags, words):
    out = tmp_path / "out"
    flags = ("facades", "--data", data, "--output_dir", out, "--budget", 3, *flags)
    assert_refused(call("reproduce", *flags), words)
    assert not out.exists()
