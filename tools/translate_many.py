#!/usr/bin/env python3
"""Runs p2p_graph.cli.translate_many from a clone of the project; --help describes it."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from p2p_graph.cli import start

if __name__ == "__main__":
    start.translate_many()
