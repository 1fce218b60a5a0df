"""Validation during training: grids of the same images, their figures, the best checkpoint."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from tensorflow.python.summary.summary_iterator import summary_iterator

from p2p_graph.config import flags as program_flags
from p2p_graph.training.option_precedence import configure
from p2p_graph.training.validation_images import validation_images

from .common import (
    SHALLOW,
    SMALL,
    assert_equal_bits,
    assert_refused,
    call,
    file_bytes,
    images,
    pixels,
    succeeded,
    tensors,
)

FIGURES = ("val_l1", "val_psnr", "val_ssim")
NETWORK = (*SMALL, *SHALLOW)


def records(folder):
    return [json.loads(line) for line in (folder / "losses.jsonl").read_text().splitlines()]


def without_figures(folder):
    return [{k: v for k, v in r.items() if k not in FIGURES} for r in records(folder)]


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """A run of 12 steps that is validated on `test` after every epoch (5 steps) and at the end."""
    folder = tmp_path_factory.mktemp("validation")
    flags = ("--input_dir", data / "train", *NETWORK, "--max_steps", 12, "--lr", 0.01)
    extra = ("--sample_freq", "1e", "--sample_count", 3, "--keep_best", "ssim")
    shown = ("--summary_freq", 100, "--output_dir", folder)
    succeeded(call("train", *flags, *extra, *shown))
    return folder


def copied_without_checkpoint(run, folder):
    """A run's folder whose newest checkpoint was removed."""
    shutil.copytree(run, folder)
    for path in [*folder.glob("model-*"), folder / "checkpoint"]:
        path.unlink()
    return folder


def test_grids_are_of_the_same_images(trained, data):
    grids = sorted((trained / "samples").iterdir())
    assert [path.name for path in grids] == ["00000005.png", "00000010.png", "00000012.png"]
    first, *others = map(pixels, grids)
    source = pixels(data / "test" / "1.png")
    found = [
        (top, left)
        for top in range(first.shape[0] - 31)
        for left in range(first.shape[1] - 31)
        if (first[top : top + 32, left : left + 32] == source[:, :32]).all()
    ]
    [(top, left)] = found
    for grid in others:
        assert grid.shape == first.shape
        same = slice(top, top + 32), slice(left, left + 32)
        assert (grid[same] == first[same]).all()
        output = slice(top, top + 32), slice(left + 36, left + 68)
        assert (grid[output] != first[output]).any()


def test_figures_are_those_of_translated_images(trained, data, tmp_path):
    """tools/test.py translates with the last checkpoint, and scikit-image measures."""
    where = ("--checkpoint", trained, "--output_dir", tmp_path, "--max_steps", 3)
    succeeded(call("test", "--input_dir", data / "test", *where))
    outputs, targets = (images(tmp_path, kind).values() for kind in ("outputs", "targets"))
    pairs = list(zip(outputs, targets, strict=True))
    how = {"data_range": 255, "channel_axis": 2, "gaussian_weights": True, "sigma": 1.5}
    wanted = {
        "val_l1": np.mean([abs(a / 127.5 - b / 127.5).mean() for a, b in pairs]),
        "val_psnr": np.mean([peak_signal_noise_ratio(b, a, data_range=255) for a, b in pairs]),
        "val_ssim": np.mean(
            [structural_similarity(a, b, use_sample_covariance=False, **how) for a, b in pairs]
        ),
    }
    lines = {record["step"]: record for record in records(trained)}
    assert {step for step, line in lines.items() if "val_l1" in line} == {5, 10, 12}
    assert {name: lines[12][name] for name in FIGURES} == pytest.approx(wanted, rel=1e-3)


def test_figures_are_in_tensorboards_events(trained):
    [events] = trained.glob("events.*")
    found = {}
    for event in summary_iterator(str(events)):
        for value in event.summary.value:
            if value.tag in FIGURES:
                found[event.step, value.tag] = value.simple_value
    wanted = {
        (record["step"], name): record[name]
        for record in records(trained)
        for name in FIGURES
        if name in record
    }
    assert found == pytest.approx(wanted, rel=1e-6)


def test_the_best_checkpoint_is_kept(trained, data, tmp_path):
    best = max((r for r in records(trained) if "val_ssim" in r), key=lambda r: r["val_ssim"])
    kept = json.loads((trained / "best" / "best.json").read_text())
    assert kept.pop("images")
    assert kept == {"metric": "ssim", "value": best["val_ssim"], "step": best["step"]}
    assert tensors(trained / "best")["global_step"] == best["step"]
    where = ("--checkpoint", trained / "best", "--output_dir", tmp_path)
    succeeded(call("test", "--input_dir", data / "test", *where))


