"""tools/serve.py from its start to its end."""

import contextlib
import io
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import httpx2 as httpx
import numpy as np
import pytest
from PIL import Image

import p2p_graph

from ..inference.test_formats import make_run
from .common import assert_refused, call, environment, script


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("serve") / "mine_AtoB", crop_size=32, levels=3)


@contextlib.contextmanager
def served(*flags):
    """A server's process and address."""
    command = [sys.executable, script("serve"), "--port", "0", *map(str, flags)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    )
    try:
        lines = []
        while not lines or not lines[-1].startswith("open "):
            lines.append(process.stdout.readline())
            assert lines[-1], process.stderr.read()
        yield process, re.search(r"http://\S+", lines[-1])[0], lines
    finally:
        process.kill()
        process.communicate(timeout=60)


def test_from_start_to_end(run):
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    contents = io.BytesIO()
    Image.fromarray(image).save(contents, "PNG")
    with p2p_graph.load(run, device="cpu") as generator:
        wanted = generator(image, seed=7)
    with served("--checkpoint", run, "--device", "cpu") as (process, address, lines):
        assert lines[0] == "model mine_AtoB: AtoB, photo, no examples\n"
        assert address.startswith("http://127.0.0.1:")
        headers = {"Content-Type": "image/png"}

        def translate():
            return httpx.post(
                f"{address}/api/translate?seed=7",
                content=contents.getvalue(), headers=headers, timeout=60,
            )  # fmt: skip

        answer = translate()
        with Image.open(io.BytesIO(answer.content)) as made:
            np.testing.assert_allclose(np.asarray(made), wanted.astype(int), atol=1)
        # Requests that are under way are answered, and then the process ends.
        answers = []

        def again_and_again():
            with contextlib.suppress(httpx.TransportError):  # once the server has gone
                while True:
                    answers.append(translate())

        threads = [threading.Thread(target=again_and_again) for _ in range(4)]
        for thread in threads:
            thread.start()
        while len(answers) < 8:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join(60)
        assert {one.status_code for one in answers} == {200}
        assert process.wait(60) in (0, 128 + signal.SIGTERM)
        assert "Traceback" not in process.stderr.read()


def stalled(address, beginning):
    """A client that has sent the beginning of a request."""
    client = socket.create_connection(("127.0.0.1", httpx.URL(address).port), 60)
    client.sendall(beginning)
    return client


def test_the_second_interruption_ends_at_once(run):
    with served("--checkpoint", run, "--device", "cpu") as (process, address, _):
        begun = (
            b"POST /api/translate HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
            b"Content-Length: 99\r\n\r\nthe rest never comes"
        )
        with stalled(address, begun) as client:
            # Clients that never end their requests keep nobody waiting.
            others = [stalled(address, b"GET / HTTP/1.1\r\nHost: local") for _ in range(50)]
            assert httpx.get(f"{address}/healthz", timeout=10).status_code == 200
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(httpx.TransportError):
                while True:  # until no connection is taken
                    httpx.get(f"{address}/healthz")
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 128 + signal.SIGINT
            assert client.recv(99).startswith(b"HTTP/1.1 503 ")
            for other in others:
                other.close()
        assert process.stderr.read() == "interrupted\n"


def test_a_terminal_that_goes(run):
    with served("--checkpoint", run, "--device", "cpu") as (process, address, _):
        assert httpx.get(f"{address}/healthz").status_code == 200
        process.send_signal(signal.SIGHUP)
        assert process.wait(60) == 128 + signal.SIGHUP
        assert process.stderr.read() == "stopped by SIGHUP\n"


def test_refusals(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert_refused(call("serve"), "checkpoint is missing: name a trained model, or run `make demo`")
    assert_refused(call("serve", "--checkpoint", tmp_path), "holds no checkpoint")
    flags = ("--checkpoint", run)
    assert_refused(call("serve", *flags, "--max_queue", 0), "max_queue must be at least 1, not 0")
    assert_refused(call("serve", *flags, "--port", 70000), "port must be from 0 to 65535")
    assert_refused(
        call("serve", *flags, "--host", "203.0.113.1"), "cannot be listened on", "--host"
    )
    assert_refused(call("serve", *flags, "--host", "a..b"), "host 'a..b' is no name or address")
    for name in ("http://x y", "a/b", "host:80"):
        assert_refused(
            call("serve", *flags, "--allow_host", name), "allow_host must be a name", name
        )
    assert_refused(call("serve", *flags, "--palette", "none"), "palette")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert_refused(call("serve", *flags, "--port", port), f"port {port} cannot be listened on")
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert_refused(call("serve", *flags), "serve.py needs the packages of the extra serve: pip ins")
