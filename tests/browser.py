"""Debian's Chromium, by Playwright, for the tests of pages."""

import contextlib
import os
import shutil

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or ""
in_a_browser = pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium")


@contextlib.contextmanager
def chromium():
    """A browser, which makes contexts."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"] if os.geteuid() == 0 else []
        )
        yield browser
        browser.close()


def problems_of(page, *allowed):
    """The problems of a page from now on: errors, and requests to other addresses than `allowed`.

    Args:
      page: before it opens an address.
      allowed: beginnings of addresses.

    Returns:
      A list of texts, which grows.
    """
    problems = []
    page.on("console", lambda message: message.type == "error" and problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on(
        "request",
        lambda request: request.url.startswith(allowed) or problems.append(request.url),
    )
    return problems
