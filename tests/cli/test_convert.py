"""Checkpoints pass between the reference's generations and `.pict` without loss."""

import errno
import json
import os
import re
import shutil
import struct

import numpy as np
import pytest
import tensorflow as tf

from .common import (
    GOLDEN,
    LAYERS,
    SMALL,
    WEIGHTS,
    assert_equal_bits,
    assert_refused,
    call,
    file_bytes,
    images,
    same_bits,
    succeeded,
    tensors,
    write_tensors,
)

FIRST, CURRENT, SEPARABLE = (
    GOLDEN / case / "step1"
    for case in ("mini_seed_BtoA", "mini_current_AtoB", "mini_separable_AtoB")
)
TEST_PAIRS = GOLDEN / "made_test_pairs"
REFERENCE_OPTIONS = set(json.loads((CURRENT / "options.json").read_text()))


def first_name(name):
    """A current name as the first generation has it."""
    parts = name.split("/")
    if parts[0] in ("generator", "discriminator"):
        parts[2:4] = [LAYERS[parts[2]], WEIGHTS.get(parts[3], parts[3])]
    return "/".join(parts)


def convert(source, form, target, *more):
    flags = ("--checkpoint", source, "--to", form, "--output", target)
    done = succeeded(call("convert", *flags, *more))
    assert done.stdout == f"wrote {target}\n"
    return target


def translate(checkpoint, folder):
    where = ("--input_dir", TEST_PAIRS, "--output_dir", folder)
    succeeded(call("test", *where, "--checkpoint", checkpoint))
    return folder


@pytest.fixture(scope="module")
def current(tmp_path_factory):
    """The first generation's checkpoint in the current form."""
    target = tmp_path_factory.mktemp("converted") / "current"
    return convert(FIRST, "current", target)


def test_first_to_current_has_its_names_and_shapes(current):
    found, recorded = tensors(current), tensors(CURRENT)
    assert len(recorded) == 270
    assert {name: (array.shape, array.dtype) for name, array in found.items()} == {
        name: (array.shape, array.dtype) for name, array in recorded.items()
    }
    assert sorted(path.name for path in current.iterdir()) == [
        *("checkpoint", "model-4.data-00000-of-00001", "model-4.index", "options.json")
    ]


def test_first_to_current_has_its_values(current):
    first, added = tensors(FIRST), 0
    for name, array in tensors(current).items():
        if name.endswith(("moving_mean", "moving_variance")):
            assert (array == name.endswith("variance")).all(), name
        elif re.search(r"/bias(/Adam(_1)?)?$", name):
            assert not array.any(), name
        else:
            assert same_bits(array, first[first_name(name)]), name
            added += 1
    assert added == len(first)


def test_current_options_are_the_references(current):
    options = json.loads((current / "options.json").read_text())
    assert set(options) == REFERENCE_OPTIONS
    recorded = json.loads((FIRST / "options.json").read_text())
    assert {name: options[name] for name in recorded} == recorded


def test_first_to_current_translates_the_same(current, tmp_path):
    theirs = file_bytes(translate(FIRST, tmp_path / "first"))
    assert len(theirs) == 6
    assert file_bytes(translate(current, tmp_path / "current")) == theirs


def test_first_to_current_and_back(current, tmp_path):
    native = convert(current, "native", tmp_path / "native")
    assert_equal_bits(tensors(native), tensors(FIRST))
    assert json.loads((native / "options.json").read_text())["bias"] == "none"


@pytest.mark.parametrize("source", [CURRENT, SEPARABLE], ids=["current", "separable"])
def test_current_to_native_and_back(source, tmp_path):
    recorded = tensors(source)
    native = convert(source, "native", tmp_path / "native")
    wanted = {
        first_name(name): array
        for name, array in recorded.items()
        if not name.endswith(("moving_mean", "moving_variance"))
    }
    assert_equal_bits(tensors(native), wanted)
    options = json.loads((native / "options.json").read_text())
    assert (options["bias"], options["separable_conv"]) == ("all", source is SEPARABLE)

    again = convert(native, "current", tmp_path / "again")
    assert_equal_bits(tensors(again), recorded)
    assert set(json.loads((again / "options.json").read_text())) == REFERENCE_OPTIONS


