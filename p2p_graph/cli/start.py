"""The entry points of tools/*.py and of the console scripts.

This module imports little: signals have handlers before a program's imports, which take longest.
"""

import importlib
from collections.abc import Callable

from p2p_graph.utils import signals


def _entry_point(module: str) -> Callable[[], None]:
    def run() -> None:
        """Imports a program, runs it, and ends the process with its exit code."""
        signals.handle()
        importlib.import_module(f"p2p_graph.cli.{module}").run()

    return run


check_data = _entry_point("check_data")
convert = _entry_point("convert")
download_dataset = _entry_point("download_dataset")
evaluate = _entry_point("evaluate")
export = _entry_point("export")
pack_npz = _entry_point("pack_npz")
pack_records = _entry_point("pack_records")
process = _entry_point("process")
reproduce = _entry_point("reproduce")
serve = _entry_point("serve")
split = _entry_point("split")
test = _entry_point("test")
train = _entry_point("train")
train_segmenter = _entry_point("train_segmenter")
translate_many = _entry_point("translate_many")
