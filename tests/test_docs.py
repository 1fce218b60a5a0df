"""What the documents say holds: links, flags and messages exist, and the README's Python runs."""

import ast
import functools
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from .cli.common import SHALLOW, call, succeeded

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in (".", "docs", "docs/tasks", "data", "docker")
    for path in (ROOT / folder).glob("*.md")
)


def anchors(page):
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_and_headings(page):
    path = ROOT / page
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?:", link):
            continue
        name, _, anchor = link.partition("#")
        target = path.parent / name if name else path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def python_blocks(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_the_readmes_library_snippet_trains_as_a_script(tmp_path):
    [snippet] = [block for block in python_blocks("README.md") if "build_step" in block]
    (tmp_path / "facades" / "train").mkdir(parents=True)
    Image.new("RGB", (512, 256), (9, 99, 199)).save(tmp_path / "facades" / "train" / "1.png")
    small = snippet.replace("ngf=32, ndf=32", "ngf=1, ndf=1, levels=2")
    small = small.replace("range(100)", "range(2)")
    assert "levels=2" in small
    assert "range(2)" in small
    # Inside the snippet's session.
    checks = """
    assert 0 < losses.gen_loss_L1 < 2
    outputs = session.run(step.outputs)
    assert outputs.shape == (1, 256, 256, 3)
    assert -1 <= outputs.min() < outputs.max() <= 1
"""
    small = small.replace("inputs.close()", f"{checks}inputs.close()")
    run_script(tmp_path, small)


def test_the_readmes_python_snippet_translates_as_a_script(tmp_path):
    [snippet] = [block for block in python_blocks("README.md") if "p2p_graph.load" in block]
    Image.new("RGB", (512, 256), (9, 99, 199)).save(tmp_path / "pair.png")
    (tmp_path / "facades" / "test").mkdir(parents=True)
    Image.new("RGB", (300, 200), (9, 99, 199)).save(tmp_path / "facades" / "test" / "labels.png")
    flags = ("--ngf", 1, "--ndf", 1, *SHALLOW, "--max_steps", 1)
    folders = ("--input_dir", tmp_path, "--output_dir", "runs/facades_BtoA")
    succeeded(call("train", *folders, *flags, cwd=tmp_path))
    before = "import numpy as np\nlabels = np.zeros([2, 256, 256, 3], np.float32)\n"
    after = "assert photo.shape == labels.shape and photo.dtype == labels.dtype\n"
    check = 'assert photo.shape == (256, 256, 3) and photo.dtype == "uint8"\n'
    first, _, last = snippet.rpartition("photo = ")
    run_script(tmp_path, f"{before}{first}{check}photo = {last}{after}")


def run_script(folder, text):
    (folder / "script.py").write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


def test_every_program_has_its_line_in_the_readme():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    data = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    for path in (ROOT / "tools").glob("*.py"):
        assert f"tools/{path.name}" in text + data, path.name


DOCUMENTED = sorted(path.stem for path in (ROOT / "tools").glob("*.py"))


def commands(page):
    """The commands of a page's shell blocks that run a program of this project: name, words."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", text_of(page), re.MULTILINE | re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    for line in lines:
        if found := re.search(r"(?:python tools/(\w+)\.py|\bp2p-([\w-]+))(.*)", line):
            program = found[1] or found[2].replace("-", "_")
            yield program, shlex.split(found[3], comments=True)


@functools.cache
def flags_of(program):
    shown = succeeded(call(program, "--help")).stdout
    return set(re.findall(r"--\w+", shown))


@pytest.mark.parametrize("program", DOCUMENTED)
def test_commands_of_the_pages_have_flags_that_exist(program):
    flags = flags_of(program)
    for page in PAGES:
        for name, words in commands(page):
            # What follows -- in reproduce.py is for train.py.
            own = words[: words.index("--")] if "--" in words else words
            used = {word.partition("=")[0] for word in own if word.startswith("--")}
            assert name in DOCUMENTED, f"{page}: there is no program {name}"
            assert name != program or used <= flags, f"{page}: {used - flags} of {name}"


def source_texts():
    """The texts in the package's source, with … for values: a list for each module."""
    for path in sorted((ROOT / "p2p_graph").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        texts = []
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                parts = [getattr(part, "value", None) for part in node.values]
                texts.append("".join(part if isinstance(part, str) else "…" for part in parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
        yield path.relative_to(ROOT).as_posix(), texts


def test_messages_in_the_answers_are_those_of_the_programs():
    quoted = re.findall(r"^```text\n(.*?)\n```$", text_of("docs/QUESTIONS.md"), re.M | re.S)
    assert len(quoted) >= 25
    modules = dict(source_texts())
    for message in quoted:
        pieces = [piece.strip() for piece in message.split("…") if piece.strip(" ,;:()")]
        assert max(map(len, pieces)) >= 12, f"{message!r} is too short to be found"
        found = [
            name
            for name, texts in modules.items()
            if all(any(piece in text for text in texts) for piece in pieces)
        ]
        assert found, f"no module says {message!r}"


def test_the_readme_leads_to_every_page():
    text = text_of("README.md")
    for page in PAGES:
        if page.startswith("docs/"):
            assert f"]({page}" in text, page


def text_of(page):
    return (ROOT / page).read_text(encoding="utf-8")
