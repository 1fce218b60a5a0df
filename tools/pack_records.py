#!/usr/bin/env python3
"""Packs pictures into TFRecord shards for training; run again, it goes on where it was.

python tools/pack_records.py --input_dir shoes/train --output_dir shoes_packed/train
"""

import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from p2p_graph import flags
from p2p_graph.errors import UserError


def main(argv: Sequence[str]) -> None:
    """Parses the flags and packs."""
    parser = flags.sources_parser(__doc__)
    parser.add_argument("--skip_bad", action="store_true", help="leave bad pictures out")
    parser.add_argument("--output_dir", metavar="DIR", required=True, help="where the shards go")
    parser.add_argument(
        "--pairs_per_shard", metavar="N", type=int, default=1000, help="(%(default)s)"
    )
    given = vars(parser.parse_args(argv))
    folder, per_shard = Path(given.pop("output_dir")), given.pop("pairs_per_shard")
    config = flags.sources_config(given)
    if per_shard < 1:
        raise UserError(f"pairs_per_shard must be at least 1, not {per_shard}")
    with flags.tensorflow_import():
        from p2p_graph import packing
    count = packing.pack(config, folder, per_shard)
    print(f"{count} pictures are packed in {folder}")
    print(flags.training_hint(folder, given))


if __name__ == "__main__":
    flags.run(main)
