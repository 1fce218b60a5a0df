"""Weights of junyanz's PyTorch networks: the same outputs there and here, in both directions."""

import pickle

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import p2p_graph
from p2p_graph.checkpoints import restore_checkpoint
from p2p_graph.checkpoints.convert import convert
from p2p_graph.checkpoints.model_files import read_model
from p2p_graph.config.options import Options
from p2p_graph.config.options_file import model_options, read_options, save_options
from p2p_graph.models.networks import Networks
from p2p_graph.utils.errors import UserError

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
from . import torch_networks  # noqa: E402

CLOSE = 1e-4  # of values in [0, 1]; 1 of 255 is 0.004


def save(network, path):
    torch.save(network.state_dict(), path)
    return path


def output_of(network, images):
    """A network's outputs for images [N, H, W, C] in [0, 1], by the statistics of each image."""
    network.train()
    with torch.no_grad():
        made = [
            network(torch.from_numpy(image[None].transpose(0, 3, 1, 2) * 2 - 1)).numpy()
            for image in images
        ]
    return np.concatenate(made).transpose(0, 2, 3, 1)


def scores_of(arrays, options, inputs, targets):
    """D's logits by this package, of images in [0, 1]."""
    with tf.Graph().as_default(), tf.Session() as session:
        networks = Networks(options.model, options.losses, 0, on_cpu=True)
        pair = [tf.constant(images * 2 - 1) for images in (inputs, targets)]
        scores = networks.discriminate(*pair, "real")
        for variable in tf.trainable_variables():
            variable.load(arrays[variable.op.name], session)
        return session.run(scores)


@pytest.mark.parametrize(
    ("levels", "ngf", "taken", "made"), [(5, 4, 3, 3), (6, 3, 1, 2), (8, 2, 3, 3)], ids=str
)
def test_a_generators_outputs(levels, ngf, taken, made, tmp_path):
    network = torch_networks.randomize(torch_networks.Generator(taken, made, levels, ngf), 1)
    path = save(network, tmp_path / "latest_net_G.pth")
    side = 2**levels
    images = np.random.default_rng(2).random((2, side, side, taken), np.float32)
    wanted = (output_of(network, images) + 1) / 2
    assert np.ptp(wanted) > 0.1
    with p2p_graph.load(path, device="cpu", dropout=0.0) as generator:
        assert generator.size == (side, side)
        assert generator.channels == (taken, made)
        np.testing.assert_allclose(generator(images), wanted, atol=CLOSE)
    convert(path, tmp_path / "native", "native", "BtoA")
    assert model_options(tmp_path / "native")["which_direction"] == "BtoA"
    with p2p_graph.load(tmp_path / "native", device="cpu", dropout=0.0) as generator:
        np.testing.assert_allclose(generator(images), wanted, atol=CLOSE)


@pytest.mark.parametrize(
    ("name", "conditional"),
    [("pixel", True), ("n_layers=1", True), ("n_layers=3", False), ("n_layers=4", True)],
)
def test_a_discriminators_scores(name, conditional, tmp_path):
    g = torch_networks.randomize(torch_networks.Generator(3, 2, 5, 2), 1)
    taken = 5 if conditional else 2
    if name == "pixel":
        network = torch_networks.PixelDiscriminator(taken, 3)
    else:
        network = torch_networks.Discriminator(taken, 3, int(name[-1]))
    torch_networks.randomize(network, 3)
    paths = save(g, tmp_path / "latest_net_G.pth"), save(network, tmp_path / "latest_net_D.pth")
    model = read_model(paths[0], "AtoB", paths[1])
    rng = np.random.default_rng(4)
    inputs, targets = (rng.random((1, 64, 64, channels), np.float32) for channels in (3, 2))
    images = np.concatenate([inputs, targets], axis=3) if conditional else targets
    wanted = output_of(network, images)
    assert wanted.std() > 0.05
    found = scores_of(model.arrays, model.options, inputs, targets)
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    # And back: the same tensors, in a file that loads with strict keys.
    assert convert(paths[0], tmp_path / "native", "native", "AtoB", paths[1]) == []
    assert convert(tmp_path / "native", tmp_path / "torch", "torch") == []
    for written, former in zip(("latest_net_G.pth", "latest_net_D.pth"), (g, network), strict=True):
        state = torch.load(tmp_path / "torch" / written, weights_only=True)
        for key, tensor in former.state_dict().items():
            if "running" not in key and "tracked" not in key:
                np.testing.assert_array_equal(state[key], tensor)
        former.load_state_dict(state, strict=True)


