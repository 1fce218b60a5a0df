"""Downloads, tested against a server on the loopback interface."""

import copy
import gzip
import io
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tarfile
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from p2p_graph.preparation import download
from p2p_graph.preparation.paper_datasets import get_dataset
from p2p_graph.utils.errors import UserError

TOOL = Path(__file__).resolve().parents[2] / "tools" / "download_dataset.py"
FILES = {
    "facades/train/1.jpg": os.urandom(150_000),
    "facades/train/2.jpg": os.urandom(150_000),
    "facades/test/1.jpg": b"test",
}


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size, info.mode = kind, link, size, 0o400
    return info


def targz(files: dict[str, bytes] = FILES, extra: tuple[tarfile.TarInfo, ...] = ()) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for info in extra:
            tar.addfile(info, io.BytesIO(b"\0" * info.size))
        for name, data in files.items():
            tar.addfile(member(name, size=len(data)), io.BytesIO(data))
    return out.getvalue()


@dataclass
class Site:
    """What the server serves, how it misbehaves, and what it was asked."""

    body: bytes = field(default_factory=targz)
    headers: dict[str, str] = field(default_factory=lambda: {"ETag": '"v1"'})
    ranges: bool = True  # whether it knows Range
    if_range: bool = True  # whether it knows If-Range
    codes: list[int] = field(default_factory=list)  # errors to answer the next requests with
    cuts: list[int] = field(default_factory=list)  # bytes after which the next answers end early
    cut: str = "end"  # how they end: "end", "reset" or "stall"
    lie: int = 0  # bytes by which it overstates its size
    chunked: bool = False
    url: str = ""
    asked: list[tuple[str | None, str | None]] = field(default_factory=list)  # Range, If-Range
    sent: list[int] = field(default_factory=list)
    release: threading.Event = field(default_factory=threading.Event)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, code: int, length: int | None = 0, **headers: str) -> None:
        self.send_response(code)
        for key, value in (self.site.headers | headers).items():
            self.send_header(key.replace("_", "-"), value)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def do_GET(self):
        site, self.close_connection = self.site, True
        asked, condition = self.headers["Range"], self.headers["If-Range"]
        site.asked.append((asked, condition))
        if site.codes or self.path != "/sets/facades.tar.gz":
            return self.answer(site.codes.pop(0) if site.codes else 404)
        start, total = 0, len(site.body) + site.lie
        known = {value for key, value in site.headers.items() if key in ("ETag", "Last-Modified")}
        if asked and site.ranges and (not site.if_range or condition in known):
            start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1])
            if start >= total:
                return self.answer(416, Content_Range=f"bytes */{total}")
            self.answer(206, total - start, Content_Range=f"bytes {start}-{total - 1}/{total}")
        elif site.chunked:
            self.answer(200, None, Transfer_Encoding="chunked")
        else:
            self.answer(200, total)
        data = site.body[start:]
        cut = site.cuts.pop(0) if site.cuts else None
        data = data[:cut]
        site.sent.append(len(data))
        if site.chunked and not start:
            data = b"%x\r\n%s\r\n" % (len(data), data) + (b"0\r\n\r\n" if cut is None else b"")
        self.wfile.write(data)
        self.wfile.flush()
        if cut is not None and site.cut == "stall":
            site.release.wait(20)
        elif cut is not None and site.cut == "reset":
            # What the client has not read yet is lost with a reset, so let it read.
            time.sleep(0.2)
            on = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, on)
        return None


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(download, "RETRY_SECONDS", 0.001)
    monkeypatch.setattr(download, "TIMEOUT", 5.0)
    site = Site()
    handler = type("BoundHandler", (Handler,), {"site": site})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = False  # so that closing waits for the handlers
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        site.url = f"http://127.0.0.1:{server.server_port}/sets"
        yield site
        site.release.set()
        server.shutdown()
        thread.join()


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def check_data(folder: Path) -> None:
    found = {
        path.relative_to(folder.parent).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    assert found == FILES


def leave_part(folder: Path, site: Site, size: int, **note: object) -> None:
    """Leaves what a download leaves that was stopped after `size` bytes."""
    (folder / "facades.tar.gz.part").write_bytes(site.body[:size])
    known = {"url": f"{site.url}/facades.tar.gz", "validator": '"v1"', "total": len(site.body)}
    (folder / "facades.tar.gz.part.json").write_text(json.dumps(known | note))


def run_error(site: Site, folder: Path) -> str:
    """Returns the message, checked to be one line, that fetching into `folder` fails with."""
    with pytest.raises(UserError) as caught:
        get_dataset("facades", folder, site.url)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- downloading


def test_whole(site, tmp_path):
    out = tmp_path / "new" / "folder"
    assert get_dataset("facades", out, site.url + "/") == out / "facades"
    check_data(out / "facades")
    assert names(out) == {"facades"}
    assert site.asked == [(None, None)]
    mode = (out / "facades" / "train" / "1.jpg").stat().st_mode
    assert mode & 0o777 == 0o644


def test_keep_archive_is_used_again(site, tmp_path):
    get_dataset("facades", tmp_path, site.url, keep_archive=True)
    assert names(tmp_path) == {"facades", "facades.tar.gz"}
    shutil.rmtree(tmp_path / "facades")
    get_dataset("facades", tmp_path, site.url)
    check_data(tmp_path / "facades")
    assert names(tmp_path) == {"facades"}
    assert len(site.asked) == 1


@pytest.mark.parametrize(
    ("headers", "validator"),
    [
        ({"ETag": '"v1"', "Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}, '"v1"'),
        (
            {"ETag": 'W/"v1"', "Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"},
            "Mon, 01 Jan 2024 00:00:00 GMT",
        ),
    ],
)
def test_resumes_in_a_later_run(site, tmp_path, headers, validator):
    site.headers, site.cuts = headers, [1000] + [0] * 20
    message = run_error(site, tmp_path)
    assert "keeps 1,000 bytes" in message
    assert "run the same command again" in message
    assert names(tmp_path) == {"facades.tar.gz.part", "facades.tar.gz.part.json"}
    site.cuts, site.asked, site.sent = [], [], []
    get_dataset("facades", tmp_path, site.url)
    check_data(tmp_path / "facades")
    assert names(tmp_path) == {"facades"}
    assert site.asked == [("bytes=1000-", validator)]
    assert site.sent == [len(site.body) - 1000]


@pytest.mark.parametrize("cut", ["end", "reset", "stall"])
def test_cut_connection_is_retried(site, tmp_path, monkeypatch, cut):
    monkeypatch.setattr(download, "TIMEOUT", 0.5)
    site.cut, site.cuts = cut, [100_000, 50_000]
    get_dataset("facades", tmp_path, site.url)
    check_data(tmp_path / "facades")
    assert site.asked == [(None, None), ("bytes=100000-", '"v1"'), ("bytes=150000-", '"v1"')]
    assert sum(site.sent) == len(site.body)


def test_many_cuts_with_progress_are_survived(site, tmp_path):
    site.cuts = [len(site.body) // 20] * 19
    get_dataset("facades", tmp_path, site.url)
    check_data(tmp_path / "facades")
    assert len(site.asked) > 2 * download.TRIES


def test_server_without_ranges_starts_over(site, tmp_path):
    site.ranges, site.cuts = False, [1000, 500]
    get_dataset("facades", tmp_path, site.url)
    check_data(tmp_path / "facades")
    assert site.sent == [1000, 500, len(site.body)]


def test_server_without_ranges_is_given_up(site, tmp_path):
    site.ranges, site.cuts = False, [1000] * 50
    assert "gave up" in run_error(site, tmp_path)
    assert len(site.asked) == download.TRIES


def test_without_validator_starts_over(site, tmp_path):
    site.headers, site.cuts = {}, [1000]
    get_dataset("facades", tmp_path, site.url)
    check_data(tmp_path / "facades")
    assert site.asked == [(None, None)] * 2


@pytest.mark.parametrize("cuts", [[], [1000]])
def test_unknown_size(site, tmp_path, cuts):
    site.chunked, site.ranges, site.cuts = True, False, cuts
    get_dataset("facades", tmp_path, site.url)
    check_data(tmp_path / "facades")


@pytest.mark.parametrize("if_range", [True, False])
def test_changed_file_is_not_glued(site, tmp_path, if_range):
    leave_part(tmp_path, site, 100_000)
    (tmp_path / "facades.tar.gz.part").write_bytes(b"old" * 30_000 + b"x" * 10_000)
    site.headers, site.if_range = {"ETag": '"v2"'}, if_range
    get_dataset("facades", tmp_path, site.url)
    check_data(tmp_path / "facades")
    assert site.asked[0] == ("bytes=100000-", '"v1"')
    assert site.sent[-1] == len(site.body)


@pytest.mark.parametrize(
    "note", [{"url": "http://127.0.0.1/other"}, {"validator": None}, {"validator": ""}]
)
def test_part_of_unknown_origin_is_not_glued(site, tmp_path, note):
    leave_part(tmp_path, site, 1000, **note)
    (tmp_path / "facades.tar.gz.part").write_bytes(b"x" * 1000)
    get_dataset("facades", tmp_path, site.url)
    check_data(tmp_path / "facades")
    assert site.asked == [(None, None)]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}"])
def test_broken_note(site, tmp_path, text):
    leave_part(tmp_path, site, 1000)
    (tmp_path / "facades.tar.gz.part.json").write_text(text)
    get_dataset("facades", tmp_path, site.url)
    assert site.asked == [(None, None)]


def test_part_that_is_whole(site, tmp_path):
    leave_part(tmp_path, site, len(site.body))
    get_dataset("facades", tmp_path, site.url)
    check_data(tmp_path / "facades")
    assert site.asked == [(f"bytes={len(site.body)}-", '"v1"')]
    assert names(tmp_path) == {"facades"}


def test_part_longer_than_the_file(site, tmp_path):
    leave_part(tmp_path, site, len(site.body), total=10**6)
    site.if_range = False
    with (tmp_path / "facades.tar.gz.part").open("ab") as part:
        part.write(b"x" * 1000)
    get_dataset("facades", tmp_path, site.url)
    check_data(tmp_path / "facades")
    assert site.asked[1:] == [(None, None)]


def test_size_mismatch(site, tmp_path):
    site.lie = 100
    size = len(site.body)
    assert f"ended at {size:,} of {size + 100:,} bytes" in run_error(site, tmp_path)
    assert "facades" not in names(tmp_path)


def test_404(site, tmp_path):
    site.url += "/nowhere"
    message = run_error(site, tmp_path)
    assert f"{site.url}/facades.tar.gz: the server answered 404 Not Found" in message
    assert len(site.asked) == 1


def test_server_errors_are_retried(site, tmp_path):
    site.codes = [503, 500]
    get_dataset("facades", tmp_path, site.url)
    check_data(tmp_path / "facades")


def test_unexpected_answer(site, tmp_path):
    site.codes = [204]
    assert "unexpected answer 204" in run_error(site, tmp_path)


def test_refused_connection(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    message = run_error(Site(url=url), tmp_path)
    assert f"cannot reach {url}/facades.tar.gz: Connection refused; check" in message


def test_unknown_host(tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(socket, "getaddrinfo", fail)
    message = run_error(Site(url="http://host.invalid"), tmp_path)
    assert "cannot reach http://host.invalid/facades.tar.gz: Name or service not" in message


@pytest.mark.parametrize(
    "url", ["", "facades", "file:///etc", "http://", "http://127.0.0.1:port", "http://127.0.0.1/ "]
)
def test_not_a_url(tmp_path, monkeypatch, url):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert "check --url" in run_error(Site(url=url), tmp_path)


def test_unknown_name(tmp_path):
    with pytest.raises(UserError, match="'cats'; choose one of facades, "):
        get_dataset("cats", tmp_path)


# --- the disk


def test_existing_folder(site, tmp_path):
    (tmp_path / "facades").mkdir()
    assert "already there; delete it or choose another --output_dir" in run_error(site, tmp_path)
    assert not site.asked


def test_output_dir_under_a_file(site, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    assert "cannot write" in run_error(site, tmp_path / "file" / "below")
    assert "cannot write" in run_error(site, tmp_path / "file")
    assert not site.asked


def test_read_only_output_dir(site, tmp_path):
    tmp_path.chmod(0o555)
    try:
        if os.access(tmp_path, os.W_OK):
            pytest.skip("this user may write everywhere")
        assert "Permission denied" in run_error(site, tmp_path)
    finally:
        tmp_path.chmod(0o755)


def test_disk_full_while_writing(site, tmp_path):
    (tmp_path / "facades.tar.gz.part").symlink_to("/dev/full")
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    assert "No space left on device" in run_error(site, tmp_path)
    assert len(site.asked) == 1


def test_too_little_space_for_the_archive(site, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    assert "not enough disk space" in run_error(site, tmp_path)
    assert not site.sent or not (tmp_path / "facades.tar.gz.part").stat().st_size


def test_too_little_space_for_the_files(site, tmp_path, monkeypatch):
    site.body = targz({"facades/1.jpg": b"\0" * 10**6})
    usage = shutil.disk_usage(tmp_path)._replace(free=500_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    assert "to extract" in run_error(site, tmp_path)
    assert names(tmp_path) == {"facades.tar.gz"}
    monkeypatch.undo()
    assert get_dataset("facades", tmp_path, site.url)


# --- the archive


def damage_checksum(data: bytes) -> bytes:
    return data[:-8] + bytes([data[-8] ^ 1]) + data[-7:]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>not here any more</html>",
        gzip.compress(b"no tar"),
        gzip.compress(b""),
        targz({}),
        targz()[:100_000],
        damage_checksum(targz()),
        gzip.compress(gzip.decompress(targz())[:200_000]),
    ],
    ids=["empty", "html", "no tar", "empty gzip", "no files", "truncated", "checksum", "short tar"],
)
def test_damaged_archive(site, tmp_path, body):
    site.body = body
    message = run_error(site, tmp_path)
    assert "facades.tar.gz is damaged (" in message
    assert "delete it and run the same command again" in message
    assert names(tmp_path) == {"facades.tar.gz"}


UNSAFE = {
    "parent": [member("facades/../../evil")],
    "inner parent": [member("facades/train/../3.jpg")],
    "plain parent": [member("../evil")],
    "absolute": [member("/ABSOLUTE/evil")],
    "backslash": [member("facades\\..\\..\\evil")],
    "drive": [member("C:/evil")],
    "device": [member("facades/null", tarfile.CHRTYPE)],
    "fifo": [member("facades/fifo", tarfile.FIFOTYPE)],
    "symlink out": [member("facades/link", tarfile.SYMTYPE, "../../evil")],
    "symlink beside": [member("facades/link", tarfile.SYMTYPE, "../other")],
    "symlink absolute": [member("facades/link", tarfile.SYMTYPE, "/ABSOLUTE")],
    "symlink to the top": [member("facades/link", tarfile.SYMTYPE, "..")],
    "top is a symlink": [member("facades", tarfile.SYMTYPE, "..")],
    "dot is a symlink": [member(".", tarfile.SYMTYPE, "..")],
    "through a symlink": [
        member("facades/link", tarfile.SYMTYPE, "train"),
        member("facades/train", tarfile.DIRTYPE),
        member("facades/link/evil"),
    ],
    "chain": [
        member("facades/a", tarfile.SYMTYPE, "train"),
        member("facades/b", tarfile.SYMTYPE, "a/../../evil"),
    ],
    "over a symlink": [
        member("facades/link", tarfile.SYMTYPE, "train/1.jpg"),
        member("facades/link"),
    ],
    "hard link out": [member("facades/link", tarfile.LNKTYPE, "../evil")],
    "hard link absolute": [member("facades/link", tarfile.LNKTYPE, "/ABSOLUTE/secret")],
    "hard link to a symlink": [
        member("facades/train/deep", tarfile.SYMTYPE, "../test/1.jpg"),
        member("facades/link", tarfile.LNKTYPE, "facades/train/deep"),
    ],
}


@pytest.mark.parametrize("members", UNSAFE.values(), ids=UNSAFE.keys())
@pytest.mark.parametrize("first", [True, False])
def test_unsafe_members_are_refused(site, tmp_path, members, first):
    outside, out = tmp_path / "outside", tmp_path / "deep" / "out"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    for info in (members := [copy.copy(info) for info in members]):
        info.name = info.name.replace("/ABSOLUTE", str(outside))
        info.linkname = info.linkname.replace("/ABSOLUTE", str(outside))
    if first:
        site.body = targz(FILES, extra=tuple(members))
    else:
        raw = io.BytesIO(gzip.decompress(targz()))
        with tarfile.open(fileobj=raw, mode="a") as tar:
            for info in members:
                tar.addfile(info)
        site.body = gzip.compress(raw.getvalue())
    message = run_error(site, out)
    assert "is unsafe and was not extracted: its member " in message
    assert names(out) == {"facades.tar.gz"}
    assert names(outside) == {"secret"}
    assert names(tmp_path) == {"outside", "deep"}
    assert names(tmp_path / "deep") == {"out"}


@pytest.mark.parametrize("guard", [True, False])
def test_links_inside_are_kept(site, tmp_path, monkeypatch, guard):
    if not guard:  # as the early releases of Python 3.10 are
        monkeypatch.setattr(tarfile, "data_filter", lambda info, path: info, raising=False)
    raw = io.BytesIO(gzip.decompress(targz()))
    with tarfile.open(fileobj=raw, mode="a") as tar:
        tar.addfile(member("facades/val", tarfile.DIRTYPE))
        tar.addfile(member("facades/val/soft.jpg", tarfile.SYMTYPE, "../test/1.jpg"))
        tar.addfile(member("facades/val/hard.jpg", tarfile.LNKTYPE, "facades/test/1.jpg"))
    site.body = gzip.compress(raw.getvalue())
    folder = get_dataset("facades", tmp_path, site.url)
    assert (folder / "val" / "soft.jpg").read_bytes() == b"test"
    assert (folder / "val" / "hard.jpg").read_bytes() == b"test"
    assert (folder / "val" / "soft.jpg").is_symlink()


def test_archive_without_its_top_folder(site, tmp_path):
    site.body = targz({f"./{name.partition('/')[2]}": data for name, data in FILES.items()})
    check_data(get_dataset("facades", tmp_path, site.url))


def test_what_lies_beside_the_top_folder_is_left_out(site, tmp_path):
    site.body = targz({"._facades": b"junk", **FILES})
    check_data(get_dataset("facades", tmp_path, site.url))
    assert names(tmp_path) == {"facades"}


def test_failed_extraction_leaves_nothing(site, tmp_path, monkeypatch):
    def fail(self, member, *args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tarfile.TarFile, "extract", fail)
    assert "No space left on device" in run_error(site, tmp_path)
    assert names(tmp_path) == {"facades.tar.gz"}


# --- progress


def test_plain_progress_lines(site, tmp_path, capsys):
    site.body = targz({"facades/1.jpg": os.urandom(5_000_000)})
    get_dataset("facades", tmp_path, site.url)
    out, err = capsys.readouterr()
    lines = [line for line in out.splitlines() if line.startswith("facades.tar.gz: ")]
    assert 3 <= len(lines) <= 11
    assert re.fullmatch(r"facades.tar.gz: [\d,]+ of 5,[\d,]+ \(\d+%\) bytes", lines[0])
    assert err == ""


def test_bar_on_a_terminal(site, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    site.cuts = [100_000]
    get_dataset("facades", tmp_path, site.url)
    out, err = capsys.readouterr()
    assert "facades.tar.gz: 100%" in err
    assert "B/s" in err
    assert "resuming" in out


# --- the tool


def run_tool(*args: object, **options: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-W", "error", TOOL, *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=15, **options)


def test_tool(site, tmp_path):
    done = run_tool("facades", "--url", site.url, "--keep_archive", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-2:] == [
        "the data is in facades",
        "next: python tools/train.py --input_dir facades/train",
    ]
    check_data(tmp_path / "facades")
    assert names(tmp_path) == {"facades", "facades.tar.gz"}
    again = run_tool("facades", "--url", site.url, "--output_dir", tmp_path)
    assert again.returncode == 2
    assert re.fullmatch(r"download_dataset.py: .*facades is already there; .*\n", again.stderr)


@pytest.mark.parametrize("args", [[], ["cats"], ["facades", "--nonsense"]])
def test_tool_usage_errors(args, tmp_path):
    done = run_tool(*args, cwd=tmp_path)
    assert done.returncode == 2
    assert re.fullmatch(r"download_dataset.py: .+\n", done.stderr)


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no SIGINT to one process")
def test_tool_interrupted(site, tmp_path):
    site.cut, site.cuts = "stall", [100_000]
    command = [sys.executable, TOOL, "facades", "--url", site.url, "--output_dir", tmp_path]
    pipe = subprocess.PIPE
    # Where the tests run in the background of a shell, SIGINT is ignored, and that is inherited.
    with subprocess.Popen(
        command,
        stdout=pipe,
        stderr=pipe,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        for line in process.stdout:
            if line.startswith("facades.tar.gz: "):
                break
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=10)
    assert process.returncode == 130
    assert re.fullmatch(r"stopped; run the same command again .*\n", err)
    part = (tmp_path / "facades.tar.gz.part").stat().st_size
    assert 0 < part <= 100_000
    site.release.set()
    site.asked.clear()
    get_dataset("facades", tmp_path, site.url)
    check_data(tmp_path / "facades")
    assert site.asked == [(f"bytes={part}-", '"v1"')]
