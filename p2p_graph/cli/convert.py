"""Converts a checkpoint to or from other programs' forms.

    python tools/convert.py --checkpoint facades_train --to current --output facades_current
    python tools/convert.py --checkpoint facades_train --to pict --output facades_BtoA.pict
    python tools/convert.py --checkpoint BtoA.pict --to native --output model --which_direction BtoA
    python tools/convert.py --checkpoint latest_net_G.pth --to native --output model

form         written by                      holds
native       this package                    weights, Adam's state and the step, under the names of
                                             pix2pix.py's first generation
current      pix2pix.py since December 2017  the same under its new names, biases, and batch
                                             normalisation's moving means and variances
pict         a tool for the reference's page the generator's weights, in 8 bits each
torch        junyanz's PyTorch program       latest_net_G.pth and, if it has such a one,
                                             latest_net_D.pth; of an output named NAME.pth G alone
safetensors  this package                    what native holds and the model's options, in one file

The checkpoint needs its options.json beside it; a file needs none. The output must not exist:
after an interrupted conversion, remove it and rerun. train.py, test.py and export.py read native
and current checkpoints without conversion. --to current takes models of 256 pixels and 8 levels.
--to torch takes U-Nets without normalisation in the bottleneck (as in the presets paper and
junyanz).
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from p2p_graph.checkpoints.find_checkpoint import prefix_of_step
from p2p_graph.cli.program import program
from p2p_graph.config import flags
from p2p_graph.runtime.quiet_import import tensorflow_import


def main(argv: Sequence[str]) -> None:
    """Parses the flags and converts."""
    parser = flags.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--checkpoint",
        required=True,
        type=Path,
        help="folder, or .pict, .pth or .safetensors file to read",
    )
    parser.add_argument(
        "--step",
        metavar="N",
        type=int,
        help="take the checkpoint of step N in the folder (default: the newest)",
    )
    parser.add_argument(
        "--to",
        required=True,
        choices=("native", "current", "pict", "torch", "safetensors"),
        help="form to write",
    )
    parser.add_argument("--output", required=True, type=Path, help="folder or file to write")
    parser.add_argument(
        "--discriminator",
        metavar="FILE",
        type=Path,
        help="latest_net_D.pth of the generator's .pth file, with which training can go on",
    )
    parser.add_argument(
        "--which_direction",
        choices=("AtoB", "BtoA"),
        default="AtoB",
        help="direction of the model in a .pict or .pth file, which does not store it (default: "
        "AtoB)",
    )
    options = parser.parse_args(argv)
    with tensorflow_import():
        from p2p_graph.checkpoints import convert
    source = options.checkpoint
    if options.step is not None:
        source = prefix_of_step(source, options.step)
    notes = convert.convert(
        source, options.output, options.to, options.which_direction, options.discriminator
    )
    for note in notes:
        print("note:", note)
    print("wrote", options.output)


run = program(main)

if __name__ == "__main__":
    run()
