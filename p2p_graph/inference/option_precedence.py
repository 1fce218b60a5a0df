"""The options of translation and export: the checkpoint's options.json, and the given flags."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from p2p_graph.checkpoints import restore_checkpoint
from p2p_graph.checkpoints.find_checkpoint import prefix_of_step
from p2p_graph.checkpoints.restore_checkpoint import Checkpoint
from p2p_graph.config import dataset_recipes
from p2p_graph.config.model_options import dropout_in_translation
from p2p_graph.config.options import Options
from p2p_graph.config.options_file import (
    MODEL_FIELDS,
    is_gone,
    model_options,
    read_options,
    read_record,
    recorded_path,
    same_path,
)
from p2p_graph.data.image_sources import count_before
from p2p_graph.utils.errors import UserError

# May be chosen for each use of a model; the other model options are those of its training.
_FREE_IN_USE = ("crop_size", "dropout", "resize", "resize_targets", "upright")


def configure(given: Mapping[str, Any], mode: str) -> tuple[Options, Checkpoint]:
    """Makes the options for using a checkpoint.

    Args:
      given: the flags' values by flat name.
      mode: "test" or "export".

    Returns:
      The checkpoint's model options with the values that were given, and the checkpoint.

    Raises:
      UserError: there is no checkpoint, its options.json is wrong, or a given value contradicts it.
    """
    folder = Path(given["checkpoint"]) if "checkpoint" in given else _default_run(given)
    if "step" in given:
        folder = prefix_of_step(folder, given["step"])
    checkpoint = restore_checkpoint.need(folder)
    stored = {**model_options(checkpoint.folder)}
    # The reference does not read these back; the checkpoint's variables say them.
    stored |= {"bias": checkpoint.bias or stored["bias"], "separable_conv": checkpoint.separable}
    stored["dropout"] = dropout_in_translation(stored["dropout"], in_use=stored["dropout_in_use"])
    stored["dropout_in_use"] |= "dropout" in given
    for name in MODEL_FIELDS:
        if name in given and name not in _FREE_IN_USE and given[name] != stored[name]:
            raise UserError(
                f"{name} {given[name]} contradicts {folder}, which was trained with {stored[name]}"
            )
    options = Options.of(**{**stored, "scale_size": None, **given, "mode": mode})
    crop_size = options.data.scaling.crop_size
    return options.replace(scale_size=crop_size, checkpoint=str(folder)), checkpoint


def named_data(options: Mapping[str, Any]) -> str | None:
    """What names the images among flat options, if anything does."""
    named: str | None = options.get("manifest") or options.get("input_dir")
    return named


def with_training_split(
    options: Options, given: Mapping[str, Any], checkpoint: Checkpoint
) -> Options:
    """Takes over the split of training, where these are the images of training.

    Translation then takes the images that training left out. Where the same split is asked for, it
    is by the same seed.

    Raises:
      UserError: the images are not those of training any more, so that the split is not known, or
        another seed is given for it.
    """
    stored = read_options(checkpoint.folder)
    trained, tested = named_data(stored), named_data(given)
    share = stored.get("split", 1.0)
    if share == 1 or not (trained and tested):
        return options
    seed = stored.get("split_seed", 0)
    if "split" in given:
        is_alike = options.data.source.split == share and "split_seed" not in given
        return options.replace(split_seed=seed) if is_alike else options
    if given.get("split_seed", seed) != seed:
        raise UserError(
            f"split_seed is {given['split_seed']}, and training's split is by seed {seed}: name "
            "--split, too, for a split that is not training's"
        )
    digest, gone = read_record(checkpoint.folder).get("images"), is_gone(trained, checkpoint.folder)
    is_same = same_path(trained, tested, checkpoint.folder) or (trained == tested and gone)
    # Where nothing is any more in the place of training, images of the same names were moved.
    may_be_same = is_same or (digest is not None and gone)
    count = None
    if may_be_same:
        count = count_before(digest, options.data.source, single=options.data.task.is_single)
    if is_same and count:
        raise UserError(
            f"the images in {tested} are not those of training ({count} then): "
            "those that were not trained on cannot be determined; --split 1 takes all"
        )
    if count or not may_be_same:
        place = recorded_path(trained, checkpoint.folder) if trained == tested else trained
        print(f"split: not applied, since training was on {place} (--split {share} does)")
        return options
    return options.replace(split=share, split_seed=seed)


def _default_run(given: Mapping[str, Any]) -> Path:
    """The folder in which training on the same data set leaves its checkpoint by default."""
    if data := named_data(given):
        name = dataset_recipes.dataset_name(Path(data))
        runs = [Path("runs") / f"{name}_{direction}" for direction in ("AtoB", "BtoA")]
        found = [run for run in runs if run.exists()]
        if len(found) == 1:
            return found[0]
    raise UserError("checkpoint is missing: name the output_dir of a training run (--checkpoint)")
