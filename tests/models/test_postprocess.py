"""Values to images, image files, and the page that shows them."""

import html.parser
import types
import urllib.parse

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from PIL import Image

from p2p_graph.config.options import Options
from p2p_graph.data import lab_color
from p2p_graph.data.image_files import output_names
from p2p_graph.data.input_graph import Batch
from p2p_graph.imaging import html_page
from p2p_graph.imaging.html_page import write_index
from p2p_graph.models import postprocess
from p2p_graph.training.session_calls import Schedule
from p2p_graph.training.training_images import WriteImages

# sRGB and Lab (D65), published values.
LAB = {
    (255, 255, 255): (100, 0, 0),
    (0, 0, 0): (0, 0, 0),
    (255, 0, 0): (53.24, 80.09, 67.20),
    (0, 255, 0): (87.73, -86.18, 83.18),
    (0, 0, 255): (32.30, 79.19, -107.86),
}


@pytest.fixture
def session():
    with tf.Graph().as_default(), tf.Session() as session:
        yield session


def values_of(rng, *shape):
    return np.float32(rng.uniform(-1, 1, shape))


def shown(session, config, inputs, outputs, targets):
    tensors = [
        None if x is None else tf.constant(x, tf.float32) for x in (inputs, outputs, targets)
    ]
    batch = Batch(tf.constant(["path"]), tensors[0], tensors[2])
    return session.run(postprocess.to_rgb(batch, tensors[1], config.data.task))


def in_bytes(session, config, **images):
    size, aspect_ratio = config.data.scaling.crop_size, config.outputs.aspect_ratio
    tensors = {kind: tf.constant(image, tf.float32) for kind, image in images.items()}
    return session.run(postprocess.to_bytes(tensors, size, aspect_ratio))


# to_rgb


def test_values_become_images(session, rng):
    values = [values_of(rng, 2, 4, 4, 3) for _ in range(3)]
    images = shown(session, Options.of(), *values)
    assert list(images) == ["inputs", "outputs", "targets"] == list(html_page.KINDS)
    for image, value in zip(images.values(), values, strict=True):
        np.testing.assert_allclose(image, (value + 1) / 2, atol=1e-6)
    ends = shown(session, Options.of(), *np.float32([[[[[-1, 0, 1]]]]] * 3))
    np.testing.assert_array_equal(ends["outputs"], [[[[0, 0.5, 1]]]])


def test_no_targets(session, rng):
    images = shown(session, Options.of(), *[values_of(rng, 1, 4, 4, 3)] * 2, None)
    assert list(images) == ["inputs", "outputs"]


def scaled_lab():
    lab = np.array(list(LAB.values()))
    return np.split(np.float32(lab / [50, 110, 110] - [1, 0, 0])[None, None], [1], axis=-1)


def test_lab_to_ab(session):
    lightness, ab = scaled_lab()
    config = Options.of(lab_colorization=True, which_direction="AtoB")
    images = shown(session, config, lightness, ab, 0 * ab)
    rgb = np.array(list(LAB)) / 255
    np.testing.assert_allclose(images["outputs"][0, 0], rgb, atol=0.004)
    np.testing.assert_allclose(images["inputs"], (lightness + 1) / 2, atol=1e-6)
    assert images["inputs"].shape == (1, 1, 5, 1)
    # Targets whose ab channels are 0: the L channel in grey.
    assert np.ptp(images["targets"], axis=-1).max() < 0.002
    swapped = shown(session, config, lightness, 0 * ab, ab)
    np.testing.assert_allclose(swapped["targets"], images["outputs"])


def test_lab_to_lightness(session):
    lightness, ab = scaled_lab()
    config = Options.of(lab_colorization=True, which_direction="BtoA")
    images = shown(session, config, ab, lightness / 2, lightness)
    rgb = np.array(list(LAB)) / 255
    # The input is shown with the true L channel, not with the output's.
    np.testing.assert_allclose(images["inputs"][0, 0], rgb, atol=0.004)
    np.testing.assert_allclose(images["outputs"], (lightness / 2 + 1) / 2, atol=1e-6)
    np.testing.assert_allclose(images["targets"], (lightness + 1) / 2, atol=1e-6)
    assert images["outputs"].shape == images["targets"].shape == (1, 1, 5, 1)


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_lab_and_back_is_the_same_image(session, rng, direction):
    rgb = np.uint8(rng.integers(0, 256, (1, 8, 8, 3)))
    lab = session.run(lab_color.split_lab(tf.constant(rgb / 255, tf.float32)))
    lightness, ab = lab[..., :1], lab[..., 1:]
    config = Options.of(lab_colorization=True, which_direction=direction)
    parts = (lightness, ab) if direction == "AtoB" else (ab, lightness)
    images = in_bytes(session, config, **shown(session, config, parts[0], parts[1], parts[1]))
    kind = "targets" if direction == "AtoB" else "inputs"
    assert np.abs(images[kind].astype(int) - rgb).max() <= 1


