"""The page to draw on, in a browser."""

import contextlib
import io
import socket
import threading
import time

import numpy as np
import pytest
import uvicorn
from PIL import Image

from p2p_graph.imaging.palettes import FACADES
from p2p_graph.serving.app import make_app
from p2p_graph.serving.served_models import load_models
from p2p_graph.serving.server import bound_socket

from ..browser import in_a_browser, problems_of
from ..cli.common import call, succeeded
from ..inference.test_formats import make_run
from .conftest import png

pytestmark = in_a_browser
COLOURS = list(FACADES.classes.values())


@contextlib.contextmanager
def served(models):
    """A server in this process."""
    bound = bound_socket("127.0.0.1", 0)
    app = make_app(models, hosts=("127.0.0.1",), most_waiting=64, time_limit=60)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    thread.start()
    yield f"http://127.0.0.1:{bound.getsockname()[1]}"
    server.should_exit = True
    thread.join(60)
    assert isinstance(bound, socket.socket)
    bound.close()


@pytest.fixture(scope="module")
def address(models):
    with served(models) as address:
        yield address


@pytest.fixture
def page(browser, address):
    """The page, once its first result is there; no request leaves the server."""
    context = browser.new_context(viewport={"width": 1200, "height": 900}, accept_downloads=True)
    page = context.new_page()
    problems = problems_of(page, address, "blob:", "data:")
    page.goto(address)
    translated(page)
    yield page
    context.close()
    assert problems == []


def until(page, expression):
    """Waits until an expression is true; Playwright's own way needs `eval`, which is forbidden."""
    for _ in range(150):
        if page.evaluate(f"() => {expression}"):
            return
        time.sleep(0.1)
    raise AssertionError(f"never true: {expression}")


def translated(page):
    until(
        page,
        "document.getElementById('status').textContent.startsWith('Translated')"
        " && document.getElementById('result').naturalWidth > 0",
    )


def pixels_of(page, name):
    """The pixels of a canvas or an image, uint8 [H, W, 3]."""
    values = page.evaluate(
        """name => {
          const element = document.getElementById(name);
          const copy = new OffscreenCanvas(32, 32);
          const ink = copy.getContext("2d");
          ink.drawImage(element, 0, 0, 32, 32);
          return [...ink.getImageData(0, 0, 32, 32).data];
        }""",
        name,
    )
    return np.array(values, np.uint8).reshape(32, 32, 4)[..., :3]


def drawing(page):
    return pixels_of(page, "drawing")


def click(page, name):
    page.get_by_role("button", name=name, exact=True).click()


def choose(page, name):
    page.get_by_role("radio", name=name, exact=True).click()


def stroke(page, *points):
    """Draws with the pointer through pixels."""
    box = page.get_by_role("img", name="Drawing").bounding_box()
    places = [
        (box["x"] + (x + 0.5) * box["width"] / 32, box["y"] + (y + 0.5) * box["height"] / 32)
        for x, y in points
    ]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place)
    page.mouse.up()


def wait_until_drawn(page, image):
    """Waits until an uploaded image is the drawing."""
    for _ in range(100):
        if (drawing(page) == image).all():
            return
        time.sleep(0.1)
    np.testing.assert_array_equal(drawing(page), image)


def wait_until_shown(page, generator, seed=0):
    """Waits until the result is that of the drawing."""
    wanted = generator(drawing(page), seed=seed)
    for _ in range(100):
        if np.abs(pixels_of(page, "result").astype(int) - wanted).max() <= 1:
            return
        time.sleep(0.1)
    raise AssertionError("the result is not that of the drawing")


def test_draw_a_house_with_the_pointer(page, models):
    click(page, "Clear")
    assert (drawing(page) == COLOURS[0]).all()
    choose(page, "facade")
    click(page, "Rectangle")
    stroke(page, (4, 8), (27, 30))
    choose(page, "window")
    stroke(page, (8, 12), (12, 18))
    choose(page, "door")
    click(page, "Line")
    page.get_by_label("Size").fill("2")
    stroke(page, (20, 20), (20, 30))
    choose(page, "sill")
    click(page, "Brush")
    stroke(page, (8, 19), (10, 19), (12, 19))
    made = drawing(page)
    assert {tuple(colour) for colour in made.reshape(-1, 3)} == {
        FACADES.classes[name] for name in ("background", "facade", "window", "door", "sill")
    }
    assert (made[8:31, 4:28] != COLOURS[0]).any(2).all()
    assert tuple(made[15, 10]) == FACADES.classes["window"]
    wait_until_shown(page, models[0].generator)
    choose(page, "background")
    click(page, "Fill")
    stroke(page, (25, 10))
    assert tuple(drawing(page)[29, 5]) == FACADES.classes["background"]
    click(page, "Undo")
    np.testing.assert_array_equal(drawing(page), made)
    click(page, "Redo")
    assert (drawing(page) != made).any()
    click(page, "Undo")
    click(page, "Eraser")
    stroke(page, (10, 15))
    assert tuple(drawing(page)[15, 10]) == COLOURS[0]
    page.keyboard.press("Control+z")
    np.testing.assert_array_equal(drawing(page), made)
    click(page, "Pick")
    stroke(page, (10, 15))
    assert (
        page.get_by_role("radio", name="window", exact=True).get_attribute("aria-checked") == "true"
    )
    wait_until_shown(page, models[0].generator)


