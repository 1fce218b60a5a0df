"""Scores of a labelling against the true labels: the paper's FCN-scores.

Per-pixel accuracy, per-class accuracy and class IoU as Isola et al. 2017, Table 1, and Long,
Shelhamer and Darrell 2015, section 5, define the scores. IoU is Cityscapes' (Cordts et al. 2016).
"""

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def confusion_matrix(predicted: Array, truth: Array, classes: int) -> Array:
    """Counts pixels by true and predicted class.

    Args:
      predicted: integer class ids [H, W]; ids outside [0, classes) are no class.
      truth: integer class ids [H, W]; pixels with ids outside [0, classes) are not counted.
      classes: the number of classes.

    Returns:
      float64 [classes, classes + 1]: row i, column j is the number of pixels of true class i that
      are predicted as j; the last column counts pixels predicted as no class.
    """
    evaluated = (truth >= 0) & (truth < classes)
    columns = predicted[evaluated]
    columns = np.where((columns >= 0) & (columns < classes), columns, classes)
    cells = truth[evaluated].astype(np.int64) * (classes + 1) + columns
    counts = np.bincount(cells, minlength=classes * (classes + 1))
    return counts.reshape(classes, classes + 1).astype(np.float64)


def per_class_scores(matrix: Array) -> tuple[Array, ...]:
    """The accuracy and the intersection over union of each class.

    Args:
      matrix: from `confusion_matrix`, or a sum or mean of such matrices.

    Returns:
      Two float64 [classes] in [0, 1]: TP / (TP + FN) and TP / (TP + FP + FN); NaN for classes
      that the truth lacks. (Cityscapes' program gives a class that is predicted but never true an
      IoU of 0; all classes are in its validation set.)
    """
    true_positives, pixels_of_class = np.diagonal(matrix), matrix.sum(1)
    union = pixels_of_class + matrix[:, : len(matrix)].sum(0) - true_positives
    accuracy, iou = (
        np.divide(
            true_positives, total, out=np.full(len(matrix), np.nan), where=pixels_of_class > 0
        )
        for total in (pixels_of_class, union)
    )
    return accuracy, iou


def label_scores(matrix: Array) -> dict[str, float]:
    """Per-pixel accuracy, per-class accuracy and class IoU, each in [0, 1].

    The latter two are means over the classes that the truth has. (The paper's program counts
    classes that the truth lacks as 0; all classes are in the images it evaluates.)

    Args:
      matrix: from `confusion_matrix`, or a sum or mean of such matrices.

    Returns:
      The three scores by name; all are NaN if no pixel has a true class.
    """
    total = matrix.sum()
    if not total:
        return dict.fromkeys(("pixel_accuracy", "class_accuracy", "class_iou"), float("nan"))
    accuracy, iou = per_class_scores(matrix)
    return {
        "pixel_accuracy": float(np.diagonal(matrix).sum() / total),
        "class_accuracy": float(np.nanmean(accuracy)),
        "class_iou": float(np.nanmean(iou)),
    }
