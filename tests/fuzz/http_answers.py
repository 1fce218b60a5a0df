"""A server on the loopback interface that answers with any bytes, and honest answers to damage."""

import contextlib
import re
import socket
import threading
from typing import NamedTuple

_LARGEST_REQUEST = 2**16  # bytes


class Server:
    """Answers every request by `self.answer`, a function from its number and its bytes to bytes.

    A connection ends after its answer. Tests set `answer` before each download.
    """

    def __init__(self):
        self.answer = lambda number, request: b""
        self._count = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def start(self, answer):
        """Answers with another function from now on, and counts requests from 0."""
        self.answer, self._count = answer, 0

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:  # closed
                return
            # A client may leave before all is sent.
            with connection, contextlib.suppress(OSError):
                connection.settimeout(5)
                request = b""
                while b"\r\n\r\n" not in request and len(request) < _LARGEST_REQUEST:
                    part = connection.recv(4096)
                    if not part:
                        break
                    request += part
                number, self._count = self._count, self._count + 1
                connection.sendall(self.answer(number, request))
                connection.shutdown(socket.SHUT_WR)
                connection.recv(1)  # until the client closes: a reset would lose bytes on the way


class HonestServer(NamedTuple):
    """A server of one file, whose connections may break and whose features may be missing.

    Attributes:
      body: the file.
      ranges: whether the server knows Range.
      validator: the header that names the file's version; empty for none.
      cuts: bytes after which the answers end, one a request; later answers are complete.
      codes: errors that the first requests get.
      chunked: whether complete answers are chunked, without a length.
      length: whether a complete answer has its length.
    """

    body: bytes
    ranges: bool = True
    validator: str = 'ETag: "v1"'
    cuts: tuple[int, ...] = ()
    codes: tuple[int, ...] = ()
    chunked: bool = False
    length: bool = True

    def answer(self, number, request):
        """The answer to a request."""
        if number < len(self.codes):
            return f"HTTP/1.1 {self.codes[number]} Broken\r\nContent-Length: 0\r\n\r\n".encode()
        number -= len(self.codes)
        cut = self.cuts[number] if number < len(self.cuts) else None
        asked = re.search(rb"^Range: bytes=(\d+)-\r$", request, re.MULTILINE)
        condition = re.search(rb"^If-Range: (.*)\r$", request, re.MULTILINE)
        known = self.validator.partition(": ")[2]
        head = f"{self.validator}\r\n" if self.validator else ""
        size, start = len(self.body), 0
        if asked and self.ranges and condition and condition[1].decode("latin-1") == known:
            start = int(asked[1])
            if start >= size:
                return (
                    f"HTTP/1.1 416 Range\r\n{head}Content-Range: bytes */{size}\r\n"
                    "Content-Length: 0\r\n\r\n"
                ).encode()
            head += f"Content-Range: bytes {start}-{size - 1}/{size}\r\n"
            head = f"HTTP/1.1 206 Partial\r\nContent-Length: {size - start}\r\n{head}\r\n"
            return head.encode() + self.body[start:][:cut]
        if self.chunked:
            body = b"%x\r\n%s\r\n0\r\n\r\n" % (size, self.body)
            head += "Transfer-Encoding: chunked\r\n"
        else:
            body = self.body
            head += f"Content-Length: {size}\r\n" if self.length else ""
        return f"HTTP/1.1 200 OK\r\n{head}\r\n".encode() + body[:cut]
