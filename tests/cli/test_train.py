"""What a training run prints, leaves on disk, and depends on."""

import json
import re
import shutil
import time

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from .common import (
    GOLDEN,
    KINDS,
    SHALLOW,
    SMALL,
    assert_equal_bits,
    call,
    file_bytes,
    pixels,
    run,
    same_bits,
    start,
    succeeded,
    tensors,
)

NETWORK = (*SMALL, *SHALLOW)
STEPS = 6
LOSSES = ("discrim_loss", "gen_loss_GAN", "gen_loss_L1")
TAGS = ("discriminator_loss", "generator_loss_GAN", "generator_loss_L1")
PROGRESS = re.compile(
    r"^progress  epoch (\d+)  step (\d+)  image/sec \d+\.\d  remaining \d+m\n"
    r"discrim_loss (\d+\.\d{6})\ngen_loss_GAN (\d+\.\d{6})\ngen_loss_L1 (\d+\.\d{6})\n",
    re.MULTILINE,
)


def losses(folder):
    return [json.loads(line) for line in (folder / "losses.jsonl").read_text().splitlines()]


def is_weight(name):
    return len(name.split("/")) == 4 and name.split("/")[0] in ("generator", "discriminator")


@pytest.fixture(scope="module")
def facades(data, tmp_path_factory):
    """A folder facades/train, whose name is that of a recipe."""
    folder = tmp_path_factory.mktemp("data") / "facades"
    shutil.copytree(data / "train", folder / "train")
    return folder


@pytest.fixture(scope="module")
def watched(facades, tmp_path_factory):
    """A run with every kind of report, from a folder of its own: (what it printed, its folder)."""
    here = tmp_path_factory.mktemp("here")
    done = call(
        "train",
        *("--input_dir", facades / "train", *NETWORK, "--max_steps", STEPS, "--progress_freq", 2),
        *("--summary_freq", 2, "--trace_freq", 3, "--display_freq", 1, "--save_freq", 4),
        cwd=here,
    )
    return succeeded(done).stdout, here / "runs" / "facades_BtoA"


@pytest.fixture(scope="module")
def events(watched):
    (path,) = watched[1].glob("events.out.tfevents.*")
    return list(tf.train.summary_iterator(str(path)))


def test_a_run_leaves_only_its_newest_checkpoint(watched):
    _, folder = watched
    assert {path.name for path in folder.iterdir() if "tfevents" not in path.name} == {
        "options.json",
        "checkpoint",
        f"model-{STEPS}.index",
        f"model-{STEPS}.data-00000-of-00001",
        "losses.jsonl",
        "reports.jsonl",
        "images",
        "index.html",
    }
    assert tensors(folder)["global_step"] == STEPS


def test_options_are_written_first_and_hold_the_references(watched):
    _, folder = watched
    options = json.loads((folder / "options.json").read_text())
    reference = json.loads((GOLDEN / "mini_current_AtoB/start/options.json").read_text())
    assert set(options) > set(reference)
    assert re.fullmatch(r"\d+\.\d+\.\d+", options["version"])
    assert (options["mode"], options["ngf"], options["max_steps"]) == ("train", 2, STEPS)
    assert options["which_direction"] == "BtoA"
    first_step = min(path.stat().st_mtime_ns for path in (folder / "images").iterdir())
    assert (folder / "options.json").stat().st_mtime_ns <= first_step


def test_losses_of_every_step_are_recorded(watched):
    _, folder = watched
    records = losses(folder)
    assert [record["step"] for record in records] == list(range(1, STEPS + 1))
    assert [record["epoch"] for record in records] == [1, 1, 1, 1, 1, 2]
    assert all(set(record) == {"step", "epoch", *LOSSES} for record in records)
    assert all(0 < record[name] < 10 for record in records for name in LOSSES)
    assert len({record["gen_loss_L1"] for record in records}) == STEPS


def averages(records):
    """Decay 0.99 from zero, made the average of what was seen: a row of three for each step."""
    average, rows = np.zeros(3), []
    for step, record in enumerate(records, start=1):
        average = 0.99 * average + 0.01 * np.array([record[name] for name in LOSSES])
        rows.append(average / (1 - 0.99**step))
    return rows


