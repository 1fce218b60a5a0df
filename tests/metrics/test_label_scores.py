"""Labels' scores against Cityscapes' definitions, counted pixel by pixel."""

import math

import numpy as np
import pytest

from p2p_graph.imaging.palettes import Palette
from p2p_graph.metrics.label_scores import confusion_matrix, label_scores, per_class_scores
from p2p_graph.metrics.registry import DecodedExample, label_image_metric

CLASSES = 5
VOID = 255
NAMES = ("pixel_accuracy", "class_accuracy", "class_iou")


def draw(rng, values, size=(9, 13)):
    return rng.choice(values, size).astype(np.int64)


def counted_slowly(predicted, truth, classes):
    matrix = [[0] * (classes + 1) for _ in range(classes)]
    for p, t in zip(predicted.ravel().tolist(), truth.ravel().tolist(), strict=True):
        for row in range(classes):
            for column in range(classes):
                if t == row and p == column:
                    matrix[row][column] += 1
            if t == row and p not in range(classes):
                matrix[row][classes] += 1
    return matrix


def scored_slowly(predicted, truth, classes):
    """From true positives, false negatives and false positives of what is not void."""
    pairs = list(zip(predicted.ravel().tolist(), truth.ravel().tolist(), strict=True))
    pairs = [(p, t) for p, t in pairs if t in range(classes)]
    accuracies, ious = [], []
    for c in range(classes):
        positive = sum(p == c and t == c for p, t in pairs)
        missed = sum(p != c and t == c for p, t in pairs)
        wrong = sum(p == c and t != c for p, t in pairs)
        if positive + missed:
            accuracies.append(positive / (positive + missed))
            ious.append(positive / (positive + missed + wrong))
    right = sum(p == t for p, t in pairs) / len(pairs)
    values = (right, sum(accuracies) / len(accuracies), sum(ious) / len(ious))
    return dict(zip(NAMES, values, strict=True))


def scores_of(predicted, truth, classes):
    return label_scores(confusion_matrix(np.array([predicted]), np.array([truth]), classes))


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_confusion(rng, dtype):
    outside = [VOID, CLASSES] if dtype == np.uint8 else [VOID, CLASSES, -1, -3]
    predicted, truth = (draw(rng, [*range(CLASSES), *outside]).astype(dtype) for _ in range(2))
    matrix = confusion_matrix(predicted, truth, CLASSES)
    assert matrix.dtype == np.float64
    assert matrix.tolist() == counted_slowly(predicted, truth, CLASSES)


@pytest.mark.parametrize("missing", [(), (0,), (1, 4)])
def test_scores(rng, missing):
    """Where the truth has all classes, and where it lacks some that are predicted."""
    for _ in range(5):
        truth = draw(rng, [*(c for c in range(CLASSES) if c not in missing), VOID])
        guess = draw(rng, [*range(CLASSES), CLASSES, VOID])
        predicted = np.where(rng.random(truth.shape) < 0.5, truth, guess)
        found = label_scores(confusion_matrix(predicted, truth, CLASSES))
        assert found == pytest.approx(scored_slowly(predicted, truth, CLASSES), rel=1e-12)


def test_perfect_labels(rng):
    truth = draw(rng, range(CLASSES - 1))
    matrix = confusion_matrix(truth, truth, CLASSES)
    assert label_scores(matrix) == dict.fromkeys(NAMES, 1)
    for values in per_class_scores(matrix):
        np.testing.assert_array_equal(values, [1, 1, 1, 1, np.nan])


def test_what_is_predicted_where_the_truth_is_void_does_not_count(rng):
    truth = draw(rng, [0, 1, 2, VOID, CLASSES, -1])
    predicted = draw(rng, range(CLASSES))
    void = (truth < 0) | (truth >= CLASSES)
    other = np.where(void, draw(rng, [*range(CLASSES), VOID]), predicted)
    assert (predicted != other).any()
    np.testing.assert_array_equal(
        confusion_matrix(predicted, truth, CLASSES), confusion_matrix(other, truth, CLASSES)
    )


@pytest.mark.parametrize("nothing", [VOID, 2, -1])
def test_predicted_void_is_a_miss(nothing):
    found = scores_of([0, 0, 0, nothing, 1], [0, 0, 0, 0, 1], 2)
    assert found == pytest.approx(dict(zip(NAMES, (4 / 5, 7 / 8, 7 / 8), strict=True)))


def test_a_class_that_only_predictions_have():
    """It has no score, and costs the class that was missed, no other."""
    found = scores_of([0, 0, 2, 1], [0, 0, 0, 1], 3)
    assert found == pytest.approx(dict(zip(NAMES, (3 / 4, 5 / 6, 5 / 6), strict=True)))
    accuracy, iou = per_class_scores(
        confusion_matrix(np.array([[0, 0, 2, 1]]), np.array([[0, 0, 0, 1]]), 3)
    )
    np.testing.assert_allclose(accuracy, [2 / 3, 1, np.nan])
    np.testing.assert_allclose(iou, [2 / 3, 1, np.nan])


def test_a_wrong_label_costs_both_classes():
    found = scores_of([0, 0, 1, 1], [0, 0, 0, 1], 2)
    assert found == pytest.approx(dict(zip(NAMES, (3 / 4, 5 / 6, 7 / 12), strict=True)))


def test_accuracy_is_of_the_truth_and_not_of_the_predictions():
    accuracy, iou = per_class_scores(np.array([[6.0, 2, 0], [0, 4, 0]]))
    np.testing.assert_allclose(accuracy, [6 / 8, 1])
    np.testing.assert_allclose(iou, [6 / 8, 4 / 6])


def test_truth_that_is_all_void(rng):
    matrix = confusion_matrix(draw(rng, range(CLASSES)), np.full((9, 13), VOID), CLASSES)
    assert matrix.shape == (CLASSES, CLASSES + 1)
    assert not matrix.any()
    found = label_scores(matrix)
    assert tuple(found) == NAMES
    assert all(math.isnan(value) for value in found.values())
    assert all(np.isnan(values).all() for values in per_class_scores(matrix))


def test_sets_of_images(rng):
    """A sum of matrices is that of all pixels; a mean of them has the same scores."""
    values = [*range(CLASSES), VOID]
    pairs = [[draw(rng, values, (4, n)) for _ in range(2)] for n in (3, 8, 1)]
    matrices = [confusion_matrix(*pair, CLASSES) for pair in pairs]
    together = confusion_matrix(*(np.concatenate(p, 1) for p in zip(*pairs, strict=True)), CLASSES)
    np.testing.assert_array_equal(sum(matrices), together)
    assert label_scores(np.mean(matrices, 0)) == pytest.approx(label_scores(together), rel=1e-12)


def test_images_of_labels(rng):
    """As a metric: colours are read off, and what has an ignored colour is void."""
    palette = Palette("mine", {"a": (250, 0, 0), "b": (0, 250, 0)}, ((0, 0, 0),))
    colours = np.array([*palette.classes.values(), *palette.ignored], np.uint8)
    predicted, truth = (rng.integers(0, 3, (8, 9)) for _ in range(2))
    metric = label_image_metric(palette)
    statistics = metric.statistics(DecodedExample("x", colours[predicted], colours[truth]))
    assert statistics.shape == (6,)
    assert statistics.reshape(2, 3).tolist() == counted_slowly(predicted, truth, 2)
    assert metric.figures(statistics) == pytest.approx(scored_slowly(predicted, truth, 2))
    assert metric.larger_is_better
