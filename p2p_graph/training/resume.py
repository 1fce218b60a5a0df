"""Resuming: the checkpoint that training starts from, and what must not have changed since.

No random state is saved: image order and jitter are functions of seed and position
(`data.input_graph`), dropout masks of seed and step.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from p2p_graph.checkpoints import restore_checkpoint
from p2p_graph.checkpoints.find_checkpoint import STATE_FILE
from p2p_graph.checkpoints.restore_checkpoint import Checkpoint
from p2p_graph.config.options import Options
from p2p_graph.config.options_file import read_options, read_record
from p2p_graph.config.resumed_options import check_unchanged, made_with_others, moved_paths
from p2p_graph.data.image_files import SourceImage
from p2p_graph.data.image_sources import count_before, digest_of, names_digest
from p2p_graph.training.validation import BEST_FOLDER
from p2p_graph.utils.errors import UserError


def starting_point(
    options: Options,
    folder: Path,
    given: Mapping[str, Any],
    replica_count: int = 1,
    *,
    is_chief: bool = True,
) -> tuple[Options, Checkpoint | None]:
    """Finds the checkpoint that training starts from.

    It is the folder's newest checkpoint; without one, the checkpoint that the options name. Where
    this is the folder's best, the run goes on from it, with its options.

    Args:
      options: from `configure`.
      folder: of the run; no other program may train in it now.
      given: the flags' values by flat name.
      replica_count: of the run.
      is_chief: whether this process writes the folder.

    Returns:
      The options with what the checkpoint decides (seed, biases), and the checkpoint.

    Raises:
      UserError: the folder was made with other options or images, or the checkpoint does not fit.
    """
    source = _newest_checkpoint(folder) if folder.exists() else None
    if source is None and options.run.checkpoint:
        source = restore_checkpoint.need(Path(options.run.checkpoint))
    if source:
        options = _with_bias(options, source, given)
    if source and is_of_run(source, folder):
        made_in = source.folder
        check_unchanged(options.flat(), made_in, given, replica_count, is_chief=is_chief)
        _compare_images(options, made_in, is_chief=is_chief)
        if "seed" not in given:
            options = options.replace(seed=read_options(made_in).get("seed", options.run.seed))
    if source and options.model.generator.separable_conv != source.separable:
        raise UserError(
            f"checkpoint {source.prefix} was made with"
            f"{'' if source.separable else 'out'} --separable_conv"
        )
    return options, source


def is_of_run(checkpoint: Checkpoint, folder: Path) -> bool:
    """Whether a checkpoint is one of the run in a folder: its newest, or its best."""
    return checkpoint.is_in(folder) or checkpoint.is_in(folder / BEST_FOLDER)


def _newest_checkpoint(folder: Path) -> Checkpoint | None:
    """Finds the newest checkpoint of the run in a folder.

    Raises:
      UserError: what is there is not a run's.
    """
    if (folder / STATE_FILE).is_dir():
        raise UserError(
            f"output_dir {folder} holds a folder {STATE_FILE}, and training writes a file of this "
            "name: name another folder"
        )
    source = restore_checkpoint.find(folder)
    if source is None or source.is_in(folder):
        return source
    raise UserError(
        f"{folder / STATE_FILE} names a checkpoint of another folder, {source.prefix}: remove the "
        "file; --checkpoint starts a new run from that checkpoint"
    )


def run_record(
    options: Options, images: Sequence[SourceImage], replica_count: int = 1
) -> dict[str, str]:
    """What options.json records besides options: the images, and the number of replicas.

    Args:
      options: of the run.
      images: that it trains on; `skip_bad` leaves some of those that are there out.
      replica_count: of the run.
    """
    record = {
        "images": names_digest(options.data.source, single=options.data.task.is_single),
        "usable_images": digest_of(images, options.data.source),
    }
    return record | ({"replica_count": str(replica_count)} if replica_count > 1 else {})


def _compare_images(options: Options, folder: Path, *, is_chief: bool) -> None:
    """Reports that the images are not those that the run was last trained on.

    Raises:
      UserError: there is a split, which would now train on held-out images; or they are in another
        place.
    """
    source, digest = options.data.source, read_record(folder).get("images")
    count = count_before(digest, source, single=options.data.task.is_single)
    stored, now = read_options(folder), options.flat()
    moved = moved_paths(stored, now, folder) if is_chief else {}
    others = [change for name, change in moved.items() if stored[name] != now[name]]
    if others and (count is not None or digest is None):
        raise made_with_others(folder, others)
    if moved and count is None:
        named = "; ".join(moved.values())
        print(f"note: {named}: nothing is there any more, and the images now have the same names")
    if count is None:
        return
    changed = (
        f"the images in {source.path} are not those that {folder} was trained on ({count} then)"
    )
    if source.split < 1:
        raise UserError(
            f"{changed}, so that --split would divide them differently: "
            "restore them, or name another --output_dir"
        )
    print(f"note: {changed}: training goes on with those that are there now")


def compare_usable(images: Sequence[SourceImage], options: Options, folder: Path) -> None:
    """Reports that `skip_bad` leaves out other images than when a run was last trained."""
    before = read_record(folder).get("usable_images") if options.data.source.skip_bad else None
    if before is not None and before != digest_of(images, options.data.source):
        print(
            f"note: other images in {options.data.source.path} can be used than when {folder} was "
            f"trained: {len(images)} now, {before.partition(' ')[0]} then"
        )


def _with_bias(options: Options, source: Checkpoint, given: Mapping[str, Any]) -> Options:
    """Takes over whether there are biases, which a checkpoint's variables say."""
    if not source.bias or source.bias == options.model.layers.bias:
        return options
    if "bias" in given:
        raise UserError(f"checkpoint {source.prefix} was made with --bias {source.bias}")
    return options.replace(bias=source.bias)
