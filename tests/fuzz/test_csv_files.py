"""Manifests and palettes."""

from hypothesis import strategies as st

from . import valid_files
from .strategies import Files, csv_texts, damaged_file

_IMAGES = (("a.png", "rgb.png"), ("b.png", "grey.png"), ("c.jpg", "rgb.jpg"), ("d.png", "deep.png"))


def test_manifest(fuzz_files):
    names = (
        *("a.png", "a.png", "b.png", "b.png", "c.jpg", "d.png", "é.png", "", " ", ".", "../x"),
        *("/dev/null", "a\0b", "a\nb", 'a"b', "a.png ", "list.csv", "x" * 300, "y" * 140_000),
    )
    headers = (
        *(["input", "target"], ["input", "target"], ["input"], ["target", "input", "more"]),
        *(["input", "input", "target"], ["Input", "target"], ["input ", " target"], []),
    )
    valid = b"input,target\na.png,b.png\nb.png,c.jpg\n"
    texts = st.one_of(
        csv_texts(headers, st.sampled_from(names)),
        damaged_file({"list.csv": valid}).map(lambda found: found[0]),
    )
    images = tuple((name, valid_files.images()[of]) for name, of in _IMAGES)
    cases = st.builds(
        lambda text, single: Files((("list.csv", text), *images), (single,)), texts, st.booleans()
    )
    fuzz_files("manifest", cases, "readers:manifest_csv")


def test_palette(fuzz_files):
    cells = st.sampled_from(
        (
            *("road", "sky", "", " ", "é", "a\nb", "0", "1", "2", "77", "255", "256", "-1", "1.5"),
            *(" 7 ", "٣", "²", "1_0", "0x1", "9" * 5000, "x" * 140_000, "a\0b"),
        )
    )
    headers = (
        *(["class", "red", "green", "blue"], ["class", "red", "green", "blue"]),
        *(["red", "green", "blue"], ["class", "red", "green"], ["blue", "green", "red", "class"]),
        *(["class", "red", "green", "blue", "more"], ["class", "red", "red", "green", "blue"]),
    )
    numbers = st.integers(0, 255).map(str)
    rows = st.lists(st.tuples(cells, numbers, numbers, numbers).map(list), min_size=2, max_size=5)
    valid = b"class,red,green,blue\nroad,1,2,3\nsky,4,5,6\n,7,8,9\n"
    texts = st.one_of(
        csv_texts(headers, cells),
        rows.map(lambda rows: "\n".join(map(",".join, [headers[0], *rows])).encode()),
        damaged_file({"palette.csv": valid}).map(lambda found: found[0]),
    )
    cases = texts.map(lambda text: Files((("palette.csv", text),)))
    fuzz_files("palette", cases, "readers:palette_csv")
