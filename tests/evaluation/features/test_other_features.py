"""Distances by other networks than Inception."""

import contextlib
import sys

import numpy as np
import pytest
from PIL import Image

from p2p_graph.evaluation.example_images import Example
from p2p_graph.evaluation.features import feature_distances, other_features
from p2p_graph.metrics import kid
from p2p_graph.metrics.feature_moments import FeatureMoments
from p2p_graph.metrics.fid import frechet_distance
from p2p_graph.utils.errors import UserError

from ...segmentation.published_weights import parameters_of

FUNCTIONS = """
def colours(image):
    return image.mean((0, 1))

def rows(image):
    return image[:, 0, 0]

def text(image):
    return "red"

def table(image):
    return image

def huge(image):
    return [1e300, 1.0]

def many(image):
    return [1.0] * 8193

def fails(image):
    raise KeyError("sky")
"""


@pytest.fixture
def functions(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(FUNCTIONS)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("mine", None)


@pytest.fixture
def examples(tmp_path, rng):
    found = []
    for number in range(4):
        paths = [tmp_path / f"{number}-{kind}.png" for kind in ("output", "target")]
        for path in paths:
            Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(path)
        found.append(Example(str(number), *paths, None))
    return found


def arrays(paths):
    return [np.asarray(Image.open(path)) for path in paths]


def distances(examples, spec):
    with contextlib.ExitStack() as cleanup:
        networks = feature_distances.open_networks(
            None, spec, ("l1", "features"), len(examples), cleanup
        )
        return feature_distances.compute_all(examples, ("l1", "features"), networks)


def test_distances_by_a_function(functions, examples):
    figures, notes = distances(examples, "mine:colours")
    sets = [
        np.stack([image.mean((0, 1)) for image in arrays(paths)]).astype(np.float32)
        for paths in ([e.output for e in examples], [e.target for e in examples])
    ]
    moments = [FeatureMoments(3), FeatureMoments(3)]
    for each, values in zip(moments, sets, strict=True):
        each.add(values)
    assert figures == {
        "frechet_mine_colours": pytest.approx(frechet_distance(*moments), rel=1e-4),
        "kid_mine_colours": pytest.approx(kid.kid(*sets).mean, rel=1e-4),
    }
    assert notes == [
        "distances by mine_colours are no FID or KID: compare only such distances with each other"
    ]


def test_efficientnets_features(examples, rng):
    """Of images of any size; equal images have equal features, and other weights others."""
    parameters = parameters_of(rng)
    with contextlib.closing(other_features.EfficientNetFeatures(parameters)) as network:
        images = [*arrays([e.output for e in examples[:2]]), np.zeros((40, 72, 3), np.uint8)]
        first, second, third = network.features(images)
        [again] = network.features(images[:1])
        assert first.shape == third.shape == (network.dims,) == (1280,)
        np.testing.assert_array_equal(first, again)
        assert np.abs(first - second).max() > 1e-3
        digest = network.digest
    parameters["_bn0.bias"] = parameters["_bn0.bias"] + 1
    with contextlib.closing(other_features.EfficientNetFeatures(parameters)) as network:
        assert network.digest != digest


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("resnet", "features must be efficientnet_lite0 or module:function, not 'resnet'"),
        ("nowhere_at_all:f", "features nowhere_at_all:f: module nowhere_at_all cannot be imported"),
        ("mine:other", "features mine:other: module mine has no function other"),
        ("mine:fails", "features mine:fails failed: KeyError: 'sky'"),
        ("mine:text", "features mine:text gives no array of numbers"),
        ("mine:table", r"features mine:table gives \[64, 64, 3\], not numbers \[D\]"),
        ("mine:rows", "features mine:rows gives 64 numbers for one image, and 32 for another"),
    ],
)
def test_refuses(functions, examples, spec, message):
    with pytest.raises(UserError, match=f"^{message}") as raised:
        distances(examples, spec)
    assert "\n" not in str(raised.value)


def test_one_image_is_too_few(functions, examples):
    with pytest.raises(UserError, match="metrics features needs 2 images at least, not 1"):
        distances(examples[:1], "mine:colours")


def test_features_that_overflow(functions, examples):
    """Without a warning, which would be a second line."""
    with pytest.raises(UserError, match="the features of image 1 are not finite"):
        distances(examples, "mine:huge")


def test_too_many_features(functions, examples):
    with pytest.raises(UserError, match="gives 8193 numbers for an image, and at most 8192 are"):
        distances(examples, "mine:many")
