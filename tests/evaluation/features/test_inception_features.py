"""Features of a small graph that is built, named and frozen as the one of 2015, against NumPy."""

import contextlib
import functools
import os

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from PIL import Image

from p2p_graph.evaluation.example_images import Example
from p2p_graph.evaluation.features import feature_distances
from p2p_graph.evaluation.features import feature_statistics as statistics_module
from p2p_graph.evaluation.features.feature_statistics import feature_statistics, set_digest
from p2p_graph.evaluation.features.inception_features import Inception
from p2p_graph.metrics import kid
from p2p_graph.metrics.feature_moments import FeatureMoments
from p2p_graph.metrics.fid import frechet_distance
from p2p_graph.utils.errors import UserError

SIDE, KERNEL, STRIDE, DIMS = 16, 4, 4, 5
EPSILON = 0.001


def weights(seed=0):
    rng = np.random.default_rng(seed)
    shape = {"kernel": (KERNEL, KERNEL, 3, DIMS), "mean": DIMS, "beta": DIMS}
    found = {name: rng.normal(size=size).astype(np.float32) for name, size in shape.items()}
    found |= {name: rng.uniform(1, 2, DIMS).astype(np.float32) for name in ("variance", "gamma")}
    return found


def definition(seed=0, frozen=True):
    """From a JPEG's bytes to a softmax; what is between has the original's names."""
    with tf.Graph().as_default() as graph:
        contents = tf.constant(b"", name="DecodeJpeg/contents")
        image = tf.cast(tf.image.decode_jpeg(contents, 3, name="DecodeJpeg"), tf.float32, "Cast")
        images = tf.expand_dims(image, 0, name="ExpandDims")
        size = [SIDE, SIDE]
        net = tf.raw_ops.ResizeBilinear(images=images, size=size, name="ResizeBilinear")
        net = tf.multiply(tf.subtract(net, 128.0, name="Sub"), 1 / 128, name="Mul")
        values = weights(seed)
        kernel = values["kernel"]
        kernel = tf.constant(kernel) if frozen else tf.Variable(kernel, use_resource=False)
        net = tf.nn.conv2d(net, kernel, STRIDE, "VALID", name="conv/Conv2D")
        inputs = [tf.constant(values[name]) for name in ("mean", "variance", "beta", "gamma")]
        with tf.control_dependencies(inputs):
            net = tf.identity(net, "conv/batchnorm")
        net = tf.nn.relu(tf.debugging.check_numerics(net, "conv"), name="conv")
        net = tf.nn.avg_pool(net, SIDE // STRIDE, 1, "VALID", name="pool_3")
        logits = tf.reshape(net, [1, DIMS], name="pool_3/_reshape")
        tf.nn.softmax(logits, name="softmax")
        found = graph.as_graph_def()
    # Today's TensorFlow makes no such operation, but runs it where a graph is as old as this one.
    found.ClearField("versions")
    norm = next(node for node in found.node if node.name == "conv/batchnorm")
    kind = norm.attr["T"].type
    arguments = [name.removeprefix("^") for name in norm.input]
    norm.Clear()
    norm.name, norm.op = "conv/batchnorm", "BatchNormWithGlobalNormalization"
    norm.input.extend(arguments)
    norm.attr["T"].type = kind
    norm.attr["variance_epsilon"].f = EPSILON
    norm.attr["scale_after_normalization"].b = True
    return found


def resized(image):
    """Bilinear, a new pixel's corner at an old one's: TensorFlow's in 2015."""
    height, width, _ = image.shape
    result = np.zeros((SIDE, SIDE, 3))
    for y, x in np.ndindex(SIDE, SIDE):
        row, column = y * height / SIDE, x * width / SIDE
        top, left = int(row), int(column)
        below, right = min(top + 1, height - 1), min(left + 1, width - 1)
        down, beside = row - top, column - left
        upper = image[top, left] * (1 - beside) + image[top, right] * beside
        lower = image[below, left] * (1 - beside) + image[below, right] * beside
        result[y, x] = upper * (1 - down) + lower * down
    return result


def features(image, seed=0):
    values = weights(seed)
    net = (resized(image.astype(np.float64)) - 128) / 128
    total = np.zeros(DIMS)
    positions = range(0, SIDE, STRIDE)
    for y in positions:
        for x in positions:
            patch = net[y : y + KERNEL, x : x + KERNEL]
            found = np.tensordot(patch, values["kernel"], 3)
            found = (found - values["mean"]) / np.sqrt(values["variance"] + EPSILON)
            total += np.maximum(found * values["gamma"] + values["beta"], 0)
    return total / len(positions) ** 2


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "classify_image_graph_def.pb"
    path.write_bytes(definition().SerializeToString())
    return path


@pytest.fixture
def network(path):
    with Inception(path, dims=DIMS) as network:
        yield network


@pytest.fixture
def images(rng, tmp_path):
    """Ten PNGs of several sizes."""
    folder = tmp_path / "images"
    folder.mkdir()
    paths = [folder / f"{number}.png" for number in range(10)]
    for number, path in enumerate(paths):
        Image.fromarray(rng.integers(0, 256, (9 + number, 20, 3), np.uint8)).save(path)
    return paths


def wanted_features(paths, seed=0):
    return np.stack([features(np.asarray(Image.open(path)), seed) for path in paths])


def test_features(rng, network):
    sizes = [(16, 16), (40, 23), (1, 1), (5, 30)]
    arrays = [rng.integers(0, 256, (*size, 3), np.uint8) for size in sizes]
    found = list(network.features(arrays))
    assert [(one.dtype, one.shape) for one in found] == [(np.float32, (DIMS,))] * 4
    for one, array in zip(found, arrays, strict=True):
        np.testing.assert_allclose(one, features(array), rtol=1e-4, atol=1e-5)


def test_features_come_as_asked_for(rng, network):
    def endless():
        while True:
            yield rng.integers(0, 256, (4, 4, 3), np.uint8)

    assert next(network.features(endless())).shape == (DIMS,)


@pytest.mark.parametrize(
    "array", [np.zeros((4, 4, 3)), np.zeros((4, 4, 1), np.uint8), np.zeros((4, 3), np.uint8)]
)
def test_what_is_no_image(network, array):
    with pytest.raises(ValueError, match=r"must be uint8 \[H, W, 3\]"):
        next(network.features([array]))


def test_end_of_the_session(path, rng):
    array = rng.integers(0, 256, (4, 4, 3), np.uint8)
    with Inception(path, dims=DIMS) as network:
        next(network.features([array]))
    with pytest.raises(RuntimeError, match="closed Session"):
        next(network.features([array]))


def test_digest_of_the_graph(path, tmp_path):
    other = tmp_path / "other.pb"
    other.write_bytes(definition(seed=1).SerializeToString())
    copy = tmp_path / "copy.pb"
    copy.write_bytes(path.read_bytes())
    digests = []
    for file in (path, copy, other):
        with Inception(file, dims=DIMS) as network:
            digests.append(network.digest)
    assert digests[0] == digests[1] != digests[2]


def test_statistics(network, images):
    wanted = wanted_features(images)
    moments, found = feature_statistics(images, network, with_features=True)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    assert moments.count == 10
    np.testing.assert_allclose(moments.mean, found.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(moments.covariance, np.cov(found.T), rtol=1e-4, atol=1e-6)
    without = feature_statistics(images, network)
    assert without.features is None
    assert frechet_distance(without.moments, moments) < 1e-9


def test_statistics_in_parts(network, images, monkeypatch):
    intact = feature_statistics(images, network, with_features=True)
    monkeypatch.setattr(statistics_module, "_BATCH", 4)
    parts = feature_statistics(images, network, with_features=True)
    assert parts.moments.count == 10
    np.testing.assert_allclose(parts.moments.scatter, intact.moments.scatter, rtol=1e-9, atol=1e-12)
    assert (parts.features == intact.features).all()


def test_kinds_of_files(network, images, tmp_path):
    """Grey images, palettes and JPEGs are decoded as everywhere in the package."""
    with Image.open(images[0]) as image:
        image.convert("L").save(tmp_path / "grey.png")
        image.convert("P").save(tmp_path / "palette.png")
        image.save(tmp_path / "image.jpg")
    paths = [tmp_path / name for name in ("grey.png", "palette.png", "image.jpg")]
    wanted = [features(np.asarray(Image.open(path).convert("RGB"))) for path in paths]
    found = feature_statistics(paths, network, with_features=True).features
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("with_features", [True, False])
def test_cache_is_used(path, images, tmp_path, with_features):
    cache = tmp_path / "new" / "cache.npz"
    with Inception(path, dims=DIMS) as network:
        first = feature_statistics(images, network, cache, with_features=with_features)
    # Its session is over: nothing can be computed any more.
    again = feature_statistics(images, network, cache, with_features=with_features)
    assert again.moments.count == 10
    assert (again.moments.mean == first.moments.mean).all()
    assert (again.moments.scatter == first.moments.scatter).all()
    if with_features:
        assert again.features.dtype == np.float32
        assert (again.features == first.features).all()
    else:
        assert again.features is None


def test_cache_knows_contents_not_names(path, images, tmp_path):
    cache = tmp_path / "cache.npz"
    with Inception(path, dims=DIMS) as network:
        feature_statistics(images, network, cache)
    moved = [file.rename(file.with_name(f"moved_{file.name}")) for file in images]
    assert feature_statistics(moved, network, cache).moments.count == 10


def changed(images):
    with Image.open(images[3]) as image:
        values = np.asarray(image).copy()
    values[0, 0, 0] ^= 128
    Image.fromarray(values).save(images[3])
    return images


@pytest.mark.parametrize(
    "change",
    [changed, lambda paths: paths[:-1], lambda paths: paths[::-1], lambda paths: paths + paths[:1]],
)
def test_cache_of_other_images(network, images, tmp_path, change):
    cache = tmp_path / "cache.npz"
    before = feature_statistics(images, network, cache, with_features=True)
    others = change(images)
    after = feature_statistics(others, network, cache, with_features=True)
    np.testing.assert_allclose(after.features, wanted_features(others), rtol=1e-4, atol=1e-5)
    assert not np.array_equal(after.features, before.features)
    # It is now theirs.
    network.close()
    assert (
        feature_statistics(others, network, cache, with_features=True).features == after.features
    ).all()


def test_cache_of_another_graph(network, images, tmp_path):
    cache = tmp_path / "cache.npz"
    feature_statistics(images, network, cache, with_features=True)
    other = tmp_path / "other.pb"
    other.write_bytes(definition(seed=1).SerializeToString())
    with Inception(other, dims=DIMS) as second:
        found = feature_statistics(images, second, cache, with_features=True).features
    np.testing.assert_allclose(found, wanted_features(images, 1), rtol=1e-4, atol=1e-5)


def test_a_cache_that_does_not_serve_is_reported(network, images, tmp_path, capsys):
    """Where there is none yet, or it serves, nothing is."""
    cache = tmp_path / "cache.npz"
    for _ in range(2):
        feature_statistics(images, network, cache)
        assert capsys.readouterr().out == ""
    feature_statistics(images[1:], network, cache)
    assert capsys.readouterr().out.startswith(f"{cache} is of other images")


def test_distances(network, images, monkeypatch):
    """FID and KID of two sets; a deviation only where not every subset is all images."""
    half = [Example(p.stem, p, images[0]) for p in images[:6]]
    ours, theirs = (wanted_features(paths) for paths in (images[:6], images[:1] * 6))
    found, notes = feature_distances.compute_distances(half, ("fid", "kid"), network)
    assert list(found) == ["fid", "kid"]
    moments = [FeatureMoments(DIMS), FeatureMoments(DIMS)]
    for one, features in zip(moments, (ours, theirs), strict=True):
        one.add(features)
    assert found["fid"] == pytest.approx(frechet_distance(*moments), rel=1e-3)
    assert found["kid"] == pytest.approx(kid.squared_mmd(ours, theirs), rel=1e-3)
    assert len(notes) == 0  # 6 images are enough for 5 features
    monkeypatch.setattr(kid, "kid", functools.partial(kid.kid, subset_size=4))
    found, _ = feature_distances.compute_distances(half, ("fid", "kid"), network)
    assert found["kid_deviation"] > 0


def test_cache_without_features(network, images, tmp_path):
    """It does not serve where features are asked for; one with features serves both."""
    cache = tmp_path / "cache.npz"
    assert feature_statistics(images, network, cache).features is None
    assert feature_statistics(images, network, cache, with_features=True).features.shape == (
        10,
        DIMS,
    )
    network.close()
    assert feature_statistics(images, network, cache).features is None
    assert feature_statistics(images, network, cache, with_features=True).features.shape == (
        10,
        DIMS,
    )


def test_cache_is_of_what_was_used(path, images, tmp_path):
    """An image that changes while its set is computed is not taken for the one before."""
    cache = tmp_path / "cache.npz"

    class Changing(Inception):
        def features(self, arrays):
            for number, values in enumerate(super().features(arrays)):
                if number == 0:
                    changed(images)
                yield values

    with Changing(path, dims=DIMS) as network:
        first = feature_statistics(images, network, cache, with_features=True)
    np.testing.assert_allclose(first.features, wanted_features(images), rtol=1e-4, atol=1e-5)
    assert (
        feature_statistics(images, network, cache, with_features=True).features == first.features
    ).all()


def test_files_of_another_kind_stay(network, images, tmp_path):
    data = tmp_path / "data.npz"
    np.savez(data, inputs=np.zeros((2, 4, 4, 3)), targets=np.zeros((2, 4, 4, 3)))
    text = tmp_path / "notes.txt"
    text.write_text("notes")
    digests = tmp_path / "digests.npz"  # one of its names is a cache's, too
    np.savez(digests, digest="abc", inputs=np.zeros((2, 4, 4, 3)))
    for file in (data, text, digests):
        before = file.read_bytes()
        with pytest.raises(
            UserError, match=f"{file.name} cannot be read as a set's statistics: .*nam"
        ):
            feature_statistics(images, network, file)
        assert file.read_bytes() == before


@pytest.mark.parametrize(
    "changed",
    [
        {"features": np.zeros((9, DIMS), np.float32)},
        {"features": np.zeros((10, DIMS))},
        {"features": np.full((10, DIMS), np.nan, np.float32)},
        {"features": np.zeros(10, np.float32)},
        {"count": 9},
        {"mean": np.zeros(4), "scatter": np.eye(4)},
    ],
    ids=lambda changed: f"{[*changed]}",
)
def test_a_cache_of_other_arrays(network, images, tmp_path, changed):
    """Its digest is that of the images, but not what it holds."""
    cache = tmp_path / "cache.npz"
    feature_statistics(images, network, cache, with_features=True)
    with np.load(cache) as found:
        arrays = dict(found)
    np.savez(cache, **arrays | changed)
    before = cache.read_bytes()
    with pytest.raises(UserError, match=f"^{cache} cannot be read as a set's statistics: .*; name"):
        feature_statistics(images, network, cache, with_features=True)
    assert cache.read_bytes() == before


def test_cache_that_cannot_be_written(network, images, tmp_path):
    with pytest.raises(UserError, match=r"cache\.npz cannot be written"):
        feature_statistics(images, network, images[0] / "cache.npz")
    cache = tmp_path / "cache.npz"
    feature_statistics(images, network, cache)
    before = cache.read_bytes()
    (tmp_path / "cache.npz.unfinished").mkdir()
    with pytest.raises(UserError, match=r"cache\.npz cannot be written: Is a directory"):
        feature_statistics(images[1:], network, cache)
    assert cache.read_bytes() == before


def test_images_that_cannot_be_used(network, images, tmp_path):
    missing, text = tmp_path / "missing.png", tmp_path / "text.png"
    text.write_text("text")
    for cache in (None, tmp_path / "cache.npz"):
        with pytest.raises(UserError, match=r"missing\.png cannot be read: No such file"):
            feature_statistics([*images, missing], network, cache)
        with pytest.raises(UserError, match=r"text\.png is not an image"):
            feature_statistics([*images, text], network, cache)
    assert not (tmp_path / "cache.npz").exists()


def test_digest_tells_where_images_end(network, tmp_path):
    """The same bytes with other boundaries between files are other images."""
    folders = {"one": (b"ab", b"c"), "two": (b"a", b"bc")}
    digests = []
    for name, contents in folders.items():
        paths = [tmp_path / f"{name}_{number}" for number in range(2)]
        for file, part in zip(paths, contents, strict=True):
            file.write_bytes(part)
        digests.append(set_digest(paths, network))
    assert digests[0] != digests[1]


def renamed(old, new):
    def change(graph):
        for node in graph.node:
            node.name = new if node.name == old else node.name
            inputs = [new if name == old else name for name in node.input]
            del node.input[:]
            node.input.extend(inputs)

    return change


def node_of(graph, name):
    return next(node for node in graph.node if node.name == name)


def unknown_operation(graph):
    node_of(graph, "conv").op = "NoSuchOperation"


def missing_input(graph):
    graph.node.remove(node_of(graph, "Sub"))


def not_of_the_images(graph):
    node_of(graph, "ResizeBilinear").input[0] = "other"
    node = graph.node.add(name="other", op="Placeholder")
    node.attr["dtype"].type = tf.float32.as_datatype_enum


def not_pooled(graph):
    renamed("pool_3", "pool_2")(graph)
    renamed("conv", "pool_3")(graph)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (renamed("pool_3", "pool"), "it has no pool_3;"),
        (renamed("ExpandDims", "Images"), "it has no ExpandDims;"),
        (lambda graph: graph.Clear(), "it has no ExpandDims and no pool_3;"),
        (unknown_operation, "NoSuchOperation"),
        (missing_input, "Sub"),
        (not_of_the_images, "ExpandDims:0"),
        (not_pooled, r"its pool_3 is float32 \[1, 4, 4, 5\], not float32 \[1, 1, 1, 5\];"),
    ],
)
def test_wrong_graphs(path, change, message):
    graph = definition()
    change(graph)
    path.write_bytes(graph.SerializeToString())
    with pytest.raises(UserError, match="is not the Inception graph of 2015") as caught:
        Inception(path, dims=DIMS)
    assert caught.match(message)
    assert caught.match(r"name its classify_image_graph_def\.pb$")
    assert "\n" not in str(caught.value)


