r"""Trains a small network that reads labels off photos, for tools/evaluate.py --segmenter.

    python tools/train_segmenter.py --input_dir cityscapes/train --val_dir cityscapes/val \
        --palette cityscapes --output_dir runs/segmenter

Run again, it goes on where it was, also when it was stopped. With --val_dir the last line is how
well it reads photos that it has not seen.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from p2p_graph.cli.program import program
from p2p_graph.config import flags
from p2p_graph.config.options import Config
from p2p_graph.imaging import palettes
from p2p_graph.runtime.quiet_import import tensorflow_import


def main(argv: Sequence[str]) -> int:
    """Parses the flags, trains, and returns the exit code."""
    parser = flags.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--input_dir", required=True, metavar="DIR", help="pairs of photos and label images")
    add("--val_dir", metavar="DIR", help="pairs to score it on")
    add("--palette", required=True, metavar="NAME", help="cityscapes, facades, or a CSV file")
    add("--output_dir", required=True, type=Path, metavar="DIR", help="where everything goes")
    add(
        "--which_direction",
        choices=("AtoB", "BtoA"),
        default="AtoB",
        help="from photos to labels (%(default)s: photos are the left halves)",
    )
    add("--crop_size", type=int, default=256, metavar="N", help="pixels (%(default)s)")
    add("--width", type=int, default=32, metavar="N", help="channels at first (%(default)s)")
    add("--batch_size", type=int, default=8, metavar="N", help="(%(default)s)")
    add("--max_steps", type=int, default=5000, metavar="N", help="in all (%(default)s)")
    add("--lr", type=float, default=0.001, metavar="X", help="Adam's (%(default)s)")
    add("--seed", type=int, default=0, metavar="N", help="(%(default)s)")
    options = parser.parse_args(argv)
    for name in ("width", "max_steps"):
        if getattr(options, name) < 1:
            parser.error(f"{name} must be at least 1, not {getattr(options, name)}")
    if options.lr <= 0:
        parser.error(f"lr must be above 0, not {options.lr}")
    config = Config(
        input_dir=options.input_dir,
        which_direction=options.which_direction,
        crop_size=options.crop_size,
        resize_targets="nearest",
        batch_size=options.batch_size,
        max_steps=options.max_steps,
        lr=options.lr,
        seed=options.seed,
    )
    palette = palettes.load(options.palette)
    with tensorflow_import():
        from p2p_graph.segmentation import train_small_fcn
    plan = train_small_fcn.Plan(
        config,
        options.val_dir,
        palette,
        options.width,
        options.lr,
        options.output_dir,
        options.max_steps,
    )
    return train_small_fcn.train(plan)


run = program(main)

if __name__ == "__main__":
    run()
