"""Downloads a public pix2pix data set and extracts it; run again, it resumes.

Example: python tools/download_dataset.py facades --output_dir data
"""

import argparse
import shlex
import sys
from pathlib import Path
from typing import NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from p2p_graph.download import NAMES, URL_PREFIX, get_dataset
from p2p_graph.errors import UserError


class _Parser(argparse.ArgumentParser):
    """Reports a wrong command line as one line."""

    def error(self, message: str) -> NoReturn:
        """Prints `message` and exits with code 2."""
        self.exit(2, f"{self.prog}: {message}; see --help\n")


def main() -> int:
    """Runs the tool; returns the exit code."""
    parser = _Parser(description="Downloads a pix2pix data set and extracts it.")
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
    args = parser.parse_args()
    try:
        folder = get_dataset(args.name, args.output_dir, args.url, args.keep_archive)
    except UserError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            f"{parser.prog}: stopped; what has come is kept: run the same command again to go on",
            file=sys.stderr,
        )
        return 130
    print(f"the data is in {folder}")
    print(f"next: python tools/train.py --input_dir {shlex.quote(str(folder / 'train'))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