def test_graph_that_is_not_frozen(path):
    path.write_bytes(definition(frozen=False).SerializeToString())
    with pytest.raises(UserError, match="it is not frozen, Variable is a variable"):
        Inception(path, dims=DIMS)


def test_number_of_features(path):
    """2048 unless something else is said."""
    with pytest.raises(UserError, match=r"float32 \[1, 1, 1, 5\], not float32 \[1, 1, 1, 2048\]"):
        Inception(path)


def test_wrong_files(path, tmp_path):
    with pytest.raises(UserError, match=r"missing\.pb cannot be read: No such file"):
        Inception(tmp_path / "missing.pb")
    with pytest.raises(UserError, match="is a folder, not a regular file"):
        Inception(tmp_path)
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(UserError, match="it is no frozen graph"):
        Inception(path, dims=DIMS)
    path.write_text("<html>Not found</html>")
    with pytest.raises(UserError, match="it is no frozen graph"):
        Inception(path, dims=DIMS)


def test_any_damage_is_refused_or_computes(path, rng):
    intact, array = path.read_bytes(), rng.integers(0, 256, (4, 4, 3), np.uint8)
    for _ in range(30):
        damaged = bytearray(intact)
        damaged[rng.integers(len(intact))] = rng.integers(256)
        path.write_bytes(damaged)
        with contextlib.suppress(UserError), Inception(path, dims=DIMS) as network:
            assert next(network.features([array])).shape == (DIMS,)


def test_only_regular_files(path):
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(UserError, match=f"^inception {path} is a FIFO, not a regular file$"):
        Inception(path, dims=DIMS)


def test_graph_that_fails(path, rng):
    """Its own check of numbers, as the original's."""
    graph = definition()
    node = node_of(graph, "Mul/y").attr["value"].tensor
    node.float_val[:] = [np.nan]
    path.write_bytes(graph.SerializeToString())
    array = rng.integers(0, 256, (4, 4, 3), np.uint8)
    with (
        Inception(path, dims=DIMS) as network,
        pytest.raises(UserError, match=r"cannot be run: .*NaN"),
    ):
        next(network.features([array]))
