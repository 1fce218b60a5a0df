"""How a table's rows are judged: the flags of tools/evaluate.py, tried before all training."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from p2p_graph.data.image_files import SourceImage, output_names
from p2p_graph.evaluation.inception_features import Inception
from p2p_graph.imaging import image_arrays, palettes
from p2p_graph.reproduction import row_programs
from p2p_graph.reproduction.paper_tables import TABLES
from p2p_graph.segmentation import label_files, segmenters
from p2p_graph.utils.errors import UserError


class Evaluator(NamedTuple):
    """How rows are evaluated.

    Attributes:
      flags: of tools/evaluate.py, for all rows.
      reads: a digest of the segmenter, the palette, the labels and Inception's graph.
    """

    flags: tuple[str, ...]
    reads: str


def evaluator_of(options: argparse.Namespace, images: Sequence[SourceImage]) -> Evaluator:
    """How to evaluate a table's rows, once it is certain that it works on these test images.

    Args:
      options: the flags of tools/reproduce.py.
      images: the test images, pairs side by side.

    Raises:
      UserError: it does not, or there is something for which the table has no use.
    """
    table = TABLES[options.table]
    names = table.metrics.split(",")
    for name in ("segmenter", "labels_dir"):
        if getattr(options, name) and not table.needs_segmenter:
            raise UserError(f"{name} is for tables of FCN-scores: leave it out")
    reads_labels = bool({"fcn", "labels"} & set(names))
    if options.palette and not reads_labels:
        raise UserError("palette is for tables of labels: leave it out")
    if table.needs_segmenter and not options.segmenter:
        raise UserError(
            f"{options.table} needs what reads labels off photos (--segmenter): the folder of the "
            "authors' Caffe model, or one of tools/train_segmenter.py"
        )
    evaluator: list[str] = []
    reads: list[Path] = []
    palette = None
    if table.needs_segmenter:
        segmenter = segmenters.load(options.segmenter)
        segmenter.with_palette(palettes.load(options.palette) if options.palette else None)
        palette = segmenter.palette
        evaluator += ["--segmenter", options.segmenter]
        reads += segmenters.files_of(options.segmenter)
    if reads_labels and palette is None:
        name = options.palette or table.recipe
        palette = palettes.load(name)
        evaluator += ["--palette", name]
        if name not in palettes.PALETTES:
            reads.append(Path(name))
    if options.labels_dir:
        found = label_files.find(options.labels_dir, output_names([one.path for one in images]))
        reads += found.values()
        assert palette is not None
        label_files.check(list(found.values()), palette)
        evaluator += ["--labels_dir", str(options.labels_dir)]
    elif palette:  # labels are the right halves, whichever way the row goes
        labels = [image_arrays.read_half(one.path, right=True) for one in palettes.spread_sample(images)]
        palette.check_coverage(labels, f"labels in {options.data / table.test}")
    if options.inception:
        Inception(options.inception).close()
        reads.append(options.inception)
        names += ["fid", "kid"]
        statistics = options.output_dir / f"{table.recipe}_{table.direction}" / "targets.npz"
        evaluator += [
            "--inception",
            str(options.inception),
            "--target_statistics",
            str(statistics),
        ]
    return Evaluator(
        (*evaluator, "--metrics", ",".join(names)), row_programs.digest(reads) if reads else ""
    )