# to_bytes


def test_every_level_is_exact(session):
    levels = np.arange(256, dtype=np.float32)[None, None, :, None]
    images = in_bytes(session, Options.of(), inputs=levels / 255, outputs=1 - levels / 255)
    assert images["inputs"].dtype == np.uint8
    np.testing.assert_array_equal(images["inputs"], levels)
    np.testing.assert_array_equal(images["outputs"], 255 - levels)


def test_rounding_and_saturation(session):
    """TensorFlow's conversion: 255.5 times the value, truncated."""
    values = np.linspace(-0.5, 1.5, 5001, dtype=np.float32)[None, None, :, None]
    images = in_bytes(session, Options.of(), outputs=values)
    np.testing.assert_array_equal(
        images["outputs"], np.clip(np.trunc(values * np.float32(255.5)), 0, 255)
    )


def test_grey_and_color_keep_their_channels(session, rng):
    grey, rgb = rng.uniform(size=(2, 8, 8, 1)), rng.uniform(size=(2, 8, 8, 3))
    images = in_bytes(session, Options.of(crop_size=8), inputs=grey, outputs=rgb)
    assert list(images) == ["inputs", "outputs"]
    assert images["inputs"].shape == (2, 8, 8, 1)
    assert images["outputs"].shape == (2, 8, 8, 3)


@pytest.mark.parametrize(
    ("ratio", "width"), [(1.0, 16), (2.0, 32), (0.5, 8), (1.3, 21), (0.66, 11)]
)
def test_aspect_ratio_is_width_by_height(session, rng, ratio, width):
    config = Options.of(crop_size=16, aspect_ratio=ratio)
    rows = np.linspace(0, 1, 16)[None, :, None, None] * np.ones((2, 16, 16, 3))
    flat = np.full((2, 16, 16, 1), 0.6)
    images = in_bytes(session, config, inputs=rows, outputs=flat)
    assert images["inputs"].shape == (2, 16, width, 3)
    assert images["outputs"].shape == (2, 16, width, 1)
    # Only the width is stretched.
    expected = np.broadcast_to(images["inputs"][:, :, :1], images["inputs"].shape)
    np.testing.assert_array_equal(images["inputs"], expected)
    assert np.abs(images["inputs"][0, :, 0, 0] - np.linspace(0, 255, 16)).max() <= 1
    assert set(images["outputs"].ravel()) == {153}


def test_stretching_saturates(session):
    """Bicubic interpolation overshoots at edges."""
    edge = np.zeros((1, 16, 16, 1))
    edge[:, :, 8:] = 1
    images = in_bytes(session, Options.of(crop_size=16, aspect_ratio=3.0), outputs=edge)
    row = images["outputs"][0, 0, :, 0].astype(int)
    assert (row[:20] <= 10).all()
    assert (row[-20:] >= 245).all()


# save_png


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_png_file(tmp_path, rng, channels, mode):
    image = rng.integers(0, 256, (5, 9, channels), np.uint8)
    path = tmp_path / "1-outputs.png"
    postprocess.save_png(path, image)
    with Image.open(path) as pil_image:
        assert (pil_image.format, pil_image.mode, pil_image.size) == ("PNG", mode, (9, 5))
        np.testing.assert_array_equal(np.asarray(pil_image).reshape(5, 9, channels), image)


# The page

VOID = {"meta", "img", "br", "hr", "link"}


class Page(html.parser.HTMLParser):
    """Reads a page; every tag must be closed, in the order in which they were opened."""

    def __init__(self, path):
        super().__init__()
        self.open, self.images, self.texts, self.tags = [], [], [], []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag == "img":
            self.images.append(dict(attributes))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if data.strip():
            self.texts.append((self.open[-1], data.strip()))

    def text(self, tag):
        """The texts in tags of a kind; an entity splits a text."""
        return [data for inside, data in self.texts if inside == tag]


