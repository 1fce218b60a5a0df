"""Segmenters that are functions, and names that stand for no segmenter."""

import dataclasses
import sys
import textwrap

import numpy as np
import pytest

from p2p_graph.imaging.palettes import Palette
from p2p_graph.segmentation import segmenters
from p2p_graph.utils.errors import UserError


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """Writes a module into the current folder, which is not the program's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)

    def write(name, source):
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(source), encoding="utf-8")

    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.mark.parametrize("none", [-1, 2, 255, -2, 3, 254])
def test_classes_match_the_palette(plugin, image, none):
    """Ids are classes of the palette, or stand for none: -1, 255, one more."""
    name = f"some_{none + 2}"
    plugin(name, f"def classes(x): y = x[..., 0].astype(int) // 128; y[3] = {none}; return y")
    palette = Palette("mine", {"a": (0, 0, 0), "b": (1, 1, 1)})
    segmenter = dataclasses.replace(segmenters.load(f"{name}:classes"), palette=palette)
    if none in (-1, 2, 255):
        assert (segmenter(image)[3] == none).all()
        return
    with pytest.raises(UserError, match=f"gives class {none}; palette mine has 2 from 0 on"):
        segmenter(image)


@pytest.mark.parametrize("dtype", ["uint8", "int64"])
def test_function(plugin, image, dtype):
    plugin("greens", f"def classes(image): return (image[::2, ::2, 1] // 32).astype('{dtype}')")
    segmenter = segmenters.load("greens:classes")
    assert (segmenter.name, segmenter.is_fcn8s) == ("greens:classes", False)
    ids = segmenter(image)
    assert ids.dtype == np.int64
    np.testing.assert_array_equal(ids, image[::2, ::2, 1] // 32)


def test_modules_of_the_current_folder_hide_nothing(plugin, monkeypatch):
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    plugin("colorsys", "raise RuntimeError('hides the library')")
    with pytest.raises(UserError, match="module colorsys has no function classes"):
        segmenters.load("colorsys:classes")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("classes = 1", "^segmenter bad:classes: module bad has no function classes$"),
        ("import no_such", "module bad cannot be imported: ModuleNotFoundError: No .*no_such"),
        ("def classes(", "module bad cannot be imported: SyntaxError: "),
        ("1 / 0", "module bad cannot be imported: ZeroDivisionError: division by zero"),
    ],
)
def test_wrong_modules(plugin, source, message):
    plugin("bad", source)
    with pytest.raises(UserError, match=message):
        segmenters.load("bad:classes")


NO_TEXT = """
class Silent(BaseException):
    def __str__(self):
        raise ValueError("no text")
    message = property(__str__)
def raises(x):
    raise Silent
"""


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("import sys; sys.exit()", "SystemExit"),
        ("raise BaseException('why')", "BaseException: why"),
        ("raise GeneratorExit", "GeneratorExit"),
        ("raise MemoryError", "MemoryError"),
        ("f = lambda: f(); f()", "RecursionError: maximum recursion depth"),
        (f"{NO_TEXT}\nraises(1)", "Silent"),
        ("raise ValueError('one\\ntwo')", "ValueError: one"),
        ("def __getattr__(name): raise BaseException(name)", "BaseException: classes"),
        ("import asyncio; raise asyncio.CancelledError", "CancelledError"),
        ("x = '\\0' + 1", "TypeError"),
        ("\0", "bad"),
    ],
    ids=lambda value: value[:20].strip(),
)
def test_modules_that_raise_anything(plugin, source, reason):
    plugin("bad", source)
    with pytest.raises(UserError, match=r"^segmenter bad:classes: module bad cannot be") as raised:
        segmenters.load("bad:classes")
    assert reason in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("def classes(x): raise SystemExit", "SystemExit"),
        ("def classes(x): raise BaseException('why')", "BaseException: why"),
        ("def classes(x): return classes(x)", "RecursionError"),
        (f"{NO_TEXT}\nclasses = raises", "Silent"),
        ("def classes(): pass", "TypeError: .*argument"),
        ("classes = int", "TypeError"),
        ("class classes:\n  def __init__(self, x): raise KeyError(0)", "KeyError: 0"),
    ],
    ids=lambda value: value[:30].strip(),
)
def test_functions_that_raise_anything(plugin, image, source, reason):
    plugin("bad", source)
    segmenter = segmenters.load("bad:classes")
    with pytest.raises(UserError, match=f"^segmenter bad:classes failed: .*{reason}") as raised:
        segmenter(image)
    assert "\n" not in str(raised.value)


def test_an_interrupt_is_one(plugin, image):
    plugin("slow", "def classes(x): raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        segmenters.load("slow:classes")(image)
    plugin("slower", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        segmenters.load("slower:classes")


def test_files_of_modules_that_have_none(plugin):
    """A built-in module, and modules whose `__file__` is nonsense."""
    plugin("odd", "__file__ = 5\ndef classes(x): pass")
    for spec in ("time:time", "odd:classes"):
        segmenters.load(spec)
        assert segmenters.files_of(spec) == []


def test_no_module(plugin):
    with pytest.raises(UserError, match="module nowhere cannot be imported: ModuleNotFoundError"):
        segmenters.load("nowhere:classes")


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ("None", "gives NoneType, not an integer array"),
        ("[[1, 2]]", "gives list, not an integer array"),
        ("x", r"gives uint8 \[40, 56, 3\], not an integer array \[H, W\]"),
        ("x[..., 0] / 2", r"gives float64 \[40, 56\], not an integer array"),
        ("x[..., 0] > 2", r"gives bool \[40, 56\], not an integer array"),
        ("x[:0, :, 0]", r"gives uint8 \[0, 56\], not an integer array"),
        ("np.array([[1]], object)", r"gives object \[1, 1\], not an integer array"),
        ("np.array([['a']])", r"gives <U1 \[1, 1\], not an integer array"),
        ("np.array(1)", r"gives int64 \[\], not an integer array"),
        ("np.zeros((1, 1), 'i4,i4')", r"gives .* \[1, 1\], not an integer array"),
        ("np.zeros((1, 1), 'm8[s]')", r"gives timedelta64\[s\] \[1, 1\], not an integer array"),
        ("classes", "gives function, not an integer array"),
        ("x.no_such", "failed: AttributeError: .*no_such"),
    ],
)
def test_wrong_results(plugin, image, result, message):
    plugin("wrong", f"import numpy as np\ndef classes(x): return {result}")
    segmenter = segmenters.load("wrong:classes")
    with pytest.raises(UserError, match=f"^segmenter wrong:classes {message}") as raised:
        segmenter(image)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("spec", ["nowhere", "nowhere.onnx", "a folder/b", "a b:c", "m:f:g", ""])
def test_nothing_there(tmp_path, monkeypatch, spec):
    monkeypatch.chdir(tmp_path)
    problem = "is no segmenter" if not spec else "does not exist"
    with pytest.raises(UserError, match=f"^segmenter {spec} {problem}; give a folder with"):
        segmenters.load(spec)


def test_other_files(tmp_path):
    (tmp_path / "net.txt").touch()
    for spec in (tmp_path, tmp_path / "net.txt"):
        with pytest.raises(
            UserError, match=f"^segmenter {spec} is no segmenter; give a folder with"
        ):
            segmenters.load(str(spec))
