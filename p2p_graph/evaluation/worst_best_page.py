"""The page of an evaluation's worst and best images, by each metric."""

import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from p2p_graph.evaluation.example_images import Example
from p2p_graph.imaging.preview import KINDS
from p2p_graph.metrics.registry import SetMetric
from p2p_graph.pages.html_page import IMAGE_FOLDER, write_index
from p2p_graph.utils.atomic_write import atomic_write

_SHOWN = 3  # worst images of each metric, and best ones

# Metric name -> the figures of each image, by name.
FiguresPerImage = Mapping[str, Sequence[Mapping[str, float]]]


def write_worst_best_page(
    folder: Path,
    metadata: Mapping[str, object],
    examples: Sequence[Example],
    metrics: Mapping[str, SetMetric],
    figures_per_image: FiguresPerImage,
) -> None:
    """Writes index.html, and copies of the images that the page shows into `images/`.

    Args:
      folder: where the page goes; the folder exists.
      metadata: names and values listed above the table.
      examples: the images.
      metrics: metric name -> metric; the first figure of a metric ranks the images.
      figures_per_image: metric name -> the figures of each example.

    Raises:
      OSError: a file cannot be written.
    """
    image_folder = folder / IMAGE_FOLDER
    image_folder.mkdir(exist_ok=True)
    _remove_images(image_folder)
    rows = []
    for name, metric in metrics.items():
        first_figures = [next(iter(figures.items())) for figures in figures_per_image[name]]
        values = [value for _, value in first_figures]
        for rank, index in _ranked(values, metric.larger_is_better):
            figure, value = first_figures[index]
            example = examples[index]
            files = _copy_images(example, image_folder)
            rows.append([figure, rank, f"{value:.4g}", example.name, *files])
    columns = ("metric", "rank", "value", "name", *KINDS.values())
    write_index(folder, "The worst and the best images", metadata, columns, rows)


def _ranked(values: Sequence[float], larger_is_better: bool) -> list[tuple[str, int]]:
    """Ranks the worst and then the best values that are numbers; none is ranked twice.

    Returns:
      Pairs of a rank, "1. worst" or "1. best", and the index of a value.
    """
    worst_first = sorted(
        (index for index, value in enumerate(values) if not math.isnan(value)),
        key=lambda index: values[index],
        reverse=not larger_is_better,
    )
    worst, remaining = worst_first[:_SHOWN], worst_first[_SHOWN:]
    best = remaining[::-1][:_SHOWN]
    return [
        (f"{rank}. {name}", index)
        for name, indices in (("worst", worst), ("best", best))
        for rank, index in enumerate(indices, 1)
    ]


def _copy_images(example: Example, image_folder: Path) -> list[str]:
    """Copies an example's images; gives the copies' names by kind, "" for a missing input."""
    names = []
    for kind in KINDS.values():
        source: Path | None = getattr(example, kind)
        names.append(f"{example.name}-{kind}{source.suffix}" if source else "")
        if source:
            with atomic_write(image_folder / names[-1]) as temporary:
                shutil.copyfile(source, temporary)
    return names


def _remove_images(image_folder: Path) -> None:
    """Removes the images of an earlier page; other files stay."""
    for path in image_folder.iterdir():
        if path.stem.endswith(tuple(f"-{kind}" for kind in KINDS.values())):
            path.unlink()