def make_run(folder, **options):
    """A checkpoint of a small model with random weights."""
    folder.mkdir()
    made = Options.of(**{"ngf": 2, "ndf": 3, "crop_size": 32, "levels": 5, **options})
    with tf.Graph().as_default(), tf.Session() as session:
        networks = Networks(made.model, made.losses, 0, on_cpu=True)
        zeros = tf.zeros([1, 32, 32, 3])
        networks.generate(zeros, 3, tf.constant(0, tf.int64))
        networks.discriminate(zeros, zeros, "real")
        session.run(tf.global_variables_initializer())
        rng = np.random.default_rng(5)
        for variable in tf.trainable_variables():
            value = session.run(variable)
            variable.load(value + rng.normal(0, 0.1, value.shape).astype(np.float32), session)
        tf.train.Saver().save(session, str(folder / "model-7"), write_meta_graph=False)
    save_options(made, folder)
    return folder


@pytest.mark.parametrize(
    "options",
    [{"preset": "paper", "bottleneck_norm": False}, {"bottleneck_norm": False, "bias": "last"}],
    ids=str,
)
def test_a_model_trained_here_there(options, tmp_path):
    run = make_run(tmp_path / "run", **options)
    notes = convert(run, tmp_path / "torch", "torch")
    assert notes == ["dropout in other levels than junyanz's network: outputs are equal without it"]
    network = torch_networks.Generator(3, 3, 5, 2)
    state = torch.load(tmp_path / "torch" / "latest_net_G.pth", weights_only=True)
    network.load_state_dict(state, strict=True)
    images = np.random.default_rng(6).random((2, 32, 32, 3), np.float32)
    with p2p_graph.load(run, device="cpu", dropout=0.0) as generator:
        np.testing.assert_allclose(
            (output_of(network, images) + 1) / 2, generator(images), atol=CLOSE
        )
    discriminator = torch_networks.Discriminator(6, 3, 3)
    state = torch.load(tmp_path / "torch" / "latest_net_D.pth", weights_only=True)
    discriminator.load_state_dict(state, strict=True)
    model = read_model(run, "AtoB")
    one = images[:1]  # in training, the statistics of a batch
    found = scores_of(model.arrays, model.options.replace(gan_loss="logits"), one, one)
    pairs = np.concatenate([one, one], axis=3)
    np.testing.assert_allclose(found, output_of(discriminator, pairs), atol=1e-4)


def test_a_bias_before_normalisation_has_no_effect(tmp_path):
    """It is left out; any other one that is not 0 is refused."""
    run = make_run(tmp_path / "run", bottleneck_norm=False, bias="all")
    with pytest.raises(UserError, match=r"run: generator/encoder_1/conv has a bias, and junyanz"):
        convert(run, tmp_path / "torch", "torch")
    assert not (tmp_path / "torch").exists()
    options = Options.of(**read_options(run))
    checkpoint = restore_checkpoint.need(run)
    with tf.Graph().as_default(), tf.Session() as session:
        arrays = checkpoint.read(checkpoint.stored)
        for name in ("encoder_1/conv", "encoder_5/conv"):
            arrays[f"generator/{name}/bias"] *= 0
        for name, array in arrays.items():
            tf.get_variable(name, initializer=array)
        session.run(tf.global_variables_initializer())
        tf.train.Saver().save(session, str(run / "model-8"), write_meta_graph=False)
    save_options(options, run)
    convert(run, tmp_path / "G.pth", "torch")
    network = torch_networks.Generator(3, 3, 5, 2)
    network.load_state_dict(torch.load(tmp_path / "G.pth", weights_only=True), strict=True)
    images = np.random.default_rng(6).random((1, 32, 32, 3), np.float32)
    with p2p_graph.load(run, device="cpu", dropout=0.0) as generator:
        wanted = generator(images)
    np.testing.assert_allclose((output_of(network, images) + 1) / 2, wanted, atol=CLOSE)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "was trained with bottleneck_norm True: junyanz's U-Net has False"),
        ({"separable_conv": True}, "was trained with separable_conv True"),
        ({"bottleneck_norm": False, "norm_epsilon": 1e-3}, "was trained with norm_epsilon 0.001"),
        ({"bottleneck_norm": False, "levels": 4}, "has 4 levels: junyanz's U-Net has at least 5"),
    ],
    ids=str,
)
def test_models_that_torch_does_not_hold(options, message, tmp_path):
    run = make_run(tmp_path / "run", **options)
    with pytest.raises(UserError, match=message):
        convert(run, tmp_path / "torch", "torch")
    assert not (tmp_path / "torch").exists()


