"""Reproduces a table of the paper: trains, translates and evaluates its rows.

    python tools/reproduce.py facades --data facades --budget paper
    python tools/reproduce.py table6 --data cityscapes --budget 90m --dry_run
    python tools/reproduce.py table6 --data cityscapes --budget 10000 -- --crop_size 128 --ngf 32
    python tools/reproduce.py table6 --data cityscapes --budget paper --devices 0,1,2

Every row is trained with --preset paper and its own flags. Flags after -- go to tools/train.py, for
every row. The same command run again continues where it stopped. `facades` is not a table of the
paper and has no figures to compare with.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from p2p_graph.cli.program import program
from p2p_graph.config import flags
from p2p_graph.reproduction.paper_tables import TABLES
from p2p_graph.reproduction.reproduce_options import Budget, ReproduceOptions, parse_devices
from p2p_graph.runtime.quiet_import import tensorflow_import


def main(argv: Sequence[str]) -> int:
    """Parses the flags, reproduces the table, and returns the exit code."""
    options = parse(argv)
    with tensorflow_import():
        from p2p_graph.reproduction.reproduce import reproduce
    return reproduce(options)


def parse(argv: Sequence[str]) -> ReproduceOptions:
    """Makes options from a command line.

    Raises:
      UserError: an option is wrong.
      SystemExit: a flag is unknown or missing, or the command line asks for help.
    """
    end = argv.index("--") if "--" in argv else len(argv)
    given = _parser().parse_args(argv[:end])
    names = given.rows.split(",") if given.rows else []
    return ReproduceOptions(
        table_name=given.table,
        data=given.data,
        budget=Budget(given.budget),
        row_names=tuple(name.strip() for name in names),
        seeds=given.seeds,
        output_dir=given.output_dir,
        segmenter=given.segmenter,
        palette=given.palette,
        labels_dir=given.labels_dir,
        inception=given.inception,
        dry_run=given.dry_run,
        parallel=given.parallel,
        devices=() if given.devices is None else parse_devices(given.devices),
        train_flags=tuple(argv[end + 1 :]),
    )


def _parser() -> flags.Parser:
    parser = flags.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("table", choices=TABLES, help="the table or figure")
    add(
        "--data",
        required=True,
        type=Path,
        metavar="DIR",
        help="the data set's folder, with train, and val or test",
    )
    add(
        "--budget",
        required=True,
        metavar="HOW",
        help="paper: the paper's epochs; a number: training steps a row; 90m: minutes in all",
    )
    add(
        "--rows",
        metavar="NAMES",
        help="rows to train, separated by commas, as in L1,cGAN (default: all)",
    )
    add(
        "--seeds",
        type=int,
        default=ReproduceOptions.seeds,
        metavar="N",
        help="runs of each row (default: %(default)s)",
    )
    add(
        "--output_dir",
        type=Path,
        default=ReproduceOptions.output_dir,
        metavar="DIR",
        help="the folder for runs and tables (default: %(default)s)",
    )
    add("--segmenter", metavar="WHAT", help="for tables 1 to 3: see tools/evaluate.py")
    add("--palette", metavar="NAME", help="colours of the labels (default: the data set's)")
    add(
        "--labels_dir",
        type=Path,
        metavar="DIR",
        help="folder of true labels, as for evaluate.py, if the input images are not label images",
    )
    add("--inception", type=Path, metavar="FILE", help="Inception's graph: adds FID and KID")
    add(
        "--parallel",
        type=int,
        metavar="N",
        help="rows that run at the same time: on GPUs, in turn, or each on a share of the cores "
        "(default: one after the other)",
    )
    add(
        "--devices",
        metavar="NUMBERS",
        help="GPUs for rows that run at the same time, separated by commas, as in 0,1",
    )
    add(
        "--dry_run",
        action="store_true",
        help="only print commands, steps and training time; to estimate the time, a few steps of "
        "each row are trained",
    )
    # argparse knows nothing of what follows --.
    parser.usage = parser.format_usage().removeprefix("usage: ").rstrip() + " [-- TRAIN_FLAGS ...]"
    return parser


run = program(main)

if __name__ == "__main__":
    run()
