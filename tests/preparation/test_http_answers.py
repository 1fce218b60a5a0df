"""Servers that answer anything: one line, no traceback, no end that never comes."""

import socketserver
import threading

import pytest

from p2p_graph.preparation import resumable_download

from .dataset_server import Site, leave_part, names, refusal, targz

BODY = targz({"facades/1.jpg": b"1"})
PART = "facades.tar.gz.part"


@pytest.fixture
def serve(monkeypatch):
    """A function that serves any bytes as the answer to every request; returns the URL."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(resumable_download, "RETRY_SECONDS", 0.001)
    monkeypatch.setattr(resumable_download, "TIMEOUT", 5.0)
    servers = []

    def start(answer):
        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                while self.rfile.readline().strip():
                    pass
                self.wfile.write(answer)

        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        server.handle_error = lambda *arguments: None  # the client may leave early
        servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def answer(*headers, status="200 OK", body=BODY):
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode("latin-1") + body


NO_SIZE = "/facades.tar.gz: the server gives a size that is none: "
GAVE_UP = "gave up after 5 tries"


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        (answer(f"Content-Length: {'9' * 5000}"), f"{NO_SIZE}'{'9' * 40}'; check --url"),
        (answer("Content-Length: 9999999999999999999"), NO_SIZE),
        (answer("Content-Length: -5"), f"{NO_SIZE}'-5'; check --url"),
        (answer("Content-Length: many"), f"{NO_SIZE}'many'"),
        (answer("Content-Length: ²"), f"{NO_SIZE}'²'"),
        (answer("Content-Length: 1e3"), f"{NO_SIZE}'1e3'"),
        (answer("Content-Length: 999999999999999999"), "not enough disk space"),
        (answer(f"Content-Length: {len(BODY) + 9}"), f"ended at {len(BODY)} of {len(BODY) + 9} by"),
        (answer(f"X: {'x' * 70_000}"), GAVE_UP),
        (answer(*["X: x"] * 200), GAVE_UP),
        (answer("Transfer-Encoding: chunked", body=b"zz\r\nabc"), GAVE_UP),
        (answer("Transfer-Encoding: chunked", body=b"-5\r\nabc"), GAVE_UP),
        (answer("Transfer-Encoding: chunked", body=b"ffffffffffffffff\r\nabc"), GAVE_UP),
        (answer("Transfer-Encoding: chunked", body=b"9" * 70_000), GAVE_UP),
        (answer("Transfer-Encoding: chunked", body=b"3\r\nabcdef"), GAVE_UP),
        (b"", GAVE_UP),
        (b"\0" * 100, GAVE_UP),
        (b"SSH-2.0-OpenSSH\r\n", GAVE_UP),
        (b"HTTP/1.1 abc OK\r\n\r\n", GAVE_UP),
        (answer(status="404 \x1b[31mNo\tway", body=b""), "answered 404 [31mNo way; check the name"),
        (answer(status="404 " + "x" * 9000, body=b""), "answered 404 xxx"),
        (answer(status="206 Partial"), "unexpected answer 206"),
        (answer("Location: file:///etc/passwd", status="302 Found"), "'file:///etc/passwd' is n"),
        (answer("Location: ftp://127.0.0.1/x", status="301 Moved"), "'ftp://127.0.0.1/x' is not f"),
        (answer("Location: data:,x", status="307 Found"), "a redirection to 'data:,x' is not foll"),
        (answer("Location: http://[::1", status="302 Found"), "'http://[::1' is not followed"),
        (answer("Location: /facades.tar.gz", status="302 Found"), "infinite loop"),
        (answer(status="302 Found"), "answered 302 Found"),
    ],
    ids=lambda value: value[:25] if isinstance(value, str) else "",
)
def test_answers(serve, tmp_path, contents, reason):
    site = Site(url=serve(contents))
    message = refusal(site, tmp_path)
    assert reason in message
    assert message.isprintable()
    assert len(message) < 600
    assert names(tmp_path) <= {PART, f"{PART}.json"}


@pytest.mark.parametrize(
    "value",
    [
        "bytes 5-10/2000",
        "bytes 1000-",
        f"bytes {'9' * 5000}-1/2",
        f"bytes 1000-1999/{'9' * 5000}",
        "bytes -5-10/2000",
        "bytes ²-³/4",
        "nonsense",
        "",
    ],
    ids=lambda value: value[:20],
)
def test_ranges_that_do_not_continue_the_part(serve, tmp_path, value):
    """The part is not extended by such bytes; the download starts over, and this server fails."""
    site = Site(url=serve(answer(f"Content-Range: {value}", 'ETag: "v1"', status="206 Partial")))
    leave_part(tmp_path, site, 1000)
    assert "unexpected answer 206" in refusal(site, tmp_path)
    assert PART not in names(tmp_path)


@pytest.mark.parametrize("tag", ['"' + "v" * 5000 + '"', '"\x01"', '"\x7f"'], ids=len)
def test_versions_that_cannot_be_sent_back(serve, tmp_path, tag):
    size = len(BODY) + 9
    site = Site(url=serve(answer(f"ETag: {tag}", f"Content-Length: {size}")))
    assert f"ended at {len(BODY)} of {size} bytes" in refusal(site, tmp_path)
    assert '"validator": ""' in (tmp_path / f"{PART}.json").read_text()
