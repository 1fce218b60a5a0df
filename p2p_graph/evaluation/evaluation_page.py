"""The page of an evaluation: the figures, and all images with theirs, the worst first."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from p2p_graph.evaluation.example_images import Example
from p2p_graph.imaging.preview import KINDS
from p2p_graph.metrics.registry import SetMetric
from p2p_graph.pages.html_page import IMAGE_FOLDER, INDEX_FILE, escaped
from p2p_graph.pages.results_page import (
    INPUT,
    OUTPUT,
    TARGET,
    Figure,
    ImageColumn,
    PageImage,
    Row,
    difference,
    own_image,
    relative_address,
    write_results_page,
)
from p2p_graph.utils.atomic_write import copy_file

_SHOWN = 3  # worst images of each metric, and best ones
_SECOND = "other"  # ends the names of the copies of B's outputs
_COPIED = (*KINDS.values(), _SECOND)

# Metric name -> the figures of each image, by name.
FiguresPerImage = Mapping[str, Sequence[Mapping[str, float]]]


class EvaluatedImages(NamedTuple):
    """The images of the page, and their figures.

    Attributes:
      examples: the images.
      metrics: metric name -> metric; the first figure of a metric ranks the images.
      figures: metric name -> the figures of each example.
      compared: the examples of B, in the same order; empty without a comparison.
      compared_figures: their figures.
    """

    examples: Sequence[Example]
    metrics: Mapping[str, SetMetric]
    figures: FiguresPerImage
    compared: Sequence[Example] = ()
    compared_figures: FiguresPerImage = MappingProxyType({})

    def values(self, metric: str, figure: str) -> list[tuple[float, ...]]:
        """A figure of each example: a value, or those of A and of B."""
        sides = [self.figures[metric]]
        sides += [self.compared_figures[metric]] if self.compared else []
        return list(zip(*([of_one[figure] for of_one in side] for side in sides), strict=True))

    def ranked(self, metric: str) -> list[int]:
        """The examples from the worst to the best, by a metric's first figure.

        With a comparison: from the one that A does worst against B. What is no number is left out.
        """
        figure = next(iter(self.figures[metric][0]))
        of_sides = self.values(metric, figure)
        values = [difference(*value) if self.compared else value[0] for value in of_sides]
        return sorted(
            (index for index, value in enumerate(values) if not math.isnan(value)),
            key=lambda index: values[index],
            reverse=not self.metrics[metric].larger_is_better,
        )


def write_evaluation_page(
    folder: Path,
    title: str,
    metadata: Mapping[str, object],
    images: EvaluatedImages,
    table: Mapping[str, Sequence[str]],
) -> None:
    """Writes index.html, and copies of the worst and best images into `images/`.

    The page shows these copies, so that it is of use where its folder alone is moved. All other
    images it shows where they are, by addresses relative to the folder.

    Args:
      folder: where the page goes; the folder exists.
      title: the page's heading.
      metadata: names and values listed above the figures.
      images: the images and their figures.
      table: the cells of the table of figures, by the figure's name; its head under "".

    Raises:
      OSError: a file cannot be written.
    """
    image_folder = folder / IMAGE_FOLDER
    image_folder.mkdir(exist_ok=True)
    _remove_images(image_folder)
    ranked = {name: images.ranked(name) for name in images.metrics}
    extremes = {name: (order[:_SHOWN], _best(order)) for name, order in ranked.items()}
    copied = {index for worst, best in extremes.values() for index in (*worst, *best)}
    first = next(iter(ranked.values()), [])
    known = set(first)
    listed = [*first, *(index for index in range(len(images.examples)) if index not in known)]
    shown = {index: _shown(images, index, folder, is_copied=index in copied) for index in listed}
    values = [
        images.values(name, figure) for name in images.metrics for figure in images.figures[name][0]
    ]
    rows = [
        Row(images.examples[index].name, of_row, [v[index] for v in values], _anchor(index))
        for index, of_row in shown.items()
    ]
    columns = [ImageColumn(title, kind) for title, kind in _columns(images)]
    figures = [
        Figure(figure, metric.larger_is_better)
        for name, metric in images.metrics.items()
        for figure in images.figures[name][0]
    ]
    if ranked:
        metadata = {**metadata, "order of the images": _order_text(images, next(iter(ranked)))}
    summary = list(_summary(images, extremes, table))
    write_results_page(folder / INDEX_FILE, title, metadata, columns, rows, figures, summary)


def _best(order: Sequence[int]) -> Sequence[int]:
    """The best examples, the very best first; none is among the worst, too."""
    return order[_SHOWN:][::-1][:_SHOWN]


def _order_text(images: EvaluatedImages, metric: str) -> str:
    figure = next(iter(images.figures[metric][0]))
    if images.compared:
        return f"first where A is worse than B, by {figure}"
    return f"the worst first, by {figure}"


def _columns(images: EvaluatedImages) -> list[tuple[str, str]]:
    """The titles and kinds of the columns of images."""
    if not images.compared:
        return [(kind, kind) for kind in KINDS.values()]
    outputs = [(f"{OUTPUT} {side}", OUTPUT) for side in "AB"]
    return [(INPUT, INPUT), *outputs, (TARGET, TARGET)]


def _shown(
    images: EvaluatedImages, index: int, folder: Path, *, is_copied: bool
) -> list[PageImage | None]:
    """Gives an example's images in the order of the columns; copies them, if copies are shown."""
    example = images.examples[index]
    files = {
        INPUT: (example.input, example.input_size),
        OUTPUT: (example.output, example.size),
        TARGET: (example.target, example.size),
    }
    if images.compared:
        second = images.compared[index]
        files = {
            INPUT: files[INPUT],
            OUTPUT: files[OUTPUT],
            _SECOND: (second.output, second.size),
            TARGET: files[TARGET],
        }
    shown: list[PageImage | None] = []
    for kind, (path, size) in files.items():
        if path is None:
            shown.append(None)
        elif is_copied:
            copy = f"{example.name}-{kind}{path.suffix}"
            copy_file(path, folder / IMAGE_FOLDER / copy)
            shown.append(own_image(copy, size))
        else:
            shown.append(PageImage(relative_address(path, folder), size))
    return shown


