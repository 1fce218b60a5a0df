"""`.safetensors` files: a model comes back as it was, and any damage is named."""

import json
import sys

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from safetensors import safe_open
from safetensors.numpy import save_file

import p2p_graph
from p2p_graph.checkpoints import restore_checkpoint
from p2p_graph.checkpoints.convert import convert
from p2p_graph.checkpoints.model_files import read_model
from p2p_graph.config.options import Options
from p2p_graph.config.options_file import model_options, save_options
from p2p_graph.models.networks import Networks
from p2p_graph.utils.errors import UserError


@pytest.fixture
def run(tmp_path):
    """A checkpoint of a small model with more than its weights."""
    folder = tmp_path / "run"
    folder.mkdir()
    made = Options.of(
        ngf=2, ndf=2, crop_size=32, bias="last", input_dir="data", discriminator="patch16",
        discriminator_bias="all",
    )  # fmt: skip
    with tf.Graph().as_default(), tf.Session() as session:
        networks = Networks(made.model, made.losses, 0, on_cpu=True)
        zeros = tf.zeros([1, 32, 32, 3])
        networks.generate(zeros, 3, tf.constant(0, tf.int64))
        networks.discriminate(zeros, zeros, "real")
        tf.get_variable("generator/encoder_1/conv/filter/Adam", initializer=tf.ones([4, 4, 3, 2]))
        tf.get_variable("generator_train/beta1_power", initializer=0.5)
        tf.get_variable("global_step", initializer=tf.constant(7, tf.int64))
        session.run(tf.global_variables_initializer())
        tf.train.Saver().save(session, str(folder / "model-7"), write_meta_graph=False)
    save_options(made, folder)
    return folder


def arrays_of(folder):
    checkpoint = restore_checkpoint.need(folder)
    return checkpoint.read(checkpoint.stored)


def test_there_and_back(run, tmp_path):
    path = tmp_path / "model.safetensors"
    assert convert(run, path, "safetensors") == []
    with safe_open(str(path), framework="numpy") as file:
        assert "generator/encoder_1/conv/filter" in file.keys()  # noqa: SIM118
        assert "data" not in file.metadata()["p2p_graph_options"]  # no path of the machine
    convert(path, tmp_path / "again", "native")
    before, after = arrays_of(run), arrays_of(tmp_path / "again")
    assert before.keys() == after.keys()
    for name, array in before.items():
        np.testing.assert_array_equal(after[name], array)
        assert after[name].dtype == array.dtype
    assert restore_checkpoint.need(tmp_path / "again").step() == 7
    assert model_options(tmp_path / "again") == model_options(run)
    options = read_model(path, "AtoB").options.model.discriminator
    assert (options.discriminator, options.discriminator_bias) == ("patch16", "all")
    images = np.random.default_rng(0).random((1, 32, 32, 3), np.float32)
    with p2p_graph.load(run, device="cpu") as one, p2p_graph.load(path, device="cpu") as other:
        assert one.steps == other.steps == 7
        np.testing.assert_array_equal(one(images), other(images))


def refusal(path):
    with pytest.raises(UserError) as caught:
        read_model(path, "AtoB")
    message = str(caught.value)
    assert message.startswith(f"{path}")
    assert "\n" not in message
    return message


def test_damage_and_other_files(run, tmp_path):
    path = tmp_path / "model.safetensors"
    assert refusal(path) == f"{path} does not exist"
    convert(run, path, "safetensors")
    whole = path.read_bytes()
    for length in (0, 7, 100, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert refusal(path).startswith(f"{path} cannot be read as a .safetensors file: ")
    for place in (-1, -500, len(whole) // 2):
        flipped = bytearray(whole)
        flipped[place] ^= 64
        path.write_bytes(flipped)
        assert refusal(path).endswith("its values do not have the checksum that it names")
    model = read_model(run, "AtoB")
    flat = {name: model.options.flat()[name] for name in ("ngf", "ndf", "crop_size", "bias")}

    def saved(options, **changed):
        arrays = {name: np.asarray(array, order="C") for name, array in model.arrays.items()}
        save_file(arrays | changed, path, {"p2p_graph_options": json.dumps(options)})
        return refusal(path)

    first = "generator/encoder_1/conv/filter"
    save_file({"a": np.zeros(3, np.float32)}, path)
    assert refusal(path).endswith("does not say the options of its model: tools/convert.py did not "
                                  "write it")  # fmt: skip
    assert saved({**flat, "x": 1}) == f"{path} has unknown keys: x"
    assert "ngf must be at least 1, not 0" in saved({**flat, "ngf": 0})
    assert f"{first} is missing" in saved({**flat, "ngf": 5}) or "is [4, 4" in saved(
        {**flat, "ngf": 5}
    )
    nan = np.full([4, 4, 3, 2], np.nan, np.float32)
    assert saved(flat, **{first: nan}).endswith(f"{first} holds infinite values or NaN")
    assert f"{first} is int32" in saved(flat, **{first: np.ones([4, 4, 3, 2], np.int32)})


def test_without_the_package(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(UserError, match=r"\.safetensors files need the package safetensors: pip"):
        convert(run, tmp_path / "model.safetensors", "safetensors")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UserError, match="PyTorch files need the package torch: pip install -c"):
        convert(run, tmp_path / "torch", "torch")
    with pytest.raises(UserError, match="PyTorch files need the package torch"):
        p2p_graph.load(tmp_path / "latest_net_G.pth")
    assert not (tmp_path / "torch").exists()


def test_the_outputs_name(run, tmp_path):
    with pytest.raises(UserError, match=r"output .*model must end in \.safetensors"):
        convert(run, tmp_path / "model", "safetensors")
