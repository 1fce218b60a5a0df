"""The notebook runs from its first cell to its last, in a small form."""

import os
import re
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
pytest.importorskip("ipykernel", reason="ipykernel is not installed")

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "docs" / "facades.ipynb"


def test_the_notebook_is_committed_without_outputs():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert not cell.get("outputs"), cell.source
        assert not cell.get("execution_count"), cell.source


def test_the_notebook_trains_translates_and_loads(tmp_path, monkeypatch):
    small = {"STEPS": 5, "SIZE": 32, "WIDTH": 2, "PAIRS": 4, "WORK": tmp_path / "work"}
    # A kernel writes into folders of the person who runs it, unless these name others.
    folders = dict.fromkeys(("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR"), tmp_path)
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    for name, value in {**small, **folders, "PYTHONPATH": path}.items():
        monkeypatch.setenv(name, str(value))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    where = {"metadata": {"path": str(NOTEBOOK.parent)}}
    nbclient.NotebookClient(notebook, timeout=120, resources=where).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    texts = "".join(output.get("text", "") for output in outputs)
    assert "done: 5 steps" in texts
    assert "6 images in" in texts
    shown = [output["data"] for output in outputs if output.output_type == "display_data"]
    # A pair, the grid, and the drawn labels with their translation.
    assert sum("image/png" in data for data in shown) == 4
    [table] = [data["text/markdown"] for data in shown if "text/markdown" in data]
    rows = re.findall(r"^\| (\d) to \1 \| (\S+) \| (\S+) \| (\S+) \|$", table, re.MULTILINE)
    assert [row[0] for row in rows] == list("12345")
    assert all(0 < float(value) < 3 for row in rows for value in row[1:])