def slow_codebook(values):
    """mu-law: 256 bins, as wide as each other on a logarithmic scale; the middle of each."""
    scale = max(abs(float(value)) for value in values)
    logs = np.array([np.sign(x) * np.log(1 + 255 * abs(x / scale)) / np.log(256) for x in values])
    _, edges = np.histogram(logs, bins=256)
    middles = [(edges[i] + edges[i + 1]) / 2 for i in range(256)]
    return np.array([np.sign(m) * (256 ** abs(m) - 1) / 255 * scale for m in middles], np.float32)


def read_blocks(path):
    data, blocks = path.read_bytes(), []
    while data:
        (length,) = struct.unpack(">L", data[:4])
        assert len(data) >= 4 + length
        blocks.append(data[4 : 4 + length])
        data = data[4 + length :]
    return blocks


def slow_read(path):
    """A `.pict` file as the reference's browser demo reads it: arrays by name, and the codebook."""
    header, book, codes = read_blocks(path)
    book = np.frombuffer(book, np.float32)
    arrays, start = {}, 0
    for entry in json.loads(header):
        size = int(np.prod(entry["shape"]))
        values = [book[code] for code in codes[start : start + size]]
        arrays[entry["name"]] = np.array(values, np.float32).reshape(entry["shape"])
        start += size
    assert start == len(codes)
    return arrays, book


def slow_write(path, arrays):
    names = sorted(arrays)
    flat = np.concatenate([arrays[name].ravel() for name in names]).astype(np.float32)
    book = slow_codebook(flat)
    codes = bytes(int(np.argmin(np.abs(book - value))) for value in flat)
    header = json.dumps([{"name": name, "shape": arrays[name].shape} for name in names])
    blocks = (header.encode(), book.tobytes(), codes)
    path.write_bytes(b"".join(struct.pack(">L", len(block)) + block for block in blocks))


def generator_of(arrays):
    """What a `.pict` holds: the generator's weights alone, without unused moving moments."""
    return {
        name: array
        for name, array in arrays.items()
        if name.startswith("generator/") and "/Adam" not in name and "/moving_" not in name
    }


@pytest.mark.parametrize(
    "source", [FIRST, CURRENT, SEPARABLE], ids=["first", "current", "separable"]
)
def test_to_pict(source, current, tmp_path):
    """The first generation's has biases, too, as the reference's reader wants them: zero."""
    path = convert(source, "pict", tmp_path / "made.pict")
    weights = generator_of(tensors(current if source == FIRST else source))
    header = json.loads(read_blocks(path)[0])
    assert header == [
        {"name": name, "shape": list(weights[name].shape)} for name in sorted(weights)
    ]
    found, book = slow_read(path)
    flat = np.concatenate([weights[name].ravel() for name in sorted(weights)])
    np.testing.assert_allclose(book, slow_codebook(flat), rtol=1e-5, atol=1e-9)
    for name, array in weights.items():
        nearest = np.array([np.abs(book - value).min() for value in array.ravel()])
        assert (np.abs(found[name] - array).ravel() == nearest).all(), name


def test_pict_to_native(tmp_path):
    """It becomes a generator that test.py takes, and translates almost as the original does."""
    slow_write(tmp_path / "given.pict", generator_of(tensors(CURRENT)))
    wanted, _ = slow_read(tmp_path / "given.pict")
    native = convert(
        tmp_path / "given.pict", "native", tmp_path / "native", "--which_direction", "BtoA"
    )
    found = {name: array for name, array in tensors(native).items() if "/" in name}
    assert_equal_bits(found, {first_name(name): array for name, array in wanted.items()})
    options = json.loads((native / "options.json").read_text())
    chosen = ("which_direction", "ngf", "crop_size", "levels", "bias", "separable_conv")
    assert [options[name] for name in chosen] == ["BtoA", 1, 256, 8, "all", False]
    assert len(images(translate(native, tmp_path / "result"))) == 2

    # The other direction, so that the same images can be compared with the reference's.
    native = convert(tmp_path / "given.pict", "native", tmp_path / "AtoB")
    where = ("--input_dir", TEST_PAIRS, "--output_dir", tmp_path / "again", "--dropout", 0)
    succeeded(call("test", *where, "--checkpoint", native))
    recorded = images(GOLDEN / "mini_current_AtoB" / "test")
    for name, image in images(tmp_path / "again").items():
        assert np.abs(image.astype(int) - recorded[name]).mean() < 8