ODD = [
    "plain",
    "two words",
    "'single' \"double\"",
    "100%",
    "%41 %20",
    "a#b?c=d&e=f",
    "<b>bold</b> &amp; <",
    "größe 日本語",
    "a+b;c:d,e",
    "back\\slash",
    "</td></table>",
]


def write(folder, rows, title="Images", metadata=(("checkpoint", "run/model-3"),)):
    path = write_index(folder, title, dict(metadata), ("name", "input", "output"), rows)
    return path, Page(path)


def test_page(tmp_path):
    rows = [(name, f"{name}-inputs.png", f"{name}-outputs.png") for name in ("1", "2")]
    path, page = write(tmp_path, rows, metadata={"checkpoint": "run/model-3", "steps": 7}.items())
    assert path == tmp_path / "index.html"
    assert [file.name for file in tmp_path.iterdir()] == ["index.html"]
    assert path.read_text().startswith("<!DOCTYPE html>\n")
    assert {"html", "head", "meta", "title", "body", "table"} <= set(page.tags)
    assert page.text("title") == page.text("h1") == ["Images"]
    assert page.text("dt") == ["checkpoint", "steps"]
    assert page.text("dd") == ["run/model-3", "7"]
    assert page.text("th") == ["name", "input", "output"]
    assert page.text("td") == ["1", "2"]
    assert page.tags.count("tr") == 3
    assert page.tags.count("td") == 6
    assert [image["src"] for image in page.images] == [
        "images/1-inputs.png",
        "images/1-outputs.png",
        "images/2-inputs.png",
        "images/2-outputs.png",
    ]
    assert all(image["alt"] for image in page.images)


def test_page_declares_utf_8(tmp_path):
    path, page = write(tmp_path, [])
    assert b'<meta charset="utf-8">' in path.read_bytes()[:200]
    assert page.tags.count("tr") == 1


@pytest.mark.parametrize("name", ODD)
def test_odd_names(tmp_path, name):
    _, page = write(tmp_path, [(name, f"{name}-inputs.png")], name, [(name, name)])
    for tag in ("title", "h1", "dt", "dd", "td"):
        assert "".join(page.text(tag)) == name, tag
    [image] = page.images
    assert image["alt"] == f"{name}-inputs.png"
    # The URL that a browser requests: no part of the name is a query, a fragment or a host.
    url = urllib.parse.urlsplit(urllib.parse.urljoin("file:///run/index.html", image["src"]))
    assert (url.scheme, url.netloc, url.query, url.fragment) == ("file", "", "", "")
    assert urllib.parse.unquote(url.path) == f"/run/images/{name}-inputs.png"
    assert image["src"].isascii()


def test_page_is_replaced(tmp_path):
    write(tmp_path, [(f"old {i}", f"old {i}-inputs.png") for i in range(50)])
    path, page = write(tmp_path, [("new", "new-inputs.png")], title="Second")
    assert "old" not in path.read_text()
    assert page.text("td") == ["new"]
    assert page.text("h1") == ["Second"]
    assert page.tags.count("html") == page.tags.count("table") == 1
    assert [file.name for file in tmp_path.iterdir()] == ["index.html"]


def test_page_that_fails_leaves_the_one_before(tmp_path):
    path, _ = write(tmp_path, [("first", "first-inputs.png")])
    before = path.read_bytes()

    def rows():
        yield ("cut", "cut-inputs.png")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write(tmp_path, rows())
    assert path.read_bytes() == before


@pytest.mark.parametrize("files", [["1.jpg", "2.png"], ["1.jpg", "1.png"]], ids=str)
def test_every_image_on_the_page_of_training_is_there(tmp_path, rng, files):
    names = dict(zip(files, output_names([tmp_path / file for file in files]), strict=True))
    hook = WriteImages(None, {}, names, tmp_path, {}, 5, Schedule(10))
    images = {kind: rng.integers(0, 256, (2, 4, 4, 3), np.uint8) for kind in html_page.KINDS}
    results = {"paths": [file.encode() for file in files], "images": images}
    for step in (5, 10):
        hook.report(step, types.SimpleNamespace(results=results), None)
    page = Page(tmp_path / "index.html")
    shown = [tmp_path / urllib.parse.unquote(image["src"]) for image in page.images]
    assert sorted(shown) == sorted((tmp_path / "images").iterdir())
    assert len(shown) == 2 * 2 * 3
    names = list(names.values())
    assert page.text("td") == [
        text for step in ("5", "10") for name in names for text in (step, name)
    ]
