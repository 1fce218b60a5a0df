"""Makes a table of the paper: trains, translates and evaluates each row, beside its figures.

    python tools/reproduce.py facades --data facades --budget paper
    python tools/reproduce.py table6 --data cityscapes --budget 90m --dry_run
    python tools/reproduce.py table6 --data cityscapes --budget 10000 -- --crop_size 128 --ngf 32

Flags after -- go to tools/train.py, for every row. Run again, it goes on where it was; a row that
is finished is not made anew.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from p2p_graph.cli.program import program
from p2p_graph.config import flags
from p2p_graph.reproduction.paper_tables import TABLES
from p2p_graph.runtime.quiet_import import tensorflow_import


def main(argv: Sequence[str]) -> int:
    """Parses the flags, makes the table, and returns the exit code."""
    argv = list(argv)
    end = argv.index("--") if "--" in argv else len(argv)
    parser = flags.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("table", choices=TABLES, help="which one")
    add("--data", required=True, type=Path, metavar="DIR", help="holds train, and val or test")
    add(
        "--budget",
        required=True,
        metavar="HOW",
        help="paper: its steps; a number: of steps a row; 90m: minutes of training in all",
    )
    add("--rows", metavar="NAMES", help="some of the table's rows, separated by commas (all)")
    add("--seeds", type=int, default=1, metavar="N", help="runs of each row (%(default)s)")
    add(
        "--output_dir",
        type=Path,
        default=Path("runs/reproduce"),
        metavar="DIR",
        help="where everything goes (%(default)s)",
    )
    add("--segmenter", metavar="WHAT", help="for tables 1 to 3: see tools/evaluate.py")
    add("--palette", metavar="NAME", help="of labels (the data set's)")
    add("--labels_dir", type=Path, metavar="DIR", help="true labels' files, if not the inputs")
    add("--inception", type=Path, metavar="FILE", help="Inception's graph, for FID and KID besides")
    add("--dry_run", action="store_true", help="list commands, steps, and about how long it takes")
    options = parser.parse_args(argv[:end])
    if options.seeds < 1:
        parser.error(f"seeds must be at least 1, not {options.seeds}")
    with tensorflow_import():
        from p2p_graph.reproduction import reproduce
    return reproduce.run(options, argv[end + 1 :])


run = program(main)

if __name__ == "__main__":
    run()
