"""The page of a run: while it trains, after it, resumed, stopped and failed."""

import json
import re
import signal
import stat
import subprocess
import sys

import numpy as np
import pytest

from p2p_graph.config.options_file import RECORD_FIELDS

from ..pages.test_html_page import Page
from .common import TINY, assert_refused, call, signal_at, succeeded

LOSSES = ("discrim_loss", "gen_loss_GAN", "gen_loss_L1")


def text_of(folder):
    return (folder / "index.html").read_text(encoding="utf-8")


def page_of(folder):
    """The page read by a parser, and its words."""
    page = Page(folder / "index.html")
    return page, " ".join(" ".join(text for _, text in page.texts).split())


def reports(folder):
    return [json.loads(line) for line in (folder / "reports.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def flags(data):
    validation = ("--sample_freq", 6, "--sample_count", 2, "--keep_best", "psnr")
    often = ("--progress_freq", 4, "--display_freq", 6)
    return ("--input_dir", data / "train", *TINY, *often, *validation)


@pytest.fixture(scope="module")
def trained(flags, tmp_path_factory):
    """A run of 12 steps."""
    folder = tmp_path_factory.mktemp("page") / "mine"
    succeeded(call("train", *flags, "--max_steps", 12, "--output_dir", folder))
    return folder


def test_a_finished_run(trained):
    text, (page, words) = text_of(trained), page_of(trained)
    assert page.text("h1") == ["Training run mine"]
    assert "Done: 12 steps" in page.text("h2")
    assert 'data-state="done"' in text
    assert "refresh" not in text[: text.index("<body>")]
    assert "12 of 12 (100%)" in words
    assert re.search(r"image/sec [\d.]+ time since the start \d+ s Written \d{4}-", words)
    assert "time left" not in words
    # The losses that progress prints: averages of losses.jsonl.
    average = np.zeros(3)
    for record in map(json.loads, (trained / "losses.jsonl").read_text().splitlines()):
        average = 0.99 * average + 0.01 * np.array([record[name] for name in LOSSES])
    for name, value in zip(LOSSES, average / (1 - 0.99**12), strict=True):
        assert f"({name}): {value:.3g}" in words
    assert text.count('class="chart linear"') == text.count('class="chart log"') == 3
    last = reports(trained)[-1]
    for name, words_of in (("right_on_real", "real"), ("right_on_fake", "generated")):
        assert f"right on {words_of} patches: {last[name]:.0%}" in words
    assert f"saturated: {last['saturated']:.0%}" in words
    assert re.search(r"TensorFlow 2\.\d+\.\d+ Python 3\.\d+\.\d+ device CPU", words)
    assert "Signs of trouble" not in words


def test_reports_are_of_progress_validation_and_the_end(trained):
    found = reports(trained)
    assert [report["step"] for report in found] == [4, 6, 8, 12]
    for report in found:
        assert set(report) == {
            *("step", "right_on_real", "right_on_fake", "saturated"),
            *("output_spread", "target_spread"),
        }
        assert all(0 <= value <= 1 for name, value in report.items() if name != "step")


def test_images_and_validation(trained):
    page, words = page_of(trained)
    sources = [image["src"] for image in page.images]
    assert len(sources) == 4
    assert all((trained / source).is_file() for source in sources)
    assert sources[-1] == "samples/00000012.png"
    tables = [
        json.loads(found)
        for found in re.findall(r'<script type="application/json">(.*?)</script>', text_of(trained))
    ]
    assert [[step for step, _ in table] for table in tables] == [[6, 12], [6, 12]]
    records = [json.loads(line) for line in (trained / "losses.jsonl").read_text().splitlines()]
    psnr = {r["step"]: r["val_psnr"] for r in records if "val_psnr" in r}
    best = max(psnr, key=psnr.get)
    assert f"PSNR {psnr[12]:.3g} 12 {psnr[best]:.3g} {best}" in words
    assert f"best/ holds the checkpoint of step {best}, the best by PSNR" in words


def test_options_that_differ_stand_first(trained, data):
    page, _ = page_of(trained)
    names = [text for inside, text in page.texts if inside == "code"]
    options = json.loads((trained / "options.json").read_text())
    changed = [name for name in names if name in ("crop_size", "ngf", "display_freq")]
    assert set(changed) == {"crop_size", "ngf", "display_freq"}
    folded = names.index("batch_size")
    assert all(names.index(name) < folded for name in changed)
    assert set(names) >= set(options) - set(RECORD_FIELDS)
    assert str(data / "train") in page.text("td")


def test_a_resumed_run_goes_on_with_the_page(flags, trained, tmp_path):
    """As that of a run of 12 steps; what a killed program had written later is dropped."""
    succeeded(call("train", *flags, "--max_steps", 8, "--output_dir", tmp_path))
    with (tmp_path / "reports.jsonl").open("a") as file:
        file.write('{"step": 10, "right_on_real": 0.5}\n{"step": 1')
    succeeded(call("train", *flags, "--max_steps", 12, "--output_dir", tmp_path))
    assert reports(tmp_path) == reports(trained)
    texts = [text_of(folder) for folder in (tmp_path, trained)]
    found, wanted = (re.findall(r"<svg.*?</svg>", text) for text in texts)
    # PSNR and the others were also measured at the end of the first part.
    assert found[:7] == wanted[:7]
    tables = [re.findall(r'<script type="application/json">.*?</script>', text) for text in texts]
    assert "[[6,[" in tables[0][0]
    assert "[12,[" in tables[0][0]


def test_a_failed_run(data, tmp_path):
    flags = ("--input_dir", data / "train", "--output_dir", tmp_path, *TINY, "--max_steps", 5)
    done = call("train", *flags, "--lr", "1e30")
    assert_refused(done, "not finite", "try a smaller --lr (docs/TIPS.md#nan-losses)")
    page, words = page_of(tmp_path)
    assert 'data-state="failed"' in text_of(tmp_path)
    assert re.search(r"Failed at step 2: the losses of step 2 are not finite", words)
    assert "docs/TIPS.md#nan-losses" in words
    assert "No images yet: --display_freq" in words
    assert "None yet: --sample_freq" in words
    assert page.images == []


def test_a_run_without_a_discriminator_or_progress(data, tmp_path):
    flags = ("--input_dir", data / "train", "--output_dir", tmp_path, *TINY, "--max_steps", 3)
    succeeded(call("train", *flags, "--gan_weight", 0, "--progress_freq", 0))
    _, words = page_of(tmp_path)
    assert "No discriminator is trained" in words
    assert "(gen_loss_L1)" in words
    assert "discrim_loss" not in words
    assert [set(report) for report in reports(tmp_path)] == [
        {"step", "output_spread", "target_spread"}
    ]


def test_a_stopped_run_refreshed_until_then(data, tmp_path):
    flags = ("--input_dir", data / "train", "--output_dir", tmp_path, *TINY, "--max_steps", 10**6)
    stop, text, shown = signal_at(signal.SIGTERM, "progress ", 2), "", 0

    def watch(printed):
        nonlocal text, shown
        shown += printed.startswith("progress ")
        if shown == 2 and not text:
            text = text_of(tmp_path)  # of the first report
        stop(printed)

    done = call("train", *flags, "--progress_freq", 5, watch=watch)
    assert done.returncode == 128 + signal.SIGTERM, done.stdout + done.stderr
    assert 'data-state="running" data-refresh="5"' in text
    assert '<noscript><meta http-equiv="refresh" content="5"></noscript></head>' in "".join(
        text.splitlines()
    )
    assert re.search(r"<dt>time left</dt><dd>\d+ (min|h)", text)
    _, words = page_of(tmp_path)
    assert re.search(r"Stopped by SIGTERM after step \d+ of 1000000", words)
    assert 'data-state="stopped"' in text_of(tmp_path)
    assert "http-equiv" not in text_of(tmp_path)


def test_a_page_that_cannot_be_written(data, tmp_path):
    """It is said before the first step."""
    flags = ("--input_dir", data / "train", "--output_dir", tmp_path, *TINY)
    succeeded(call("train", *flags, "--max_steps", 1))
    (tmp_path / "index.html").unlink()
    (tmp_path / "index.html").mkdir()
    done = call("train", *flags, "--max_steps", 2)
    assert_refused(done, f"{tmp_path / 'index.html'} cannot be written: Is a directory")
    assert len((tmp_path / "losses.jsonl").read_text().splitlines()) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="a browser that is a shell script")
def test_open(data, tmp_path, monkeypatch):
    """A browser gets the page at the start; without one, the program says where the page is."""
    browser, folder = tmp_path / "browser", tmp_path / "a run"
    browser.write_text(f'#!/bin/sh\necho "$1" >> "{tmp_path}/opened"\n')
    browser.chmod(browser.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("BROWSER", str(browser))
    code = (
        "import pathlib, sys; from p2p_graph.pages.open_page import open_page; "
        "open_page(pathlib.Path(sys.argv[1]))"
    )

    def opened(path):
        # `webbrowser` reads its variable once in a process.
        command = [sys.executable, "-c", code, str(path)]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)

    done = opened(folder / "index.html")
    assert done.stdout == f"page: {folder / 'index.html'}, opened in the browser\n"
    assert (tmp_path / "opened").read_text() == (folder / "index.html").as_uri() + "\n"
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    for wrong in (str(tmp_path / "no browser"), "", None):
        if wrong is None:
            monkeypatch.delenv("BROWSER")
        else:
            monkeypatch.setenv("BROWSER", wrong)
        done = opened(folder / "index.html")
        assert done.stderr == ""
        said = "no browser can be opened: open it yourself"
        assert done.stdout == f"page: {folder / 'index.html'}, {said}\n"