def test_progress_is_shown_as_the_reference_does_but_averaged_from_the_first_step(watched):
    printed, folder = watched
    found = PROGRESS.findall(printed)
    assert [(epoch, step) for epoch, step, *_ in found] == [("1", "2"), ("1", "4"), ("2", "1")]
    wanted = averages(losses(folder))
    for step, (_, _, *shown) in zip((2, 4, 6), found, strict=True):
        np.testing.assert_allclose(np.array(shown, float), wanted[step - 1], atol=2e-5)


def test_the_recipe_of_a_folder_is_reported(watched):
    printed, _ = watched
    assert printed.startswith("recipe facades: BtoA, batch 1, scaled to 36 and cropped to 32, mirr")
    assert "\ndevice: CPU" in printed
    assert "\nexamples count = 5, 5 steps an epoch, 6 steps in all\n" in printed


def test_scalars_have_the_references_tags(watched, events):
    scalars = {}
    for event in events:
        for value in event.summary.value:
            if value.WhichOneof("value") == "simple_value":
                scalars.setdefault(value.tag, []).append((event.step, value.simple_value))
    averaged = [*TAGS, *(f"{tag}_not_averaged" for tag in TAGS)]
    shares = ["discriminator_right_on_real", "discriminator_right_on_fake"]
    assert sorted(scalars) == sorted([*averaged, *shares])
    reports = [json.loads(line) for line in (watched[1] / "reports.jsonl").read_text().splitlines()]
    for tag in shares:
        name = tag.removeprefix("discriminator_")
        assert scalars[tag] == [(report["step"], report[name]) for report in reports]
    records = losses(watched[1])
    smooth = averages(records)
    for column, (tag, name) in enumerate(zip(TAGS, LOSSES, strict=True)):
        steps, values = zip(*scalars[tag], strict=True)
        assert steps == (2, 4, 6)
        np.testing.assert_allclose(values, [smooth[step - 1][column] for step in steps], rtol=1e-5)
        _, values = zip(*scalars[f"{tag}_not_averaged"], strict=True)
        assert list(values) == [records[step - 1][name] for step in steps]


def test_images_and_histograms_have_the_references_tags(watched, events):
    tags = {"image": set(), "histo": set()}
    for event in events:
        for value in event.summary.value:
            if (kind := value.WhichOneof("value")) in tags:
                tags[kind].add(value.tag)
    kinds = (*KINDS, "predict_real", "predict_fake")
    assert tags["image"] == {f"{kind}_summary/{kind}/image/0" for kind in kinds}
    names = [name for name in tensors(watched[1]) if is_weight(name)]
    assert tags["histo"] == {f"{name}/{what}" for name in names for what in ("values", "gradients")}


def test_traces_are_run_metadata(events):
    traces = [event.tagged_run_metadata for event in events if event.tagged_run_metadata.tag]
    assert [trace.tag for trace in traces] == ["step_3", "step_6"]
    metadata = tf.RunMetadata.FromString(traces[0].run_metadata)
    nodes = [
        node.node_name for device in metadata.step_stats.dev_stats for node in device.node_stats
    ]
    assert any(node.startswith("generator/encoder_1/conv") for node in nodes)


def test_the_graph_is_written(events):
    graphs = [tf.GraphDef.FromString(event.graph_def) for event in events if event.graph_def]
    assert any(node.name.startswith("discriminator_train/") for node in graphs[0].node)


def test_training_images_and_their_page(watched):
    _, folder = watched
    names = sorted(path.name for path in (folder / "images").iterdir())
    assert len(names) == STEPS * len(KINDS)
    pattern = re.compile(r"0000000[1-6]-[1-5]-(inputs|outputs|targets)\.png")
    assert all(pattern.fullmatch(name) for name in names)
    assert all(pixels(folder / "images" / name).shape == (32, 32, 3) for name in names)
    page = (folder / "index.html").read_text()
    assert re.findall(r'src="images/([^"]+)"', page) == sorted(names[-3:])
    for name in {name.rpartition("-")[0] for name in names}:
        assert f'[{int(name[:8])},["{name}"]]' in page


