"""No program writes into the folder of another program's work, or beside a program at work."""

import contextlib
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from p2p_graph.config.options_file import REFERENCE_FIELDS

from .common import ROOT, TINY, assert_refused, call, file_bytes, succeeded, tensors, write_tensors

HOLDER = """
import pathlib, sys
from p2p_graph.utils import file_lock
with file_lock.held(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def tree(folder):
    """All files below a folder: bytes by path."""
    return {
        path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.fixture(scope="module")
def work(data, tmp_path_factory):
    """Folders that hold the work of a program, by the program's name."""
    root = tmp_path_factory.mktemp("work")
    names = ("train", "test", "export", "pack_records", "evaluate")
    folders = {name: root / name for name in names}
    small = ("--input_dir", data / "train", *TINY, "--max_steps", 1)
    succeeded(call("train", *small, "--output_dir", folders["train"]))
    use = ("--checkpoint", folders["train"])
    succeeded(call("test", *use, "--input_dir", data / "test", "--output_dir", folders["test"]))
    succeeded(call("export", *use, "--output_dir", folders["export"]))
    pack = ("--input_dir", data / "train", "--output_dir", folders["pack_records"])
    succeeded(call("pack_records", *pack))
    succeeded(call("evaluate", "--results_dir", folders["test"], *report(folders["evaluate"])))
    return folders


def report(folder):
    return "--metrics", "l1", "--bootstrap", 0, "--output_dir", folder


def command(program, work, data):
    """A command of a program, without its output_dir."""
    if program == "train":
        return ("train", "--input_dir", data / "train", *TINY, "--max_steps", 2)
    use = ("--checkpoint", work["train"])
    return ("export", *use) if program == "export" else ("test", *use, "--input_dir", data / "test")


@pytest.mark.parametrize("program", ["train", "test", "export"])
def test_the_work_of_another_program_is_refused(work, data, tmp_path, program):
    for owner, folder in work.items():
        if owner == program:
            continue
        copy = tmp_path / owner
        shutil.copytree(folder, copy)
        before = tree(copy)
        done = call(*command(program, work, data), "--output_dir", copy)
        assert_refused(done, f"output_dir {copy} holds the work of tools/{owner}.py", "another")
        assert tree(copy) == before


@pytest.mark.parametrize("program", ["test", "export"])
def test_the_same_program_replaces_its_own_work(work, data, tmp_path, program):
    shutil.copytree(work[program], tmp_path / "out")
    succeeded(call(*command(program, work, data), "--output_dir", tmp_path / "out"))
    assert file_bytes(tmp_path / "out") == file_bytes(work[program])


FOREIGN = {
    "train": ("index.html", "losses.jsonl", "reports.jsonl", "images", "samples", "best"),
    "test": ("index.html", "grid.png", "images"),
    "export": ("export.meta", "saved_model"),
}


@pytest.mark.parametrize("program", FOREIGN)
def test_files_of_a_person_are_not_replaced(work, data, tmp_path, program):
    out = tmp_path / "out"
    for name in FOREIGN[program]:
        if "." in name:
            out.mkdir()
            (out / name).write_text("mine")
        else:
            (out / name).mkdir(parents=True)
            (out / name / "1-outputs.png").write_text("mine")
        before = tree(out)
        done = call(*command(program, work, data), "--output_dir", out)
        record = f"but no options.json of tools/{program}.py"
        assert_refused(done, f"output_dir {out} holds {name}, {record}: name another folder")
        assert tree(out) == before
        shutil.rmtree(out)
    # Other files are in nobody's way; nor is a link to nothing one of them.
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    (out / "index.html").symlink_to("gone")
    if program != "export":
        assert_refused(call(*command(program, work, data), "--output_dir", out), "index.html")
    (out / "index.html").unlink()
    succeeded(call(*command(program, work, data), "--output_dir", out))
    assert (out / "notes.txt").read_text() == "mine"


def test_translate_and_evaluate_again(work, data, tmp_path):
    """Each program replaces its own work, also where the report lies in the results."""
    results = tmp_path / "results"
    for _ in range(2):
        succeeded(call(*command("test", work, data), "--output_dir", results))
        succeeded(call("evaluate", "--results_dir", results, *report(results / "evaluation")))
    # The report's images without the file by which they are known, as of a person.
    (results / "evaluation" / "evaluation.json").write_text('{"figures": 1}')
    done = call("evaluate", "--results_dir", results, *report(results / "evaluation"))
    assert_refused(done, "holds evaluation.json, but no evaluation.json of tools/evaluate.py")


