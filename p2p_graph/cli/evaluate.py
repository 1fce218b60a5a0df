"""Says how good translated images are: a table with 95% intervals, JSON, CSV, and a page.

    python tools/evaluate.py --results_dir results
    python tools/evaluate.py --results_dir results --palette cityscapes
    python tools/evaluate.py --outputs_dir made --targets_dir wanted

The first two take what tools/test.py has written; the second reads labels off the images, too.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from p2p_graph.cli.program import program
from p2p_graph.config import flags
from p2p_graph.evaluation import evaluate, metric_selection


def main(argv: Sequence[str]) -> None:
    """Parses the flags and evaluates."""
    parser = flags.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--results_dir", type=Path, metavar="DIR", help="what tools/test.py has written")
    add("--outputs_dir", type=Path, metavar="DIR", help="translated images, instead of that")
    add("--targets_dir", type=Path, metavar="DIR", help="what they should be, of the same names")
    add("--inputs_dir", type=Path, metavar="DIR", help="what they were made from")
    add(
        "--metrics",
        metavar="NAMES",
        help=f"of {', '.join(metric_selection.ALL)} (all that there is something for)",
    )
    add("--palette", metavar="NAME", help="labels' colours: cityscapes, facades, or a CSV file")
    add(
        "--segmenter",
        metavar="WHAT",
        help="reads labels off photos: the authors' Caffe model's folder, a folder by "
        "tools/train_segmenter.py, a SavedModel, an ONNX file, or module:function",
    )
    add("--labels_dir", type=Path, metavar="DIR", help="true labels' files, if not the inputs")
    add("--self_check", action="store_true", help="segment the real photos, too")
    add(
        "--inception",
        type=Path,
        metavar="FILE",
        help="Inception's graph of 2015, classify_image_graph_def.pb, for fid and kid",
    )
    add(
        "--target_statistics",
        type=Path,
        metavar="FILE",
        help="keeps what it makes of the targets, .npz, for other outputs",
    )
    add("--bootstrap", type=int, default=1000, metavar="N", help="samples (%(default)s; 0: none)")
    add("--seed", type=int, default=0, metavar="N", help="of the samples (%(default)s)")
    add(
        "--output_dir",
        type=Path,
        metavar="DIR",
        help="where to write (evaluation in results_dir, or beside outputs_dir)",
    )
    evaluate.run(parser.parse_args(argv))


run = program(main)

if __name__ == "__main__":
    run()