def test_validation_changes_no_weights(trained, data, tmp_path):
    """Resuming changes neither weights nor grids nor figures."""
    flags = ("--input_dir", data / "train", *NETWORK, "--lr", 0.01, "--output_dir", tmp_path)
    extra = ("--sample_freq", "1e", "--sample_count", 3, "--keep_best", "ssim")
    succeeded(call("train", *flags, "--max_steps", 6))
    succeeded(call("train", *flags, "--max_steps", 12, *extra))
    assert_equal_bits(tensors(tmp_path), tensors(trained))
    assert without_figures(tmp_path) == without_figures(trained)
    for step in (10, 12):
        name = f"{step:08d}.png"
        found, wanted = (pixels(folder / "samples" / name) for folder in (tmp_path, trained))
        assert (found == wanted).all()
        assert records(tmp_path)[step - 1] == records(trained)[step - 1]


@pytest.mark.parametrize("change", ["cut off", "list", "value"])
def test_a_damaged_best_is_refused(trained, data, tmp_path, change):
    """The best checkpoint is not lost by it, and nothing is changed."""
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    kept = folder / "best" / "best.json"
    text = kept.read_text()
    damaged = {"list": "[]", "cut off": text[:-9], "value": text.replace('"value"', '"valve"')}
    kept.write_text(damaged[change])
    before = file_bytes(folder)
    flags = ("--input_dir", data / "train", *NETWORK, "--lr", 0.01, "--output_dir", folder)
    extra = ("--sample_freq", 1, "--sample_count", 3, "--keep_best", "ssim")
    assert_refused(call("train", *flags, *extra, "--max_steps", 13), str(kept))
    after = file_bytes(folder)
    assert {path: after.get(path) for path in before} == before


