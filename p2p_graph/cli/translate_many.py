"""Translates very many images with a trained model, shard by shard, by workers that Ray runs.

Images come from a folder, a CSV list, TFRecord shards of pack_records.py, or Parquet files. The
outputs are those of tools/test.py. A shard appears when it is complete; the same command again
translates the missing shards only. Images that cannot be translated are listed in failed.jsonl.

python tools/translate_many.py --input_dir photos --checkpoint runs/photos_AtoB --output_dir made
"""

import argparse
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from p2p_graph.cli.program import program
from p2p_graph.config import flags
from p2p_graph.config.data_options import ImageSource
from p2p_graph.inference.bulk.cluster_address import place_of
from p2p_graph.inference.bulk.parquet_files import check_ray
from p2p_graph.runtime.quiet_import import tensorflow_import
from p2p_graph.utils import child_process, signals
from p2p_graph.utils.errors import UserError, check_bounds

_MOST = 2**31 - 1
_UNFORESEEN = os.EX_SOFTWARE  # of the child process: not 1, which Ray's C++ code ends it with
_PROGRAMS_OWN = (0, 2, _UNFORESEEN)  # exit codes of programs that were not interrupted
_KILL_AFTER = 10.0  # seconds that the child process has to end after a signal
_ADVICE = "the same command goes on with the shards that are not done"
# What the child process runs: it is named as this program, and leaves the last line to it.
_CHILD = """
import sys
del sys.argv[0]
from p2p_graph.utils import signals
signals.handle(silent=True)
from p2p_graph.cli import translate_many
translate_many.run_child()
"""


def main(argv: Sequence[str]) -> int:
    """Parses the flags, and translates in a child process.

    While Ray starts and ends, its C++ code handles SIGTERM, and no Python code runs. A process
    without Ray prints the line and gives the exit code of every other program.
    """
    _parsed(argv)
    check_ray()
    return run_to_end([sys.executable, "-c", _CHILD, sys.argv[0], *argv])


def run_to_end(command: Sequence[str]) -> int:
    """Runs a child process to its end; returns its exit code.

    Args:
      command: the program and its arguments.

    Raises:
      Interrupted: a signal that stops programs has ended it, or came to this process.
      UserError: something else has ended it than the program in it.
    """
    code = child_process.run_program(
        command, env=child_process.environment(), kill_after=_KILL_AFTER
    )
    if code in _PROGRAMS_OWN:
        return code
    if code <= 128:  # Ray's C++ code ends the process, and says so in Ray's log files only
        raise UserError(f"Ray has ended, as when a machine or the cluster goes; {_ADVICE}")
    number = signal.Signals(code - 128)
    if number in signals.STOPPING:
        print(_ADVICE, file=sys.stderr)
        raise signals.Interrupted(number)
    why = ", as by a lack of memory (take fewer --workers)" if number.name == "SIGKILL" else ""
    raise UserError(f"the process that runs Ray was ended by {number.name}{why}; {_ADVICE}")


def run_child() -> NoReturn:
    """Translates in this process, and ends it at once: threads of Ray may never end."""
    try:
        program(_translate)()
    except SystemExit as end:
        code = end.code
    except Exception:
        traceback.print_exc()
        code = _UNFORESEEN
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code if isinstance(code, int) else 1)


def _parsed(argv: Sequence[str]) -> argparse.Namespace:
    given = _parser().parse_args(argv)
    if (given.input_dir is None) == (given.manifest is None):
        raise UserError("name the images by one of --input_dir and --manifest")
    check_bounds("shard_size", given.shard_size, 1, _MOST)
    check_bounds("seed", given.seed, 0, _MOST)
    if given.address is not None:
        place_of(given.address)
    for name, least, most in (("workers", 1, 2**16), ("dropout", 0, 1), ("step", 0, 2**40)):
        if getattr(given, name) is not None:
            check_bounds(name, getattr(given, name), least, most)
    return given


def _translate(argv: Sequence[str]) -> None:
    given = _parsed(argv)
    with tensorflow_import():
        from p2p_graph.inference.bulk.translate_many import ManyOptions, translate_many
        from p2p_graph.inference.bulk.work_shards import Columns
    translate_many(
        ManyOptions(
            Path(given.checkpoint),
            given.step,
            ImageSource(input_dir=given.input_dir, manifest=given.manifest),
            Columns(given.image_column, given.name_column),
            given.inputs_only,
            Path(given.output_dir),
            given.format,
            given.shard_size,
            None if given.crop_size is None else str(given.crop_size),
            given.seed,
            given.dropout,
            given.precision,
            given.device,
            given.workers,
            given.address,
        )
    )


def _parser() -> flags.Parser:
    parser = flags.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    _add_images(parser)
    _add_model(parser)
    parser.add_argument("--output_dir", metavar="DIR", required=True, help="folder to write to")
    parser.add_argument(
        "--format",
        choices=("files", "tfrecord", "parquet"),
        default="files",
        help="form of a shard of outputs: a folder of PNG files, or one file (default: files)",
    )
    parser.add_argument(
        "--shard_size",
        metavar="N",
        type=int,
        default=1000,
        help="images in a shard (default: %(default)s)",
    )
    parser.add_argument(
        "--workers",
        metavar="N",
        type=int,
        help="processes that translate; the cores are divided among them (default: one a GPU, or "
        "without GPUs one a machine)",
    )
    parser.add_argument(
        "--address",
        metavar="HOST:PORT",
        help="head of a Ray cluster whose machines share the disk, or auto (default: Ray is "
        "started on this machine)",
    )
    return parser


def _add_images(parser: flags.Parser) -> None:
    parser.add_argument(
        "--input_dir",
        metavar="DIR",
        help="images: a folder of A|B pairs side by side, of TFRecord shards or of Parquet files",
    )
    parser.add_argument(
        "--manifest",
        metavar="CSV",
        help="CSV file of image paths, columns input (A) and target (B), instead of input_dir",
    )
    parser.add_argument(
        "--inputs_only", action="store_true", help="the images are inputs without targets"
    )
    for name in ("image", "name"):
        parser.add_argument(
            f"--{name}_column",
            metavar="NAME",
            default=name,
            help=f"column of Parquet files that holds "
            f"{'the bytes of image files' if name == 'image' else 'their names'} "
            "(default: %(default)s)",
        )


def _add_model(parser: flags.Parser) -> None:
    parser.add_argument(
        "--checkpoint",
        metavar="DIR",
        required=True,
        help="folder of a training run, or a .pict, .safetensors or .pth file",
    )
    parser.add_argument(
        "--step",
        metavar="N",
        type=int,
        help="take the checkpoint of step N in the checkpoint's folder (default: the newest)",
    )
    parser.add_argument(
        "--crop_size",
        metavar="SIZE",
        type=flags.size_argument,
        help="scale images to this height and width, as in 256 or 256x512; original: each image's "
        "own size (default: training's)",
    )
    parser.add_argument(
        "--seed", metavar="N", type=int, default=0, help="seed of the dropout masks (default: 0)"
    )
    parser.add_argument(
        "--dropout", metavar="X", type=float, help="rate of dropout (default: training's)"
    )
    parser.add_argument(
        "--precision",
        choices=("fp32", "mixed"),
        default="fp32",
        help="mixed: convolutions in bfloat16 (default: fp32)",
    )
    parser.add_argument(
        "--device",
        choices=("auto", "cpu", "gpu"),
        default="auto",
        help="auto: GPUs where Ray finds some (default)",
    )


run = program(main)

if __name__ == "__main__":
    run()