def _summary(
    images: EvaluatedImages,
    extremes: Mapping[str, tuple[Sequence[int], Sequence[int]]],
    table: Mapping[str, Sequence[str]],
) -> Iterator[str]:
    """Yields the table of figures, with links to the rows of the worst and best images."""
    links = {
        next(iter(images.figures[name][0])): [_links(images, of_end) for of_end in ends]
        for name, ends in extremes.items()
    }
    ends = ["A worst against B", "A best against B"] if images.compared else ["worst", "best"]
    yield '<div class="scrolled" tabindex="0" role="group" aria-label="Figures"><table><thead><tr>'
    yield "".join(f"<th>{escaped(text)}</th>" for text in ("figure", *table[""], *ends))
    yield "</tr></thead><tbody>"
    for name, cells in table.items():
        if name:
            texts = [*map(escaped, cells), *links.get(name, ["", ""])]
            row = "".join(f"<td>{text}</td>" for text in texts)
            yield f'<tr><th scope="row">{escaped(name)}</th>{row}</tr>'
    yield "</tbody></table></div>"


def _links(images: EvaluatedImages, indices: Sequence[int]) -> str:
    return ", ".join(
        f'<a href="#{_anchor(index)}">{escaped(images.examples[index].name)}</a>'
        for index in indices
    )


def _anchor(index: int) -> str:
    return f"image-{index + 1}"


def _remove_images(image_folder: Path) -> None:
    """Removes the images of an earlier page; other files stay."""
    for path in image_folder.iterdir():
        if path.stem.endswith(tuple(f"-{kind}" for kind in _COPIED)):
            path.unlink()
