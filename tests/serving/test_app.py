"""The server's routes, and each of its bounds."""

import asyncio
import io
import re
import struct
import threading
import time
import zlib

import httpx2 as httpx
import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from p2p_graph.serving import app as app_module
from p2p_graph.serving.app import LARGEST_BODY, make_app
from p2p_graph.serving.drawn_inputs import DrawnInputs
from p2p_graph.serving.served_models import ServedModel

from .conftest import png

HOST = "http://127.0.0.1:8000"


def client_of(models, **given):
    given = {"hosts": ("127.0.0.1", "localhost"), "most_waiting": 64, "time_limit": 60, **given}
    return TestClient(make_app(models, **given), base_url=HOST)


@pytest.fixture(scope="module")
def client(models):
    with client_of(models) as client:
        yield client


@pytest.fixture
def drawing():
    return np.random.default_rng(1).integers(0, 256, (32, 32, 3), np.uint8)


def pixels(answer):
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png"
    with Image.open(io.BytesIO(answer.content)) as image:
        return np.asarray(image)


def post(client, body, kind="image/png", **query):
    return client.post("/api/translate", params=query, content=body, headers={"Content-Type": kind})


def refused(answer, status, words):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    found = answer.json()
    assert list(found) == ["error"]
    assert re.search(words, found["error"]), found
    assert "Traceback" not in answer.text


def test_translation_is_the_generators(client, models, drawing):
    for model in models:
        for seed in (0, 5):
            found = pixels(post(client, png(drawing), model=model.name, seed=seed))
            np.testing.assert_array_equal(found, model.generator(drawing, seed=seed))
    assert (found != pixels(post(client, png(drawing), model=model.name))).any()
    # The first model and the seed 0 are the defaults.
    wanted = models[0].generator(drawing)
    np.testing.assert_array_equal(pixels(post(client, png(drawing))), wanted)


def test_forms_and_jpeg(client, models, drawing):
    jpeg = io.BytesIO()
    Image.fromarray(drawing).save(jpeg, "JPEG")
    wanted = models[0].generator(jpeg.getvalue())
    np.testing.assert_array_equal(pixels(post(client, jpeg.getvalue(), "image/jpeg")), wanted)
    form = client.post("/api/translate", files={"image": ("a.jpg", jpeg.getvalue())})
    np.testing.assert_array_equal(pixels(form), wanted)
    other = client.post("/api/translate", files={"photo": ("a.jpg", jpeg.getvalue())})
    refused(other, 400, "the form has no file `image`")
    text = client.post("/api/translate", data={"image": "x"}, files={"b": ("b", b"")})
    refused(text, 400, "form")
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    refused(client.post("/api/translate", content=b"--y", headers=headers), 400, "form")
    headers = {"Content-Type": "multipart/form-data"}
    refused(client.post("/api/translate", content=b"--y", headers=headers), 400, "form")


def png_of_size(width, height):
    def chunk(name, data):
        crc = zlib.crc32(name + data)
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", crc)

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        chunk(*one) for one in ((b"IHDR", header), (b"IDAT", rows), (b"IEND", b""))
    )


