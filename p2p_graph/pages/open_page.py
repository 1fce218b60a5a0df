"""Opens a page in the browser."""

import os
import threading
import webbrowser
from pathlib import Path

from p2p_graph.utils.errors import escaped
from p2p_graph.utils.outside_files import real_path

_LONGEST_WAIT = 10  # seconds


def open_page(path: Path) -> None:
    """Opens a page in the browser, and prints where the page is; that there is none is no error.

    A browser that runs in the terminal would take the terminal from the program: it is opened only
    if the variable BROWSER names it, and nothing waits for it.

    Args:
      path: of the page.
    """
    opened: list[bool] = []

    def run() -> None:
        try:
            browser = webbrowser.get()
            in_terminal = type(browser) is webbrowser.GenericBrowser
            if not in_terminal or os.environ.get("BROWSER"):
                opened.append(browser.open(real_path(path).as_uri()))
        except (webbrowser.Error, OSError, ValueError):
            opened.append(False)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(_LONGEST_WAIT)
    is_shown = all(opened) and (bool(opened) or thread.is_alive())
    said = "opened in the browser" if is_shown else "no browser can be opened: open it yourself"
    print(escaped(f"page: {path}, {said}"), flush=True)
