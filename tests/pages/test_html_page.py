"""The page that shows images, read back by a parser."""

import html.parser
import urllib.parse

import pytest

from p2p_graph.pages.html_page import write_page
from p2p_graph.pages.results_page import ImageColumn, Row, own_image, write_results_page

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(html.parser.HTMLParser):
    """Reads a page; every tag must be closed, in the order in which they were opened."""

    def __init__(self, path):
        super().__init__()
        self.open, self.images, self.texts, self.tags = [], [], [], []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag == "img":
            self.images.append(dict(attributes))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if data.strip():
            self.texts.append((self.open[-1], data.strip()))

    def text(self, tag):
        """The texts in tags of a kind; an entity splits a text."""
        return [data for inside, data in self.texts if inside == tag]


ODD = [
    "plain",
    "two words",
    "'single' \"double\"",
    "100%",
    "%41 %20",
    "a#b?c=d&e=f",
    "<b>bold</b> &amp; <",
    "größe 日本語",
    "a+b;c:d,e",
    "back\\slash",
    "</td></table>",
]


def write(folder, rows, title="Images", metadata=(("checkpoint", "run/model-3"),)):
    path, columns = folder / "index.html", [ImageColumn(kind, kind) for kind in ("input", "output")]
    rows = [Row(name, [*map(own_image, files)]) for name, *files in rows]
    write_results_page(path, title, dict(metadata), columns, rows)
    return path, Page(path)


def test_page(tmp_path):
    rows = [(name, f"{name}-inputs.png", f"{name}-outputs.png") for name in ("1", "2")]
    path, page = write(tmp_path, rows, metadata={"checkpoint": "run/model-3", "steps": 7}.items())
    assert [file.name for file in tmp_path.iterdir()] == ["index.html"]
    assert path.read_text().startswith("<!DOCTYPE html>\n")
    assert {"html", "head", "meta", "title", "body", "table"} <= set(page.tags)
    assert page.text("title") == page.text("h1") == ["Images"]
    assert page.text("dt") == ["checkpoint", "steps"]
    assert page.text("dd") == ["run/model-3", "7"]
    assert page.text("th") == ["name", "input", "output", "1", "2"]
    assert page.tags.count("tr") == 3
    assert page.tags.count("td") == 4
    assert [image["src"] for image in page.images] == [
        "images/1-inputs.png",
        "images/1-outputs.png",
        "images/2-inputs.png",
        "images/2-outputs.png",
    ]
    assert all(image["alt"] for image in page.images)


def test_page_declares_utf_8(tmp_path):
    path, page = write(tmp_path, [])
    assert b'<meta charset="utf-8">' in path.read_bytes()[:200]
    assert page.tags.count("tr") == 1


@pytest.mark.parametrize("name", ODD)
def test_odd_names(tmp_path, name):
    files = [f"{name}-{kind}.png" for kind in ("inputs", "outputs")]
    _, page = write(tmp_path, [(name, *files)], name, [(name, name)])
    for tag in ("title", "h1", "dt", "dd"):
        assert "".join(page.text(tag)) == name, tag
    assert "".join(page.text("th")) == f"nameinputoutput{name}"
    image, _ = page.images
    assert image["alt"] == f"input of {name}"
    # The URL that a browser requests: no part of the name is a query, a fragment or a host.
    url = urllib.parse.urlsplit(urllib.parse.urljoin("file:///run/index.html", image["src"]))
    assert (url.scheme, url.netloc, url.query, url.fragment) == ("file", "", "", "")
    assert urllib.parse.unquote(url.path) == f"/run/images/{name}-inputs.png"
    assert image["src"].isascii()


def test_page_is_replaced(tmp_path):
    write(tmp_path, [(f"old {i}", "a.png", "b.png") for i in range(50)])
    path, page = write(tmp_path, [("new", "a.png", "b.png")], title="Second")
    assert "old 1" not in path.read_text()
    assert page.text("th")[-1] == "new"
    assert page.text("h1") == ["Second"]
    assert page.tags.count("html") == page.tags.count("table") == 1
    assert [file.name for file in tmp_path.iterdir()] == ["index.html"]


def test_page_that_fails_leaves_the_one_before(tmp_path):
    path, _ = write(tmp_path, [("first", "a.png", "b.png")])
    before = path.read_bytes()

    def body():
        yield "<p>cut"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_page(path, "Second", body())
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["index.html"]