def test_what_is_refused(client, drawing):
    good = png(drawing)
    gif = io.BytesIO()
    frames = [Image.fromarray(drawing), Image.fromarray(255 - drawing)]
    frames[0].save(gif, "GIF", save_all=True, append_images=frames[1:])
    refused(post(client, good, model="none"), 404, "no model of this name")
    refused(post(client, good, seed="a"), 400, "seed must be a whole number")
    refused(post(client, good, seed="1_0"), 400, "seed must be a whole number")
    for address in ("modle=facades_BtoA", "seed=1&seed=2"):
        answer = client.post(
            f"/api/translate?{address}", content=good, headers={"Content-Type": "image/png"}
        )
        refused(answer, 400, "the address takes model and seed, each at most once")
    refused(post(client, good, seed=-1), 400, "seed must be at least 0")
    refused(post(client, good, seed="9" * 5000), 400, "seed must be below")
    refused(post(client, good, "text/plain"), 415, "send image/png or image/jpeg, or multipart")
    refused(post(client, b""), 400, "the image is empty")
    refused(post(client, b"\0" * 9), 400, "the image is not an image")
    refused(post(client, gif.getvalue()), 400, "the image is GIF, neither JPEG nor PNG")
    refused(post(client, good[:-20]), 400, "the image ")
    refused(post(client, png_of_size(100_000, 100_000)), 413, "is 100000x100000 pixels")
    refused(post(client, png_of_size(4097, 16)), 413, "a side may have 4096")
    refused(post(client, b"\0" * (LARGEST_BODY + 1)), 413, "may have 16 MB")
    huge = {"Content-Type": "image/png", "Content-Length": "10000000000"}
    refused(client.post("/api/translate", content=b"", headers=huge), 413, "may have 16 MB")

    def pieces():  # without a Content-Length
        for _ in range(LARGEST_BODY // 2**20 + 1):
            yield b"\0" * 2**20

    refused(post(client, pieces()), 413, "may have 16 MB")
    for path in ("/static/none.js", "/static/..%2Fapp.py", "/static/%2Fetc%2Fpasswd", "/none"):
        refused(client.get(path), 404, "")
    refused(client.get("/api/translate"), 405, "Method Not Allowed")
    refused(client.get("/api/examples/facades_BtoA/2"), 404, "the model has 2 examples")
    refused(client.get(f"/api/examples/facades_BtoA/{'9' * 5000}"), 404, "the model has 2 exampl")
    refused(client.get("/api/examples/none/0"), 404, "no model of this name")
    form = client.post("/api/translate", data={"model": "x"}, files={"image": ("a.png", good)})
    refused(form, 400, "model and seed are part of the address")


def test_other_hosts_and_origins(client, drawing):
    headers = {"Content-Type": "image/png"}
    for name, value in (
        ("Host", "evil.example"),
        ("Host", ""),
        ("Host", "[::1"),
        ("Host", "127.0.0.1@evil.example"),
        ("Host", "127.0.0.1.evil.example"),
        ("Host", "evil.example@127.0.0.1"),
        ("Host", "localhost/evil"),
        ("Host", "localhost:port"),
        ("Host", "localhost\\evil"),
        ("Origin", "http://evil.example"),
        ("Origin", "null"),
        ("Origin", "http://127.0.0.1:9000"),
    ):
        answer = client.post(
            "/api/translate", content=png(drawing), headers={**headers, name: value}
        )
        refused(answer, 400, f"the header {name} names")
    for name, value in (("Host", "LocalHost:80"), ("Origin", HOST)):
        answer = client.post(
            "/api/translate", content=png(drawing), headers={**headers, name: value}
        )
        assert answer.status_code == 200


def test_the_page_and_its_headers(client):
    page = client.get("/")
    for answer in (page, client.get("/api/models"), client.get("/none")):
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert "unsafe" not in page.headers["content-security-policy"]
    sources = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(sources) >= 3
    for source in sources:
        assert client.get(source).status_code == 200
    assert "<script>" not in page.text
    assert "style=" not in page.text


def test_nothing_comes_from_elsewhere():
    for path in app_module._STATIC.iterdir():
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|//[a-z]+\.", text), path.name


def test_what_is_told_of_the_models(client, models):
    labels, photos = client.get("/api/models").json()["models"]
    assert (labels["name"], labels["kind"], labels["direction"]) == (
        "facades_BtoA", "labels", "BtoA",
    )  # fmt: skip
    assert (labels["width"], labels["height"], labels["examples"]) == (32, 32, 2)
    assert labels["palette"][0] == {"name": "background", "colour": [0, 0, 222]}
    assert (photos["kind"], photos["palette"], photos["examples"]) == ("photo", [], 0)
    example = pixels(client.get("/api/examples/facades_BtoA/1"))
    assert {tuple(p["colour"]) for p in labels["palette"]} >= {
        tuple(colour) for colour in example.reshape(-1, 3)
    }


def test_health_figures_and_description(models, drawing):
    with client_of(models) as client:
        assert client.get("/healthz").json()["status"] == "ok"
        for _ in range(3):
            post(client, png(drawing))
        post(client, b"")
        figures = client.get("/metrics").text
        assert 'p2p_requests_total{status="200"} 4\n' in figures
        assert 'p2p_requests_total{status="400"} 1\n' in figures
        assert "p2p_translation_seconds_count 3\n" in figures
        assert "p2p_waiting 0\n" in figures
        described = client.get("/api/openapi.json").json()
        routes = {route.path.replace(":int", "") for route in client.app.routes}
        assert set(described["paths"]) == routes - {
            "/", "/static/{name}", "/api/openapi.json",
        }  # fmt: skip
        for methods in described["paths"].values():
            for method, operation in methods.items():
                assert method in ("get", "post")
                assert "200" in operation["responses"]


class SlowGenerator:
    """Translates when it is told to."""

    size, channels, direction, steps = (32, 32), (3, 3), "AtoB", 0

    def __init__(self):
        self.may_go = threading.Event()

    def __call__(self, contents, seed):
        assert self.may_go.wait(60)
        return np.full((32, 32, 3), seed, np.uint8)


def slow_model():
    return ServedModel("slow", SlowGenerator(), DrawnInputs("photo", None, []))


async def _at_once(app, count, before_end=None):
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url=HOST) as client:
        image = png(np.zeros((32, 32, 3), np.uint8))

        async def one(number):
            headers = {"Content-Type": "image/png"}
            params = {"seed": number}
            return await client.post(
                "/api/translate", content=image, headers=headers, params=params
            )

        tasks = [asyncio.create_task(one(number % 200)) for number in range(count)]
        if before_end:
            await asyncio.sleep(0.3)
            before_end()
        return await asyncio.gather(*tasks)


