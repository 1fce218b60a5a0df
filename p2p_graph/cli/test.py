"""Translates images with a trained model.

The model's options come from the options.json beside the checkpoint. The output folder receives
every input, output and target as a PNG file in images/, and index.html, a page that shows them.
Rerunning the command translates all images again; with --skip_done those that are missing.

Example: python tools/test.py --input_dir facades/test --checkpoint runs/facades_BtoA
"""

from collections.abc import Sequence

from p2p_graph.cli.program import program
from p2p_graph.config import flags
from p2p_graph.runtime.quiet_import import tensorflow_import


def main(argv: Sequence[str]) -> None:
    """Parses the flags and translates."""
    given = flags.given("test", __doc__, argv)

    with tensorflow_import():
        from p2p_graph.inference.folder import translate_folder
    translate_folder.test(given)


run = program(main)

if __name__ == "__main__":
    run()
