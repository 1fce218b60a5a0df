"""Exports a trained generator for use without this package.

The output folder receives the reference program's meta graph (export.meta and its checkpoint) and a
SavedModel (saved_model/), or what --format names; README.md says how each form is called. Rerunning
the command replaces all of them.

Example: python tools/export.py --checkpoint runs/facades_BtoA --output_dir facades_export
"""

from collections.abc import Sequence

from p2p_graph.cli.program import program
from p2p_graph.config import flags
from p2p_graph.runtime.quiet_import import tensorflow_import


def main(argv: Sequence[str]) -> None:
    """Parses the flags and exports."""
    given = flags.given("export", __doc__, argv)

    with tensorflow_import():
        from p2p_graph.inference import export
        from p2p_graph.serving.web_page import WebPage
    export.export(given, WebPage)


run = program(main)

if __name__ == "__main__":
    run()
