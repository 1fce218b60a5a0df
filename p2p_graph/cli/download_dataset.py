"""Downloads one of the paper's data sets and extracts it; run again, it resumes.

python tools/download_dataset.py facades --output_dir data
"""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from p2p_graph.cli.program import program
from p2p_graph.config import flags
from p2p_graph.preparation.paper_datasets import NAMES, URL_PREFIX, get_dataset


def main(argv: Sequence[str]) -> int:
    """Parses the flags, downloads, and returns the exit code."""
    parser = flags.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", metavar="NAME", choices=NAMES, help=f"one of {', '.join(NAMES)}")
    parser.add_argument(
        "--output_dir", type=Path, default=Path(), help="the folder NAME is made in (default: .)"
    )
    parser.add_argument(
        "--url",
        metavar="URL_PREFIX",
        default=URL_PREFIX,
        help="the archive is URL_PREFIX/NAME.tar.gz (default: %(default)s)",
    )
    parser.add_argument("--keep_archive", action="store_true", help="do not delete NAME.tar.gz")
    options = parser.parse_args(argv)
    try:
        folder = get_dataset(options.name, options.output_dir, options.url, options.keep_archive)
    except KeyboardInterrupt:
        print("stopped; run the same command again to go on from what has come", file=sys.stderr)
        return 130
    print(f"the data is in {folder}")
    print(f"next: python tools/train.py --input_dir {shlex.quote(str(folder / 'train'))}")
    return 0


run = program(main)

if __name__ == "__main__":
    run()
