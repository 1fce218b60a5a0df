"""Splits a folder of images into train, test and val; a rerun completes the same split.

    python tools/split.py --dir photos
    python tools/split.py --dir photos --train_frac 0.9 --test_frac 0.1 --val_frac 0 --copy

The first command moves 80 % of the images to photos/train and the rest to photos/val, the same
images as affinelayer's split.py.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from p2p_graph.cli.program import program
from p2p_graph.config import flags
from p2p_graph.preparation.split_folder import split
from p2p_graph.utils.counted import counted


def main(argv: Sequence[str]) -> None:
    """Parses the flags and splits the folder."""
    parser = flags.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--dir", required=True, type=Path, metavar="DIR", help="folder of images")
    add(
        "--train_frac",
        type=float,
        default=0.8,
        metavar="X",
        help="share of train (default: %(default)s)",
    )
    add(
        "--test_frac",
        type=float,
        default=0.0,
        metavar="X",
        help="share of test (default: %(default)s)",
    )
    add(
        "--val_frac",
        type=float,
        metavar="X",
        help="share of val; 0 for no val at all (default: the remainder)",
    )
    add("--sort", action="store_true", help="split the sorted names instead of shuffling them")
    add("--copy", action="store_true", help="copy the images instead of moving them")
    options = parser.parse_args(argv)
    counts = split(
        options.dir,
        options.train_frac,
        options.test_frac,
        options.val_frac,
        sort=options.sort,
        copy=options.copy,
    )
    for part, count in counts.items():
        print(f"{options.dir / part}: {counted(count, 'image')}")


run = program(main)

if __name__ == "__main__":
    run()
