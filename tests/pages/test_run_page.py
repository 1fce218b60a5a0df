"""The page of a run in a browser, opened from disk."""

import re
import time

import numpy as np
import pytest
from PIL import Image

from p2p_graph.pages.image_slides import Slides, evenly_chosen
from p2p_graph.pages.run_page import RunView, ShownSign, State, refresh_seconds, write_run_page
from p2p_graph.pages.step_curves import StepCurves

from ..browser import in_a_browser, problems_of
from .test_html_page import ODD, Page

KINDS = {"-inputs.png": "input", "-outputs.png": "output", "-targets.png": "target"}
NAME = "50% of <b>#1 größe"


def view_of(state, steps=range(100, 501, 100), **changes):
    """A run with all parts of the page."""
    curves = StepCurves(
        ["discrim_loss", "gen_loss_L1"], ["right", "saturated"], {"ssim": True}, 0.99
    )
    for step in range(1, 501):
        record = {"step": step, "discrim_loss": 1 / step, "gen_loss_L1": 0.4 - step / 5000}
        curves.add_losses({**record, **({"val_ssim": step / 1000} if step % 100 == 0 else {})})
        if step % 50 == 0:
            curves.add_report({"step": step, "right": 0.75, "saturated": step / 1000})
    view = RunView(
        name="Training run mine",
        state=State(state, "Training goes on: step 500 of 1000"),
        step=500,
        last_step=1000,
        between_reports=0.0,
        progress={"image/sec": "3.0", "time left": "3 min"},
        losses=curves.losses,
        shares=curves.shares,
        validation=curves.validation,
        kept="best/ holds the checkpoint of step 500, the best by SSIM 0.5.",
        images=Slides("images", {step: [f"{step:08d}-{NAME}"] for step in steps}, KINDS),
        samples=Slides("samples", {step: [f"{step:08d}"] for step in steps}, {".png": "grid"}),
        signs=[ShownSign("the discriminator wins", "the-discriminator-wins", 10, None)],
        options={"ngf": 8, "ndf": 64, "input_dir": "<pairs>"},
        defaults={"ngf": 64, "ndf": 64, "input_dir": None},
        versions={"p2p_graph": "0"},
    )
    return view._replace(**changes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run's folder, whose images have their step as the grey value."""
    folder = tmp_path_factory.mktemp("a run, 50% #1")
    for name in ("images", "samples"):
        (folder / name).mkdir()
    for step in range(100, 601, 100):
        grey = Image.fromarray(np.full([8, 8, 3], step // 10, np.uint8))
        grey.save(folder / "samples" / f"{step:08d}.png")
        for ending in KINDS:
            grey.save(folder / "images" / f"{step:08d}-{NAME}{ending}")
    return folder


@pytest.fixture
def page(browser, folder):
    """The page of a running run at step 500, which refreshes every second; nothing is fetched."""
    write(folder, view_of("running"))
    context = browser.new_context(viewport={"width": 900, "height": 600})
    page = context.new_page()
    problems = problems_of(page, folder.as_uri())
    page.goto((folder / "index.html").as_uri())
    yield page
    context.close()
    assert problems == []


def write(folder, view):
    """Writes the page, with a refresh after a second instead of five."""
    path = write_run_page(folder, view)
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('data-refresh="5"', 'data-refresh="1"'), encoding="utf-8")


def evaluated(page, expression):
    """The value of an expression; a refresh may come between."""
    from playwright.sync_api import Error

    for _ in range(5):
        try:
            return page.evaluate(f"() => {expression}")
        except Error:
            page.wait_for_load_state()
    raise AssertionError("the page is always between two refreshes")


def until(page, expression):
    for _ in range(100):
        if evaluated(page, expression):
            return
        time.sleep(0.1)
    raise AssertionError(f"never true: {expression}")


def shown_steps(page, part):
    """The steps of the images in a part of the page, once all of them are shown."""
    images = f"[...document.querySelectorAll('#{part} img')]"
    until(page, f"{images}.every(image => image.naturalWidth > 0)")
    sources = evaluated(page, f"{images}.map(image => image.currentSrc)")
    return {int(re.search(r"/(\d{8})", source)[1]) for source in sources}


def slider(page, name="Step of the training images"):
    return page.get_by_role("slider", name=name, exact=True)


@in_a_browser
def test_the_slider_chooses_the_step_of_the_images(page):
    assert shown_steps(page, "training") == {500}
    slider(page).focus()
    page.keyboard.press("ArrowLeft")
    assert shown_steps(page, "training") == {400}
    assert slider(page).get_attribute("aria-valuetext") == "step 400"
    assert page.locator("#training .name").text_content() == NAME
    page.get_by_role("button", name="Step of the training images: earlier").click()
    assert shown_steps(page, "training") == {300}
    assert shown_steps(page, "validation-images") == {500}
    page.get_by_role("button", name="Step of the validation images: earlier").click()
    assert shown_steps(page, "validation-images") == {400}


@in_a_browser
def test_the_scale_changes_the_curves(page):
    linear, log = (page.locator(f"svg.{kind}").first for kind in ("linear", "log"))
    assert (linear.is_visible(), log.is_visible()) == (True, False)
    page.get_by_label("Logarithmic scale", exact=True).check()
    assert (linear.is_visible(), log.is_visible()) == (False, True)
    line = "svg => svg.querySelector('.line').getAttribute('d')"
    assert linear.evaluate(line) != log.evaluate(line)


@in_a_browser
def test_a_refresh_keeps_the_readers_place(page, folder):
    """The chosen step, the scale, what is unfolded, the scroll and the focus."""
    page.get_by_label("Logarithmic scale", exact=True).check()
    page.locator("summary").click()
    slider(page).focus()
    page.keyboard.press("ArrowLeft")
    evaluated(page, "window.scrollTo(0, 300)")
    until(page, "window.scrollY === 300")
    write(folder, view_of("running", range(100, 601, 100), step=600))
    until(page, "document.querySelector('progress').value === 600")
    assert shown_steps(page, "training") == {400}
    # The newest images were shown, and are shown.
    assert shown_steps(page, "validation-images") == {600}
    assert page.get_by_label("Logarithmic scale", exact=True).is_checked()
    assert page.locator("svg.log").first.is_visible()
    assert page.locator("details").evaluate("fold => fold.open")
    until(page, "window.scrollY === 300")
    assert evaluated(page, "document.activeElement.id") == "training-slider"
    # Nothing else refreshes a finished run.
    write(folder, view_of("done", range(100, 601, 100), step=601))
    until(page, "document.querySelector('progress').value === 601")
    write(folder, view_of("running", step=602))
    time.sleep(1.5)
    assert page.locator("progress").get_attribute("value") == "601"


@in_a_browser
def test_no_refresh_while_the_reader_drags_or_forbids_it(page, folder):
    box = slider(page).bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    write(folder, view_of("running", step=600))
    time.sleep(2.5)
    assert page.locator("progress").get_attribute("value") == "500"
    page.mouse.up()
    until(page, "document.querySelector('progress').value === 600")
    page.get_by_label("Refresh while training goes on").uncheck()
    write(folder, view_of("running", step=700))
    time.sleep(1.5)
    assert page.locator("progress").get_attribute("value") == "600"


@in_a_browser
@pytest.mark.parametrize(("width", "scheme"), [(320, "light"), (1200, "dark")])
def test_accessible_at_any_width(browser, folder, width, scheme):
    from axe_playwright_python.sync_playwright import Axe

    write(folder, view_of("running", signs=[]))
    context = browser.new_context(
        viewport={"width": width, "height": 700}, color_scheme=scheme, reduced_motion="reduce"
    )
    page = context.new_page()
    for view in (view_of("running"), view_of("failed", images=None, shares={}, validation={})):
        write(folder, view)
        page.goto((folder / "index.html").as_uri())
        page.evaluate("() => document.getElementById('refreshes')?.click()")
        page.locator("summary").click()
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
    context.close()


@in_a_browser
def test_without_scripts(browser, folder):
    """The newest images and the linear or the logarithmic scale."""
    write(folder, view_of("done"))
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((folder / "index.html").as_uri())
    assert not slider(page).is_visible()
    assert page.locator("#training img").count() == 3
    page.get_by_label("Logarithmic scale", exact=True).check()
    assert page.locator("svg.log").first.is_visible()
    assert not page.locator("svg.linear").first.is_visible()
    context.close()


@pytest.mark.parametrize("name", ODD)
def test_odd_names_on_the_page_of_a_run(tmp_path, name):
    view = view_of("running", images=Slides("images", {1: [f"00000001-{name}"]}, KINDS))
    state = State("failed", f"Failed at step 1: {name}")
    write_run_page(tmp_path, view._replace(name=name, options={"input_dir": name}, state=state))
    page = Page(tmp_path / "index.html")
    assert "".join(page.text("h1")) == name
    assert name in "".join(page.text("td"))
    assert f"Failed at step 1: {name}" in "".join(page.text("h2"))
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    # The data of the sliders are no end of their element.
    assert text.count("</script>") == 3


def test_signs_and_their_tips(tmp_path):
    signs = [
        ShownSign("one colour out", "one-colour-output", 10, 600),
        ShownSign("the discriminator wins", "the-discriminator-wins", 700, None),
    ]
    write_run_page(tmp_path, view_of("running", signs=signs))
    page = Page(tmp_path / "index.html")
    words = " ".join(text for _, text in page.texts)
    assert "one colour out , steps 10 to 600." in words
    assert "the discriminator wins , since step 700." in words
    for sign in signs:
        assert f"docs/TIPS.md#{sign.anchor}" in words


def test_many_steps_are_thinned_for_the_slider(tmp_path):
    steps = range(10, 80001, 10)
    images = Slides("images", {step: [f"{step:08d}-1"] for step in steps}, KINDS)
    path = write_run_page(tmp_path, view_of("running", images=images))
    assert path.stat().st_size < 200_000
    assert "500 of 8000 steps" in path.read_text(encoding="utf-8")
    chosen = evenly_chosen(steps, 500)
    assert (chosen[0], chosen[-1], len(set(chosen))) == (10, 80000, 500)
    assert evenly_chosen([3, 4], 500) == [3, 4]


@pytest.mark.parametrize(("between", "seconds"), [(0.0, 5), (7.2, 8), (3600.0, 60)])
def test_refreshes_follow_the_reports(between, seconds):
    assert refresh_seconds(between) == seconds