@pytest.mark.parametrize("source", [FIRST, CURRENT, SEPARABLE])
def test_safetensors_of_the_references_checkpoints(source, tmp_path):
    file = convert(source, "safetensors", tmp_path / "a.safetensors")
    again = convert(file, "native", tmp_path / "again")
    native = convert(source, "native", tmp_path / "native")
    assert_equal_bits(tensors(again), tensors(native))
    made = [json.loads((folder / "options.json").read_text()) for folder in (again, native)]
    assert made[0]["bias"] == made[1]["bias"]


def test_a_lab_pict_tells_its_direction(tmp_path):
    made = convert(GOLDEN / "mini_lab_BtoA" / "step1", "pict", tmp_path / "a.pict")
    native = convert(made, "native", tmp_path / "native")
    options = json.loads((native / "options.json").read_text())
    assert (options["lab_colorization"], options["which_direction"]) == (True, "BtoA")
    where = ("--input_dir", GOLDEN / "made_test_photos", "--output_dir", tmp_path / "made")
    succeeded(call("test", *where, "--checkpoint", native))
    assert len(images(tmp_path / "made")) == 2


def test_a_separable_pict_to_native(tmp_path):
    made = convert(SEPARABLE, "pict", tmp_path / "a.pict")
    native = convert(made, "native", tmp_path / "native")
    assert json.loads((native / "options.json").read_text())["separable_conv"] is True
    _, book = slow_read(made)
    weights = generator_of(tensors(native))
    assert all(np.isin(array, book).all() for array in weights.values())


@pytest.mark.parametrize("form", ["native", "current"])
def test_an_existing_folder_is_refused(form, tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "kept").write_text("kept")
    flags = ("--checkpoint", FIRST, "--to", form, "--output", tmp_path / "there")
    assert_refused(call("convert", *flags), f"{tmp_path}/there already exists")
    assert [path.name for path in tmp_path.rglob("*")] == ["there", "kept"]


def test_an_existing_pict_is_refused(tmp_path):
    (tmp_path / "there.pict").write_text("kept")
    flags = ("--checkpoint", FIRST, "--to", "pict", "--output", tmp_path / "there.pict")
    assert_refused(call("convert", *flags), "there.pict already exists")
    assert (tmp_path / "there.pict").read_text() == "kept"


@pytest.mark.parametrize(
    "contents",
    [
        b"",
        b"not a pict",
        b"\x00\x00\x00\x02[]",
        b"\x00\x00\x00\x02[]\x00\x00\x00\x00\x00\x00\x00\x01\x00",
        b"\x00\x00\x00\x02[]" + struct.pack(">L", 1024) + bytes(1024) + bytes(4),
        b"\x00\x00\x00\x02{}" + struct.pack(">L", 1024) + bytes(1024) + bytes(4),
    ],
    ids=["empty", "text", "one block", "no codebook", "no weights", "no list"],
)
def test_what_is_no_pict_is_refused(contents, tmp_path):
    (tmp_path / "bad.pict").write_bytes(contents)
    flags = ("--checkpoint", tmp_path / "bad.pict", "--to", "native", "--output", tmp_path / "out")
    assert_refused(call("convert", *flags), f"{tmp_path}/bad.pict")
    assert not (tmp_path / "out").exists()


def test_a_pict_that_is_cut_off_is_refused(tmp_path):
    made = convert(CURRENT, "pict", tmp_path / "made.pict")
    made.write_bytes(made.read_bytes()[:-10])
    flags = ("--checkpoint", made, "--to", "native", "--output", tmp_path / "out")
    assert_refused(
        call("convert", *flags),
        f"{made} cannot be read as a .pict file: it is cut off in its block",
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda w: w.pop("generator/decoder_2/conv2d_transpose/bias"),
            ["2/deconv/bias is missing, not ["],
        ),
        (lambda w: w.update({"generator/extra/conv2d/kernel": np.ones((4, 4, 3, 3))}), ["extra"]),
        (lambda w: reshape(w, "generator/encoder_3/conv2d/kernel", (4, 4, 4, 2)), ["[4, 4, 4, 2]"]),
        (lambda w: reshape(w, "generator/encoder_1/conv2d/kernel", (48,)), ["not hold a gener"]),
        (lambda w: reshape(w, "generator/encoder_1/conv2d/kernel", (16, 3)), ["not hold a gener"]),
        (
            lambda w: reshape(w, "generator/encoder_1/conv2d/kernel", (4, 4, 1, 3)),
            ["is [3], not [2]"],
        ),
        (lambda w: w.pop("generator/encoder_1/conv2d/kernel"), ["does not hold a generator"]),
        (lambda w: w.pop("generator/encoder_8/conv2d/kernel"), ["a generator of 7 levels: gen"]),
        (lambda w: [w.pop(name) for name in list(w) if "bias" not in name], ["hold a generator"]),
        (
            lambda w: w.update(
                {f"generator/encoder_{n}/conv2d/kernel": np.ones(1) for n in range(9, 9000)}
            ),
            ["it has 8999 levels"],
        ),
        (
            lambda w: reshape(w, "generator/encoder_1/conv2d/kernel", (1, 1, 3, 10**5)),
            ["does not hold a generator"],
        ),
        (lambda w: w.update({"generator/encoder_1/conv/bias": np.ones(1)}), ["under two names"]),
    ],
)
def test_a_pict_of_other_weights_is_refused(change, words, tmp_path):
    """Its form is right, but no network has such weights."""
    weights = generator_of(tensors(CURRENT))
    change(weights)
    slow_write(tmp_path / "bad.pict", weights)
    flags = ("--checkpoint", tmp_path / "bad.pict", "--to", "native", "--output", tmp_path / "out")
    assert_refused(call("convert", *flags), f"{tmp_path}/bad.pict", *words)
    assert not (tmp_path / "out").exists()


