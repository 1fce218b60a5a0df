"""Downloads a file, and resumes an earlier download of the same file."""

import http.client
import json
import os
import shutil
import stat
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

from tqdm import tqdm

from p2p_graph.preparation.http_answers import (
    LARGEST_SIZE,
    brief_reason,
    content_length,
    content_range,
    is_validator,
    open_url,
    validator,
)
from p2p_graph.utils.errors import UserError
from p2p_graph.utils.outside_files import read_json

TIMEOUT = 30.0  # seconds to wait for a connection, or for the next bytes
TRIES = 5  # consecutive tries without new bytes before giving up
RETRY_SECONDS = 1.0  # wait before the second try; doubles before each further try
BLOCK = 1 << 18  # bytes per read at most
LINE_SECONDS, LINE_SHARE = 10.0, 0.1  # off a terminal: a progress line after this time or share


class _Version(NamedTuple):
    """A version of the file on the server.

    Attributes:
      validator: the value for If-Range; empty where the server names none.
      total: the size in bytes; None where unknown.
    """

    validator: str
    total: int | None


class _DroppedError(Exception):
    """A try that ended early and may be repeated; the text says how it ended."""


def fetch(url: str, path: Path) -> None:
    """Downloads `url` to `path`, by way of `path`.part, which a later call resumes.

    `path`.part.json records which version of the file the part belongs to. A server that names no
    version (ETag, Last-Modified) or that ignores ranges makes each try start over.

    Raises:
      UserError: the file cannot be downloaded; the bytes received so far stay in the part.
      OSError: the disk cannot be written.
    """
    part = path.with_name(f"{path.name}.part")
    note = path.with_name(f"{part.name}.json")
    _refuse_others_files(part)
    _refuse_others_files(note)
    failures, largest = 0, -1
    while True:
        try:
            _try_once(url, part, note)
            break
        except _DroppedError as error:
            size = _size(part)
            # Only a part larger than ever before counts as progress. A server that cannot resume
            # and always breaks off at the same byte would be asked for ever without this.
            failures = 1 if size > largest else failures + 1
            largest = max(largest, size)
            if failures >= TRIES:
                # Without a validator from the server, the part would not be resumed.
                kept = size and _read_note(note, url).validator
                received = f"{part} keeps {size:,} bytes: " if kept else ""
                raise UserError(
                    f"{url}: {error}, gave up after {TRIES} tries; {received}"
                    f"run the same command again{' to resume' if kept else ''}, or check --url"
                ) from None
            print(f"{error}; trying again", flush=True)
            time.sleep(RETRY_SECONDS * 2 ** (failures - 1))
    part.replace(path)
    note.unlink(missing_ok=True)


def _try_once(url: str, part: Path, note: Path) -> None:
    """Sends one request and appends the answer to `part`, which is complete on return.

    Raises:
      _DroppedError: the file is incomplete and another try makes sense.
      UserError: another try makes no sense.
    """
    known = _read_note(note, url)
    size = _size(part) if known.validator else 0  # a part of unknown origin is not resumed
    response = _send_request(url, part, size, known)
    if response is None:
        return
    with response:
        if response.status == 206 and size:
            total = _check_range(response, part, size, known)
        elif response.status == 200:
            size, total = 0, _size_of_answer(response, url)
            # Emptied before the note is written: a note never describes another version's bytes.
            _open_own(part, "wb").close()
            found = {"url": url, "validator": validator(response.headers), "total": total}
            with _open_own(note, "wb") as file:
                file.write(json.dumps(found).encode())
        else:
            raise UserError(f"{url}: unexpected answer {response.status}; check --url")
        require_space(part.parent, (total or 0) - size, f"to download {url}")
        _append(response, part, size, total)


def _send_request(
    url: str, part: Path, size: int, known: _Version
) -> http.client.HTTPResponse | None:
    """Asks for the bytes after the first `size`; returns None where the part is complete.

    Raises:
      _DroppedError: another try makes sense.
      UserError: another try makes no sense.
    """
    headers = {"User-Agent": "p2p_graph"}
    if size:
        headers |= {"Range": f"bytes={size}-", "If-Range": known.validator}
    try:
        request = urllib.request.Request(url, headers=headers)
        return open_url(request, TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and size:  # no bytes follow the part
            if known.total == size and content_range(error.headers)[1] in (None, size):
                return None
            raise _changed(part) from None
        answer = f"the server answered {error.code} {brief_reason(error)}"
        if error.code >= 500:
            raise _DroppedError(answer) from None
        raise UserError(f"{url}: {answer}; check the name and --url") from None
    except (http.client.InvalidURL, ValueError) as error:
        raise UserError(f"{url!r} is not a URL ({error}); check --url") from None
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, urllib.error.URLError) and not size:  # no connection at all
            raise UserError(
                f"cannot reach {url}: {brief_reason(error)}; check the network and --url, then run "
                "the same command again"
            ) from None
        raise _DroppedError(brief_reason(error)) from None


