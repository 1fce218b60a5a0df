"""Options of the translation of many images: its division, its resuming, the length of its page."""

import dataclasses
import re

from p2p_graph.config.option_fields import Record, option

_SHARD = re.compile(r"([1-9][0-9]{0,5})/([1-9][0-9]{0,5})")
_MOST_ROWS = 2**31 - 1


def _shard_rule(value: str) -> str | None:
    found = _SHARD.fullmatch(value)
    if found and int(found[1]) <= int(found[2]):
        return None
    return "must be I/N, with I from 1 to N, as in 2/8"


@dataclasses.dataclass(frozen=True)
class BulkOptions(Record):
    """How the translation of many images is divided and resumed, and what its page shows."""

    shard: str | None = option(
        None,
        "files",
        "I/N, as in 2/8: translate every N-th image from the I-th on (of larger batches every N-th "
        "batch); N processes, also on several machines with a shared disk, write into one "
        "output_dir at once",
        programs=("test",),
        rule=_shard_rule,
        metavar="SHARD",
    )
    skip_done: bool = option(
        False,
        "files",
        "leave out images that the same checkpoint has translated into output_dir with the same "
        "options, as after a killed run",
        programs=("test",),
    )
    page_limit: int = option(
        5000,
        "reports",
        "show the first N images on the page",
        programs=("test",),
        least=1,
        most=_MOST_ROWS,
    )

    @property
    def part(self) -> tuple[int, int] | None:
        """The shard's number, from 1 on, and the number of shards; None without shards."""
        if self.shard is None:
            return None
        number, _, count = self.shard.partition("/")
        return int(number), int(count)