def reshape(weights, name, shape):
    weights[name] = np.resize(weights[name], shape)


@pytest.mark.parametrize(
    ("form", "name", "change", "words"),
    [
        (
            "pict",
            "generator/encoder_3/conv/filter",
            lambda a: a * np.nan,
            "holds infinite values or NaN",
        ),
        (
            "current",
            "discriminator/layer_2/conv/filter/Adam_1",
            lambda a: a + np.inf,
            "holds infinite values or NaN",
        ),
        (
            "native",
            "discriminator_loss/Mean/ExponentialMovingAverage",
            lambda a: a * np.nan,
            "holds infinite values or NaN",
        ),
        (
            "native",
            "generator/encoder_2/batchnorm/scale",
            lambda a: a.astype(np.int32),
            "is int32 [2]",
        ),
        ("current", "generator/encoder_2/conv/filter", lambda a: a.ravel(), "is float32 [32]"),
        ("pict", "generator/encoder_2/conv/filter", lambda a: a[:0], "is float32 [0, 4, 1, 2]"),
    ],
)
def test_a_checkpoint_of_values_that_no_training_gives(form, name, change, words, tmp_path):
    arrays = tensors(FIRST)
    arrays[name] = change(arrays[name])
    write_tensors(tmp_path / "bad", arrays, 4)
    shutil.copy(FIRST / "options.json", tmp_path / "bad")
    target = tmp_path / "out.pict"
    flags = ("--checkpoint", tmp_path / "bad", "--to", form, "--output", target)
    assert_refused(call("convert", *flags), f"{tmp_path}/bad/model-4", name, words)
    assert not target.exists()


@pytest.mark.parametrize(
    "flags",
    [
        ("--discriminator", "patch16", "--unconditional", "--target_first"),
        ("--gan_loss", "lsgan"),
        ("--bias", "last"),
    ],
    ids=lambda flags: flags[0],
)
def test_a_pict_of_a_generator_that_was_trained_in_another_way(flags, make_model, tmp_path):
    """A `.pict` holds the generator alone; biases that it lacks are 0, which changes nothing."""
    model = make_model(*flags)
    made, book = slow_read(convert(model, "pict", tmp_path / "made.pict"))
    trained = tensors(model)
    stored = {first_name(name) for name in made}
    assert set(generator_of(trained)) <= stored
    for name, array in made.items():
        weights = trained.get(first_name(name), np.zeros_like(array))
        nearest = np.array([np.abs(book - value).min() for value in weights.ravel()])
        assert (np.abs(array - weights).ravel() == nearest).all(), name


@pytest.mark.parametrize(
    "flags",
    [
        ("--generator", "pooled"),
        ("--bias", "none", "--discriminator_bias", "all"),
        ("--bias", "all", "--discriminator_bias", "last"),
        ("--bias", "unnormed"),
    ],
    ids=" ".join,
)
def test_biases_of_some_layers(flags, make_model, tmp_path):
    """They are kept, as the options say; those of the reference are all alike."""
    model = make_model(*flags)
    options = json.loads((model / "options.json").read_text())
    file = convert(model, "safetensors", tmp_path / "a.safetensors")
    for source, name in ((model, "first"), (file, "second")):
        made = convert(source, "native", tmp_path / name)
        assert_equal_bits(tensors(made), tensors(model))
        found = json.loads((made / "options.json").read_text())
        for option in ("bias", "discriminator_bias"):
            assert found[option] == options[option]


