#!/usr/bin/env python3
"""Looks at a data set before training: one table of what would stop it, and of what is odd.

    python tools/check_data.py --input_dir facades/train

The exit code is 1 where something would stop training.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from p2p_graph import flags, recipes


def main(argv: Sequence[str]) -> int:
    """Parses the flags, looks, and returns the exit code."""
    parser = flags.sources_parser(__doc__)
    parser.add_argument("--arrays", metavar="NAMES", help="of an .npz archive's arrays, A,B")
    parser.add_argument(
        "--recipe", metavar="NAME", default=None, help="whose pictures they are (by folder name)"
    )
    given = vars(parser.parse_args(argv))
    recipe = given.pop("recipe")
    config = flags.sources_config(given)
    recipe = recipes.choose(recipe, Path(config.data))
    plain = recipes.RECIPES[recipe].plain if recipe != "none" else None
    with flags.tensorflow_import():
        from p2p_graph import checking
    count, findings = checking.check(config, plain)
    print(f"{count} pictures in {config.data}")
    print(checking.table(findings) if findings else "nothing to mend")
    return int(any(finding.stops for finding in findings))


if __name__ == "__main__":
    flags.run(main)
