"""Measures the pages of results in Chromium: seconds until a page of many rows is loaded.

python benchmarks/pages.py --rows 5000

The images are squares of noise, of 256 pixels, made in a temporary folder.
"""

import argparse
import os
import shutil
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright

from p2p_graph.config.image_size import ImageSize
from p2p_graph.pages.results_page import (
    INPUT,
    OUTPUT,
    TARGET,
    Figure,
    ImageColumn,
    Row,
    own_image,
    write_results_page,
)

_SIZE = 256  # pixels
_DIFFERENT = 20  # images; the others are links to them
_FIGURES = [Figure(name, name != "l1") for name in ("l1", "psnr", "ssim", "a", "b", "c")]
_LOADED = "() => performance.timing.loadEventEnd - performance.timing.navigationStart"


def write_pages(folder: Path, rows: int) -> Iterator[Path]:
    """Writes a page of test.py, one of evaluate.py, and one of two compared results."""
    rng = np.random.default_rng(0)
    (folder / "images").mkdir()
    names = ("inputs", "outputs", "others", "targets")
    for number in range(rows):
        for name in names:
            path = folder / "images" / f"{number}-{name}.png"
            if number < _DIFFERENT:
                Image.fromarray(rng.integers(0, 256, (_SIZE, _SIZE, 3), np.uint8)).save(path)
            else:
                os.link(path.with_name(f"{number % _DIFFERENT}-{name}.png"), path)
    columns = [
        *(ImageColumn("input", INPUT), ImageColumn("output A", OUTPUT)),
        *(ImageColumn("output B", OUTPUT), ImageColumn("target", TARGET)),
    ]
    for title, shown, values in (("test", 3, 0), ("evaluate", 3, 1), ("compare", 4, 2)):
        kept = range(4) if shown == 4 else (0, 1, 3)
        listed = [
            Row(
                str(number),
                [own_image(f"{number}-{names[i]}.png", ImageSize(_SIZE, _SIZE)) for i in kept],
                [rng.random(values).tolist() for _ in _FIGURES] if values else (),
            )
            for number in range(rows)
        ]
        path = folder / f"{title}.html"
        figures = _FIGURES if values else ()
        write_results_page(path, title, {}, [columns[i] for i in kept], listed, figures)
        yield path


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--rows", type=int, default=5000, help="(default: 5000)")
    parser.add_argument("--loads", type=int, default=5, help="of each page (default: 5)")
    given = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    print("| page | MB | loaded, median, s | most, s |")
    print("| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        for path in write_pages(Path(folder), given.rows):
            seconds = []
            for _ in range(given.loads):
                page = browser.new_context().new_page()
                page.goto(path.as_uri())
                seconds.append(page.evaluate(_LOADED) / 1000)
                page.context.close()
            size = path.stat().st_size / 1e6
            cells = f"{statistics.median(seconds):.2f} | {max(seconds):.2f}"
            print(f"| {path.stem} | {size:.1f} | {cells} |")
        browser.close()


if __name__ == "__main__":
    main()
