"""Packs images into one .npz archive, with 8 bits a channel and of one size.

python tools/pack_npz.py --input_dir maps/train --output_file maps_256.npz --size 256
"""

from collections.abc import Sequence
from pathlib import Path

from p2p_graph.cli.program import command_of, program
from p2p_graph.config import flags
from p2p_graph.config.data_options import RESIZES
from p2p_graph.config.image_size import ORIGINAL
from p2p_graph.runtime.quiet_import import tensorflow_import
from p2p_graph.utils.counted import counted
from p2p_graph.utils.errors import UserError


def main(argv: Sequence[str]) -> None:
    """Parses the flags and packs the images."""
    parser = flags.source_parser(__doc__, "skip_bad", "upright")
    parser.add_argument("--output_file", metavar="FILE", required=True, help="archive to write")
    parser.add_argument(
        "--size",
        metavar="SIZE",
        type=flags.size_argument,
        default=ORIGINAL,
        help="height and width to scale to, in pixels, as in 256 or 256x512 (default: original, "
        "the images' own size, which must be the same for all)",
    )
    parser.add_argument(
        "--resize", choices=RESIZES, help="how to scale, with --size (default: area)"
    )
    parser.add_argument(
        "--compress",
        action="store_true",
        default=False,
        help="write a smaller file, which training reads into memory instead of mapping it",
    )
    given = vars(parser.parse_args(argv))
    path, size, compress = (
        Path(given.pop("output_file")),
        given.pop("size"),
        given.pop("compress"),
    )
    data = flags.source_options(given).data
    if size == ORIGINAL and "resize" in given:
        raise UserError("resize says how to scale: give a --size, too")
    with tensorflow_import():
        from p2p_graph.preparation.pack_npz import pack_npz
    count = pack_npz(data, path, size, compress=compress)
    print(f"packed {counted(count, 'image')} in {path}")
    print(flags.training_hint(command_of("train"), path, given))


run = program(main)

if __name__ == "__main__":
    run()
