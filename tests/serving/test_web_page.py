"""The page to draw on that translates in the browser: its folder, and how it works."""

import base64
import functools
import hashlib
import http.server
import io
import json
import re
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from PIL import Image

from p2p_graph.config.image_size import ImageSize
from p2p_graph.data.image_pairs import scale
from p2p_graph.imaging.palettes import FACADES
from p2p_graph.inference.export import export as export_by
from p2p_graph.serving import web_page
from p2p_graph.serving.web_page import ORT_INTEGRITY, ORT_VERSION, WebPage
from p2p_graph.utils.errors import UserError

from ..browser import in_a_browser
from ..cli.common import call, succeeded
from ..inference.test_export import contents, failing_replace
from ..inference.test_formats import make_run
from .conftest import png
from .test_page import click, drawing, pixels_of, stroke, translated, until

ROOT = Path(__file__).parents[2]
ORT = ROOT / "node_modules" / "onnxruntime-web"
needs_ort = pytest.mark.skipif(not ORT.exists(), reason="there is no onnxruntime-web")
PUBLIC = f"https://cdn.jsdelivr.net/npm/onnxruntime-web@{ORT_VERSION}/dist/"
TINY = {"crop_size": 32, "levels": 3, "ngf": 4}


def export(checkpoint, folder, **flags):
    flags = {"checkpoint": str(checkpoint), "output_dir": str(folder), "format": "web", **flags}
    export_by(flags, WebPage)
    return folder / "web"


@pytest.fixture
def ort(tmp_path):
    """What an unpacked onnxruntime-web holds, as far as an export looks."""
    folder = tmp_path / "ort" / "dist"
    folder.mkdir(parents=True)
    for script, wasm in (("webgpu", "ort-wasm-a.gpu.wasm"), ("wasm", "ort-wasm-b.wasm")):
        (folder / f"ort.{script}.bundle.min.mjs").write_text(f'export const of = "{wasm}";')
        (folder / wasm).write_bytes(b"\0asm" + script.encode())
    (folder / "ort.all.min.js").write_text("not needed")
    return folder.parent


def checked(contents):
    return "sha384-" + base64.b64encode(hashlib.sha384(contents).digest()).decode()


def policy_of(folder):
    page = (folder / "index.html").read_text()
    [policy] = re.findall(r'<meta http-equiv="Content-Security-Policy" content="([^"]+)">', page)
    return {rule.split()[0]: rule.split()[1:] for rule in policy.split("; ")}


def test_the_folder(runs, ort, tmp_path):
    """It holds the server's page, the model, its examples, and no more than is needed."""
    folder = export(runs / "facades_BtoA", tmp_path / "out", ort_dir=str(ort), seed=3)
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*.*")} == {
        "index.html", "models.json", "generator.onnx", "examples/0.png", "examples/1.png",
        *(f"ort/{name}" for name in ("ort.webgpu.bundle.min.mjs", "ort-wasm-a.gpu.wasm")),
        *(f"ort/{name}" for name in ("ort.wasm.bundle.min.mjs", "ort-wasm-b.wasm")),
        *(f"static/{name}.js" for name in ("page", "drawing", "pixels", "translation")),
        "static/service.js", "static/worker.js", "static/style.css", "static/icon.svg",
    }  # fmt: skip
    served = Path(web_page.__file__).parent / "static"
    for name in ("page.js", "drawing.js", "translation.js", "pixels.js", "style.css"):
        assert (folder / "static" / name).read_bytes() == (served / name).read_bytes()
    found = json.loads((folder / "models.json").read_text())
    [model] = found["models"]
    assert model["palette"][1] == {"name": "facade", "colour": list(FACADES.classes["facade"])}
    assert (model["name"], model["kind"], model["fixed_seed"]) == ("facades_BtoA", "labels", 3)
    assert (model["examples"], model["resize"], model["channels"]) == (2, "area", [3, 3])
    assert model["bytes"] == (folder / model["file"]).stat().st_size
    for runtime in found["runtimes"].values():
        for file in runtime.values():
            assert checked((folder / file["address"]).read_bytes()) == file["integrity"]
    record = json.loads((tmp_path / "out" / "export.json").read_text())
    assert record["formats"] == {"web": "web"}
    assert "`python -m http.server --bind" in (tmp_path / "out" / "README.md").read_text()


