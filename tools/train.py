#!/usr/bin/env python3
"""Trains a translation on pairs of pictures, or goes on training one.

    python tools/train.py --input_dir facades/train

Started again with the same flags, a run goes on from its last checkpoint.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from p2p_graph import flags


def main(argv: Sequence[str]) -> int:
    """Parses the flags, trains, and returns the exit code."""
    given = flags.given("train", __doc__, argv)

    with flags.tensorflow_import():
        from p2p_graph import training
    return training.train(training.configure(given), given)


if __name__ == "__main__":
    flags.run(main)
