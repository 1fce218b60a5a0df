"""Trains a pix2pix model on pairs of images.

A pair is one image, A in its left half and B in its right half, or two images (--target_dir,
--manifest, --arrays).
The run's folder receives the newest checkpoint, options.json, losses.jsonl and TensorBoard
summaries. Rerunning the same command resumes training from that checkpoint.

The defaults below are those of the preset affinelayer without a recipe. Another preset or a recipe
changes some of them.

    python tools/train.py --input_dir facades/train
"""

from collections.abc import Sequence

from p2p_graph.cli.program import program
from p2p_graph.config import flags
from p2p_graph.runtime.quiet_import import tensorflow_import


def main(argv: Sequence[str]) -> int:
    """Parses the flags, trains, and returns the exit code."""
    given = flags.given("train", __doc__, argv)

    with tensorflow_import():
        from p2p_graph.training.option_precedence import configure
        from p2p_graph.training.run import train
    return train(configure(given), given)


run = program(main)

if __name__ == "__main__":
    run()