def test_draw_with_the_keyboard(page, models):
    click(page, "Clear")
    before = drawing(page)
    page.get_by_role("img", name="Drawing").focus()
    page.keyboard.press("3")
    page.keyboard.press("b")
    page.keyboard.down("Space")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    page.keyboard.up("Space")
    made = drawing(page)
    assert {tuple(colour) for colour in made.reshape(-1, 3)} == {COLOURS[0], COLOURS[2]}
    wait_until_shown(page, models[0].generator)
    page.keyboard.press("r")
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    page.keyboard.press("Control+z")
    np.testing.assert_array_equal(drawing(page), made)
    page.keyboard.press("Control+z")
    np.testing.assert_array_equal(drawing(page), before)
    page.keyboard.press("Control+y")
    np.testing.assert_array_equal(drawing(page), made)


def test_fifty_steps_are_kept(page):
    click(page, "Clear")
    page.get_by_label("Size").fill("1")
    for number in range(55):
        choose(page, "window" if number % 2 else "door")
        stroke(page, (number % 32, number // 32))
    for _ in range(50):
        page.keyboard.press("Control+z")
    assert page.get_by_role("button", name="Undo").is_disabled()
    assert (drawing(page)[0, :5] != COLOURS[0]).any(1).all()
    assert (drawing(page)[0, 6:] == COLOURS[0]).all()


def test_a_stroke_is_translated_once(page, models):
    """Pressing the button draws; releasing it changes no pixel, and asks for nothing."""
    asked = []
    page.on("request", lambda request: "/api/translate" in request.url and asked.append(request))
    for number, colour in enumerate(("window", "door"), 1):
        choose(page, colour)
        stroke(page, (16, 16))
        wait_until_shown(page, models[0].generator)
        time.sleep(0.2)
        assert len(asked) == number
    page.get_by_label("Seed").fill("5")
    page.keyboard.press("Enter")
    wait_until_shown(page, models[0].generator, seed=5)
    assert len(asked) == 3


def test_upload_download_and_save(page, models, runs, tmp_path):
    rng = np.random.default_rng(6)
    labels = np.array(COLOURS, np.uint8)[rng.integers(0, 12, (32, 32))]
    png(labels, tmp_path / "labels.png")
    page.set_input_files("#file", tmp_path / "labels.png")
    wait_until_drawn(page, labels)
    wait_until_shown(page, models[0].generator)
    made, files = {}, {}
    for name in ("Download", "Download input and output", "Save drawing"):
        with page.expect_download() as download:
            click(page, name)
        made[name] = download.value.path().read_bytes()
        files[name] = np.asarray(Image.open(io.BytesIO(made[name])))[..., :3]
    # Of so small a network, sums do not depend on the number of threads.
    flags = ("--inputs_only", "--checkpoint", runs / "facades_BtoA", "--output_dir", tmp_path / "o")
    succeeded(call("test", "--input_dir", tmp_path, *flags, "--device", "cpu"))
    assert made["Download"] == (tmp_path / "o" / "images" / "labels-outputs.png").read_bytes()
    np.testing.assert_array_equal(files["Save drawing"], labels)
    np.testing.assert_array_equal(files["Download input and output"][:, :32], labels)
    np.testing.assert_array_equal(files["Download input and output"][:, 32:], files["Download"])
    # A saved drawing opens as it was, also at another size: the nearest pixel's colour.
    click(page, "Clear")
    png(np.repeat(np.repeat(labels, 2, 0), 2, 1), tmp_path / "large.png")
    page.set_input_files("#file", tmp_path / "large.png")
    wait_until_drawn(page, labels)


def test_drop_and_photos(page, models, tmp_path):
    page.get_by_label("Model").select_option("photos")
    assert page.get_by_role("button", name="Brush").is_hidden()
    photo = np.random.default_rng(7).integers(0, 256, (32, 32, 3), np.uint8)
    drop(page, png(photo))
    wait_until_drawn(page, photo)
    wait_until_shown(page, models[1].generator)
    page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png", "buffer": b"none"})
    until(page, "document.getElementById('status').textContent.includes('not an image')")


def drop(page, contents):
    page.evaluate(
        """bytes => {
          const data = new DataTransfer();
          data.items.add(new File([new Uint8Array(bytes)], "a.png", { type: "image/png" }));
          document.dispatchEvent(new DragEvent("drop", { dataTransfer: data }));
        }""",
        list(contents),
    )


def test_colours_under_transparency(browser, tmp_path):
    """They are sent as the file holds them; a canvas multiplies them by alpha."""
    channels = {"input_channels": 4, "target_channels": 4}
    make_run(tmp_path / "run", crop_size=32, levels=3, which_direction="AtoB", **channels)
    photo = np.random.default_rng(7).integers(0, 256, (32, 32, 4), np.uint8)
    photo[::2, :, 3] = 0
    models = load_models([tmp_path / "run"], device="cpu")
    with served(models) as address, contextlib.closing(browser.new_page()) as page:
        page.goto(address)
        until(page, "!document.getElementById('upload').disabled")
        drop(page, png(photo))
        translated(page)
        with page.expect_download() as download:
            click(page, "Download")
        with Image.open(download.value.path()) as image:
            found = np.asarray(image).astype(int)
    assert np.abs(found - models[0].generator(png(photo), seed=0)).max() <= 1


def hold(page, addresses, act):
    """Lets requests wait, from the first one that `act` causes; gives the function to end that."""
    waiting, ended = [], []
    page.route(addresses, lambda route: route.continue_() if ended else waiting.append(route))
    act()
    for _ in range(100):
        if waiting:
            break
        page.wait_for_timeout(50)
    assert waiting

    def release():
        ended.append(True)
        for route in waiting:
            route.continue_()

    return release


def test_another_model_is_chosen_meanwhile(page, models):
    """What is under way, and what came before, is not shown as the result of the new model."""
    release = hold(page, "**/api/translate*", lambda: click(page, "Clear"))
    page.get_by_label("Model").select_option("facades_BtoA")  # anew, with an example
    page.get_by_label("Model").select_option("photos")
    assert page.locator("#result").get_attribute("src") is None
    assert page.get_by_role("button", name="Download", exact=True).is_disabled()
    release()
    page.wait_for_timeout(500)
    assert page.locator("#result").get_attribute("src") is None
    assert page.locator("#status").text_content() == "Upload, drop or paste a photo."
    photo = np.random.default_rng(8).integers(0, 256, (32, 32, 3), np.uint8)
    drop(page, png(photo))
    wait_until_drawn(page, photo)
    wait_until_shown(page, models[1].generator)
    # The same model, chosen again.
    other = 255 - photo
    release = hold(page, "**/api/translate*", lambda: drop(page, png(other)))
    for name in ("facades_BtoA", "photos"):
        page.get_by_label("Model").select_option(name)
    release()
    page.wait_for_timeout(500)
    assert page.locator("#result").get_attribute("src") is None


def test_an_example_of_a_model_that_is_chosen_no_more(page):
    release = hold(page, "**/api/examples/**", lambda: click(page, "Random example"))
    page.get_by_label("Model").select_option("photos")
    release()
    page.wait_for_timeout(500)
    assert page.locator("#status").text_content() == "Upload, drop or paste a photo."


def test_without_models(browser, address):
    """What the status says stays true."""
    with contextlib.closing(browser.new_page()) as page:
        errors = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.route("**/api/models", lambda route: route.abort())
        page.goto(address)
        until(page, "document.getElementById('status').textContent !== ''")
        for name in ("Clear", "Upload", "Random example", "Save drawing"):
            assert page.get_by_role("button", name=name).is_disabled()
        drop(page, png(np.zeros((4, 4, 3), np.uint8)))
        page.keyboard.press("x")
        page.get_by_label("Seed").fill("3")
        page.keyboard.press("Tab")
        page.wait_for_timeout(300)
        assert "does not answer" in page.locator("#status").text_content()
        assert errors == []


def test_seeds_views_and_zoom(page, models):
    wait_until_shown(page, models[0].generator)
    first = pixels_of(page, "result")
    for seed, told in (("1.5", "whole number"), ("0", "Translated"), ("1.5", "whole number")):
        page.get_by_label("Seed").fill(seed)
        page.keyboard.press("Tab")
        until(page, f"document.getElementById('status').textContent.includes('{told}')")
    page.get_by_label("Seed").fill("9")
    page.keyboard.press("Tab")
    wait_until_shown(page, models[0].generator, seed=9)
    assert (pixels_of(page, "result") != first).any()
    page.get_by_label("One over the other").check()
    assert page.locator("#overlay").is_visible()
    page.get_by_label("Share of the result").fill("25")
    assert "75%" in page.locator("#overlay").get_attribute("style")
    width = page.locator("#drawing").bounding_box()["width"]
    page.get_by_label("Zoom").fill("2")
    assert page.locator("#drawing").bounding_box()["width"] == pytest.approx(2 * width)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1200])
def test_everyone_can_use_it(browser, address, scheme, width):
    """No violation that axe-core knows of, and no sideways scrolling on a phone."""
    from axe_playwright_python.sync_playwright import Axe

    context = browser.new_context(
        viewport={"width": width, "height": 640}, color_scheme=scheme, has_touch=width == 320,
        bypass_csp=True,
    )  # fmt: skip
    page = context.new_page()
    page.goto(address)
    translated(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.get_by_label("One over the other").check()
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()
    if width == 320:
        page.get_by_role("img", name="Drawing").tap()
        until(page, "!document.getElementById('undo').disabled")
    context.close()
