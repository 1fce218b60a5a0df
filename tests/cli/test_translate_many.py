"""tools/translate_many.py: shards by workers of Ray, with the images of tools/test.py.

Reading and writing are tested without Ray, by a process that starts as a worker does.
"""

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tensorflow as tf

from p2p_graph.cli import translate_many
from p2p_graph.config.data_options import ImageSource
from p2p_graph.data.packed.tfrecord_shards import list_packed_images, stored_files
from p2p_graph.inference.bulk.translate_many import ManyOptions
from p2p_graph.inference.bulk.translate_many import translate_many as translate_images
from p2p_graph.inference.bulk.work_shards import Columns
from p2p_graph.runtime import memory_check
from p2p_graph.utils import signals
from p2p_graph.utils.errors import UserError

from .common import ROOT, assert_refused, call, environment, run, start, succeeded

HAS_PYARROW = importlib.util.find_spec("pyarrow") is not None
HAS_RAY = HAS_PYARROW and importlib.util.find_spec("ray") is not None
needs_ray = pytest.mark.skipif(not HAS_RAY, reason="Ray is not installed (the extra ray)")
# Translates a folder by tools/test.py, then sources by a worker's translator, as JSON says.
_WORK = """
import json, sys
from pathlib import Path
from p2p_graph.cli import test
from p2p_graph.config.data_options import ImageSource
from p2p_graph.inference.bulk.shard_translator import ShardTranslator, WorkerSetup
from p2p_graph.inference.bulk.work_shards import Columns, WorkShard, list_work
from p2p_graph.inference.find_model import find_model

model, flags, jobs = json.loads(sys.argv[1])
test.main(flags)
columns = Columns("image", "name")
for source, form, single, folder in jobs:
    (Path(folder) / "done").mkdir(parents=True)
    size = 3
    work = list_work(
        ImageSource(**source), columns, size, single=single, b_is_input=False
    )
    weights = find_model(Path(model), {}, None).weights()
    setup = WorkerSetup(
        model, weights, "cpu", "fp32", 0, None, None, single, columns, folder, form,
        len(work.shards), 2,
    )
    translator = ShardTranslator(setup)
    for shard in work.shards:
        done = translator.translate(WorkShard.from_json(shard.to_json()))
        assert translator.translate(shard) == done
    translator.close()
try:
    ShardTranslator(setup._replace(checkpoint=model + "9"))
except ValueError as error:
    print(error)
(Path(folder) / "done" / "00000-of-00003.json").unlink()
(Path(folder) / "done" / "00000-of-00003.attempts").write_bytes(b".....")
try:
    translator.translate(work.shards[0])
except ValueError as error:
    print(error)
"""


@pytest.fixture(scope="module")
def sources(data, tmp_path_factory):
    """The test images in each form of a source, by its name: options and whether it is single."""
    folder = tmp_path_factory.mktemp("sources")
    succeeded(
        call(
            "pack_records",
            "--input_dir",
            data / "test",
            "--output_dir",
            folder / "records",
            "--pairs_per_shard",
            4,
        )
    )
    inputs = folder / "inputs"
    inputs.mkdir()
    lines = ["input"]
    for path in sorted((data / "test").iterdir()):
        left = tf.io.decode_image(path.read_bytes())[:, :32]
        tf.io.write_file(str(inputs / path.name), tf.io.encode_png(left))
        lines.append(f"inputs/{path.name}")
    (folder / "list.csv").write_text("\n".join(lines))
    found = {
        "folder": ({"input_dir": str(data / "test")}, False),
        "records": ({"input_dir": str(folder / "records")}, False),
        "list": ({"manifest": str(folder / "list.csv")}, True),
    }
    if HAS_PYARROW:
        from p2p_graph.inference.bulk import parquet_files

        rows = [(path.name, path.read_bytes()) for path in sorted((data / "test").iterdir())]
        (folder / "tables").mkdir()
        parquet_files.write(folder / "tables" / "a.parquet", rows[:5])
        parquet_files.write(folder / "tables" / "b.parquet", rows[5:])
        found["parquet"] = ({"input_dir": str(folder / "tables")}, False)
    return found


