"""Packs image files into TFRecord shards for training; a rerun writes the missing shards.

python tools/pack_records.py --input_dir shoes/train --output_dir shoes_packed/train
"""

from collections.abc import Sequence
from pathlib import Path

from p2p_graph.cli.program import command_of, program
from p2p_graph.config import flags
from p2p_graph.runtime.quiet_import import tensorflow_import
from p2p_graph.utils.counted import counted
from p2p_graph.utils.errors import check_bounds

_MOST_PER_SHARD = 2**31 - 1


def main(argv: Sequence[str]) -> None:
    """Parses the flags and packs the images."""
    parser = flags.source_parser(__doc__, "arrays", "more_inputs", "skip_bad")
    parser.add_argument(
        "--output_dir", metavar="DIR", required=True, help="folder to write the shards to"
    )
    parser.add_argument(
        "--pairs_per_shard",
        metavar="N",
        type=int,
        default=1000,
        help="pairs, or single images, in a shard (default: %(default)s)",
    )
    given = vars(parser.parse_args(argv))
    folder, per_shard = Path(given.pop("output_dir")), given.pop("pairs_per_shard")
    data = flags.source_options(given).data
    check_bounds("pairs_per_shard", per_shard, 1, _MOST_PER_SHARD)
    with tensorflow_import():
        from p2p_graph.preparation.pack_records import pack_records
    count = pack_records(data.source, folder, per_shard, single=data.task.is_single)
    print(f"packed {counted(count, 'image')} in {folder}")
    print(flags.training_hint(command_of("train"), folder, given))


run = program(main)

if __name__ == "__main__":
    run()
