"""Compares the options of a resumed training run with those of its folder."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from p2p_graph.config.options import DEFAULTS
from p2p_graph.config.options_file import (
    ALWAYS_WRITTEN,
    FREE_FIELDS,
    check_complete,
    is_gone,
    read_options,
    read_record,
    recorded_path,
    same_path,
)
from p2p_graph.utils.errors import UserError

# Options that name images, which may lie elsewhere on each host of a run.
IMAGE_PATHS = ("input_dir", "target_dir", "manifest", "more_inputs")


def check_unchanged(
    options: Mapping[str, Any],
    folder: Path,
    given: Mapping[str, Any],
    replica_count: int = 1,
    *,
    is_chief: bool = True,
) -> None:
    """Checks that a run's folder may be resumed with these options.

    Args:
      options: of the resumed run, by flat name.
      folder: of the run.
      given: the flags' values by flat name.
      replica_count: of the resumed run.
      is_chief: whether this process writes the folder. The paths in it are the chief's, and are not
        compared with those of another host.

    Raises:
      UserError: see `read_options`; or an option that affects the result has changed, or is missing
        in options.json.
    """
    check_complete(folder, read_options(folder), ALWAYS_WRITTEN)
    changed = changed_options(options, folder, given, replica_count, is_chief=is_chief)
    if changed:
        raise made_with_others(folder, changed)


def made_with_others(folder: Path, changed: Sequence[str]) -> UserError:
    """The error of a run's folder whose options differ, as `changed_options` lists them."""
    return UserError(
        f"{folder} was made with other options: {'; '.join(changed)}; "
        "give the same options, or another --output_dir"
    )


def changed_options(
    options: Mapping[str, Any],
    folder: Path,
    given: Mapping[str, Any],
    replica_count: int = 1,
    *,
    is_chief: bool = True,
) -> list[str]:
    """Lists the options that differ from a run's folder and affect the result.

    Options that the folder's options.json lacks are not compared, nor is a seed that was not given,
    nor a path that leads nowhere any more (see `moved_paths`).
    A step may be divided among another number of replicas.

    Args:
      options: of the resumed run, by flat name.
      folder: of the run.
      given: the flags' values by flat name.
      replica_count: of the resumed run.
      is_chief: as in `check_unchanged`.

    Returns:
      One entry a changed option, "name (was X, now Y)".
    """
    stored, flat = read_options(folder), dict(options)
    count = int(read_record(folder).get("replica_count", "1"))
    _divide_alike(stored, count, flat, replica_count)
    free = set(FREE_FIELDS)
    if flat["lr_schedule"] == "linear":  # the schedule depends on the last step
        free -= {"max_steps", "max_epochs"}
    free |= {"seed"} - set(given)
    # Without a value, the channels are those of data that have not been read yet.
    free |= {name for name in ("input_channels", "target_channels") if flat[name] is None}
    if not is_chief:
        free |= set(IMAGE_PATHS)
    return differences(stored, flat, folder, free)


def differences(
    stored: Mapping[str, Any], now: Mapping[str, Any], folder: Path, free: Collection[str]
) -> list[str]:
    """Lists the options of a folder's options.json that have other values now.

    Args:
      stored: the options in the file, by flat name.
      now: the options now, by flat name; at least those of `stored`.
      folder: of the file: paths may have been relative to another current folder.
      free: names of options that may differ.

    Returns:
      As `changed_options`.
    """
    return [
        _change(name, was, now[name], folder)
        for name, was in stored.items()
        if name not in free and not _are_equal(name, was, now[name], folder, _may_be_same)
    ]


def moved_paths(stored: Mapping[str, Any], now: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """Lists the paths of images that differ, and are in their former places no more.

    `differences` leaves them out: the images' names say whether these are the same images.

    Args:
      stored: as `differences`.
      now: as `differences`.
      folder: as `differences`.

    Returns:
      An entry as of `changed_options` for each option by its name.
    """
    return {
        name: _change(name, was, now[name], folder)
        for name, was in stored.items()
        if name in IMAGE_PATHS and not _are_equal(name, was, now[name], folder, same_path)
    }


def _change(name: str, was: Any, now: Any, folder: Path) -> str:
    if was == now:  # the same relative path, from another working directory
        places = [str(recorded_path(path, folder)) for path in _listed(was)]
        was = places[0] if isinstance(was, str) else places
    return f"{name} (was {json.dumps(was)}, now {json.dumps(now)})"


def _divide_alike(
    stored: dict[str, Any], stored_count: int, flat: dict[str, Any], count: int
) -> None:
    """Writes both runs' options as those of one device, where these have the same meaning.

    A step has as many images as its replicas together. Statistics that every image has alone are
    `moments` image, whichever replica an image is on.
    """
    stored.setdefault("moments", DEFAULTS["moments"])
    for options in (stored, flat):
        if options["batch_size"] == 1:
            options["moments"] = "image"
    # Batches that share their statistics must not be divided otherwise.
    if stored["moments"] == flat["moments"] == "image" and stored_count != count:
        stored["images of a step"] = stored.pop("batch_size") * stored_count
        flat["images of a step"] = flat["batch_size"] * count


def _are_equal(
    name: str, was: Any, now: Any, folder: Path, are_same: Callable[[str, str, Path], bool]
) -> bool:
    """Whether an option has not changed, where paths are compared by a function."""
    if name not in IMAGE_PATHS or not (was and now):
        return bool(was == now)
    before, after = _listed(was), _listed(now)
    pairs = zip(before, after, strict=False)
    return len(before) == len(after) and all(are_same(*pair, folder) for pair in pairs)


def _listed(paths: str | Sequence[str]) -> Sequence[str]:
    return [paths] if isinstance(paths, str) else paths


def _may_be_same(was: str, now: str, folder: Path) -> bool:
    return same_path(was, now, folder) or is_gone(was, folder)