def test_a_discriminator_that_torch_does_not_have(tmp_path):
    run = make_run(tmp_path / "run", bottleneck_norm=False, discriminator="same94")
    [_, note] = convert(run, tmp_path / "torch", "torch")
    assert note == "no latest_net_D.pth: junyanz's program has no discriminator same94"
    assert [path.name for path in (tmp_path / "torch").iterdir()] == ["latest_net_G.pth"]


@pytest.fixture
def state():
    return torch_networks.Generator(3, 3, 5, 2).state_dict()


def test_of_data_parallel_and_in_half_precision(state, tmp_path):
    torch.save(state, tmp_path / "a.pth")
    torch.save({f"module.{key}": value for key, value in state.items()}, tmp_path / "b.pth")
    torch.save({key: value.to(torch.float16) for key, value in state.items()}, tmp_path / "c.pth")
    arrays = [read_model(tmp_path / f"{name}.pth", "AtoB").arrays for name in "abc"]
    for name, array in arrays[0].items():
        np.testing.assert_array_equal(arrays[1][name], array)
        np.testing.assert_allclose(arrays[2][name], array, atol=1e-3)
        assert arrays[2][name].dtype == np.float32


def refusal(path, discriminator=None):
    with pytest.raises(UserError) as caught:
        read_model(path, "AtoB", discriminator)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_other_networks(state, tmp_path):
    path = tmp_path / "G.pth"
    first = "model.model.1.model.1"

    def refused(**changed):
        torch.save({**state, **{key.replace("-", "."): v for key, v in changed.items()}}, path)
        return refusal(path)

    ones = torch.ones(4)
    assert "with instance normalisation, which" in refused(**{f"{first}.bias": ones})
    assert "with spectral normalisation, which" in refused(**{f"{first}.weight_orig": ones})
    assert "with ResNet blocks, which" in refused(**{"model.10.conv_block.1.weight": ones})
    assert refused(**{"more": ones}).endswith("of junyanz's pix2pix: it has more")
    assert refused(**{"model.model.0.weight": ones}).endswith("model.model.0.weight is [4]")
    wide = torch.ones(2, 3, 3, 3)
    assert "generator/encoder_1/conv/filter is [3, 3, 3, 2]" in refused(
        **{"model.model.0.weight": wide}
    )
    nan = torch.full((3,), float("nan"))
    assert "holds infinite values or NaN in model.model.3.bias" in refused(
        **{"model.model.3.bias": nan}
    )
    torch.save(torch_networks.Discriminator(6, 2, 3).state_dict(), path)
    assert "does not hold a generator of junyanz's pix2pix: it has model.0.weight, " in refusal(
        path
    )
    torch.save({}, path)
    assert refusal(path).endswith("it has nothing, ...")
    torch.save(state, path)
    assert "does not hold a discriminator of junyanz's" in refusal(path, path)
    torch.save(torch_networks.Discriminator(7, 2, 3).state_dict(), tmp_path / "D.pth")
    assert "scores images of 7 channels, and the generator's pairs have 6" in refusal(
        path, tmp_path / "D.pth"
    )


class _Code:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def _some_values(state):
    """Bytes of some tensors, as a file holds them."""
    return [
        tensor.numpy().tobytes()[:32] for tensor in list(state.values())[::9] if tensor.ndim == 4
    ]


def test_damaged_and_hostile_files(state, tmp_path):
    path, touched = tmp_path / "G.pth", tmp_path / "touched"
    assert refusal(path) == f"{path} does not exist"
    torch.save(state, path)
    whole = path.read_bytes()
    for length in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert refusal(path).startswith(f"{path} cannot be read as a PyTorch state dictionary: ")
    for place in (whole.index(value) for value in _some_values(state)):
        flipped = bytearray(whole)
        flipped[place] ^= 64
        path.write_bytes(flipped)
        assert "is damaged" in refusal(path) or "cannot be read as a PyTorch" in refusal(path)
    torch.save({**state, "x": _Code(touched)}, path)
    no_tensors = "a PyTorch state dictionary: it is no file of PyTorch, or holds more than tensors"
    assert refusal(path) == f"{path} cannot be read as {no_tensors}"
    for contents in (pickle.dumps(_Code(touched)), b"<html>404</html>\n"):
        path.write_bytes(contents)
        assert refusal(path) == f"{path} cannot be read as {no_tensors}"
    assert not touched.exists()
    for content in ([1], {"state_dict": state}, {"x": 1}):
        torch.save(content, path)
        assert refusal(path).endswith("it is no dictionary from names to tensors")
    path.unlink()
    path.mkdir()
    assert refusal(path) == f"{path} is a folder, not a regular file"