def test_killed_before_the_first_image(work, data, tmp_path):
    """The record is there before the folder of images is."""
    out = tmp_path / "out"
    out.mkdir()
    shutil.copy(work["test"] / "options.json", out)
    succeeded(call(*command("test", work, data), "--output_dir", out))


def test_results_of_the_reference(work, data, tmp_path):
    """They are evaluated in place."""
    results = shutil.copytree(work["test"], tmp_path / "results")
    options = json.loads((results / "options.json").read_text())
    kept = {name: options[name] for name in REFERENCE_FIELDS if name in options}
    (results / "options.json").write_text(json.dumps(kept))
    before = tree(results)
    succeeded(call("evaluate", "--results_dir", results, "--metrics", "l1", "--bootstrap", 0))
    assert before.items() <= tree(results).items()


MIXED = {
    "train": (("--input_dir", "out"), ("--input_dir", "a", "--target_dir", "out")),
    "test": (("--input_dir", "out"), ("--input_dir", "a", "--target_dir", "out")),
    "pack_records": (("--input_dir", "out"), ("--input_dir", "a", "--target_dir", "out")),
    "process": (("--input_dir", "out", "--operation", "blur"),),
    "evaluate": (("--outputs_dir", "a", "--targets_dir", "out"),),
}


@pytest.mark.parametrize("program", MIXED)
def test_nothing_is_written_among_the_images_that_are_read(work, data, tmp_path, program):
    for name in ("a", "out"):
        shutil.copytree(data / "train", tmp_path / name)
    (tmp_path / "link").symlink_to("out")
    flags = {"train": TINY, "test": ("--checkpoint", work["train"])}.get(program, ())
    before = tree(tmp_path)
    for where in MIXED[program]:
        for out in ("out", "link"):
            done = call(program, *where, *flags, "--output_dir", out, cwd=tmp_path)
            assert_refused(done, f"output_dir {out}", "name another folder")
            assert tree(tmp_path) == before


def test_validation_images_lists_and_shards(work, data, tmp_path):
    """No matter how the images are named."""
    for part in ("train", "test"):
        shutil.copytree(data / part, tmp_path / part)
    lines = [f"{path},{path}" for path in (tmp_path / "train").iterdir()]
    (tmp_path / "list.csv").write_text("\n".join(["input,target", *lines]))
    shards = shutil.copytree(work["pack_records"], tmp_path / "shards")
    (shards / "packed.json").unlink()
    for flags, out in (
        (("--manifest", "list.csv"), "train"),
        (("--input_dir", "train", "--sample_freq", 1), "test"),  # beside the training images
        (("--input_dir", "shards"), "shards"),
    ):
        before = tree(tmp_path)
        done = call("train", *flags, *TINY, "--max_steps", 1, "--output_dir", out, cwd=tmp_path)
        assert_refused(done, f"output_dir {out} cannot be written: {out} holds images that are")
        assert tree(tmp_path) == before


def test_images_in_the_folders_that_a_program_writes_to(work, data, tmp_path):
    run = shutil.copytree(work["train"], tmp_path / "run")
    shutil.copytree(data / "test", run / "images")
    validated = ("--sample_freq", 1, "--val_dir", run / "images", "--output_dir", run)
    done = call(*command("train", work, data), *validated)
    assert_refused(done, f"output_dir {run} cannot be written: {run}/images holds images that are")
    results = shutil.copytree(work["test"], tmp_path / "results")
    where = ("--input_dir", results / "images", "--inputs_only", "--output_dir", results)
    done = call("test", "--checkpoint", work["train"], *where)
    assert_refused(done, f"{results}/images holds images that are read")


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("model-7.index", ""),
        ("checkpoint", 'model_checkpoint_path: "model-7"'),
        ("options.json", "{"),
        ("options.json", '{"mode": ["train"]}'),
        ("segmenter.json", "{}"),
    ],
)
def test_folders_that_hold_something_else(work, data, tmp_path, file, text):
    out = tmp_path / "out"
    out.mkdir()
    (out / file).write_text(text)
    for program in ("test", "export"):
        done = call(*command(program, work, data), "--output_dir", out)
        assert_refused(done, f"output_dir {out} holds the work of", file)
    assert (out / file).read_text() == text
    assert [path.name for path in out.iterdir()] == [file]


