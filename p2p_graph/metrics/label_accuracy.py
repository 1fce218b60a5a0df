"""How well labels agree, as Cityscapes has it (Cordts et al. 2016; Isola et al., Table 6)."""

from typing import Any

import numpy as np


def confusion(
    predicted: "np.ndarray[Any, Any]", truth: "np.ndarray[Any, Any]", classes: int
) -> "np.ndarray[Any, Any]":
    """Counts which class was taken for which.

    Args:
      predicted: whole numbers [H, W]; from `classes` on, or below 0, they are no class.
      truth: the same; what is no class there is not counted.
      classes: how many there are.

    Returns:
      float64 [classes, classes + 1]: row i, column j is the number of pixels of class i that were
      predicted to be j; the last column is what was predicted to be no class.
    """
    counted = (truth >= 0) & (truth < classes)
    found = predicted[counted]
    found = np.where((found >= 0) & (found < classes), found, classes)
    places = truth[counted].astype(np.int64) * (classes + 1) + found
    counts = np.bincount(places, minlength=classes * (classes + 1))
    return counts.reshape(classes, classes + 1).astype(np.float64)


def by_class(matrix: "np.ndarray[Any, Any]") -> tuple["np.ndarray[Any, Any]", ...]:
    """Each class's accuracy and intersection over union.

    Args:
      matrix: from `confusion`, or a sum or mean of such.

    Returns:
      Two float64 [classes] in [0, 1]: TP / (TP + FN) and TP / (TP + FP + FN); NaN for classes that
      the truth does not have. (Cityscapes' program gives a class that is predicted, but nowhere
      true, an IoU of 0. Its validation set has all classes.)
    """
    hits, of_class = np.diagonal(matrix), matrix.sum(1)
    present = of_class > 0
    either = of_class + matrix[:, : len(matrix)].sum(0) - hits
    accuracy, iou = (
        np.divide(hits, total, out=np.full(len(matrix), np.nan), where=present)
        for total in (of_class, either)
    )
    return accuracy, iou


def scores(matrix: "np.ndarray[Any, Any]") -> dict[str, float]:
    """Per-pixel accuracy, per-class accuracy and class IoU, each in [0, 1].

    The last two are means over the classes that the truth has; NaN where it has none. (The paper's
    own program has 0 for classes that the truth lacks; the images that it was run on have all.)

    Args:
      matrix: from `confusion`, or a sum or mean of such.
    """
    total = matrix.sum()
    if not total:
        return dict.fromkeys(("pixel_accuracy", "class_accuracy", "class_iou"), float("nan"))
    accuracy, iou = by_class(matrix)
    return {
        "pixel_accuracy": float(np.diagonal(matrix).sum() / total),
        "class_accuracy": float(np.nanmean(accuracy)),
        "class_iou": float(np.nanmean(iou)),
    }
