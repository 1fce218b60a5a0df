#!/usr/bin/env python3
"""Translates a folder of pictures with a trained model, and makes a page of the results.

    python tools/test.py --input_dir facades/test --checkpoint runs/facades_BtoA

What the model is comes from the options.json beside the checkpoint.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from p2p_graph import flags


def main(argv: Sequence[str]) -> None:
    """Parses the flags and translates."""
    given = flags.given("test", __doc__, argv)

    with flags.tensorflow_import():
        from p2p_graph import translation
    translation.test(given)


if __name__ == "__main__":
    flags.run(main)