@contextlib.contextmanager
def held_elsewhere(folder):
    """Another process holds the folder's lock, which is of a process, within the context."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, folder],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout.readline() == "held\n"
        yield
        holder.stdin.close()


@pytest.mark.parametrize("program", ["train", "test", "export", "evaluate"])
def test_one_program_at_a_time(work, data, tmp_path, program):
    if program == "evaluate":
        shutil.copytree(work["test"], tmp_path / "results")
        arguments = ("evaluate", "--results_dir", tmp_path / "results")
        out = tmp_path / "results" / "evaluation"
        out.mkdir()
    else:
        out = tmp_path / "new" / "out"
        out.mkdir(parents=True)
        arguments = (*command(program, work, data), "--output_dir", out)
    before = tree(out)
    with held_elsewhere(out):
        done = call(*arguments)
    assert_refused(done, f"another program is at work in {out}")
    assert tree(out) == before


@pytest.mark.parametrize("program", ["process", "pack_records", "pack_npz", "split"])
def test_preparation_is_one_program_at_a_time(data, tmp_path, program):
    out = tmp_path / "out"
    flags = ("--input_dir", data / "train", "--output_dir", out)
    if program == "split":
        shutil.copytree(data / "train", out)
        flags = ("--dir", out)
    out.mkdir(exist_ok=True)
    flags = {
        "process": (*flags, "--operation", "grayscale"),
        "pack_npz": (*flags[:2], "--output_file", out / "a.npz"),
    }.get(program, flags)
    before = tree(out)
    with held_elsewhere(out):
        done = call(program, *flags)
    assert_refused(done, f"another program is at work in {out}")
    assert tree(out) == before


@pytest.mark.parametrize("program", ["process", "pack_records"])
def test_preparation_refuses_the_folder_of_a_run(work, data, tmp_path, program):
    shutil.copytree(work["train"], tmp_path / "run")
    before = tree(tmp_path / "run")
    flags = ("--input_dir", data / "train", "--output_dir", tmp_path / "run")
    more = ("--operation", "grayscale") if program == "process" else ()
    done = call(program, *flags, *more)
    assert_refused(done, f"output_dir {tmp_path}/run holds the work of tools/train.py")
    assert tree(tmp_path / "run") == before


def damaged_run(work, tmp_path, change):
    """A copy of the training run, whose checkpoint's arrays are changed."""
    folder = tmp_path / "run"
    shutil.copytree(work["train"], folder)
    arrays = tensors(folder)
    change(arrays)
    for path in folder.glob("model-*"):
        path.unlink()
    write_tensors(folder, arrays, 1)
    return folder


WEIGHT = "generator/encoder_1/conv/filter"


def with_nan(arrays):
    arrays[WEIGHT][0, 0, 0, 0] = np.nan


def with_other_type(arrays):
    arrays[WEIGHT] = arrays[WEIGHT].astype(np.float64)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (with_nan, f"infinite values or NaN in {WEIGHT}"),
        (with_other_type, f"{WEIGHT} (expected float32, found float64)"),
    ],
)
@pytest.mark.parametrize("program", ["train", "test", "export"])
def test_a_wrong_checkpoint_is_refused_before_anything_is_written(
    work, data, tmp_path, program, change, message
):
    folder = damaged_run(work, tmp_path, change)
    before = tree(folder)
    if program == "train":
        done = call(*command("train", work, data), "--output_dir", folder)
    else:
        use = command(program, {"train": folder}, data)
        done = call(*use, "--output_dir", tmp_path / "out")
        assert not (tmp_path / "out").exists()
    assert_refused(done, message)
    assert tree(folder) == before