def test_flags_override_the_recipe(facades, tmp_path):
    flags = ("--input_dir", facades / "train", *NETWORK, "--max_steps", 1)
    done = succeeded(call("train", *flags, "--which_direction", "AtoB", "--no_flip", cwd=tmp_path))
    assert done.stdout.startswith(
        "recipe facades: AtoB, batch 1, scaled to 36 and cropped to 32, n"
    )
    assert (tmp_path / "runs" / "facades_AtoB" / "checkpoint").exists()


def test_recipe_none_is_without_its_defaults(facades, tmp_path):
    flags = ("--input_dir", facades / "train", *NETWORK, "--max_steps", 1)
    done = succeeded(call("train", *flags, "--recipe", "none", cwd=tmp_path))
    assert "recipe" not in done.stdout
    options = json.loads((tmp_path / "runs/facades_AtoB/options.json").read_text())
    assert (options["which_direction"], options["flip"]) == ("AtoB", True)


def test_a_recipe_can_be_named(data, tmp_path):
    flags = ("--input_dir", data / "train", *NETWORK, "--max_steps", 1)
    done = succeeded(call("train", *flags, "--recipe", "edges2shoes", cwd=tmp_path))
    assert done.stdout.startswith(
        "recipe edges2shoes: AtoB, batch 4, scaled to 32 and cropped to 32"
    )
    assert "not mirrored" in done.stdout
    assert "examples count = 5, 2 steps an epoch, 1 step in all" in done.stdout


def test_a_folder_alone_is_enough(data, tmp_path):
    """The defaults are a large model, so that this ends the run before its first step."""
    options = tmp_path / "runs" / "mine_AtoB" / "options.json"
    process = start("train", "--input_dir", data / "train", cwd=tmp_path)
    try:
        end = time.monotonic() + 60
        while not options.exists() and process.poll() is None and time.monotonic() < end:
            time.sleep(0.05)
    finally:
        process.kill()
        printed, _ = process.communicate()
    assert "examples count = 5, 5 steps an epoch, 1000 steps in all" in printed
    chosen = json.loads(options.read_text())
    assert {name: chosen[name] for name in ("crop_size", "scale_size", "ngf", "levels")} == {
        "crop_size": 256,
        "scale_size": 286,
        "ngf": 64,
        "levels": 8,
    }


def test_the_references_command_lines(facades, tmp_path):
    """The commands of its README, with small sizes added."""
    train = (
        *("--mode", "train", "--output_dir", "facades_train", "--max_epochs", 2),
        *("--input_dir", facades / "train", "--which_direction", "BtoA", *NETWORK),
    )
    done = succeeded(call("train", *train, cwd=tmp_path))
    assert "5 steps an epoch, 10 steps in all" in done.stdout
    assert tensors(tmp_path / "facades_train")["global_step"] == 10
    test = ("--mode", "test", "--output_dir", "facades_test", "--input_dir", facades / "train")
    done = succeeded(call("test", *test, "--checkpoint", "facades_train", cwd=tmp_path))
    assert "wrote index at facades_test/index.html" in done.stdout
    assert len(list((tmp_path / "facades_test" / "images").iterdir())) == 15


def test_epochs_and_steps_are_totals(data, tmp_path):
    flags = ("--input_dir", data / "train", "--output_dir", tmp_path, *NETWORK)
    succeeded(call("train", *flags, "--max_epochs", 1))
    assert tensors(tmp_path)["global_step"] == 5
    done = succeeded(call("train", *flags, "--max_epochs", 2))
    assert "5 steps in " in done.stdout
    assert tensors(tmp_path)["global_step"] == 10
    succeeded(call("train", *flags, "--max_steps", 12))
    assert [record["step"] for record in losses(tmp_path)] == list(range(1, 13))

    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    for total in (("--max_steps", 12), ("--max_epochs", 2)):
        done = succeeded(call("train", *flags, *total))
        assert re.search(
            r" is done: 12 steps of 1[02] \(ask for more with --max_steps\)", done.stdout
        )
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@pytest.mark.parametrize(
    ("direction", "shapes"),
    [
        ("AtoB", {"inputs": (32, 32), "outputs": (32, 32, 3), "targets": (32, 32, 3)}),
        ("BtoA", {"inputs": (32, 32, 3), "outputs": (32, 32), "targets": (32, 32)}),
    ],
)
def test_lab(data, tmp_path, direction, shapes):
    flags = ("--lab_colorization", "--which_direction", direction, "--display_freq", 2)
    where = ("--input_dir", data / "train", "--output_dir", tmp_path)
    succeeded(call("train", *where, *NETWORK, *flags, "--max_steps", 2))
    channels = {"AtoB": (1, 2), "BtoA": (2, 1)}[direction]
    found = tensors(tmp_path)
    assert found["generator/encoder_1/conv/filter"].shape == (4, 4, channels[0], 2)
    assert found["generator/decoder_1/deconv/filter"].shape == (4, 4, channels[1], 4)
    assert found["discriminator/layer_1/conv/filter"].shape == (4, 4, 3, 2)
    for kind, shape in shapes.items():
        (path,) = (tmp_path / "images").glob(f"00000002-*-{kind}.png")
        assert pixels(path).shape == shape