def test_a_resumed_run_remembers_the_best_checkpoint(trained, data, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    flags = ("--input_dir", data / "train", *NETWORK, "--lr", 0.01, "--output_dir", folder)
    extra = ("--sample_freq", 1, "--sample_count", 3, "--keep_best", "ssim", "--max_steps", 13)
    kept = folder / "best" / "best.json"
    unbeaten = json.loads(kept.read_text()) | {"value": 0.999, "step": 5}
    kept.write_text(json.dumps(unbeaten))
    (folder / "samples" / "00000099.png").write_bytes(b"of a later step")
    moved = tmp_path / "elsewhere"
    shutil.copytree(data / "test", moved)
    assert "note" not in succeeded(call("train", *flags, *extra, "--val_dir", moved)).stdout
    assert json.loads(kept.read_text()) == unbeaten
    assert [p.name for p in (folder / "samples").iterdir() if "99" in p.name] == []


@pytest.mark.parametrize("change", ["metric", "count", "contents", "step"])
def test_another_best_is_forgotten(trained, data, tmp_path, change):
    """The record is of another metric, other images or a later step."""
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    kept = folder / "best" / "best.json"
    found = json.loads(kept.read_text()) | {"value": 0.999}
    found |= {"metric": "psnr"} if change == "metric" else {}
    found |= {"step": 40} if change == "step" else {}
    kept.write_text(json.dumps(found))
    count = 2 if change == "count" else 3
    shown = tmp_path / "test"
    shutil.copytree(data / "test", shown)
    if change == "contents":
        Image.fromarray(pixels(shown / "1.png")[::-1]).save(shown / "1.png")
    flags = ("--input_dir", data / "train", *NETWORK, "--lr", 0.01, "--output_dir", folder)
    extra = ("--sample_freq", 1, "--sample_count", count, "--keep_best", "ssim", "--val_dir", shown)
    out = succeeded(call("train", *flags, *extra, "--max_steps", 13)).stdout
    told = {
        "metric": "holds the best step by psnr, ",
        "count": "holds the best step on other validation images, ",
        "contents": "holds the best step on other validation images, ",
        "step": "held step 40, and training goes on from step 12: it is removed",
    }
    assert f"note: {folder / 'best'} {told[change]}" in out
    found = json.loads(kept.read_text())
    assert (found["step"], found["metric"]) == (13, "ssim")
    assert found["value"] == records(folder)[-1]["val_ssim"]
    assert tensors(folder / "best")["global_step"] == 13


def test_the_best_of_a_run_without_a_checkpoint_is_forgotten(trained, data, tmp_path):
    shutil.copytree(trained / "best", tmp_path / "best")
    shutil.copy(trained / "options.json", tmp_path)
    flags = ("--input_dir", data / "train", *NETWORK, "--ngf", 3, "--output_dir", tmp_path)
    extra = ("--sample_freq", 2, "--sample_count", 3, "--keep_best", "ssim", "--max_steps", 2)
    succeeded(call("train", *flags, *extra))
    assert tensors(tmp_path / "best")["global_step"] == 2
    assert json.loads((tmp_path / "best" / "options.json").read_text())["ngf"] == 3


@pytest.mark.parametrize("is_damaged", [False, True])
@pytest.mark.parametrize("extra", [(), ("--sample_freq", 1)])
def test_a_new_run_that_keeps_no_best_forgets_that_of_the_former_one(
    trained, data, tmp_path, is_damaged, extra
):
    """Otherwise a later command would take it for its own."""
    folder = copied_without_checkpoint(trained, tmp_path / "run")
    if is_damaged:
        (folder / "best" / "best.json").write_text("{")
    flags = ("--input_dir", data / "train", *NETWORK, "--output_dir", folder, "--max_steps", 1)
    out = succeeded(call("train", *flags, *extra)).stdout
    assert ("best held step" in out) != is_damaged
    assert bool([*(folder / "best").iterdir()]) == is_damaged
    grids = ["00000001.png"] if extra else []
    assert [path.name for path in (folder / "samples").iterdir()] == grids


def test_a_new_run_from_another_checkpoint_keeps_nothing_of_the_former_one(trained, data, tmp_path):
    """Although it begins behind the former run's steps."""
    folder = copied_without_checkpoint(trained, tmp_path / "run")
    former = folder / "images" / "00000003-1-outputs.png"
    former.parent.mkdir(exist_ok=True)
    former.write_bytes(b"")
    best = folder / "best" / "best.json"
    best.write_text(json.dumps(json.loads(best.read_text()) | {"value": 0.999}))
    flags = ("--input_dir", data / "train", *NETWORK, "--output_dir", folder, "--max_steps", 14)
    extra = ("--sample_freq", 1, "--sample_count", 3, "--keep_best", "ssim", "--progress_freq", 1)
    extra += ("--summary_freq", 2)
    out = succeeded(call("train", *flags, *extra, "--checkpoint", trained)).stdout
    assert "best held step" in out
    assert "and a new run begins: it is removed" in out
    assert json.loads(best.read_text())["step"] in (13, 14)
    assert sorted(path.name for path in (folder / "samples").iterdir()) == [
        "00000013.png",
        "00000014.png",
    ]
    for name in ("losses.jsonl", "reports.jsonl"):
        lines = (folder / name).read_text().splitlines()
        assert [json.loads(line)["step"] for line in lines] == [13, 14]
    assert not former.exists()
    newest = max(folder.glob("events.out.tfevents.*"))
    starts = [event for event in summary_iterator(str(newest)) if event.HasField("session_log")]
    assert [event.step for event in starts] == [0]  # TensorBoard drops the steps behind it


def test_a_run_that_goes_back_to_its_best_checkpoint(trained, data, tmp_path):
    """The best stays, also where training fails before its first save, and all up to its step."""
    folder = copied_without_checkpoint(trained, tmp_path / "run")
    best = folder / "best"
    step = json.loads((best / "best.json").read_text())["step"]
    kept = {path.name: path.read_bytes() for path in best.iterdir() if path.name != "options.json"}
    flags = ("--input_dir", data / "train", *NETWORK, "--lr", 0.01, "--output_dir", folder)
    flags += ("--checkpoint", best)
    done = call("train", *flags, "--max_steps", 1)
    assert_refused(done, f"has done {step} steps already")
    last = ("--max_steps", step + 1)
    (unwritable := folder / f"model-{step + 1}.data-00000-of-00001").mkdir()
    assert_refused(call("train", *flags, *last), "cannot be written (none is saved there yet)")
    unwritable.rmdir()
    out = succeeded(call("train", *flags, *last)).stdout
    assert "note" not in out
    assert {name: (best / name).read_bytes() for name in kept} == kept
    assert [record["step"] for record in records(folder)] == list(range(1, step + 2))


def test_going_back_to_a_best_without_its_record(trained, data, tmp_path):
    """A kill may have come before the record; the weights stay until others are the best."""
    folder = copied_without_checkpoint(trained, tmp_path / "run")
    (folder / "best" / "best.json").unlink()
    kept = {path: path.read_bytes() for path in (folder / "best").glob("model-*")}
    step = int(tensors(folder / "best")["global_step"])
    flags = ("--input_dir", data / "train", *NETWORK, "--lr", 0.01, "--output_dir", folder)
    flags += ("--checkpoint", folder / "best", "--sample_count", 3, "--keep_best", "ssim")
    (unwritable := folder / f"model-{step + 1}.data-00000-of-00001").mkdir()
    done = call("train", *flags, "--sample_freq", 5, "--save_freq", 1, "--max_steps", step + 2)
    assert done.returncode == 2
    assert {path: path.read_bytes() for path in kept} == kept
    unwritable.rmdir()
    succeeded(call("train", *flags, "--sample_freq", 1, "--max_steps", step + 1))
    assert tensors(folder / "best")["global_step"] == step + 1
    assert not any(path.exists() for path in kept)


@pytest.mark.parametrize("flags", [("--which_direction", "BtoA"), ("--lr", 1e-9), ("--seed", 7)])
def test_going_back_with_other_options(trained, data, tmp_path, flags):
    """The best was made with the run's options, which its copy of options.json must tell."""
    folder = copied_without_checkpoint(trained, tmp_path / "run")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    run = ("--input_dir", data / "train", *NETWORK, "--lr", 0.01, "--output_dir", folder)
    done = call("train", *run, "--max_steps", 40, "--checkpoint", folder / "best", *flags)
    assert_refused(done, f"was made with other options: {flags[0][2:]} (was")
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_weights_that_are_not_finite_are_never_the_best(data, tmp_path):
    flags = ("--input_dir", data / "train", *NETWORK, "--lr", 1e38, "--output_dir", tmp_path)
    done = call("train", *flags, "--max_steps", 3, "--sample_freq", 1, "--keep_best", "l1")
    assert_refused(done, "weights are not finite after step 1")
    assert list((tmp_path / "best").iterdir()) == []


def test_figures_are_of_images_that_are_not_stretched(data, tmp_path):
    found = {}
    for aspect in (1, 2):
        out = tmp_path / str(aspect)
        flags = ("--input_dir", data / "train", *NETWORK, "--output_dir", out, "--max_steps", 1)
        succeeded(call("train", *flags, "--sample_freq", 1, "--aspect_ratio", aspect))
        found[aspect] = records(out), pixels(out / "samples" / "00000001.png").shape
    assert found[1][0] == found[2][0]
    assert found[2][1][1] - found[1][1][1] == 3 * 32


@pytest.mark.parametrize("metric", ["l1", "psnr"])
def test_best_is_least_l1_or_most_psnr(data, tmp_path, metric):
    flags = ("--input_dir", data / "train", *NETWORK, "--lr", 0.01, "--output_dir", tmp_path)
    succeeded(call("train", *flags, "--max_steps", 8, "--sample_freq", 1, "--keep_best", metric))
    figures = {record[f"val_{metric}"]: record["step"] for record in records(tmp_path)}
    best = (min if metric == "l1" else max)(figures)
    assert json.loads((tmp_path / "best" / "best.json").read_text())["step"] == figures[best]


def test_where_validation_images_come_from(data, tmp_path):
    """`val`, else `test`; the remainder of a split; a list; folders beside two folders."""
    mine = tmp_path / "mine"
    shutil.copytree(data / "train", mine / "train")
    shutil.copytree(data / "test", mine / "test")

    sampling = ("--sample_freq", 1)

    def count(*flags):
        """How many images a run with these flags would validate on."""
        argv = [str(flag) for flag in (*flags, *NETWORK, *sampling)]
        options = configure(program_flags.given("train", "Trains.", argv))
        return len(validation_images(options.data.source, options.validation, options.data.task))

    def count_shown(*flags):
        """How many images the grid of such a run shows."""
        out = ("--output_dir", tmp_path / "run", "--max_steps", 1)
        succeeded(call("train", *flags, *NETWORK, *sampling, *out))
        grid = pixels(tmp_path / "run" / "samples" / "00000001.png")
        shutil.rmtree(tmp_path / "run")
        return (grid.shape[0] - 36) // 52

    def refused(*flags):
        return call("train", *flags, *NETWORK, *sampling, cwd=tmp_path)

    train = ("--input_dir", mine / "train")
    assert count_shown(*train, "--sample_count", 100) == 7
    (mine / "val").mkdir()
    shutil.copy(data / "test" / "1.png", mine / "val")
    assert count(*train) == 1
    assert count_shown(*train, "--split", 0.4) == 3
    assert count(*train, "--split", 0.4, "--val_dir", mine / "test", "--sample_count", 6) == 6
    assert_refused(refused("--input_dir", mine), "holds folders")

    for half, part in ((0, "a"), (32, "b")):
        for name in ("train", "val"):
            (tmp_path / part / name).mkdir(parents=True)
            for path in (mine / name).iterdir():
                Image.fromarray(pixels(path)[:, half : half + 32]).save(
                    tmp_path / part / name / path.name
                )
    two = ("--input_dir", tmp_path / "a" / "train", "--target_dir", tmp_path / "b" / "train")
    assert count(*two) == 1
    other = ("--val_dir", tmp_path / "a" / "train", "--val_target_dir", tmp_path / "b" / "train")
    assert count(*two, *other) == 5
    (tmp_path / "list.csv").write_text("input,target\na/val/1.png,b/val/1.png\n")
    assert count(*two, "--val_dir", tmp_path / "list.csv") == 1
    shutil.rmtree(tmp_path / "a" / "val")
    assert_refused(refused(*two), "sample_freq needs validation images", "--val_dir")


def test_validation_images_in_another_form(data, tmp_path):
    """Another form than the training images'; error messages name the validation images."""
    np.savez(tmp_path / "set.npz", *np.zeros((2, 3, 32, 32, 3), np.uint8))
    np.savez(tmp_path / "named.npz", x=np.zeros((3, 32, 32, 3)), y=np.zeros((3, 32, 32, 3)))
    for part in ("a", "b", "val"):
        shutil.copytree(data / "train", tmp_path / part)
    two = ("--input_dir", tmp_path / "a", "--target_dir", tmp_path / "b")
    named = ("--input_dir", tmp_path / "named.npz", "--arrays", "x,y")
    out = ("--output_dir", tmp_path / "run", *NETWORK, "--max_steps", 1, "--sample_freq", 1)
    for flags in (
        (*two, "--val_dir", tmp_path / "set.npz"),
        (*two, "--val_dir", data / "test"),
        (*named, "--val_dir", data / "test"),
    ):
        succeeded(call("train", *flags, *out))
        shutil.rmtree(tmp_path / "run")
    more = ("--val_dir", tmp_path / "set.npz", "--val_target_dir", tmp_path / "b")
    for flags, message in (
        ((*two,), f"the targets of {tmp_path / 'val'} are not known"),
        ((*named, "--val_dir", "nowhere"), "validation images: input_dir nowhere does not exist"),
        ((*two, *more), "val_target_dir is for folders of images"),
        ((*two, "--val_target_dir", "x"), "val_target_dir needs --val_dir"),
    ):
        assert_refused(call("train", *flags, *out), message)
        assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--sample_freq", "often"), "sample_freq must be a number of steps, or of epochs"),
        (("--sample_freq", "-1"), "sample_freq"),
        (("--keep_best", "l1"), "keep_best needs --sample_freq"),
        (("--sample_count", 3), "sample_count needs --sample_freq"),
        (("--val_dir", "x"), "val_dir needs --sample_freq"),
        (("--sample_freq", 1, "--val_dir", "nowhere"), "nowhere does not exist"),
        (("--sample_freq", 1, "--crop_size", 8), "images of at least 11 pixels"),
        (("--sample_freq", 1, "--aspect_ratio", 0.3), "images of at least 11 pixels"),
        (("--sample_freq", 1, "--sample_count", 0), "sample_count must be at least 1"),
    ],
)
def test_bad_flags(data, tmp_path, flags, message):
    out = tmp_path / "run"
    done = call("train", "--input_dir", data / "train", *NETWORK, "--output_dir", out, *flags)
    assert_refused(done, message)
    assert not out.exists()


@pytest.mark.parametrize("preset", ["pyimagesearch", "tf2-tutorial"])
@pytest.mark.parametrize("flags", [(), ("--lab_colorization",)])
def test_grids_of_other_systems_are_as_translated(data, tmp_path, preset, flags):
    run = ("--output_dir", tmp_path / "run", "--max_steps", 2, "--batch_size", 2)
    extra = ("--sample_freq", 2, "--sample_count", 2, "--preset", preset, "--lr", 0.01)
    succeeded(call("train", "--input_dir", data / "train", *SMALL, *run, *extra, *flags))
    where = ("--checkpoint", tmp_path / "run", "--output_dir", tmp_path / "made", "--grid")
    more = ("--sample_count", 2)
    succeeded(call("test", "--input_dir", data / "test", *where, *more))
    grids = [tmp_path / "run" / "samples" / "00000002.png", tmp_path / "made" / "grid.png"]
    found, wanted = (pixels(path).astype(int) for path in grids)
    assert found.shape == wanted.shape
    assert abs(found - wanted).max() <= 1