FORMS = {"folder": "files", "records": "tfrecord", "list": "files", "parquet": "parquet"}


def made_without_ray(data, model, sources, folder):
    """Lets a worker's translator make folders, by source, and tools/test.py one, called test."""
    jobs = [
        (options, FORMS[name], single, str(folder / name))
        for name, (options, single) in sources.items()
    ]
    flags = ["--input_dir", data / "test", "--checkpoint", model, "--output_dir", folder / "test"]
    given = json.dumps([str(model / "model-4"), [str(flag) for flag in flags], jobs])
    done = subprocess.run(
        [sys.executable, "-c", _WORK, given],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**environment(), "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""},
    )
    assert done.returncode == 0, done.stderr
    assert "workers have died on it 5 times" in done.stdout
    assert "model-49 has gone since the run began, as training keeps the newest" in done.stdout


def outputs_of(folder):
    """The outputs of tools/test.py by name."""
    return {path.name: path.read_bytes() for path in folder.rglob("*-outputs.png")}


def outputs_in(folder):
    """The outputs in all shards of files, by name."""
    return {path.name: path.read_bytes() for path in folder.glob("outputs-*/*.png")}


def test_every_source_and_form(data, model, sources, tmp_path):
    """In one test, since a process of its own makes them; shards cross those of the source."""
    made_without_ray(data, model, sources, tmp_path)
    outputs = outputs_of(tmp_path / "test")
    assert len(outputs) == 7
    for source in ("folder", "list"):
        assert outputs_in(tmp_path / source) == outputs
        folders = sorted(path.name for path in (tmp_path / source).glob("outputs-*"))
        assert folders == [f"outputs-0000{number}-of-00003" for number in range(3)]
    images = list_packed_images(tmp_path / "records")  # as the programs take them
    assert [(image.width, image.height) for image in images] == [(32, 32)] * 7
    found = {image.path.stem: stored_files(image)[0] for image in images}
    assert {f"{name}-outputs.png": contents for name, contents in found.items()} == outputs
    if HAS_PYARROW:
        wanted = {name.replace("-outputs", ""): contents for name, contents in outputs.items()}
        assert rows_in(tmp_path / "parquet") == wanted


def rows_in(folder):
    """The images in Parquet files, by name."""
    from p2p_graph.inference.bulk import parquet_files

    found = {}
    for path in sorted(folder.glob("*.parquet")):
        rows = parquet_files.count_rows(path, "image", "name")
        found |= dict(parquet_files.read_rows(path, 0, rows, "image", "name"))
    return found


@pytest.mark.skipif(HAS_RAY, reason="Ray is installed")
def test_without_ray(data, model, tmp_path):
    where = ("--input_dir", data / "test", "--output_dir", tmp_path / "out")
    done = call("translate_many", *where, "--checkpoint", model)
    assert_refused(done, "Ray is not installed: pip install -c constraints.txt -e '.[ray]'")


@pytest.mark.parametrize("address", ["local", "ray://127.0.0.1:10001"])
def test_an_address_that_is_of_no_cluster(address):
    """Before Ray is started: it need not be installed."""
    images = ("--input_dir", "images", "--checkpoint", "model", "--output_dir", "out")
    done = call("translate_many", *images, "--address", address)
    assert_refused(done, f"address '{address}' must be HOST:PORT of the head of a Ray cluster")


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ("33", "crop_size must be a multiple of 4, as the generator has 2 levels: 33 is not"),
        ("40x34", "crop_size must be a multiple of 4"),
        ("65536", "images of this size need about .* try a smaller --crop_size"),
    ],
)
def test_a_size_that_no_image_can_have(data, model, tmp_path, monkeypatch, size, message):
    """Refused before Ray starts, as it would be the failure of every image."""
    monkeypatch.setattr(memory_check, "_machine_memory", lambda: 2**30)
    options = ManyOptions(
        checkpoint=model,
        step=None,
        source=ImageSource(input_dir=str(data / "test")),
        columns=Columns(),
        inputs_only=False,
        folder=tmp_path / "out",
        form="files",
        shard_size=1000,
        size=size,
        seed=0,
        dropout=None,
        precision="fp32",
        device="auto",
        workers=None,
        address=None,
    )
    with pytest.raises(UserError, match=message):
        translate_images(options)
    assert not (tmp_path / "out").exists()