@pytest.mark.parametrize("flags", [("--dropout", 0.2), ("--no_dropout_in_use",), ()])
def test_another_dropout_in_translation_is_told(flags, make_model, tmp_path):
    """The reference program uses its own; a `.safetensors` file holds the rate."""
    model = make_model(*flags)
    for form in ("pict", "safetensors"):
        target = tmp_path / f"a.{form}"
        done = call("convert", "--checkpoint", model, "--to", form, "--output", target)
        told = "in translation, where the reference program has 0.5" in succeeded(done).stdout
        assert told == bool(flags and form == "pict")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--skip_activation", "lrelu"), "skip_activation lrelu"),
        (("--no_bottleneck_norm",), "norm"),
    ],
)
def test_a_generator_that_the_demo_does_not_know_is_refused(flags, words, make_model, tmp_path):
    convert_flags = ("--to", "pict", "--output", tmp_path / "out.pict")
    assert_refused(call("convert", "--checkpoint", make_model(*flags), *convert_flags), words)


def test_what_the_reference_does_not_know_is_not_made_current(make_model, tmp_path):
    flags = ("--checkpoint", make_model(), "--to", "current", "--output", tmp_path / "out")
    assert_refused(call("convert", *flags), "crop_size 32", "256")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("form", ["native", "pict"])
def test_a_target_that_cannot_be_written(form, tmp_path):
    (tmp_path / "file").write_text("")
    flags = (
        "--checkpoint",
        FIRST,
        "--to",
        form,
        "--output",
        tmp_path / "file" / "below" / "x.pict",
    )
    assert_refused(call("convert", *flags), f"{tmp_path}/file")


def test_a_disk_that_is_full_leaves_no_folder(tmp_path, monkeypatch):
    """What is left would be refused by the same command."""

    def fail(*args, **record):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("p2p_graph.checkpoints.convert.save_options", fail)
    flags = ("--checkpoint", FIRST, "--to", "native", "--output", tmp_path / "out")
    assert_refused(call("convert", *flags), "out cannot be written: No space left on device")
    assert not (tmp_path / "out").exists()


def test_a_converted_folder_is_found_by_tensorflow(current, tmp_path):
    """Wherever it is moved to."""
    moved = shutil.copytree(current, tmp_path / "moved")
    assert tf.train.latest_checkpoint(str(moved)) == f"{moved}/model-4"


def test_training_goes_on_from_a_pytorch_checkpoint(tmp_path):
    """Of generator and discriminator; without the latter, what is missing is named."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    from ..checkpoints import torch_networks

    for name, network in (
        ("G", torch_networks.Generator(3, 3, 5, 2)),
        ("D", torch_networks.Discriminator(6, 2, 1)),
    ):
        torch.save(network.state_dict(), tmp_path / f"latest_net_{name}.pth")
    source = tmp_path / "latest_net_G.pth"
    alone = convert(source, "native", tmp_path / "alone")
    flags = ("--input_dir", GOLDEN / "made_pairs", "--preset", "junyanz", *SMALL)
    flags = (*flags, "--discriminator", "n_layers=1", "--max_steps", 2)
    refused = call("train", *flags, "--checkpoint", alone, "--output_dir", tmp_path / "refused")
    assert_refused(refused, "lacks discriminator/layer_1/conv/bias, discriminator/layer_1/conv/fil")
    whole = tmp_path / "whole"
    convert(source, "native", whole, "--discriminator", tmp_path / "latest_net_D.pth")
    folder = tmp_path / "run"
    done = succeeded(call("train", *flags, "--checkpoint", whole, "--output_dir", folder))
    assert "it holds weights alone: the state of the optimizers starts anew\n" in done.stdout
    before, after = tensors(whole), tensors(folder)
    # Two steps of Adam change a weight by at most twice its learning rate.
    for name, array in before.items():
        change = np.abs(after[name] - array).max()
        assert 0 < change <= 2.1 * 2e-4 or "bias" in name, name
    assert after["global_step"] == 2
    assert np.isclose(after["generator_train/beta1_power"], 0.5**3)
    back = convert(folder, "torch", tmp_path / "torch")
    state = torch.load(back / "latest_net_G.pth", weights_only=True)
    torch_networks.Generator(3, 3, 5, 2).load_state_dict(state, strict=True)