def _check_range(
    response: http.client.HTTPResponse, part: Path, size: int, known: _Version
) -> int | None:
    """Checks that a partial answer continues the part; returns the file's size, None if unknown.

    Raises:
      _DroppedError: the answer is of another version. Some servers ignore If-Range.
    """
    start, total = content_range(response.headers)
    total = known.total if total is None else total
    if start != size or _Version(validator(response.headers), total) != known:
        raise _changed(part)
    print(f"resuming {part} at {size:,} bytes", flush=True)
    return total


def _changed(part: Path) -> _DroppedError:
    """Deletes the part, which belongs to an old version; returns the error to raise."""
    part.unlink()
    return _DroppedError("the file on the server has changed, starting over")


def _append(response: http.client.HTTPResponse, part: Path, size: int, total: int | None) -> None:
    """Appends the response's bytes to `part`, which has `size` of `total` bytes, None if unknown.

    Raises:
      _DroppedError: the connection broke or ended before `total` bytes.
    """
    with _open_own(part, "ab") as out, _progress(part.stem, size, total) as update:
        while total is None or size < total:
            # read1 returns what has arrived: a broken connection loses no received bytes.
            try:
                block = response.read1(BLOCK if total is None else min(BLOCK, total - size))
            except (OSError, ValueError, http.client.HTTPException) as error:
                raise _DroppedError(f"{brief_reason(error)} at {size:,} bytes") from None
            if not block:
                break
            out.write(block)
            size += len(block)
            update(len(block))
    if total is not None and size != total:
        raise _DroppedError(f"the connection ended at {size:,} of {total:,} bytes")


@contextmanager
def _progress(name: str, size: int, total: int | None) -> Iterator[Callable[[int], object]]:
    """Yields a function that takes numbers of new bytes: a bar on a terminal, else lines."""
    if sys.stderr.isatty():
        scale: dict[str, Any] = {"unit": "B", "unit_scale": True, "unit_divisor": 1024}
        with tqdm(desc=name, total=total, initial=size, **scale) as bar:
            yield bar.update
        return
    line_time, line_size = time.monotonic(), size

    def update(count: int) -> None:
        nonlocal size, line_time, line_size
        size += count
        now = time.monotonic()
        if now - line_time >= LINE_SECONDS or (total and size - line_size >= LINE_SHARE * total):
            line_time, line_size = now, size
            share = f" of {total:,} ({size / total:.0%})" if total else ""
            print(f"{name}: {size:,} bytes{share}", flush=True)

    yield update


def _size_of_answer(response: http.client.HTTPResponse, url: str) -> int | None:
    try:
        return content_length(response.headers)
    except UserError as error:
        raise UserError(f"{url}: {error}; check --url") from None


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _open_own(path: Path, mode: str) -> IO[bytes]:
    """Opens a file of the download for writing; a link is not followed, a FIFO not waited for."""
    _refuse_others_files(path)
    never = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    return open(path, mode, opener=lambda name, flags: os.open(name, flags | never, 0o666))


def _refuse_others_files(path: Path) -> None:
    """Refuses a file of the download that is a link, a folder or a FIFO: nobody here made it."""
    try:
        is_own = stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:
        return
    if not is_own:
        raise UserError(f"{path} is not a regular file: remove it, then run the same command again")


def _read_note(note: Path, url: str) -> _Version:
    """Reads which version the part belongs to; no validator where the part cannot be resumed."""
    try:
        known = read_json(note)
        total = known["total"]
        is_size = total is None or (type(total) is int and 0 <= total < LARGEST_SIZE)
        if known["url"] == url and is_size and is_validator(known["validator"]):
            return _Version(known["validator"], total)
    except (FileNotFoundError, UserError, KeyError, TypeError):
        pass
    return _Version("", None)


def require_space(folder: Path, count: int, purpose: str) -> None:
    """Checks that the disk of `folder` has `count` bytes left.

    Raises:
      UserError: the disk has less.
    """
    free = shutil.disk_usage(folder).free
    if free < count:
        raise UserError(
            f"not enough disk space in {folder} {purpose}: {count / 1e6:,.1f} MB needed, "
            f"{free / 1e6:,.1f} MB free; free some or choose another --output_dir"
        )
