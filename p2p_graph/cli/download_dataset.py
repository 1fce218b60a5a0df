"""Downloads and extracts one of the paper's data sets; a rerun resumes the download.

python tools/download_dataset.py facades --output_dir data
"""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from p2p_graph.cli.program import command_of, program
from p2p_graph.config import flags
from p2p_graph.preparation.download_dataset import NAMES, URL_PREFIX, get_dataset
from p2p_graph.utils import signals


def main(argv: Sequence[str]) -> int:
    """Parses the flags, downloads, and returns the exit code."""
    parser = flags.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", metavar="NAME", choices=NAMES, help=f"one of {', '.join(NAMES)}")
    parser.add_argument(
        "--output_dir",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="folder to create NAME in (default: %(default)s)",
    )
    parser.add_argument(
        "--url",
        metavar="URL_PREFIX",
        default=URL_PREFIX,
        help="download URL_PREFIX/NAME.tar.gz (default: %(default)s)",
    )
    parser.add_argument(
        "--keep_archive", action="store_true", help="keep NAME.tar.gz instead of deleting it"
    )
    options = parser.parse_args(argv)
    try:
        folder = get_dataset(options.name, options.output_dir, options.url, options.keep_archive)
    except KeyboardInterrupt as interrupt:
        print("stopped; run the same command again to resume the download", file=sys.stderr)
        return signals.ending_of(interrupt)[1]
    print(f"the data is in {folder}")
    if (folder / "train").is_dir():
        print(f"next: {command_of('train')} --input_dir {shlex.quote(str(folder / 'train'))}")
    else:
        print("the archive has no folder train, unlike the paper's: look what it holds")
    return 0


run = program(main)

if __name__ == "__main__":
    run()
