"""Makes an image of every image of a folder; run again, it makes those that are missing.

    python tools/process.py --input_dir photos --operation resize --output_dir photos256
    python tools/process.py --input_dir photos256 --operation edges --output_dir edges --workers 2
    python tools/process.py --input_dir edges --b_dir photos256 --operation combine --output_dir all

Outputs are PNG files with the inputs' names. `edges` needs the extra of that name:
pip install '.[edges]'.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from p2p_graph.cli.program import program
from p2p_graph.config import flags
from p2p_graph.preparation.process_images import OPERATIONS, Job, process

# Which operation a flag is of.
FLAGS = {
    "size": "resize",
    "pad": "resize",
    "b_dir": "combine",
    "sigma": "blur",
    "threshold": "edges",
    "small_edge": "edges",
}


def main(argv: Sequence[str]) -> int:
    """Parses the flags, makes the images, and returns the exit code: 1 if some failed."""
    parser = flags.Parser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
    )
    add = parser.add_argument
    add("--input_dir", required=True, type=Path, metavar="DIR", help="the folder of images")
    add("--output_dir", required=True, type=Path, metavar="DIR", help="the folder to write to")
    add("--operation", required=True, choices=OPERATIONS, help="what to make of them")
    add("--workers", type=int, metavar="N", help="processes at a time (1)")
    add("--size", type=int, metavar="N", help=f"resize: new side ({Job.size})")
    add("--pad", action="store_true", help="resize: add a black border instead of cutting")
    add("--b_dir", type=Path, metavar="DIR", help="combine: the folder of the right halves")
    add(
        "--sigma",
        type=float,
        metavar="X",
        help=f"blur: the Gaussian's, in pixels ({Job.sigma})",
    )
    add(
        "--threshold",
        type=float,
        metavar="X",
        help="edges: least probability (25/255)",
    )
    add(
        "--small_edge",
        type=int,
        metavar="N",
        help=f"edges: lines of fewer pixels are left out ({Job.small_edge})",
    )
    options = vars(parser.parse_args(argv))
    for name, operation in FLAGS.items():
        if name in options and options["operation"] != operation:
            parser.error(f"--{name} is a flag of {operation}, not of {options['operation']}")
    input_dir, output_dir = options.pop("input_dir"), options.pop("output_dir")
    how = {name: options.pop(name) for name in ("b_dir", "workers") if name in options}
    return 1 if process(input_dir, output_dir, Job(**options), **how) else 0


run = program(main)

if __name__ == "__main__":
    run()
