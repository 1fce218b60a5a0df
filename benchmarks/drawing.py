"""Measures the page to draw on in Chromium: seconds from a stroke to its image.

python benchmarks/drawing.py --checkpoint runs/mine

A stroke is a click with the brush, while nothing is translated. Its seconds are those from the
pointer's press to the new image on the page. The model's own seconds are those of the same
translation, as the server counts them (GET /metrics).
"""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import httpx2 as httpx
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parents[1]

# Notes when the pointer is pressed, and when a result is there.
_WATCH = """() => {
  window.times = {};
  addEventListener("pointerdown", () => (times.pressed = performance.now()), true);
  const result = document.getElementById("result");
  result.addEventListener("load", () => (times.shown = performance.now()));
}"""
_SECONDS = "() => times.shown > times.pressed ? (times.shown - times.pressed) / 1000 : null"
_QUIET = 0.3  # seconds without a translation before a stroke


def stroke(page: Page, number: int) -> float:
    """Clicks into the drawing, with another colour each time; gives the seconds to the image."""
    colours = page.get_by_role("radio")
    colours.nth(number % colours.count()).click()
    time.sleep(_QUIET)
    box = page.get_by_role("img", name="Drawing").bounding_box()
    assert box
    page.mouse.click(
        box["x"] + box["width"] * (0.2 + number % 7 / 12), box["y"] + box["height"] / 2
    )
    for _ in range(300):
        time.sleep(0.2)  # to look takes time from the translation
        if (seconds := page.evaluate(_SECONDS)) is not None:
            return float(seconds)
    raise TimeoutError("no image comes")


def translation_seconds(address: str) -> float:
    """The seconds of all translations so far."""
    figures = httpx.get(f"{address}/metrics").text
    found = re.search(r"^p2p_translation_seconds_sum (\S+)$", figures, re.MULTILINE)
    assert found
    return float(found[1])


def measure(address: str, count: int) -> list[tuple[float, float]]:
    """Pairs of the seconds of a stroke and of the model alone."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    pairs = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        page = browser.new_page()
        page.goto(address)
        page.evaluate(_WATCH)
        time.sleep(2)  # the first image
        for number in range(count):
            before = translation_seconds(address)
            seconds = stroke(page, number)
            pairs.append((seconds, translation_seconds(address) - before))
        browser.close()
    return pairs


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--checkpoint", required=True, type=Path, help="of labels or edges")
    parser.add_argument("--strokes", type=int, default=30, help="(default: 30)")
    parser.add_argument("--palette", help="as in tools/serve.py")
    given = parser.parse_args()
    command = [sys.executable, ROOT / "tools" / "serve.py", "--checkpoint", given.checkpoint]
    command += ["--port", "0", *(["--palette", given.palette] if given.palette else [])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        found = None
        while not found and (line := server.stdout.readline()):
            found = re.search(r"http://\S+", line)
        assert found, "the server has not started"
        try:
            pairs = measure(found[0], given.strokes)
        finally:
            server.terminate()
    strokes, alone = (sorted(column) for column in zip(*pairs, strict=True))
    ratios = sorted(stroke / own for stroke, own in pairs)
    print("| | median | least | most |")
    print("| --- | --- | --- | --- |")
    for name, values in (("stroke, s", strokes), ("model, s", alone), ("ratio", ratios)):
        cells = f"{statistics.median(values):.3f} | {values[0]:.3f} | {values[-1]:.3f}"
        print(f"| {name} | {cells} |")


if __name__ == "__main__":
    main()