def test_separable(data, tmp_path):
    where = ("--input_dir", data / "train", "--output_dir", tmp_path)
    succeeded(call("train", *where, *NETWORK, "--separable_conv", "--max_steps", 2))
    names = [name for name in tensors(tmp_path) if is_weight(name)]
    kinds = {(name.split("/")[0], name.split("/")[2]) for name in names}
    assert kinds == {
        ("generator", "separable_conv"),
        ("generator", "batchnorm"),
        ("discriminator", "conv"),
        ("discriminator", "batchnorm"),
    }


def test_a_batch_larger_than_the_data_set(data, tmp_path):
    (tmp_path / "two").mkdir()
    for name in ("1.png", "2.png"):
        shutil.copy(data / "train" / name, tmp_path / "two" / name)
    where = ("--input_dir", tmp_path / "two", "--output_dir", tmp_path / "run")
    flags = ("--batch_size", 3, "--max_steps", 2, "--display_freq", 1)
    done = succeeded(call("train", *where, *NETWORK, *flags))
    assert "examples count = 2, 1 step an epoch, 2 steps in all" in done.stdout
    drawn = [path.name[:10] for path in (tmp_path / "run" / "images").glob("*-outputs.png")]
    # Six places, filled by three epochs of two images; in one step an image may be twice.
    assert {name[:8] for name in drawn} == {"00000001", "00000002"}
    assert {name[9] for name in drawn} == {"1", "2"}


@pytest.fixture(scope="module")
def seeded(data, tmp_path_factory):
    """The flags of a run with seed 7, and the folder of one such run."""
    folder = tmp_path_factory.mktemp("seeded")
    flags = ("--input_dir", data / "train", *NETWORK, "--max_steps", 8, "--batch_size", 2)
    succeeded(run("train", *flags, "--seed", 7, "--output_dir", folder))
    return flags, folder


def test_the_same_seed_makes_the_same_bytes(seeded, tmp_path):
    flags, folder = seeded
    succeeded(call("train", *flags, "--seed", 7, "--output_dir", tmp_path))
    for name in ("model-8.data-00000-of-00001", "model-8.index", "checkpoint", "losses.jsonl"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes(), name


def test_another_seed_makes_other_weights(seeded, tmp_path):
    flags, folder = seeded
    succeeded(call("train", *flags, "--seed", 8, "--output_dir", tmp_path))
    ours, theirs = tensors(tmp_path), tensors(folder)
    names = [name for name in theirs if name.endswith("/filter")]
    assert not any(same_bits(ours[name], theirs[name]) for name in names)


def test_the_cache_changes_nothing(seeded, tmp_path):
    flags, folder = seeded
    done = succeeded(call("train", *flags, "--seed", 7, "--cache_mb", 0, "--output_dir", tmp_path))
    assert "done: 8 steps" in done.stdout
    assert_equal_bits(tensors(tmp_path), tensors(folder))


def test_reports_change_nothing(seeded, tmp_path):
    flags, folder = seeded
    watching = ("--summary_freq", 1, "--trace_freq", 3, "--display_freq", 2, "--progress_freq", 1)
    succeeded(call("train", *flags, "--seed", 7, *watching, "--output_dir", tmp_path))
    assert_equal_bits(tensors(tmp_path), tensors(folder))
    assert file_bytes(tmp_path)
