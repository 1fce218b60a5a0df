"""Measures an exported page (tools/export.py --format web) in Chromium: seconds an image.

python benchmarks/web.py --exported exported
python benchmarks/web.py --exported exported --isolated
python benchmarks/web.py --exported exported --browser_flag=--enable-unsafe-webgpu

The page's own worker translates random images. Its seconds are those from the values of an input to
a PNG; the first image also loads the model, from a server in this process.
"""

import argparse
import functools
import http.server
import os
import shutil
import statistics
import threading
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

# Translates an image, and gives its milliseconds and what translated it.
_TRANSLATE = """async () => {
  const { listModels, translate } = await import("/static/service.js");
  const [model] = await listModels();
  const count = model.height * model.width * Math.max(3, model.channels[0]);
  const values = () => Float32Array.from({ length: count }, Math.random);
  const { milliseconds, by } = await translate(model, 0, { values }, () => {});
  return [milliseconds, by];
}"""
# With these headers a browser allows WebAssembly threads.
_ISOLATION = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}


class Handler(http.server.SimpleHTTPRequestHandler):
    """As `python -m http.server`, with further headers."""

    def __init__(self, *args: object, headers: dict[str, str], **more: object) -> None:
        self._further = headers
        super().__init__(*args, **more)

    def log_message(self, *args: object) -> None:
        """Says nothing."""

    def end_headers(self) -> None:
        """Adds the further headers."""
        for name, value in self._further.items():
            self.send_header(name, value)
        super().end_headers()


def measure(address: str, count: int, flags: list[str]) -> tuple[float, list[float], str]:
    """The seconds of the first image with all loading, those of each further image, and by what."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    flags = [*flags, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        page = browser.new_page()
        page.goto(f"{address}/models.json")  # of the same origin, without work of its own
        start = time.perf_counter()
        page.evaluate(_TRANSLATE)
        first = time.perf_counter() - start
        made = [page.evaluate(_TRANSLATE) for _ in range(count)]
        browser.close()
    return first, [milliseconds / 1000 for milliseconds, _ in made], made[0][1]


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--exported", required=True, type=Path, help="folder of the export")
    parser.add_argument("--images", type=int, default=20, help="after the first (default: 20)")
    parser.add_argument("--isolated", action="store_true", help="allow WebAssembly threads")
    parser.add_argument("--browser_flag", action="append", default=[], help="of Chromium")
    given = parser.parse_args()
    headers = _ISOLATION if given.isolated else {}
    handler = functools.partial(Handler, directory=str(given.exported / "web"), headers=headers)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        first, seconds, by = measure(address, given.images, given.browser_flag)
        server.shutdown()
    print("| by | first image with loading, s | median, s | least, s | most, s |")
    print("| --- | --- | --- | --- | --- |")
    print(
        f"| {by} | {first:.2f} | {statistics.median(seconds):.3f} | {min(seconds):.3f} | "
        f"{max(seconds):.3f} |"
    )


if __name__ == "__main__":
    main()
