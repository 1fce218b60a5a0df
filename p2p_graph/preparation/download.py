"""Downloads a file, and goes on where an earlier download of it ended."""

import http.client
import json
import re
import shutil
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import Message
from pathlib import Path
from typing import Any

from tqdm import tqdm

from p2p_graph.utils.errors import UserError

TIMEOUT = 30.0  # seconds that connecting, or waiting for the next bytes, may take
TRIES = 5  # tries in a row that bring no new bytes before giving up
RETRY_SECONDS = 1.0  # wait before the second try; doubles with each further one
BLOCK = 1 << 18  # bytes read at most at once
LINE_SECONDS, LINE_SHARE = 10.0, 0.1  # off a terminal: a progress line after this time or share


class _DroppedError(Exception):
    """A try that ended early but may be repeated; its text says how it ended."""


def fetch(url: str, path: Path) -> None:
    """Downloads `url` to `path`, by way of `path`.part, which a later call resumes.

    `path`.part.json remembers which version of the file the part is from. A server that names no
    version (ETag, Last-Modified) or that knows no ranges makes each try start over.

    Raises:
        UserError: the file cannot be had; what has come so far is kept.
        OSError: the disk cannot be written.
    """
    part = path.with_name(f"{path.name}.part")
    note = path.with_name(f"{part.name}.json")
    failures, most = 0, -1
    while True:
        try:
            _try_once(url, part, note)
            break
        except _DroppedError as error:
            size = _size(part)
            # Only a part longer than ever before counts as progress: a server that cannot resume
            # and always breaks off at the same place would otherwise be asked for ever.
            failures = 1 if size > most else failures + 1
            most = max(most, size)
            if failures >= TRIES:
                kept = f"{part} keeps {size:,} bytes: " if size else ""
                raise UserError(
                    f"{url}: {error}, gave up after {TRIES} tries; {kept}"
                    "run the same command again to go on, or check --url"
                ) from None
            print(f"{error}; trying again", flush=True)
            time.sleep(RETRY_SECONDS * 2 ** (failures - 1))
    part.replace(path)
    note.unlink(missing_ok=True)


def _try_once(url: str, part: Path, note: Path) -> None:
    """Sends one request and appends what comes to `part`, which is the whole file on return.

    Raises:
        _DroppedError: the file is not whole yet and another try makes sense.
        UserError: another try makes no sense.
    """
    known, known_total = _read_note(note, url)
    size = _size(part) if known else 0  # a part of unknown origin is not added to
    headers = {"User-Agent": "p2p_graph"}
    if size:
        headers |= {"Range": f"bytes={size}-", "If-Range": known}
    response: http.client.HTTPResponse
    try:
        response = urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=TIMEOUT
        )
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and size:  # nothing lies beyond the part
            if known_total == size and _content_range(error.headers)[1] in (None, size):
                return
            part.unlink()
            raise _DroppedError("the file on the server has changed, starting over") from None
        answer = f"the server answered {error.code} {reason(error)}"
        if error.code >= 500:
            raise _DroppedError(answer) from None
        raise UserError(f"{url}: {answer}; check the name and --url") from None
    except (http.client.InvalidURL, ValueError) as error:
        raise UserError(f"{url!r} is not a URL ({error}); check --url") from None
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, urllib.error.URLError) and not size:  # never reached
            raise UserError(
                f"cannot reach {url}: {reason(error)}; check the network and --url, then run the "
                "same command again"
            ) from None
        raise _DroppedError(reason(error)) from None
    with response:
        validator = _validator(response.headers)
        if response.status == 206 and size:
            start, total = _content_range(response.headers)
            total = known_total if total is None else total
            # Some servers answer a Range without looking at If-Range.
            if start != size or total != known_total or validator != known:
                part.unlink()
                raise _DroppedError("the file on the server has changed, starting over")
            print(f"resuming {part} at {size:,} bytes", flush=True)
        elif response.status == 200:
            length = response.headers.get("Content-Length", "")
            size, total = 0, int(length) if length.isdecimal() else None
            # Emptied before the note is written: a note never describes another version's bytes.
            part.write_bytes(b"")
            note.write_text(json.dumps({"url": url, "validator": validator, "total": total}))
        else:
            raise UserError(f"{url}: unexpected answer {response.status}; check --url")
        need_space(part.parent, (total or 0) - size, f"to download {url}")
        _append(response, part, size, total)


def _append(response: http.client.HTTPResponse, part: Path, size: int, total: int | None) -> None:
    """Adds the response's bytes to `part`, which has `size` of `total` bytes, None if not known.

    Raises:
        _DroppedError: the connection broke, or ended before `total` bytes were there.
    """
    with part.open("ab") as out, _progress(part.stem, size, total) as update:
        while total is None or size < total:
            # read1 gives what has come: a broken connection loses nothing that was received.
            try:
                block = response.read1(BLOCK if total is None else min(BLOCK, total - size))
            except (OSError, http.client.HTTPException) as error:
                raise _DroppedError(f"{reason(error)} at {size:,} bytes") from None
            if not block:
                break
            out.write(block)
            size += len(block)
            update(len(block))
    if total is not None and size != total:
        raise _DroppedError(f"the connection ended at {size:,} of {total:,} bytes")


@contextmanager
def _progress(name: str, size: int, total: int | None) -> Iterator[Callable[[int], object]]:
    """Gives a function to tell of more bytes: it moves a bar on a terminal, else prints lines."""
    if sys.stderr.isatty():
        scale: dict[str, Any] = {"unit": "B", "unit_scale": True, "unit_divisor": 1024}
        with tqdm(desc=name, total=total, initial=size, **scale) as bar:
            yield bar.update
        return
    said_time, said_size = time.monotonic(), size

    def update(count: int) -> None:
        nonlocal size, said_time, said_size
        size += count
        now = time.monotonic()
        if now - said_time >= LINE_SECONDS or (total and size - said_size >= LINE_SHARE * total):
            said_time, said_size = now, size
            share = f" of {total:,} ({size / total:.0%})" if total else ""
            print(f"{name}: {size:,}{share} bytes", flush=True)

    yield update


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _read_note(note: Path, url: str) -> tuple[str, int | None]:
    """Returns the part's validator, empty if the part cannot be resumed, and the whole's size."""
    try:
        known = json.loads(note.read_text())
        if known["url"] == url:
            return known["validator"], known["total"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        pass
    return "", None


def _validator(headers: Message) -> str:
    """Returns what If-Range may name; a weak ETag may not, as bytes may differ under it."""
    etag = headers.get("ETag", "W/")
    return headers.get("Last-Modified", "") if etag.startswith("W/") else etag


def _content_range(headers: Message) -> tuple[int | None, int | None]:
    """Returns the first byte's index and the whole file's size in bytes; None for what lacks."""
    found = re.match(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", headers.get("Content-Range", ""))
    if found is None:
        return None, None
    start, total = found.groups()
    return int(start) if start else None, int(total) if total != "*" else None


def need_space(folder: Path, count: int, purpose: str) -> None:
    """Raises UserError if the disk of `folder` has less than `count` bytes left."""
    free = shutil.disk_usage(folder).free
    if free < count:
        raise UserError(
            f"not enough disk space in {folder} {purpose}: {count / 1e6:,.1f} MB needed, "
            f"{free / 1e6:,.1f} MB free; free some or choose another --output_dir"
        )


def reason(error: BaseException) -> str:
    """Returns what went wrong in a few words on one line, without the error number."""
    cause = getattr(error, "reason", error)  # a URLError hides the true error there
    text = str(getattr(cause, "strerror", None) or cause) or type(error).__name__
    return " ".join(text.split())
