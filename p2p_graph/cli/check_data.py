"""Inspects a data set before training: prints a table of what stops training, and what is unusual.

    python tools/check_data.py --input_dir facades/train

The exit code is 1 if training would stop, else 0.
"""

from collections.abc import Sequence
from pathlib import Path

from p2p_graph.cli.program import program
from p2p_graph.config import dataset_recipes, flags
from p2p_graph.runtime.quiet_import import tensorflow_import
from p2p_graph.utils.counted import counted


def main(argv: Sequence[str]) -> int:
    """Parses the flags, inspects the images, and returns the exit code."""
    parser = flags.source_parser(__doc__, "input_dir", "arrays", "more_inputs")
    parser.add_argument(
        "--recipe",
        metavar="NAME",
        default=None,
        help="recipe that says which half should have few colours (labels, a map, edges), for a "
        "warning if the halves look swapped; or none (default: by the folder's name)",
    )
    given = vars(parser.parse_args(argv))
    recipe_name = given.pop("recipe")
    data = flags.source_options(given).data
    recipe_name = dataset_recipes.choose(recipe_name, Path(data.source.path))
    few_colors = dataset_recipes.RECIPES[recipe_name].few_colours if recipe_name != "none" else None
    with tensorflow_import():
        from p2p_graph.preparation import check_data
    count, findings = check_data.inspect_images(data.source, few_colors, single=data.task.is_single)
    print(f"{counted(count, 'image')} in {data.source.path}")
    print(check_data.table(findings) if findings else "nothing to mend")
    return int(any(finding.stops for finding in findings))


run = program(main)

if __name__ == "__main__":
    run()