def test_the_policy_of_the_page(runs, ort, tmp_path):
    """Nothing inline, nothing from elsewhere but the one address that is named."""
    local = export(runs / "photos", tmp_path / "local", ort_dir=str(ort / "dist"), dropout=0.0)
    elsewhere = export(runs / "photos", tmp_path / "elsewhere")
    for folder, origins in ((local, []), (elsewhere, ["https://cdn.jsdelivr.net"])):
        policy = policy_of(folder)
        assert policy["default-src"] == ["'none'"]
        assert policy["script-src"] == ["'self'", "blob:", "'wasm-unsafe-eval'"]
        assert policy["connect-src"] == ["'self'", *origins]
        page = (folder / "index.html").read_text()
        assert re.findall(r"<script(?! type=\"module\" src=\"static/[a-z]+\.js\">)", page) == []
        assert re.findall(r"<style|style=|\son[a-z]+=|=.https?:", page) == []
    [model] = json.loads((local / "models.json").read_text())["models"]
    assert (model["fixed_seed"], model["examples"]) == (None, 0)
    assert not (elsewhere / "ort").exists()
    named = json.loads((elsewhere / "models.json").read_text())["runtimes"]
    files = {file["address"]: file["integrity"] for one in named.values() for file in one.values()}
    assert files == {PUBLIC + name: value for name, value in ORT_INTEGRITY.items()}
    assert f" onnxruntime-web@{ORT_VERSION}; " in (ROOT / ".ci" / "run").read_text()


@needs_ort
def test_the_integrity_is_that_of_the_package():
    assert json.loads((ORT / "package.json").read_text())["version"] == ORT_VERSION
    for name, value in ORT_INTEGRITY.items():
        assert checked((ORT / "dist" / name).read_bytes()) == value, name


def test_bad_input(runs, ort, tmp_path):
    """Found before anything is written; the former export stays."""
    out = tmp_path / "out"
    export(runs / "photos", out)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "ort.webgpu.bundle.min.mjs").write_text("else")
    shutil.copytree(ort, tmp_path / "damaged")
    (tmp_path / "damaged" / "dist" / "ort-wasm-b.wasm").write_text("<html>")
    bands = make_run(tmp_path / "bands", **TINY, target_channels=2)
    alpha = make_run(tmp_path / "alpha", **TINY, input_channels=4)
    two = make_run(tmp_path / "two", **TINY, input_channels="3+1")
    for checkpoint, flags, message in (
        ("photos", {"ort_dir": str(tmp_path / "none")}, "none holds no ort.webgpu.bundle.min.mjs"),
        (
            "photos",
            {"ort_dir": str(tmp_path / "empty")},
            r"holds no .* unpack the npm package onnx",
        ),
        ("photos", {"ort_dir": str(tmp_path / "other")}, "is not that of onnxruntime-web"),
        ("photos", {"ort_dir": str(tmp_path / "damaged")}, r"ort-wasm-b.wasm is not WebAssembly"),
        ("photos", {"ort_dir": str(ort), "format": "onnx"}, "ort_dir is for the format web"),
        ("photos", {"palette": "facades", "format": "onnx"}, "palette is for the format web"),
        ("photos", {"examples": str(tmp_path), "format": "onnx"}, "examples is for the format web"),
        ("photos", {"examples": str(tmp_path / "none")}, "examples .*none does not exist"),
        ("photos", {"examples": str(out)}, "is the folder of images"),
        ("photos", {"palette": "none"}, "palette"),
        (bands, {}, "has some of 2 channels: leave it out"),
        (alpha, {}, "has some of 4 channels: leave it out"),
        (two, {}, r"the model takes several \(of channels 3 \+ 1\)"),
    ):
        with pytest.raises(UserError, match=message):
            export(runs / checkpoint, out, **flags)
        assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    (out / "web" / "notes.txt").write_text("a person's")
    with pytest.raises(
        UserError, match=r"web holds notes.txt, which tools/export.py did not write"
    ):
        export(runs / "photos", out)


def test_a_failed_export_leaves_the_former_one(runs, ort, tmp_path, monkeypatch):
    export(runs / "photos", tmp_path / "out", ort_dir=str(ort))
    before = contents(tmp_path / "out")
    failing_replace(monkeypatch, "options.json")
    with pytest.raises(UserError, match="out cannot be written"):
        export(runs / "photos", tmp_path / "out", seed=4)
    assert contents(tmp_path / "out") == before


