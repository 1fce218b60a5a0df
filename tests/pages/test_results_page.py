"""The page of results: what is in the file, and what a browser makes of it."""

import io
import math
import os
import urllib.parse

import numpy as np
import pytest
from PIL import Image

from p2p_graph.config.image_size import ImageSize
from p2p_graph.pages.results_page import (
    Figure,
    ImageColumn,
    PageImage,
    Row,
    own_image,
    relative_address,
    write_results_page,
)

from ..browser import in_a_browser, problems_of
from .test_html_page import ODD, Page

KINDS = ("input", "output", "target")
COLUMNS = [ImageColumn(kind, kind) for kind in KINDS]
BOTH = [
    ImageColumn("input", "input"),
    *(ImageColumn(f"output {side}", "output") for side in "AB"),
    ImageColumn("target", "target"),
]
FIGURES = [Figure("l1", larger_is_better=False), Figure("psnr", larger_is_better=True)]
SIZE = ImageSize(20, 30)
COLOURS = {
    "input": (0, 0, 255),
    "output": (10, 20, 30),
    "other": (50, 20, 10),
    "target": (30, 20, 10),
}
# The last image equals its target; the one before has no figure.
VALUES = {"one": (0.2, 20), "two": (0.5, 30), "three": (0.4, math.nan), "four": (0.0, math.inf)}


def draw(folder, names, kinds=KINDS):
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for name in names:
        for kind in kinds:
            image = Image.fromarray(np.full((*SIZE, 3), COLOURS[kind], np.uint8))
            image.save(folder / "images" / f"{name}-{kind}.png")


def rows_of(values, kinds=KINDS):
    return [
        Row(
            name,
            [own_image(f"{name}-{kind}.png", SIZE) for kind in kinds],
            figures,
            f"image-{number}",
        )
        for number, (name, figures) in enumerate(values.items(), 1)
    ]


def write(folder, rows, *more, columns=COLUMNS, title="Results"):
    path = folder / "index.html"
    write_results_page(path, title, {"checkpoint": "run/model-3"}, columns, rows, *more)
    return path


def test_the_file_is_a_table_of_images(tmp_path):
    path = write(tmp_path, rows_of({"a": (), "b c": ()}))
    page = Page(path)
    assert page.text("th") == ["name", *KINDS, "a", "b c"]
    assert [image["src"] for image in page.images] == [
        f"images/{name}-{kind}.png" for name in ("a", "b%20c") for kind in KINDS
    ]
    for image in page.images:
        assert (image["width"], image["height"], image["loading"]) == ("30", "20", "lazy")
    assert page.images[-1]["alt"] == "target of b c"
    assert page.tags.count("tr") == 3
    assert path.read_text().count("<img") == 6


def test_figures_are_in_the_file(tmp_path):
    values = {name: [[value] for value in of_one] for name, of_one in VALUES.items()}
    page = Page(write(tmp_path, rows_of(values), FIGURES))
    shown = ["0.2", "20", "0.5", "30", "0.4", "nan", "0", "inf"]
    assert page.text("pre") == [
        f"l1    {first}\npsnr  {second}"
        for first, second in zip(shown[::2], shown[1::2], strict=True)
    ]
    pairs = {"a": [[0.25, 0.5], [math.inf, math.inf]]}
    page = Page(write(tmp_path, rows_of(pairs), FIGURES))
    [text] = page.text("pre")
    assert [line.split() for line in text.splitlines()] == [
        ["A", "B", "A", "-", "B"],
        ["l1", "0.25", "0.5", "-0.25"],
        ["psnr", "inf", "inf", "+0"],
    ]


def test_an_image_that_is_not_there(tmp_path):
    """Without a target nothing is compared."""
    rows = [Row("a", [None, own_image("a-output.png"), None])]
    page = Page(write(tmp_path, rows))
    assert page.tags.count("img") == 1
    text = (tmp_path / "index.html").read_text()
    assert 'class="output"' in text
    assert 'class="output compared"' not in text


@pytest.mark.parametrize("name", [*ODD, "</script><script>alert(1)</script>", os.fsdecode(b"\xff")])
def test_odd_names(tmp_path, name):
    rows = [Row(name, [own_image(f"{name}-{kind}.png") for kind in KINDS], [[0.5]], name)]
    page = Page(write(tmp_path, rows, [Figure(name, larger_is_better=True)], title=name))
    shown = name.encode(errors="backslashreplace").decode()
    assert "".join(page.text("h1")) == shown
    assert "".join(page.text("th")) == f"name{''.join(KINDS)}figures{shown}"
    assert "".join(page.text("pre")) == f"{shown}  0.5"
    assert page.tags.count("script") == 3
    for image, kind in zip(page.images, KINDS, strict=True):
        assert image["alt"] == f"{kind} of {shown}"
        url = urllib.parse.urlsplit(urllib.parse.urljoin("file:///run/index.html", image["src"]))
        assert (url.scheme, url.netloc, url.query, url.fragment) == ("file", "", "", "")
        path = urllib.parse.unquote_to_bytes(url.path)
        assert path == os.fsencode(f"/run/images/{name}-{kind}.png")


