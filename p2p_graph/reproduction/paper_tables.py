"""The paper's tables and figures as data: the flags of each row, and its published figures.

Isola et al. 2017, "Image-to-Image Translation with Conditional Adversarial Networks" (CVPR).
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Row(NamedTuple):
    """A way of training, and the figures that the paper gives for it.

    Attributes:
      name: the paper's name.
      run_name: the name of the run's folder. Rows of several tables that are trained alike share
        a run.
      train_flags: flags of tools/train.py besides the preset `paper`.
      paper_figures: the paper's value in each column, as printed; None where the paper has none.
    """

    name: str
    run_name: str
    train_flags: tuple[str, ...]
    paper_figures: tuple[float | None, ...]


class Table(NamedTuple):
    """A table or a figure of the paper.

    Attributes:
      title: the subject, and the number in the paper.
      recipe: the data set's name.
      direction: "AtoB" translates the left half of a pair to the right half, "BtoA" the right.
      test_folder: the name of the data set's folder of test images.
      metrics: names of metrics of tools/evaluate.py.
      figures: the columns, by the names that tools/evaluate.py gives the values.
      rows: in the paper's order.
      ground_truth: the paper's FCN-scores of the real photos; empty in tables without FCN-scores.
    """

    title: str
    recipe: str
    direction: str
    test_folder: str
    metrics: tuple[str, ...]
    figures: tuple[str, ...]
    rows: tuple[Row, ...]
    ground_truth: tuple[float, ...] = ()

    @property
    def needs_segmenter(self) -> bool:
        """Whether a segmenter reads labels off translated photos."""
        return "fcn" in self.metrics

    @property
    def needs_palette(self) -> bool:
        """Whether a metric compares labels."""
        return self.needs_segmenter or "labels" in self.metrics


_L1 = ("--gan_weight", "0")
_NO_L1 = ("--l1_weight", "0")
_GAN = ("--unconditional",)
_NO_SKIPS = ("--generator", "encoder_decoder")
_BATCH10 = ("--batch_size", "10")  # only in Table 2, according to the caption
_FCN = ("fcn_pixel_accuracy", "fcn_class_accuracy", "fcn_class_iou")
_FCN_OF_REAL_PHOTOS = (0.80, 0.26, 0.21)
_HISTOGRAM = ("histogram_l", "histogram_a", "histogram_b")
_TO_PHOTOS = ("cityscapes", "BtoA", "val", ("fcn", "histogram", "l1", "psnr", "ssim"), _FCN)

TABLES: Mapping[str, Table] = MappingProxyType(
    {
        "table1": Table(
            "Losses: FCN-scores, Cityscapes labels to photo (Table 1)",
            *_TO_PHOTOS,
            (
                Row("L1", "L1", _L1, (0.42, 0.15, 0.11)),
                Row("GAN", "GAN", (*_NO_L1, *_GAN), (0.22, 0.05, 0.01)),
                Row("cGAN", "cGAN", _NO_L1, (0.57, 0.22, 0.16)),
                Row("L1+GAN", "L1+GAN", _GAN, (0.64, 0.20, 0.15)),
                Row("L1+cGAN", "L1+cGAN", (), (0.66, 0.23, 0.17)),
            ),
            _FCN_OF_REAL_PHOTOS,
        ),
        "table2": Table(
            "Generators: FCN-scores, Cityscapes labels to photo (Table 2)",
            *_TO_PHOTOS,
            (
                Row(
                    "Encoder-decoder (L1)",
                    "encoder-decoder_L1_batch10",
                    (*_NO_SKIPS, *_L1, *_BATCH10),
                    (0.35, 0.12, 0.08),
                ),
                Row(
                    "Encoder-decoder (L1+cGAN)",
                    "encoder-decoder_L1+cGAN_batch10",
                    (*_NO_SKIPS, *_BATCH10),
                    (0.29, 0.09, 0.05),
                ),
                Row("U-net (L1)", "L1_batch10", (*_L1, *_BATCH10), (0.48, 0.18, 0.13)),
                Row("U-net (L1+cGAN)", "L1+cGAN_batch10", _BATCH10, (0.55, 0.20, 0.14)),
            ),
            _FCN_OF_REAL_PHOTOS,
        ),
        "table3": Table(
            "D's receptive fields: FCN-scores, Cityscapes labels to photo (Table 3)",
            *_TO_PHOTOS,
            (
                Row("1x1", "pixel", ("--discriminator", "pixel"), (0.39, 0.15, 0.10)),
                Row("16x16", "patch16", ("--discriminator", "patch16"), (0.65, 0.21, 0.17)),
                Row("70x70", "L1+cGAN", (), (0.66, 0.23, 0.17)),
                Row("286x286", "image286", ("--discriminator", "image286"), (0.42, 0.16, 0.11)),
            ),
            _FCN_OF_REAL_PHOTOS,
        ),
        "table6": Table(
            "Cityscapes photo to labels (Table 6)",
            "cityscapes",
            "AtoB",
            "val",
            ("labels", "l1", "psnr", "ssim"),
            ("pixel_accuracy", "class_accuracy", "class_iou"),
            (
                Row("L1", "L1", _L1, (0.86, 0.42, 0.35)),
                Row("cGAN", "cGAN", _NO_L1, (0.74, 0.28, 0.22)),
                Row("L1+cGAN", "L1+cGAN", (), (0.83, 0.36, 0.29)),
            ),
        ),
        "figure7": Table(
            "Colour histograms' intersection with the photos', in Lab, Cityscapes (Figure 7)",
            "cityscapes",
            "BtoA",
            "val",
            ("histogram", "l1", "psnr", "ssim"),
            _HISTOGRAM,
            (
                Row("L1", "L1", _L1, (0.81, 0.69, 0.70)),
                Row("cGAN", "cGAN", _NO_L1, (0.87, 0.74, 0.84)),
                Row("L1+cGAN", "L1+cGAN", (), (0.86, 0.84, 0.82)),
                Row("PixelGAN", "pixel", ("--discriminator", "pixel"), (0.83, 0.68, 0.78)),
            ),
        ),
        "facades": Table(
            "CMP Facades labels to photo: no figures in the paper",
            "facades",
            "BtoA",
            "test",
            ("l1", "psnr", "ssim", "histogram"),
            ("l1", "psnr", "ssim", *_HISTOGRAM),
            (
                Row("L1", "L1", _L1, (None,) * 6),
                Row("L1+cGAN", "L1+cGAN", (), (None,) * 6),
            ),
        ),
    }
)