def test_how_the_process_with_ray_ends():
    """Whatever Ray does with a signal, this program has the exit code of all others."""

    def end(code):
        return translate_many.run_to_end([sys.executable, "-c", f"import os, sys; {code}"])

    assert end("sys.exit(2)") == 2
    with pytest.raises(UserError, match="Ray has ended, as when a machine or the cluster goes; "):
        end("os._exit(1)")  # as Ray's C++ code does
    with pytest.raises(signals.Interrupted) as error:
        end("os.kill(os.getpid(), 15)")
    assert signals.ending_of(error.value) == ("stopped by SIGTERM", 143)
    with pytest.raises(UserError, match="was ended by SIGABRT; the same command goes on"):
        end("os.abort()")
    with pytest.raises(UserError, match="was ended by SIGKILL, as by a lack of memory"):
        end("os.kill(os.getpid(), 9)")


def test_an_error_of_the_program_is_not_called_one_of_ray():
    code = (
        "import sys\nfrom p2p_graph.cli import translate_many\n"
        "def fail(argv):\n    raise ZeroDivisionError\n"
        "translate_many._translate = fail\nsys.argv = ['translate_many.py']\n"
        "translate_many.run_child()"
    )
    assert translate_many.run_to_end([sys.executable, "-c", code]) == os.EX_SOFTWARE