def test_damaged_data_is_refused_before_anything_is_written(work, data, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(work["train"], folder)
    (path,) = folder.glob("model-1.data*")
    contents = bytearray(path.read_bytes())
    contents[len(contents) // 2] ^= 1
    path.write_bytes(contents)
    before = tree(folder)
    # Summaries and validation have files of their own.
    more = ("--summary_freq", 1, "--sample_freq", 1, "--val_dir", data / "test")
    done = call(*command("train", work, data), *more, "--keep_best", "l1", "--output_dir", folder)
    assert_refused(done, "model-1 cannot be read")
    assert tree(folder) == before
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == []


def test_a_folder_in_the_place_of_the_checkpoint_file_is_refused(work, data, tmp_path):
    folder = tmp_path / "run"
    (folder / "checkpoint").mkdir(parents=True)
    before = tree(folder)
    done = call(*command("train", work, data), "--output_dir", folder)
    assert_refused(
        done, f"output_dir {folder} holds a folder checkpoint, and training writes a file"
    )
    assert tree(folder) == before


def test_the_checkpoint_of_another_folder_is_not_resumed(work, data, tmp_path):
    folder, other = tmp_path / "run", tmp_path / "other"
    shutil.copytree(work["train"], folder)
    shutil.copytree(work["train"], other)
    (folder / "checkpoint").write_text(f'model_checkpoint_path: "{other}/model-1"\n')
    flags = (*command("train", work, data), "--output_dir", folder)
    for path in folder.glob("model-1.*"):
        path.rename(path.with_name(path.name.replace("-1", "-0", 1)))
    before = tree(folder)
    assert_refused(call(*flags), "names a checkpoint of another folder", f"{other}/model-1")
    assert tree(folder) == before
    for path in folder.glob("model-0.*"):
        path.rename(path.with_name(path.name.replace("-0", "-1", 1)))
    assert f"going on from {folder}/model-1" in succeeded(call(*flags)).stdout


def test_a_folder_that_looks_like_a_pattern(work, data, tmp_path):
    """Train, resume, translate and export; TensorFlow takes such a prefix for a pattern."""
    root = tmp_path / "a[1]b]*?c\\d"
    root.mkdir()
    shutil.copytree(data / "train", root / "train")
    train = ("train", "--input_dir", root / "train", *TINY, "--output_dir", root / "run")
    succeeded(call(*train, "--max_steps", 1))
    done = succeeded(call(*train, "--max_steps", 2))
    assert f"going on from {root}/run/model-1" in done.stdout
    use = ("--checkpoint", root / "run")
    succeeded(call("test", *use, "--input_dir", root / "train"))
    succeeded(call("export", *use))
    with contextlib.suppress(FileNotFoundError):
        assert json.loads((root / "run" / "options.json").read_text())["max_steps"] == 2


@pytest.mark.parametrize("program", ["train", "test", "export"])
@pytest.mark.parametrize("inner", ["saved_model", "saved_model/mine/run"])
def test_nothing_is_written_into_a_saved_model(work, data, tmp_path, program, inner):
    """The next export would remove it."""
    copy = tmp_path / "export"
    shutil.copytree(work["export"], copy)
    before = tree(copy)
    done = call(*command(program, work, data), "--output_dir", copy / inner)
    assert_refused(done, f"output_dir {copy / inner} lies in the SavedModel", "export.py replaces")
    assert tree(copy) == before


def test_an_export_removes_no_file_of_a_person(work, data, tmp_path):
    copy = tmp_path / "export"
    shutil.copytree(work["export"], copy)
    (copy / "saved_model" / "assets.extra").mkdir()
    (copy / "saved_model" / "assets.extra" / "requests").write_text("mine")
    before = tree(copy)
    done = call(*command("export", work, data), "--output_dir", copy)
    assert_refused(
        done, f"{copy / 'saved_model'} holds assets.extra, which tools/export.py did not"
    )
    assert tree(copy) == before


@pytest.mark.parametrize("program", ["train", "test", "export"])
def test_the_folder_of_the_best_checkpoint(work, data, tmp_path, program):
    """The run would replace what is trained there; translations in a folder in it are no danger."""
    best = ("--sample_freq", 1, "--val_dir", data / "test", "--keep_best", "l1")
    run_folder = ("--output_dir", tmp_path / "run")
    sizes = (*TINY, "--max_steps", 2)
    succeeded(call("train", "--input_dir", data / "train", *sizes, *best, *run_folder))
    before = tree(tmp_path / "run")
    done = call(*command(program, work, data), "--output_dir", tmp_path / "run" / "best")
    assert_refused(done, "holds the best checkpoint of a run (best.json), which that run replaces")
    assert tree(tmp_path / "run") == before
    use = ("--checkpoint", tmp_path / "run" / "best", "--input_dir", data / "test")
    succeeded(call("test", *use))


def test_an_archive_is_not_packed_among_its_images(data, tmp_path):
    shutil.copytree(data / "train", tmp_path / "images")
    inside = ("--output_file", tmp_path / "images" / "set.npz")
    done = call("pack_npz", "--input_dir", tmp_path / "images", *inside)
    assert_refused(done, "set.npz would lie among the images that are packed: name another folder")
    assert tree(tmp_path / "images") == tree(data / "train")
