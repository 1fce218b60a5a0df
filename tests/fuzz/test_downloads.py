"""Answers of a server to the download, and what an earlier download has left."""

import shutil
from typing import NamedTuple

import pytest
from hypothesis import strategies as st

from .campaign import Campaign
from .damage import damaged
from .http_answers import HonestServer, Server
from .strategies import Files, changed_record, damages, json_text, json_values

_BODY = bytes(range(32, 127))
_PART, _NOTE = "facades.tar.gz.part", "facades.tar.gz.part.json"


class Download(NamedTuple):
    """A case: the files of an earlier download, and the answers.

    Attributes:
      files: in the folder.
      server: an honest server, which leads to its file or to an error; or None.
      answers: any bytes, one a request, the last one for all further requests.
    """

    files: Files = Files(())
    server: HonestServer | None = None
    answers: tuple[bytes, ...] = ()

    def write(self, folder):
        """Writes the files and the answers."""
        named = [(f"answer-{number}", each) for number, each in enumerate(self.answers)]
        Files((*self.files.files, *named)).write(folder)


@pytest.fixture
def http():
    server = Server()
    yield server
    server.close()


@pytest.fixture
def fuzz_downloads(http, server, profile, tmp_path):
    """A function that runs a campaign of downloads."""
    count = 0

    def fuzz(name, strategy):
        def answer_of(case):
            nonlocal count
            count += 1
            folder = tmp_path / f"{count}"
            folder.mkdir()
            url = f"{http.url}/facades.tar.gz"
            for file, contents in case.files.files:
                # The note names the address, whose port is known only now.
                (folder / file).write_bytes(contents.replace(b"URL", url.encode()))
            if case.server:
                http.start(case.server.answer)
            else:
                http.start(lambda number, _: case.answers[min(number, len(case.answers) - 1)])
            body = case.server.body if case.server else None
            answer = server.call("tests.fuzz.download_readers:download", folder, url, body)
            shutil.rmtree(folder)
            return answer

        Campaign(name, strategy, answer_of, profile).run()

    return fuzz


def test_honest_server(fuzz_downloads):
    """The file is right in the end, whatever breaks, and whatever an earlier download has left."""
    size = len(_BODY)
    note = {"url": "URL", "validator": '"v1"', "total": size}
    notes = st.one_of(
        st.just(json_text(note)),
        changed_record(note),
        json_values.map(json_text),
        damages(70).map(lambda done: damaged(json_text(note), done)),
    )
    parts = st.one_of(
        st.integers(0, size).map(lambda count: _BODY[:count]),
        st.just(_BODY + b"more"),
    )
    left = st.one_of(
        st.just(()),
        st.builds(lambda part, note: ((_PART, part), (_NOTE, note)), parts, notes),
        parts.map(lambda part: ((_PART, part),)),
        notes.map(lambda note: ((_NOTE, note),)),
    )
    validators = ('ETag: "v1"', 'ETag: "v2"', "Last-Modified: Mon", 'ETag: W/"v1"', "", "ETag: ")
    codes = st.sampled_from((500, 503, 404, 416, 403, 304, 204, 100))

    def server(ranges, validator, cuts, codes, form):
        # Without a length nobody can tell that an answer was cut.
        cuts = () if form == "no length" else tuple(cuts)
        chunked, length = form == "chunked", form == "length"
        return HonestServer(_BODY, ranges, validator, cuts, tuple(codes), chunked, length)

    servers = st.builds(
        server,
        st.booleans(),
        st.sampled_from(validators),
        st.lists(st.integers(0, size), max_size=3),
        st.lists(codes, max_size=1),
        st.sampled_from(("length", "chunked", "no length")),
    )
    cases = st.builds(lambda files, server: Download(Files(files), server), left, servers)
    fuzz_downloads("download, honest server", cases)


def test_any_answers(fuzz_downloads):
    names = (
        *("Content-Length", "Content-Range", "Transfer-Encoding", "ETag", "Last-Modified"),
        *("Location", "Content-Encoding", "Connection", "X", "", " folded", "Range"),
    )
    values = st.sampled_from(
        (
            *(
                "0",
                "3",
                "-1",
                "9" * 30,
                "²",
                "x",
                "",
                "chunked",
                "gzip",
                '"v1"',
                'W/"v1"',
                "é",
                "close",
            ),
            *(
                "bytes 2-9/10",
                "bytes */10",
                "bytes 5-2/1",
                "bytes 0-0/*",
                "bytes 2-/",
                "bytes=2-9/10",
            ),
            *(
                "bytes 99999999999999999999-1/9",
                "/",
                "file:///etc/passwd",
                "http://[",
                "//",
                "\x00",
            ),
            *(
                "http://127.0.0.1:1/x",
                "http://127.0.0.1:99999/",
                "ftp://127.0.0.1:1/x",
                "x" * 70_000,
            ),
        )
    )
    statuses = st.sampled_from(
        (
            *(
                "HTTP/1.1 200 OK",
                "HTTP/1.1 200 OK",
                "HTTP/1.1 206 Partial",
                "HTTP/1.0 200",
                "HTTP/1.1",
            ),
            *(
                "HTTP/1.1 301 Moved",
                "HTTP/1.1 302 Found",
                "HTTP/1.1 416 Range",
                "HTTP/1.1 100 Continue",
            ),
            *(
                "HTTP/1.1 204 Empty",
                "HTTP/1.1 304 Same",
                "HTTP/1.1 401 Who",
                "HTTP/1.1 99999 x",
                "GET /",
            ),
            *(
                "HTTP/1.1 404 " + "\x1b[31m" + "x" * 200,
                "HTTP/9.9 200 OK",
                "HTTP/1.1 -1 x",
                "",
                "\x00",
            ),
        )
    )
    bodies = st.one_of(
        st.sampled_from((b"", b"3\r\nabc\r\n0\r\n\r\n", b"-1\r\nabc", b"ffffffffffffffff\r\nabc")),
        st.sampled_from(
            (b"x\r\n", b"3;" + b"x" * 70_000 + b"\r\nabc", b"abcdefgh", b"3\nabc\n0\n\n")
        ),
        st.binary(max_size=20),
    )
    headers = st.lists(st.tuples(st.sampled_from(names), values), max_size=4)
    crafted = st.builds(
        lambda status, headers, body: (
            "\r\n".join([status, *(": ".join(each) for each in headers), "", ""]).encode("latin-1")
            + body
        ),
        statuses,
        headers.map(lambda found: [(n, v.encode("ascii", "ignore").decode()) for n, v in found]),
        bodies,
    )
    honest = HonestServer(b"abcdefghij").answer(0, b"")
    answers = st.one_of(
        crafted,
        crafted,
        damages(len(honest)).map(lambda done: damaged(honest, done)),
        st.just(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n"),
    )
    note = json_text({"url": "URL", "validator": '"v1"', "total": 10})
    left = st.sampled_from(
        ((), ((_PART, b"ab"), (_NOTE, note)), ((_PART, b"x" * 10), (_NOTE, note)))
    )
    cases = st.builds(
        lambda files, answers: Download(Files(files), None, tuple(answers)),
        left,
        st.lists(answers, min_size=1, max_size=3),
    )
    fuzz_downloads("download, any answers", cases)
