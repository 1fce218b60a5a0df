"""The modules of the package stand in one order: each may import only those before it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import p2p_graph

FOLDER = Path(p2p_graph.__file__).parent
ORDER = [
    "errors", "interrupts", "locks", "whole", "presets", "config", "options", "recipes", "flags",
    "files", "names", "download", "datasets", "archives", "edges", "pixels", "processing",
    "splitting", "lab", "metrics", "label_files", "opencv", "fcn", "segnet_file", "tables", "plots",
    "report", "grids", "evaluation", "results", "color", "devices", "inception", "saved_segmenter",
    "mapping", "records", "listing", "checking", "readers", "pairs", "packing", "inputs",
    "products", "ops", "generators", "discriminators", "losses", "networks", "updates", "model",
    "stepping", "checkpoints", "segnet", "segnet_training", "segmenters", "measures", "scoring",
    "pict", "conversion", "images", "hooks", "displays", "validation", "training", "budget", "rows",
    "judging", "reproduction", "translation", "export",
]  # fmt: skip
WITHOUT_TENSORFLOW = (
    "interrupts",
    "locks",
    "whole",
    "presets",
    "config",
    "options",
    "recipes",
    "flags",
    "files",
    "names",
    "errors",
    "download",
    "datasets",
    "archives",
    "edges",
    "pixels",
    "processing",
    "splitting",
    "lab",
    "metrics",
    "label_files",
    "opencv",
    "fcn",
    "segnet_file",
    "tables",
    "plots",
    "report",
    "grids",
    "evaluation",
    "results",
)
# A folder of modules stands in the order as one.
PACKAGES = sorted(path.parent.name for path in FOLDER.glob("*/__init__.py"))
MODULES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__") + PACKAGES


def imports(source):
    """The full names of what a module of the package imports, wherever the statement stands."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = ["p2p_graph"] if node.level else []
            module = ".".join([*package, *([node.module] if node.module else [])])
            found |= {f"{module}.{alias.name}" for alias in node.names}
    return found


def own(source):
    """Which of the package's modules a source imports."""
    parts = [name.split(".") for name in imports(source)]
    return {part[1] for part in parts if part[0] == "p2p_graph" and part[1] in {*ORDER, *MODULES}}


def source_of(module):
    paths = (FOLDER / module).glob("*.py") if module in PACKAGES else [FOLDER / f"{module}.py"]
    return "\n".join(path.read_text(encoding="utf-8") for path in paths)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import p2p_graph.config", {"config"}),
        ("import p2p_graph.config as c, os", {"config"}),
        ("from p2p_graph import config, ops, __version__", {"config", "ops"}),
        ("from p2p_graph.config import Config as C", {"config"}),
        ("from . import config", {"config"}),
        ("from .config import Config", {"config"}),
        ("def f():\n    from p2p_graph import ops", {"ops"}),
        ("import config\nfrom other import ops", set()),
    ],
)
def test_imports_are_seen(source, found):
    assert own(source) == found


def test_order_names_each_once():
    assert len(set(ORDER)) == len(ORDER)


def test_every_module_is_in_the_order():
    assert MODULES
    assert set(MODULES) - set(ORDER) == set()


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_up_the_list(module):
    before = set(ORDER[: ORDER.index(module)])
    assert own(source_of(module)) - before - ({module} & set(PACKAGES)) == set()


def test_package_itself_imports_nothing():
    assert imports(source_of("__init__")) == set()


@pytest.mark.parametrize("module", WITHOUT_TENSORFLOW)
def test_no_tensorflow_is_named(module):
    tops = {name.partition(".")[0] for name in imports(source_of(module))}
    assert not tops & {"tensorflow", "keras", "tensorboard"}
    assert own(source_of(module)) <= set(WITHOUT_TENSORFLOW)


@pytest.mark.parametrize("module", WITHOUT_TENSORFLOW)
def test_no_tensorflow_is_loaded(module):
    program = f"import sys, p2p_graph.{module}; print(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=FOLDER.parent,
    )
    loaded = result.stdout.split()
    assert f"p2p_graph.{module}" in loaded
    assert [name for name in loaded if name.startswith(("tensorflow", "keras"))] == []
