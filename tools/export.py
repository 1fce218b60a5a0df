#!/usr/bin/env python3
"""Exports a trained generator: the reference's meta graph, and a SavedModel.

python tools/export.py --checkpoint runs/facades_BtoA --output_dir facades_export
"""

import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from p2p_graph import flags


def main(argv: Sequence[str]) -> None:
    """Parses the flags and exports."""
    given = flags.given("export", __doc__, argv)
    with flags.tensorflow_import():
        from p2p_graph import export
    export.export(given)


if __name__ == "__main__":
    flags.run(main)
