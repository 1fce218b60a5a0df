"""What is written when all images are translated: the page and the image grid, from the files."""

import itertools
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from p2p_graph.config.image_size import ImageSize
from p2p_graph.imaging import image_grid, preview
from p2p_graph.imaging.image_arrays import opened, read_contents, to_8_bits
from p2p_graph.imaging.png_structure import size_in
from p2p_graph.inference.folder.folder_record import GRID_FILE
from p2p_graph.inference.folder.written_files import damage_named
from p2p_graph.pages import html_page, results_page
from p2p_graph.pages.results_page import ImageColumn, Row, own_image
from p2p_graph.utils.counted import counted
from p2p_graph.utils.outside_files import open_regular

Array = np.ndarray[Any, Any]
_PNG_HEAD = 24  # bytes that hold the size


def write_page(
    folder: Path,
    title: str,
    metadata: Mapping[str, object],
    columns: Mapping[str, str],
    names: Iterable[str],
    count: int,
    limit: int,
) -> Path:
    """Writes the page of the translated images.

    Args:
      folder: that holds the folder of images.
      title: the page's heading.
      metadata: names and values listed above the table.
      columns: the titles of the columns by kind of image.
      names: of the images, all of which are there.
      count: of the images.
      limit: how many the page shows, the first ones.

    Returns:
      The page's path.
    """
    images = folder / html_page.IMAGE_FOLDER
    rows = [
        Row(name, [own_image(file, _size_of(images / file)) for file in _files(name, columns)])
        for name in itertools.islice(names, limit)
    ]
    more = [
        f"<p>The first {len(rows)} of {counted(count, 'image')}: "
        "<code>--page_limit</code> of tools/test.py shows more.</p>"
    ]
    page = folder / html_page.INDEX_FILE
    results_page.write_results_page(
        page,
        title,
        metadata,
        [ImageColumn(text, preview.KINDS[kind]) for kind, text in columns.items()],
        rows,
        before=more if len(rows) < count else (),
    )
    return page


def write_grid(
    folder: Path, title: str, columns: Mapping[str, str], names: Iterable[str], count: int
) -> None:
    """Writes the first images as one image grid.

    Args:
      folder: that holds the folder of images.
      title: the line of text at the top.
      columns: the titles of the columns by kind of image.
      names: of the images, all of which are there.
      count: how many are shown.
    """
    path, images = folder / GRID_FILE, folder / html_page.IMAGE_FOLDER
    shown = list(itertools.islice(names, count))
    if not shown:
        return
    columns_of_images = {
        text: [_read_png(images / f"{name}-{kind}.png") for name in shown]
        for kind, text in columns.items()
    }
    image_grid.save_grid(path, title, columns_of_images, shown)
    print("wrote grid at", path)


def report_earlier_images(folder: Path, count: int) -> bool:
    """Tells of translated images that this translation, of a number of images, has not replaced.

    Returns:
      Whether there are any.
    """
    images = folder / html_page.IMAGE_FOLDER
    with os.scandir(images) as found:
        there = sum(html_page.is_translated(entry.name) for entry in found)
    if (earlier := there - count) > 0:
        print(
            f"{images} also holds {counted(earlier, 'image')} of an earlier "
            "translation, which tools/evaluate.py evaluates, too: to have the new ones alone, "
            "remove that folder and run the same command again"
        )
    return earlier > 0


def _files(name: str, kinds: Iterable[str]) -> Iterator[str]:
    return (f"{name}-{kind}.png" for kind in kinds)


def _size_of(path: Path) -> ImageSize:
    with damage_named(path), open_regular(path) as file:
        return size_in(file.read(_PNG_HEAD))


def _read_png(path: Path) -> Array:
    """Reads a PNG that this program has written: uint8 [H, W, 1, 3 or 4]; of 16 bits the upper."""
    with damage_named(path), opened(read_contents(path)) as image:
        array = np.asarray(_eight_bits(image))
    array = to_8_bits(array)
    return array[..., None] if array.ndim == 2 else array


def _eight_bits(image: Image.Image) -> Image.Image | Array:
    """A 16-bit grey image as uint16; Pillow reads others as their upper 8 bits."""
    return np.asarray(image).astype(np.uint16) if image.mode.startswith("I") else image
