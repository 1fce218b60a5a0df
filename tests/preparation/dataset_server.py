"""A server of one data set on the loopback interface, which can misbehave in many ways."""

import io
import json
import os
import re
import socket
import struct
import tarfile
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from p2p_graph.preparation.download_dataset import get_dataset
from p2p_graph.utils.errors import UserError

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


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def check_files(folder: Path) -> None:
    found = {
        path.relative_to(folder.parent).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    assert found == FILES


def leave_part(folder: Path, site: Site, size: int, **note: object) -> None:
    """Leaves the files of a download that was stopped after `size` bytes."""
    (folder / "facades.tar.gz.part").write_bytes(site.body[:size])
    known = {"url": f"{site.url}/facades.tar.gz", "validator": '"v1"', "total": len(site.body)}
    (folder / "facades.tar.gz.part.json").write_text(json.dumps(known | note))


def refusal(site: Site, folder: Path) -> str:
    """Downloads into `folder`, which must fail; returns the message, which must be one line."""
    with pytest.raises(UserError) as caught:
        get_dataset("facades", folder, site.url)
    assert "\n" not in str(caught.value)
    return str(caught.value)
