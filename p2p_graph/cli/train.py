"""Trains a translation on pairs of images, or goes on training one.

    python tools/train.py --input_dir facades/train

Started again with the same flags, a run goes on from its last checkpoint.
"""

from collections.abc import Sequence

from p2p_graph.cli.program import program
from p2p_graph.config import flags
from p2p_graph.runtime.quiet_import import tensorflow_import


def main(argv: Sequence[str]) -> int:
    """Parses the flags, trains, and returns the exit code."""
    given = flags.given("train", __doc__, argv)

    with tensorflow_import():
        from p2p_graph.training.configure import configure
        from p2p_graph.training.run import train
    return train(configure(given), given)


run = program(main)

if __name__ == "__main__":
    run()