def test_the_process_with_ray_ends_beside_threads_that_do_not():
    code = (
        "import sys, threading\nfrom p2p_graph.cli import translate_many\n"
        "threading.Thread(target=threading.Event().wait).start()\n"
        "sys.argv = ['translate_many.py']\ntranslate_many.run_child()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**environment(), "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 2, done.stderr
    assert "required: --checkpoint" in done.stderr


@pytest.fixture(scope="module")
def many(data, tmp_path_factory):
    """Many names of a few images, of which two cannot be decoded."""
    folder = tmp_path_factory.mktemp("many")
    for number in range(300):
        os.link(data / "test" / f"{number % 7 + 1}.png", folder / f"{number:03d}.png")
    (folder / "100-bad.png").write_bytes(b"no image")
    (folder / "200-bad.png").write_bytes((data / "test" / "1.png").read_bytes()[:300])
    return folder


def command(many, model, folder):
    where = ("--input_dir", many, "--checkpoint", model, "--output_dir", folder)
    return ("translate_many", *where, "--shard_size", 5, "--workers", 2)


def wait_for_shards(folder, program, count):
    """Waits until shards are done, and returns how many."""
    end = time.monotonic() + 300
    while time.monotonic() < end and program.poll() is None:
        if len(found := list((folder / "done").glob("*.json"))) >= count:
            return len(found)
        time.sleep(0.005)
    program.terminate()
    raise AssertionError(program.communicate(timeout=60)[0])


def workers_of(program):
    """The numbers of the processes of Ray's workers that a program has started."""
    parents, workers = {}, []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            text = (path / "stat").read_text()
            name = (path / "cmdline").read_bytes()
        except OSError:  # it has ended
            continue
        parents[int(path.name)] = int(text.rpartition(")")[2].split()[1])
        if name.startswith(b"ray::MapWorker"):
            workers.append(int(path.name))

    def is_of_program(process):
        while process in parents:
            if process == program.pid:
                return True
            process = parents[process]
        return False

    return [worker for worker in workers if is_of_program(worker)]


@needs_ray
def test_interrupted_killed_and_finished(data, many, model, other_model, tmp_path):
    """One test, since Ray starts slowly: Ctrl-C, a second run that loses a worker, a third."""
    folder = tmp_path / "out"
    interrupt(folder, command(many, model, folder))
    printed = finish_without_a_worker(folder, command(many, model, folder))
    flags = ("--input_dir", data / "test", "--checkpoint", model, "--output_dir", tmp_path / "test")
    succeeded(call("test", *flags))
    of_test = outputs_of(tmp_path / "test")
    names = [f"{number:03d}" for number in range(300)]
    wanted = {f"{name}-outputs.png": of_test[f"{int(name) % 7 + 1}-outputs.png"] for name in names}
    assert outputs_in(folder) == wanted
    check_failed_images(folder, many, printed)
    check_lines(printed)
    done = succeeded(run(*command(many, model, folder)))
    assert "302 images in 61 shards, 61 of them done before" in done.stdout
    assert "worker" not in done.stdout  # nothing is started
    shutil.rmtree(folder / "outputs-00003-of-00061")
    (folder / "outputs-00004-of-00061" / "020-outputs.png").unlink()
    done = succeeded(run(*command(many, model, folder)))
    assert "302 images in 61 shards, 59 of them done before" in done.stdout
    assert outputs_in(folder) == wanted
    for more, message in refusals(data, other_model):
        assert_refused(run(*command(many, model, folder), *more), message, folder)


def interrupt(folder, command):
    """Ends a run in the middle by Ctrl-C."""
    with start(*command, start_new_session=True) as program:
        wait_for_shards(folder, program, 3)
        os.killpg(program.pid, signal.SIGINT)  # as a terminal does
        printed, _ = program.communicate(timeout=120)
    assert program.returncode == 130, printed
    *_, advice, last = printed.splitlines()
    assert advice == "the same command goes on with the shards that are not done"
    assert last == "interrupted"
    assert 3 <= len(list((folder / "done").glob("*.json"))) < 61
    assert not (folder / "failed.jsonl").exists()


def finish_without_a_worker(folder, command):
    """Runs again, and kills one of two workers; returns what was printed."""
    before = {path: path.stat().st_mtime_ns for path in (folder / "done").glob("*.json")}
    with start(*command) as program:
        wait_for_shards(folder, program, len(before) + 3)
        workers = workers_of(program)
        assert len(workers) == 2
        os.kill(workers[0], signal.SIGKILL)
        done = len(list((folder / "done").glob("*.json")))
        printed, _ = program.communicate(timeout=300)
    assert program.returncode == 0, printed
    assert done < 61, "the worker was killed too late to show anything"
    # Nothing was done twice, and nothing is left.
    assert all(path.stat().st_mtime_ns == modified for path, modified in before.items())
    assert not list(folder.glob(".*"))
    assert f"302 images in 61 shards, {len(before)} of them done before" in printed
    assert "300 images translated into" in printed
    return printed


def check_failed_images(folder, many, printed):
    failed = [json.loads(line) for line in (folder / "failed.jsonl").read_text().splitlines()]
    assert [line["name"] for line in failed] == [str(many / f"{n}-bad.png") for n in (100, 200)]
    assert failed[1]["reason"] == "cannot be decoded: it is cut off"
    assert all(line["reason"] and str(many) not in line["reason"] for line in failed)
    assert "2 images failed, see" in printed


def check_lines(printed):
    """No message, no progress bar and no warning of Ray."""
    known = ("302 images in", "2 workers of 1 core", "shard ", "300 images tr", "2 images failed")
    for line in printed.splitlines():
        assert line.startswith(known) or "images/s" in line, line


def refusals(data, other_model):
    """Flags of other runs, and why the folder is not theirs."""
    yield ("--seed", 5), "made with seed 0, not 5"
    yield ("--shard_size", 6), "made with shard_size 5, not 6"
    yield ("--format", "parquet"), 'made with format "files", not "parquet"'
    yield ("--inputs_only",), "made with inputs_only false, not true"
    yield ("--input_dir", data / "test"), "made with images 302, not 7"
    yield ("--checkpoint", other_model), "made with another checkpoint"
