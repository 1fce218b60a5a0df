"""The sensitivity of a segmenter, measured on photos whose texture is known."""

import numpy as np
import pytest
from PIL import Image

from p2p_graph.evaluation import sensitivity
from p2p_graph.evaluation.example_images import Example
from p2p_graph.evaluation.fcn_score import FcnScore
from p2p_graph.imaging.palettes import Palette
from p2p_graph.segmentation.segmenters import Segmenter

PALETTE = Palette("two", {"plain": (255, 0, 0), "striped": (0, 0, 255)}, ())
SCORES = ["pixel_accuracy", "class_accuracy", "class_iou"]


def texture(photo):
    """Finds stripes: the class is 1 where neighbours differ, in blocks of 8x8."""
    grey = photo.mean(2)
    blocks = np.abs(np.diff(grey, axis=1, append=grey[:, -1:])).reshape(4, 8, 4, 8).mean((1, 3))
    return (blocks > 20).astype(int).repeat(8, 0).repeat(8, 1)


def colour(photo):
    """Finds what is bright."""
    return (photo.mean(2) > 127).astype(int)


@pytest.fixture
def examples(tmp_path, rng):
    """Dark plain and bright striped blocks of 8x8, with their labels as inputs."""
    found = []
    for number in range(3):
        ids = rng.permutation([0, 1] * 8).reshape(4, 4).repeat(8, 0).repeat(8, 1)
        stripes = np.where(np.arange(32) % 2, 250, 150)
        photo = np.where(ids, stripes, 60)[..., None].repeat(3, 2)
        paths = [tmp_path / f"{number}-{kind}.png" for kind in ("photo", "labels")]
        labels = np.array(list(PALETTE.classes.values()))[ids]
        for path, values in zip(paths, (photo, labels), strict=True):
            Image.fromarray(values.astype(np.uint8)).save(path)
        found.append(Example(str(number), paths[0], paths[0], paths[1]))
    return found


def measured(examples, predict):
    segmenter = Segmenter(predict.__name__, predict, gives_scores=False, palette=PALETTE)
    return sensitivity.measure(examples, FcnScore(examples, PALETTE, segmenter, None))


def test_a_segmenter_that_needs_texture(examples):
    found = measured(examples, texture)
    accuracy = {name: scores["pixel_accuracy"] for name, scores in found.items()}
    assert accuracy["real"] == 1
    assert accuracy["blurred, sigma 4"] == accuracy["each class in its mean colour"] == 0.5
    assert accuracy["blurred, sigma 1"] <= accuracy["real"]
    assert sensitivity.notes(found, "texture") == []


def test_a_segmenter_that_does_without(examples):
    found = measured(examples, colour)
    assert list(found["real"]) == SCORES
    assert found["each class in its mean colour"]["pixel_accuracy"] == 1
    [note] = sensitivity.notes(found, "colour")
    assert note == (
        "segmenter colour is unfit to compare images: photos in which each class has one colour "
        "score 1.00 per pixel, real ones 1.00"
    )


def test_the_table_has_a_row_a_distortion(examples):
    found = measured(examples, colour)
    lines = sensitivity.markdown_table(found).splitlines()
    assert len(lines) == 2 + len(found) == 10
    assert lines[2] == "| real | 1.000 | 1.000 | 1.000 |"


def test_at_most_200_examples(examples, monkeypatch):
    calls = []

    def counting(photo):
        calls.append(1)
        return colour(photo)

    measured(examples * 100, counting)
    assert len(calls) == 150 * 8