def test_200_requests_at_once():
    """As many as may wait are answered, each with its own image; the others are told when."""
    model = slow_model()
    app = make_app([model], hosts=("127.0.0.1",), most_waiting=50, time_limit=60)
    answers = asyncio.run(_at_once(app, 200, model.generator.may_go.set))
    found = [number for number, answer in enumerate(answers) if answer.status_code == 200]
    assert len(found) == 50
    for number in found:
        assert (pixels(answers[number]) == number).all()
    for answer in answers:
        if answer.status_code != 200:
            refused(answer, 429, "too many images wait")
            assert int(answer.headers["retry-after"]) >= 1


def test_a_translation_that_takes_too_long():
    model = slow_model()
    app = make_app([model], hosts=("127.0.0.1",), most_waiting=50, time_limit=0.2)
    [answer] = asyncio.run(_at_once(app, 1))
    refused(answer, 503, "no result within 0.2 s")
    model.generator.may_go.set()


def test_a_client_that_sends_too_slowly(models, monkeypatch, drawing):
    monkeypatch.setattr(app_module, "_BODY_SECONDS", 0.2)

    async def slowly():
        yield png(drawing)[:50]
        await asyncio.sleep(1)
        yield png(drawing)[50:]

    async def request():
        app = make_app(models, hosts=("127.0.0.1",), most_waiting=5, time_limit=5)

        async def receive():
            await asyncio.sleep(30)

        sent = []

        async def send(message):
            sent.append(message)

        scope = {
            "type": "http", "method": "POST", "path": "/api/translate", "query_string": b"",
            "headers": [(b"host", b"127.0.0.1"), (b"content-type", b"image/png")],
            "http_version": "1.1", "scheme": "http", "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 8000), "raw_path": b"/api/translate", "root_path": "",
        }  # fmt: skip
        start = time.monotonic()
        await app(scope, receive, send)
        assert time.monotonic() - start < 10
        return sent

    first, body = asyncio.run(request())
    assert first["status"] == 408
    assert b"did not come within 0.2 s" in body["body"]


def test_a_model_that_is_removed_on_disk(runs, tmp_path, drawing):
    import shutil

    from p2p_graph.serving.served_models import load_models

    shutil.copytree(runs / "photos", tmp_path / "gone")
    models = load_models([tmp_path / "gone"], device="cpu")
    shutil.rmtree(tmp_path / "gone")
    with client_of(models) as client:
        np.testing.assert_array_equal(
            pixels(post(client, png(drawing))), models[0].generator(drawing)
        )
