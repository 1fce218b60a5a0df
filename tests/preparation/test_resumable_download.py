"""Downloads: resumed, retried, given up, and onto a full disk."""

import os
import re
import resource
import shutil
import socket
import sys

import pytest

from p2p_graph.preparation import resumable_download
from p2p_graph.preparation.download_dataset import get_dataset
from p2p_graph.utils.errors import UserError

from .dataset_server import Site, check_files, leave_part, names, refusal, targz

# --- the connection


def test_complete_download(site, tmp_path):
    out = tmp_path / "new" / "folder"
    assert get_dataset("facades", out, site.url + "/") == out / "facades"
    check_files(out / "facades")
    assert names(out) == {"facades"}
    assert site.asked == [(None, None)]
    mode = (out / "facades" / "train" / "1.jpg").stat().st_mode
    assert mode & 0o777 == 0o644


def test_keep_archive_is_used_again(site, tmp_path):
    get_dataset("facades", tmp_path, site.url, keep_archive=True)
    assert names(tmp_path) == {"facades", "facades.tar.gz"}
    shutil.rmtree(tmp_path / "facades")
    get_dataset("facades", tmp_path, site.url)
    check_files(tmp_path / "facades")
    # It may be a person's own: only an archive of the same run is removed.
    assert names(tmp_path) == {"facades", "facades.tar.gz"}
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
    message = refusal(site, tmp_path)
    assert "keeps 1,000 bytes" in message
    assert "run the same command again" in message
    assert names(tmp_path) == {"facades.tar.gz.part", "facades.tar.gz.part.json"}
    site.cuts, site.asked, site.sent = [], [], []
    get_dataset("facades", tmp_path, site.url)
    check_files(tmp_path / "facades")
    assert names(tmp_path) == {"facades"}
    assert site.asked == [("bytes=1000-", validator)]
    assert site.sent == [len(site.body) - 1000]


@pytest.mark.parametrize("cut", ["end", "reset", "stall"])
def test_cut_connection_is_retried(site, tmp_path, monkeypatch, cut):
    monkeypatch.setattr(resumable_download, "TIMEOUT", 0.5)
    site.cut, site.cuts = cut, [100_000, 50_000]
    get_dataset("facades", tmp_path, site.url)
    check_files(tmp_path / "facades")
    assert site.asked == [(None, None), ("bytes=100000-", '"v1"'), ("bytes=150000-", '"v1"')]
    assert sum(site.sent) == len(site.body)


def test_many_cuts_with_progress_are_survived(site, tmp_path):
    site.cuts = [len(site.body) // 20] * 19
    get_dataset("facades", tmp_path, site.url)
    check_files(tmp_path / "facades")
    assert len(site.asked) > 2 * resumable_download.TRIES


def test_server_without_ranges_starts_over(site, tmp_path):
    site.ranges, site.cuts = False, [1000, 500]
    get_dataset("facades", tmp_path, site.url)
    check_files(tmp_path / "facades")
    assert site.sent == [1000, 500, len(site.body)]


def test_server_without_ranges_is_given_up(site, tmp_path):
    site.ranges, site.cuts = False, [1000] * 50
    assert "gave up" in refusal(site, tmp_path)
    assert len(site.asked) == resumable_download.TRIES


def test_without_validator_starts_over(site, tmp_path):
    site.headers, site.cuts = {}, [1000]
    get_dataset("facades", tmp_path, site.url)
    check_files(tmp_path / "facades")
    assert site.asked == [(None, None)] * 2


@pytest.mark.parametrize("cuts", [[], [1000]])
def test_unknown_size(site, tmp_path, cuts):
    site.chunked, site.ranges, site.cuts = True, False, cuts
    get_dataset("facades", tmp_path, site.url)
    check_files(tmp_path / "facades")


@pytest.mark.parametrize("if_range", [True, False])
def test_part_of_a_changed_file_is_not_resumed(site, tmp_path, if_range):
    leave_part(tmp_path, site, 100_000)
    (tmp_path / "facades.tar.gz.part").write_bytes(b"old" * 30_000 + b"x" * 10_000)
    site.headers, site.if_range = {"ETag": '"v2"'}, if_range
    get_dataset("facades", tmp_path, site.url)
    check_files(tmp_path / "facades")
    assert site.asked[0] == ("bytes=100000-", '"v1"')
    assert site.sent[-1] == len(site.body)


@pytest.mark.parametrize(
    "note", [{"url": "http://127.0.0.1/other"}, {"validator": None}, {"validator": ""}]
)
def test_part_of_unknown_origin_is_not_resumed(site, tmp_path, note):
    leave_part(tmp_path, site, 1000, **note)
    (tmp_path / "facades.tar.gz.part").write_bytes(b"x" * 1000)
    get_dataset("facades", tmp_path, site.url)
    check_files(tmp_path / "facades")
    assert site.asked == [(None, None)]


@pytest.mark.parametrize("name", ["facades.tar.gz.part", "facades.tar.gz.part.json"])
def test_files_of_others_are_not_written(site, tmp_path, name):
    """A link may lead anywhere, and a FIFO waits for ever."""
    (tmp_path / "secret").write_text("secret")
    for make in (
        lambda path: path.symlink_to(tmp_path / "secret"),
        lambda path: path.symlink_to(tmp_path / "new"),
        lambda path: path.symlink_to(path),
        lambda path: path.symlink_to("/dev/null"),
        os.mkfifo,
    ):
        make(tmp_path / name)
        assert f"{tmp_path}/{name} is not a regular file: remove it" in refusal(site, tmp_path)
        (tmp_path / name).unlink()
    assert names(tmp_path) == {"secret"}
    assert (tmp_path / "secret").read_text() == "secret"
    assert not site.asked


@pytest.mark.parametrize(
    "note",
    [
        {"validator": 5},
        {"validator": ["v1"]},
        {"validator": '"v1"\r\nX-Header: y'},
        {"validator": "ä€"},
        {"validator": "v" * 100_000},
        {"total": "300"},
        {"total": True},
        {"total": -1},
        {"total": 1e300},
        {"total": 10**400},
        {"total": [3]},
        {"url": None},
    ],
    ids=lambda note: str(note)[:30],
)
def test_notes_of_other_values(site, tmp_path, note):
    leave_part(tmp_path, site, 1000, **note)
    get_dataset("facades", tmp_path, site.url)
    check_files(tmp_path / "facades")
    assert site.asked == [(None, None)]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "[" * 99_999, "9" * 5000, "null", '"'])
