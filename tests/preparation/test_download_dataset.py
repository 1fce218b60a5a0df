"""Archives: damaged, unsafe and odd ones; and tools/download_dataset.py."""

import copy
import gzip
import io
import os
import re
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from p2p_graph.preparation.download_dataset import get_dataset

from .dataset_server import FILES, check_files, member, names, refusal, targz

TOOL = Path(__file__).resolve().parents[2] / "tools" / "download_dataset.py"


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
    message = refusal(site, tmp_path)
    assert "facades.tar.gz cannot be read as a .tar.gz archive: " in message
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
    message = refusal(site, out)
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
    check_files(get_dataset("facades", tmp_path, site.url))


def test_what_lies_beside_the_top_folder_is_left_out(site, tmp_path):
    site.body = targz({"._facades": b"junk", **FILES})
    check_files(get_dataset("facades", tmp_path, site.url))
    assert names(tmp_path) == {"facades"}


def test_failed_extraction_leaves_nothing(site, tmp_path, monkeypatch):
    def fail(self, member, *args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tarfile.TarFile, "extract", fail)
    assert "No space left on device" in refusal(site, tmp_path)
    assert names(tmp_path) == {"facades.tar.gz"}


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
    check_files(tmp_path / "facades")
    assert names(tmp_path) == {"facades", "facades.tar.gz"}
    again = run_tool("facades", "--url", site.url, "--output_dir", tmp_path)
    assert again.returncode == 2
    assert re.fullmatch(r"download_dataset.py: .*facades is already there; .*\n", again.stderr)


def test_an_archive_without_a_folder_train(site, tmp_path):
    site.body = targz({"other/1.jpg": b"1"})
    done = run_tool("facades", "--url", site.url, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-2:] == [
        "the data is in facades",
        "the archive has no folder train, unlike the paper's: look what it holds",
    ]


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
    check_files(tmp_path / "facades")
    assert site.asked == [(f"bytes={part}-", '"v1"')]
