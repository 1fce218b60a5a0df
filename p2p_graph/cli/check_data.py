"""Looks at a data set before training: one table of what would stop it, and of what is odd.

    python tools/check_data.py --input_dir facades/train

The exit code is 1 where something would stop training.
"""

from collections.abc import Sequence
from pathlib import Path

from p2p_graph.cli.program import program
from p2p_graph.config import flags, recipes
from p2p_graph.runtime.quiet_import import tensorflow_import


def main(argv: Sequence[str]) -> int:
    """Parses the flags, looks, and returns the exit code."""
    parser = flags.sources_parser(__doc__)
    parser.add_argument("--arrays", metavar="NAMES", help="of an .npz archive's arrays, A,B")
    parser.add_argument(
        "--recipe", metavar="NAME", default=None, help="whose images they are (by folder name)"
    )
    given = vars(parser.parse_args(argv))
    recipe = given.pop("recipe")
    config = flags.sources_config(given)
    recipe = recipes.choose(recipe, Path(config.data))
    plain = recipes.RECIPES[recipe].plain if recipe != "none" else None
    with tensorflow_import():
        from p2p_graph.preparation import check_data
    count, findings = check_data.check(config, plain)
    print(f"{count} images in {config.data}")
    print(check_data.table(findings) if findings else "nothing to mend")
    return int(any(finding.stops for finding in findings))


run = program(main)

if __name__ == "__main__":
    run()