def test_addresses_are_relative(tmp_path):
    made = tmp_path / "a b" / "images" / "1#.png"
    assert relative_address(made, tmp_path / "a b" / "evaluation") == "../images/1%23.png"


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Pages with figures of one side, of two sides, and without targets."""
    root = tmp_path_factory.mktemp("pages")
    draw(root, VALUES, ("input", "output", "other", "target"))
    rows = rows_of({name: [[value] for value in of_one] for name, of_one in VALUES.items()})
    write(root, rows, FIGURES)
    (root / "index.html").rename(root / "one.html")
    # A's L1 less B's: 0.1, 0.3 and -0.2.
    sides = {"one": [[0.3, 0.2]], "two": [[0.5, 0.2]], "three": [[0.1, 0.3]]}
    kinds = ("input", "output", "other", "target")
    write(root, rows_of(sides, kinds), FIGURES[:1], columns=BOTH)
    (root / "index.html").rename(root / "two.html")
    write(root, [Row("one", rows[0].images[:2])], columns=COLUMNS[:2])
    (root / "index.html").rename(root / "no_target.html")
    return root


@pytest.fixture
def opened(browser, pages):
    """Opens a page from disk; nothing goes wrong, and nothing is requested from elsewhere."""
    contexts, problems = [], []

    def open_page(name, **options):
        context = browser.new_context(**{"viewport": {"width": 1200, "height": 800}, **options})
        contexts.append(context)
        page = context.new_page()
        problems.append(problems_of(page, pages.as_uri()))
        page.goto((pages / name).as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not any(problems), problems


def names_on(page):
    return page.locator("table.results > tbody > tr > th").all_text_contents()


def pixels_of(locator):
    """What is on the screen, without the border, which may lie between two pixels."""
    with Image.open(io.BytesIO(locator.screenshot())) as image:
        return np.asarray(image.convert("RGB"))[2:-2].astype(int)


@in_a_browser
def test_the_slider_shows_the_target_from_the_left(opened):
    page = opened("one.html")
    slider = page.get_by_role("slider", name="target over output of one")
    stage = page.locator(".stage").first
    assert (pixels_of(stage) == COLOURS["output"]).all()
    slider.focus()
    page.keyboard.press("End")  # by keyboard
    assert (pixels_of(stage)[:, :-3] == COLOURS["target"]).all()
    box = slider.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)  # by pointer
    assert slider.get_attribute("aria-valuetext") == "50 % target"
    found = pixels_of(stage)
    assert (found[:, :12] == COLOURS["target"]).all()
    assert (found[:, 18:] == COLOURS["output"]).all()


@in_a_browser
def test_the_difference(opened):
    page = opened("one.html")
    page.keyboard.press("d")
    stage = page.locator(".stage").first
    assert np.abs(pixels_of(stage) - (20, 0, 20)).max() <= 1
    page.get_by_label("Brightness").fill("4")
    assert np.abs(pixels_of(stage) - (80, 0, 80)).max() <= 4
    page.get_by_label("Difference").uncheck()
    assert (pixels_of(stage) == COLOURS["output"]).all()


@in_a_browser
def test_sort(opened):
    """Worst first: what has no figure is last in both orders."""
    page = opened("one.html")
    assert names_on(page) == list(VALUES)
    assert page.get_by_label("Sort").locator("option").all_text_contents() == [
        *("as listed", "name", "l1", "psnr")
    ]
    for by, wanted in {
        "l1": ["two", "three", "one", "four"],
        "psnr": ["one", "two", "four", "three"],
        "name": ["four", "one", "three", "two"],
        "as listed": list(VALUES),
    }.items():
        page.get_by_label("Sort").select_option(by)
        assert names_on(page) == wanted, by
    page.get_by_label("Sort").select_option("psnr")
    page.get_by_role("button", name="Best first").click()
    assert names_on(page) == ["four", "two", "one", "three"]


@in_a_browser
def test_filter(opened):
    page = opened("one.html")
    page.keyboard.press("/")
    page.keyboard.type("O")
    assert names_on(page) == ["one", "two", "four"]
    assert page.get_by_role("status").first.text_content() == "3 of 4 images"
    page.get_by_label("Filter").fill("on")
    assert names_on(page) == ["one"]
    page.evaluate("""() => {
      const link = document.createElement("a");
      link.href = "#image-3";
      link.textContent = "the worst";
      document.body.prepend(link);
    }""")
    for _ in range(2):  # the second time, the address stays the same
        page.get_by_label("Filter").fill("on")
        page.get_by_text("1 of 4 images", exact=True).wait_for()
        page.get_by_role("link", name="the worst").click()
        page.get_by_text("4 images", exact=True).wait_for()
        assert names_on(page) == list(VALUES)


@in_a_browser
def test_images_are_enlarged(opened):
    page = opened("one.html")
    page.get_by_label("Filter").fill("o")  # "three" is passed over
    link = page.get_by_role("link", name="input of one")
    link.focus()
    page.keyboard.press("Enter")
    title = page.locator("#enlarged-title")
    image = page.locator("dialog.enlarged img").first
    assert title.text_content() == "input of one"
    zoom = int(page.locator("dialog.enlarged [role=status]").text_content().rpartition(" ")[2])
    assert zoom == (800 - 16 * 17) // 20
    assert image.bounding_box()["width"] == 30 * zoom
    assert image.evaluate("image => getComputedStyle(image).imageRendering") == "pixelated"
    for key, wanted in (
        ("ArrowRight", "output of one"),
        ("ArrowRight", "target of one"),
        ("ArrowRight", "input of two"),
        ("ArrowLeft", "target of one"),
        ("ArrowDown", "target of two"),
        ("ArrowDown", "target of four"),
        ("ArrowUp", "target of two"),
        ("ArrowLeft", "output of two"),
    ):
        page.keyboard.press(key)
        assert title.text_content() == wanted
    slider = page.get_by_role("dialog").get_by_role("slider")
    slider.focus()
    page.keyboard.press("ArrowRight")  # moves the slider
    assert title.text_content() == "output of two"
    assert slider.input_value() == "1"
    page.keyboard.press("-")
    assert image.bounding_box()["width"] == 30 * (zoom - 1)
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0
    # The browser gives the focus back, and the page moves it to the image shown last.
    page.locator("a:focus img[alt='output of two']").wait_for()


@in_a_browser
def test_keys_are_listed(opened):
    page = opened("no_target.html")
    assert page.get_by_label("Difference").count() == 0
    assert page.locator("input[type=range]").count() == 0
    page.keyboard.press("?")
    assert page.get_by_role("dialog", name="Keys").is_visible()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Keys (?)").click()
    page.get_by_role("button", name="Close").click()
    assert page.locator("dialog[open]").count() == 0


@in_a_browser
def test_two_folders_side_by_side(opened):
    page = opened("two.html")
    for by, wanted in {
        "l1 of A": ["two", "one", "three"],
        "l1 of B": ["three", "one", "two"],
        "l1: A - B": ["two", "one", "three"],
    }.items():
        page.get_by_label("Sort").select_option(by)
        assert names_on(page) == wanted
    page.get_by_label("Sort").select_option("as listed")
    page.get_by_role("slider", name="target over output B of one").wait_for()
    page.get_by_label("Compare with").select_option("each other")
    page.get_by_role("slider", name="output B over output A of one").wait_for()
    page.get_by_label("Difference").check()
    assert np.abs(pixels_of(page.locator(".stage").first) - (40, 0, 20)).max() <= 1


@in_a_browser
@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (320, "dark")])
@pytest.mark.parametrize("name", ["one.html", "two.html", "no_target.html"])
def test_accessible(opened, name, width, scheme):
    """No violation that axe-core knows of, and no sideways scrolling on a phone."""
    from axe_playwright_python.sync_playwright import Axe

    page = opened(name, viewport={"width": width, "height": 640}, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for action in (lambda: None, lambda: page.locator("table.results a").nth(1).click()):
        action()
        results = Axe().run(page)
        assert results.violations_count == 0, results.generate_report()


@in_a_browser
def test_without_javascript(opened):
    page = opened("one.html", java_script_enabled=False)
    assert page.locator("table.results img").count() == 12
    assert page.locator("input, select, button, dialog").count() == 0
    assert page.get_by_role("row").count() == 1 + 4


@in_a_browser
def test_print(opened):
    page = opened("one.html")
    page.emulate_media(media="print")
    assert not page.get_by_label("Filter").is_visible()
    assert page.locator(".slider").evaluate_all("all => all.every(one => !one.offsetHeight)")
    row = page.locator("table.results > tbody > tr").first
    assert row.evaluate("row => getComputedStyle(row).breakInside") == "avoid"
    assert row.is_visible()


@in_a_browser
def test_thousands_of_rows_load_few_images(browser, tmp_path):
    images = [own_image(f"{kind}.png", SIZE) for kind in KINDS]
    rows = [
        Row(str(number), [PageImage(f"{image.address}?{number}", SIZE) for image in images])
        for number in range(2000)
    ]
    path = write(tmp_path, rows)
    page = browser.new_page()
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(path.as_uri())
    assert page.locator("table.results > tbody > tr").count() == 2000
    assert page.locator(".slider").count() < 200
    assert len(requests) < 500
    page.close()


@in_a_browser
def test_names_in_bytes_are_found(browser, tmp_path):
    name = os.fsdecode(b"odd\xff \"'<&%#?")
    draw(tmp_path, [name])
    page = browser.new_page()
    page.goto(write(tmp_path, rows_of({name: ()})).as_uri())
    widths = page.locator("table.results img").evaluate_all("all => all.map(i => i.naturalWidth)")
    assert widths[:3] == [30, 30, 30]
    page.close()
