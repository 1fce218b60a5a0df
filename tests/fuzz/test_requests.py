"""Requests to the server of the page to draw on."""

import io
import urllib.parse
from typing import NamedTuple

import pytest
from hypothesis import strategies as st
from PIL import Image
from starlette.testclient import TestClient

from p2p_graph.serving.app import make_app

from ..forked.verdicts import ACCEPTED, REFUSED, Answer, expect, failure_of
from ..serving.conftest import models, runs
from . import valid_files
from .campaign import Campaign
from .strategies import damaged_file

__all__ = ["models", "runs"]  # fixtures

_REFUSALS = {400, 404, 405, 413, 415, 429, 503}


class Request(NamedTuple):
    """A case."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: tuple[tuple[str, bytes], ...]
    body: bytes


@pytest.fixture(scope="module")
def client(models):
    app = make_app(models, hosts=("127.0.0.1",), most_waiting=4, time_limit=60)
    with TestClient(app, base_url="http://127.0.0.1") as client:
        yield client


def _answer(client, request):
    """What the server answers; an exception in the server is one here, too."""
    try:
        answer = client.request(
            request.method,
            request.path,
            params=request.query,
            headers=[(name.encode(), value) for name, value in request.headers],
            content=request.body,
            follow_redirects=False,
        )
        expect("content-security-policy" in answer.headers, "no security headers")
        if answer.status_code == 200:
            if answer.headers["content-type"] == "image/png" and request.method != "HEAD":
                with Image.open(io.BytesIO(answer.content)) as image:
                    expect(image.size == (32, 32), "an image of another size", image.size)
            return Answer(ACCEPTED)
        status = answer.status_code
        expect(status in _REFUSALS, f"status {status}", answer.text)
        if request.method != "HEAD":
            expect(list(answer.json()) == ["error"], "an error of another form", answer.text)
        return Answer(REFUSED, answer.text)
    except Exception as error:
        return failure_of(error)


def _requests():
    images = valid_files.images()
    names = ("rgb.png", "grey.png", "rgba.png", "deep.png", "rgb.jpg", "cmyk.jpg")
    form = (
        b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n'
        b"Content-Type: image/png\r\n\r\n" + images["rgb.png"] + b"\r\n--x--\r\n"
    )
    bodies = st.one_of(
        st.sampled_from([*(images[name] for name in names), form, b""]),
        damaged_file({"form": form}).map(lambda found: found[0]),
        *(damaged_file({name: images[name]}).map(lambda found: found[0]) for name in names),
        st.binary(max_size=64),
    )
    texts = st.sampled_from(["0", "7", "-1", "1_0", " 1", "1e3", "٣", "", "9" * 5000, "\0", "é"])
    query = st.lists(
        st.tuples(
            st.sampled_from(["model", "seed", "modle", ""]),
            st.one_of(texts, st.sampled_from(["facades_BtoA", "photos", "none"])),
        ),
        max_size=3,
    ).map(tuple)
    kinds = st.sampled_from(
        [
            *(b"image/png", b"image/jpeg", b"IMAGE/PNG; q=1", b"text/plain", b"", b"\xff"),
            *(
                b"multipart/form-data; boundary=x",
                b"multipart/form-data",
                b"multipart/form-data; b",
            ),
        ]
    )
    headers = st.lists(
        st.one_of(
            st.tuples(st.just("content-type"), kinds),
            st.tuples(
                st.just("host"),
                st.sampled_from(
                    [b"127.0.0.1", b"127.0.0.1:1", b"[::1]", b"x", b"\xe9", b"[", b":"]
                ),
            ),
            st.tuples(
                st.just("origin"), st.sampled_from([b"http://127.0.0.1", b"null", b"\xe9", b"x:"])
            ),
            st.tuples(
                st.just("content-length"), st.sampled_from([b"0", b"-1", b"9" * 30, b"\xb2", b"1"])
            ),
        ),
        max_size=3,
        unique_by=lambda header: header[0],
    ).map(tuple)
    translations = st.builds(
        lambda kind, query, headers, body: Request(
            "POST", "/api/translate", query, (("content-type", kind), *headers), body
        ),
        kinds,
        query,
        headers.map(lambda found: tuple(one for one in found if one[0] != "content-type")),
        bodies,
    )
    paths = st.one_of(
        st.sampled_from(
            [
                *("/", "/static/page.js", "/static/..", "/static/%2e%2e%2fapp.py", "/static/%00"),
                *("/api/models", "/api/openapi.json", "/healthz", "/metrics", "//", "/api/"),
                *("/api/examples/facades_BtoA/0", "/api/examples/photos/0", "/api/examples/x/0"),
                *("/api/examples/facades_BtoA/-1", "/api/examples/facades_BtoA/²"),
            ]
        ),
        st.binary(max_size=12).map(lambda path: f"/{urllib.parse.quote(path)}"),
    )
    methods = st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "X"])
    others = st.builds(Request, methods, paths, query, headers, st.binary(max_size=8))
    return st.one_of(translations, translations, others)


def test_requests(client, profile):
    Campaign("requests", _requests(), lambda request: _answer(client, request), profile).run()