def test_the_program_says_what_is_missing(runs, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    flags = ("--checkpoint", runs / "photos", "--output_dir", tmp_path / "out", "--format", "web")
    done = call("export", *flags)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("export.py: format web needs the package onnx: pip install ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


# --- In a browser ---------------------------------------------------------------------------------


@pytest.fixture
def serve():
    """A function that serves a folder as `python -m http.server` does, and gives its address."""
    servers = []

    def start(folder, headers=None):
        class Handler(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *args):
                """Says nothing."""

            def end_headers(self):
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                super().end_headers()

        handler = functools.partial(Handler, directory=str(folder))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}/"

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join(60)
        server.server_close()


@pytest.fixture
def open_page(browser):
    """A function that opens an address; the page has `asked` and `problems`."""
    contexts = []

    def start(address, **options):
        options = {"viewport": {"width": 1200, "height": 900}, **options}
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.asked, page.problems = [], []
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("console", lambda message: page.problems.append(message.text))
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.goto(address)
        return page

    yield start
    for context in contexts:
        context.close()


def upload(page, path):
    """Uploads an image and gives the downloaded result."""
    page.evaluate("() => { document.getElementById('status').textContent = ''; }")
    page.set_input_files("#file", path)
    translated(page)
    with page.expect_download() as download:
        click(page, "Download")
    with Image.open(io.BytesIO(download.value.path().read_bytes())) as image:
        return np.asarray(image.convert("RGB")).astype(int)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Images of the model's size and of others, in the forms that files have."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(8)
    image = rng.integers(0, 256, (53, 77, 3), np.uint8)
    png(image[:32, :32], folder / "same.png")
    png(image, folder / "larger.png")
    png(image[:20, :13], folder / "smaller.png")
    png(image[..., 0], folder / "grey.png")
    alpha = np.concatenate([image, rng.integers(0, 256, (53, 77, 1), np.uint8)], axis=2)
    png(alpha, folder / "transparent.png")
    profile = Image.fromarray(image)
    profile.save(folder / "gamma.png", icc_profile=_profile())
    return folder


def _profile():
    """A colour profile that is not sRGB."""
    from PIL import ImageCms

    return ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()


@pytest.mark.parametrize(
    "options", [{}, {"input_channels": 1, "target_channels": 1}], ids=["RGB", "grey"]
)
@in_a_browser
@needs_ort
def test_the_images_of_tools_test(options, photos, serve, open_page, tmp_path):
    run = make_run(tmp_path / "run", **TINY, **options, which_direction="AtoB")
    flags = ("--checkpoint", run, "--input_dir", photos, "--output_dir", tmp_path / "made")
    succeeded(call("test", *flags, "--inputs_only"))
    folder = export(run, tmp_path / "out", ort_dir=str(ORT))
    address = serve(folder)
    page = open_page(address)
    until(page, "document.getElementById('status').textContent.startsWith('Upload')")
    for path in sorted(photos.iterdir()):
        found = upload(page, path)
        with Image.open(tmp_path / "made" / "images" / f"{path.stem}-outputs.png") as image:
            wanted = np.asarray(image.convert("RGB")).astype(int)
        assert np.ptp(wanted) > 20
        assert np.abs(found - wanted).max() <= 2, path.name
    assert page.problems == []
    assert f"{address}generator.onnx" in page.asked
    assert [url for url in page.asked if not url.startswith((address, "blob:"))] == []


@pytest.fixture(scope="module")
def labels(runs, tmp_path_factory):
    return export(runs / "facades_BtoA", tmp_path_factory.mktemp("labels"), ort_dir=str(ORT))


@in_a_browser
@needs_ort
def test_draw(labels, models, serve, open_page):
    page = open_page(serve(labels))
    translated(page)
    assert page.get_by_label("Seed").is_hidden()
    assert page.locator("#masks").text_content() == "Dropout masks of seed 0"
    click(page, "Clear")
    page.get_by_role("radio", name="door", exact=True).click()
    stroke(page, (4, 4), (28, 20), (5, 30))
    made = drawing(page)
    assert {tuple(colour) for colour in made.reshape(-1, 3)} == {
        FACADES.classes["background"], FACADES.classes["door"]
    }  # fmt: skip
    wanted = models[0].generator(made).astype(int)
    for _ in range(100):
        if np.abs(pixels_of(page, "result") - wanted).max() <= 2:
            break
        page.wait_for_timeout(100)
    assert np.abs(pixels_of(page, "result") - wanted).max() <= 2
    assert page.evaluate("() => document.getElementById('status').textContent").endswith(
        "by WebAssembly."
    )
    click(page, "Random example")
    page.get_by_label("One over the other").check()
    with page.expect_download() as download:
        click(page, "Download input and output")
    with Image.open(io.BytesIO(download.value.path().read_bytes())) as image:
        assert image.size == (64, 32)
    assert page.problems == []


@pytest.mark.parametrize(("width", "scheme"), [(320, "dark"), (1200, "light")])
@in_a_browser
@needs_ort
def test_everyone_can_use_it(labels, serve, open_page, width, scheme):
    from axe_playwright_python.sync_playwright import Axe

    page = open_page(
        serve(labels),
        viewport={"width": width, "height": 640},
        color_scheme=scheme,
        bypass_csp=True,
    )
    translated(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()


@in_a_browser
@needs_ort
def test_photos_are_scaled_as_in_training(labels, serve, open_page):
    page = open_page(serve(labels))
    rng = np.random.default_rng(9)
    for height, width in ((20, 32), (70, 33)):
        image = rng.integers(0, 256, (height, width, 4), np.uint8)
        image[..., 3] = 255
        for how in ("area", "bilinear", "bicubic", "nearest"):
            found = page.evaluate(
                """async ([data, width, height, how]) => {
                  const { scale } = await import("/static/pixels.js");
                  return [...scale({ data, width, height }, 3, 24, 40, how)];
                }""",
                [image.ravel().tolist(), width, height, how],
            )
            with tf.Graph().as_default(), tf.Session() as session:
                values = tf.constant(image[..., :3] / np.float32(255)) * 2 - 1
                wanted = (session.run(scale(values, ImageSize(40, 24), how)) + 1) / 2
            found = np.reshape(found, wanted.shape)
            np.testing.assert_allclose(found, wanted, atol=1e-5, err_msg=how)


@pytest.mark.parametrize("is_changed", [False, True], ids=["as published", "changed"])
@in_a_browser
@needs_ort
def test_from_another_address(runs, serve, open_page, tmp_path, is_changed):
    """With a server of the package's files, or of other bytes, in the place of the public one."""
    folder, dist = export(runs / "facades_BtoA", tmp_path / "out"), tmp_path / "dist"
    dist.mkdir()
    for name in ORT_INTEGRITY:
        (dist / name).symlink_to(ORT / "dist" / name)
    if is_changed:
        (dist / "ort.wasm.bundle.min.mjs").unlink()
        changed = (ORT / "dist" / "ort.wasm.bundle.min.mjs").read_bytes() + b"\n"
        (dist / "ort.wasm.bundle.min.mjs").write_bytes(changed)
    elsewhere = serve(dist, {"Access-Control-Allow-Origin": "*"})
    for name, public in (("models.json", PUBLIC), ("index.html", "https://cdn.jsdelivr.net")):
        text = (folder / name).read_text()
        assert public in text
        (folder / name).write_text(text.replace(public, elsewhere))
    page = open_page(serve(folder))
    if is_changed:
        until(page, "document.getElementById('status').classList.contains('problem')")
        text = page.locator("#status").text_content()
        assert "holds other bytes than this page names" in text
        return
    translated(page)
    assert page.problems == []
    assert {url for url in page.asked if url.startswith(elsewhere)} == {
        f"{elsewhere}{name}" for name in ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
    }


@in_a_browser
@needs_ort
def test_without_its_worker(labels, serve, open_page, tmp_path):
    """A host may leave it out, or send it as another type; it is asked for before all else."""
    folder = tmp_path / "web"
    shutil.copytree(labels, folder)
    (folder / "static" / "worker.js").unlink()
    page = open_page(serve(folder))
    until(page, "document.getElementById('status').classList.contains('problem')")
    assert "worker of this page cannot be started" in page.locator("#status").text_content()


@in_a_browser
@needs_ort
def test_opened_as_a_file(labels, open_page):
    """No browser runs its modules then; it says so."""
    page = open_page((labels / "index.html").as_uri())
    assert "needs a web server" in page.locator("#status").text_content()
