"""A web server's answers: redirections within the web only, and headers that may say anything."""

import http.client
import re
import urllib.error
import urllib.parse
import urllib.request
from email.message import Message
from typing import IO

from p2p_graph.utils.errors import UserError

LARGEST_SIZE = 10**18  # bytes; more than any disk has
_SIZE = re.compile(r"[0-9]{1,18}")
_RANGE = re.compile(rf"bytes (?:({_SIZE.pattern})-{_SIZE.pattern}|\*)/({_SIZE.pattern}|\*)")
_VALIDATOR = re.compile(r"[\x20-\x7e\x80-\xff]{0,1000}")
_LONGEST_REASON = 200  # characters


def open_url(request: urllib.request.Request, timeout: float) -> http.client.HTTPResponse:
    """Sends a request; redirections are followed to http and https only."""
    opener = urllib.request.build_opener(_WebRedirections)
    response: http.client.HTTPResponse = opener.open(request, timeout=timeout)
    return response


class _WebRedirections(urllib.request.HTTPRedirectHandler):
    """Follows redirections, but not to FTP servers, as Python's own handler does."""

    def http_error_302(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
    ) -> IO[bytes] | None:
        """Sends the request to the new address."""
        address = headers.get("Location", "")
        try:
            scheme = urllib.parse.urlsplit(address).scheme
        except ValueError:
            scheme = "no"
        if scheme not in ("", "http", "https"):
            reason = f"{msg} - a redirection to {address!r} is not followed"
            raise urllib.error.HTTPError(req.full_url, code, reason, headers, fp)
        return super().http_error_302(req, fp, code, msg, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def content_length(headers: Message) -> int | None:
    """Returns the answer's size in bytes; None if the server does not tell.

    Raises:
      UserError: the server tells something else; the message lacks the address in front.
    """
    text = headers.get("Content-Length")
    if text is None:
        return None
    if not _SIZE.fullmatch(text.strip()):
        raise UserError(f"the server gives a size that is none: {text[:40]!r}")
    return int(text)


def content_range(headers: Message) -> tuple[int | None, int | None]:
    """Returns the first byte's index and the file's size in bytes; None for what is missing."""
    found = _RANGE.fullmatch(headers.get("Content-Range", "").strip())
    if found is None:
        return None, None
    start, total = found.groups()
    return int(start) if start else None, int(total) if total != "*" else None


def validator(headers: Message) -> str:
    """Returns a value for If-Range: not a weak ETag, under which bytes may differ."""
    etag = headers.get("ETag", "W/")
    value = headers.get("Last-Modified", "") if etag.startswith("W/") else etag
    return value if is_validator(value) else ""


def is_validator(value: object) -> bool:
    """Whether a value can be sent in a header, or is empty."""
    return isinstance(value, str) and bool(_VALIDATOR.fullmatch(value))


def brief_reason(error: BaseException) -> str:
    """Returns an error's reason in a few words on one line, without the error number."""
    cause = getattr(error, "reason", error)  # URLError wraps the true error
    text = str(getattr(cause, "strerror", None) or cause) or type(error).__name__
    # A server chooses some of the words.
    text = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(text.split())[:_LONGEST_REASON]
