"""The flags of tools/evaluate.py for a table's rows, tried out before any training."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from p2p_graph.data.image_files import SourceImage, output_names
from p2p_graph.evaluation.features.inception_features import Inception
from p2p_graph.imaging import image_arrays, palettes
from p2p_graph.imaging.palettes import Palette
from p2p_graph.reproduction.reproduce_options import ReproduceOptions
from p2p_graph.segmentation import label_files, segmenters


class EvaluationFlags(NamedTuple):
    """How a table's rows are evaluated.

    Attributes:
      flags: of tools/evaluate.py, the same for all rows.
      files: the files of the segmenter, the palette, the labels and Inception's graph.
    """

    flags: tuple[str, ...]
    files: tuple[Path, ...]


def check_evaluation(
    options: ReproduceOptions, test_images: Sequence[SourceImage]
) -> EvaluationFlags:
    """The flags of tools/evaluate.py, once everything that they name was loaded and fits.

    Args:
      options: the table, and the segmenter, palette, labels and Inception graph for it.
      test_images: pairs side by side.

    Raises:
      UserError: a file cannot be used, or labels do not fit the palette.
    """
    table = options.table
    metrics = list(table.metrics)
    flags: list[str] = []
    files: list[Path] = []
    palette = None
    if options.segmenter:
        segmenter = segmenters.load(options.segmenter)
        # Raises an error if the segmenter has a palette and the requested one is another.
        segmenter.with_palette(palettes.load(options.palette) if options.palette else None)
        palette = segmenter.palette
        flags += ["--segmenter", options.segmenter]
        files += segmenters.files_of(options.segmenter)
    if table.needs_palette and palette is None:
        name = options.palette or table.recipe
        palette = palettes.load(name)
        flags += ["--palette", name]
        files += [Path(name)] if name not in palettes.PALETTES else []
    if palette:
        files += _check_labels(options, test_images, palette)
    if options.labels_dir:
        flags += ["--labels_dir", str(options.labels_dir)]
    if options.inception:
        Inception(options.inception).close()
        files.append(options.inception)
        metrics += ["fid", "kid"]
        statistics = options.task_folder / "targets.npz"
        flags += ["--inception", str(options.inception), "--target_statistics", str(statistics)]
    return EvaluationFlags((*flags, "--metrics", ",".join(metrics)), tuple(files))


def _check_labels(
    options: ReproduceOptions, test_images: Sequence[SourceImage], palette: Palette
) -> list[Path]:
    """Checks true labels against the palette; returns their files, if labels_dir holds them."""
    if options.labels_dir:
        names = output_names([image.path for image in test_images])
        paths = list(label_files.find(options.labels_dir, names).values())
        label_files.check(paths, palette)
        return paths
    # The labels are the right halves in both directions.
    images = palettes.spread_sample(test_images)
    labels = [image_arrays.read_half(image.path, right=True) for image in images]
    palette.check_coverage(labels, f"labels in {options.data / options.table.test_folder}")
    return []
