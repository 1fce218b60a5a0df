#!/usr/bin/env python3
"""Parts a folder of pictures into train, test and val inside it; run again, it goes on.

    python tools/split.py --dir photos
    python tools/split.py --dir photos --train_frac 0.9 --test_frac 0.1 --val_frac 0 --copy

The first gives train 80 % and val the rest. Each picture goes where the reference's tool puts it.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from p2p_graph import flags
from p2p_graph.splitting import split


def main(argv: Sequence[str]) -> None:
    """Parses the flags and parts the folder."""
    parser = flags.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--dir", required=True, type=Path, metavar="DIR", help="the folder of pictures")
    add("--train_frac", type=float, default=0.8, metavar="X", help="share of train (%(default)s)")
    add("--test_frac", type=float, default=0.0, metavar="X", help="share of test (%(default)s)")
    add(
        "--val_frac",
        type=float,
        metavar="X",
        help="share of val (what is left, and what the others leave by rounding; 0: none)",
    )
    add("--sort", action="store_true", help="part the sorted names, instead of shuffling them")
    add("--copy", action="store_true", help="copy the pictures instead of moving them")
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
        print(f"{options.dir / part}: {count} pictures")


if __name__ == "__main__":
    flags.run(main)