def test_broken_note(site, tmp_path, text):
    leave_part(tmp_path, site, 1000)
    (tmp_path / "facades.tar.gz.part.json").write_text(text)
    get_dataset("facades", tmp_path, site.url)
    assert site.asked == [(None, None)]


def test_part_that_is_complete(site, tmp_path):
    leave_part(tmp_path, site, len(site.body))
    get_dataset("facades", tmp_path, site.url)
    check_files(tmp_path / "facades")
    assert site.asked == [(f"bytes={len(site.body)}-", '"v1"')]
    assert names(tmp_path) == {"facades"}


def test_part_longer_than_the_file(site, tmp_path):
    leave_part(tmp_path, site, len(site.body), total=10**6)
    site.if_range = False
    with (tmp_path / "facades.tar.gz.part").open("ab") as part:
        part.write(b"x" * 1000)
    get_dataset("facades", tmp_path, site.url)
    check_files(tmp_path / "facades")
    assert site.asked[1:] == [(None, None)]


def test_size_mismatch(site, tmp_path):
    site.lie = 100
    size = len(site.body)
    assert f"ended at {size:,} of {size + 100:,} bytes" in refusal(site, tmp_path)
    assert "facades" not in names(tmp_path)


def test_404(site, tmp_path):
    site.url += "/nowhere"
    message = refusal(site, tmp_path)
    assert f"{site.url}/facades.tar.gz: the server answered 404 Not Found" in message
    assert len(site.asked) == 1


def test_server_errors_are_retried(site, tmp_path):
    site.codes = [503, 500]
    get_dataset("facades", tmp_path, site.url)
    check_files(tmp_path / "facades")


def test_unexpected_answer(site, tmp_path):
    site.codes = [204]
    assert "unexpected answer 204" in refusal(site, tmp_path)


def test_refused_connection(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    message = refusal(Site(url=url), tmp_path)
    assert f"cannot reach {url}/facades.tar.gz: Connection refused; check" in message


def test_unknown_host(tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(socket, "getaddrinfo", fail)
    message = refusal(Site(url="http://host.invalid"), tmp_path)
    assert "cannot reach http://host.invalid/facades.tar.gz: Name or service not" in message


@pytest.mark.parametrize(
    "url", ["", "facades", "file:///etc", "http://", "http://127.0.0.1:port", "http://127.0.0.1/ "]
)
def test_not_a_url(tmp_path, monkeypatch, url):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert "check --url" in refusal(Site(url=url), tmp_path)


def test_unknown_name(tmp_path):
    with pytest.raises(UserError, match="'cats'; choose one of facades, "):
        get_dataset("cats", tmp_path)


# --- the disk


def test_existing_folder(site, tmp_path):
    (tmp_path / "facades").mkdir()
    assert "already there; delete it or choose another --output_dir" in refusal(site, tmp_path)
    assert not site.asked


def test_output_dir_under_a_file(site, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    assert "cannot be written" in refusal(site, tmp_path / "file" / "below")
    assert "cannot be written" in refusal(site, tmp_path / "file")
    assert not site.asked


def test_read_only_output_dir(site, tmp_path):
    tmp_path.chmod(0o555)
    try:
        if os.access(tmp_path, os.W_OK):
            pytest.skip("this user may write everywhere")
        assert "Permission denied" in refusal(site, tmp_path)
    finally:
        tmp_path.chmod(0o755)


def test_disk_full_while_writing(site, tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        message = refusal(site, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "File too large" in message
    assert len(site.asked) == 1


def test_too_little_space_for_the_archive(site, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    assert "not enough disk space" in refusal(site, tmp_path)
    assert not site.sent or not (tmp_path / "facades.tar.gz.part").stat().st_size


def test_too_little_space_for_the_files(site, tmp_path, monkeypatch):
    site.body = targz({"facades/1.jpg": b"\0" * 10**6})
    usage = shutil.disk_usage(tmp_path)._replace(free=500_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    assert "to extract" in refusal(site, tmp_path)
    assert names(tmp_path) == {"facades.tar.gz"}
    monkeypatch.undo()
    assert get_dataset("facades", tmp_path, site.url)


# --- progress


def test_plain_progress_lines(site, tmp_path, capsys):
    site.body = targz({"facades/1.jpg": os.urandom(5_000_000)})
    get_dataset("facades", tmp_path, site.url)
    out, err = capsys.readouterr()
    lines = [line for line in out.splitlines() if line.startswith("facades.tar.gz: ")]
    assert 3 <= len(lines) <= 11
    assert re.fullmatch(r"facades.tar.gz: [\d,]+ bytes of 5,[\d,]+ \(\d+%\)", lines[0])
    assert err == ""


def test_bar_on_a_terminal(site, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    site.cuts = [100_000]
    get_dataset("facades", tmp_path, site.url)
    out, err = capsys.readouterr()
    assert "facades.tar.gz: 100%" in err
    assert "B/s" in err
    assert "resuming" in out
