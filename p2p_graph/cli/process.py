"""Applies one operation to every image of a folder; a rerun writes the missing outputs.

    python tools/process.py --input_dir photos --operation resize --output_dir photos256
    python tools/process.py --input_dir photos256 --operation edges --output_dir edges --workers 2
    python tools/process.py --input_dir edges --b_dir photos256 --operation combine --output_dir all

operation  output
grayscale  the image in grey
resize     a square of --size pixels; crops or pads what is not square
blank      a white hole of 30 % of height and width in the middle
combine    the image and its partner in --b_dir, side by side
edges      black edges on white by HED, an edge-detecting network, as in the paper's edges2shoes
blur       a Gaussian blur of --sigma pixels

Outputs are PNG files of 8 bits without transparency, with the inputs' names. Images of 16 bits, or
with transparency, train in full from two folders (--target_dir). The operation edges needs the
extra `edges`: pip install -c constraints.txt -e '.[edges]'.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from p2p_graph.cli.program import program
from p2p_graph.config import flags
from p2p_graph.preparation.process_images import OPERATIONS, ImageOperation, process

# The operation that takes each flag.
_OPERATION_OF = {
    "size": "resize",
    "pad": "resize",
    "b_dir": "combine",
    "sigma": "blur",
    "threshold": "edges",
    "small_edge": "edges",
}


def main(argv: Sequence[str]) -> int:
    """Parses the flags, processes the images, and returns the exit code: 1 if some failed."""
    parser = _parser()
    options = vars(parser.parse_args(argv))
    for name, operation in _OPERATION_OF.items():
        if name in options and options["operation"] != operation:
            parser.error(f"--{name} is a flag of {operation}, not of {options['operation']}")
    input_dir, output_dir = options.pop("input_dir"), options.pop("output_dir")
    how = {name: options.pop(name) for name in ("b_dir", "workers") if name in options}
    return 1 if process(input_dir, output_dir, ImageOperation(**options), **how) else 0


def _parser() -> flags.Parser:
    parser = flags.Parser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
    )
    add = parser.add_argument
    add("--input_dir", required=True, type=Path, metavar="DIR", help="folder of images")
    add("--output_dir", required=True, type=Path, metavar="DIR", help="folder to write to")
    add("--operation", required=True, choices=OPERATIONS, help="operation to apply, see above")
    add("--upright", action="store_true", help="turn photos as their EXIF orientation says")
    add("--workers", type=int, metavar="N", help="number of worker processes (default: 1)")
    add(
        "--size",
        type=int,
        metavar="N",
        help=f"resize: new height and width, in pixels (default: {ImageOperation.size})",
    )
    add("--pad", action="store_true", help="resize: add a black border instead of cropping")
    add("--b_dir", type=Path, metavar="DIR", help="combine: folder of the right halves")
    add(
        "--sigma",
        type=float,
        metavar="X",
        help="blur: standard deviation of the Gaussian, in pixels "
        f"(default: {ImageOperation.sigma})",
    )
    add(
        "--threshold",
        type=float,
        metavar="X",
        help="edges: least probability of an edge (default: 25/255)",
    )
    add(
        "--small_edge",
        type=int,
        metavar="N",
        help="edges: remove lines of fewer pixels than this "
        f"(default: {ImageOperation.small_edge})",
    )
    return parser


run = program(main)

if __name__ == "__main__":
    run()
