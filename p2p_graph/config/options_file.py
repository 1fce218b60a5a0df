"""options.json: what a folder's model and run are, read back and compared."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from p2p_graph import __version__
from p2p_graph.config.options import DEFAULTS, FIELDS, Options
from p2p_graph.config.presets import PRESETS
from p2p_graph.utils.atomic_write import write_json
from p2p_graph.utils.errors import UserError

OPTIONS_FILE = "options.json"

# What a checkpoint needs to be used: translation and export take these from its options.json.
MODEL_FIELDS = (
    "which_direction",
    "lab_colorization",
    "ngf",
    "ndf",
    "separable_conv",
    "crop_size",
    "levels",
    "bias",
    "dropout",
    "dropout_in_use",
    "generator",
    "bottleneck_norm",
    "norm_epsilon",
    "lrelu_slope",
    "skip_activation",
    "inpaint",
    "resize",
    "resize_targets",
    "preset",
)
# What may change between the parts of one training run without changing its result.
FREE_FIELDS = (
    "mode",
    "output_dir",
    "checkpoint",
    "recipe",
    "max_steps",
    "max_epochs",
    "summary_freq",
    "progress_freq",
    "trace_freq",
    "display_freq",
    "sample_freq",
    "sample_count",
    "val_dir",
    "val_target_dir",
    "keep_best",
    "grid",
    "save_freq",
    "cache_as",
    "steps_per_run",
    "cache_mb",
    "device",
    "aspect_ratio",
    "output_filetype",
    "inputs_only",
)

# The reference program's own options, which it has in all modes and finds in an options.json.
REFERENCE_FIELDS = (
    "aspect_ratio",
    "batch_size",
    "beta1",
    "checkpoint",
    "display_freq",
    "flip",
    "gan_weight",
    "input_dir",
    "l1_weight",
    "lab_colorization",
    "lr",
    "max_epochs",
    "max_steps",
    "mode",
    "ndf",
    "ngf",
    "output_dir",
    "output_filetype",
    "progress_freq",
    "save_freq",
    "scale_size",
    "seed",
    "separable_conv",
    "summary_freq",
    "trace_freq",
    "which_direction",
)


# What an options.json tells besides options: which version wrote it, in which folder, and of a run
# with a split what `listing.names_digest` said of its images.
RECORDED = ("version", "working_dir", "images")


def save_options(options: Options, folder: Path, record: Mapping[str, str] | None = None) -> None:
    """Writes options.json into a folder, atomically.

    Args:
      options: what it holds, by flat name.
      folder: where it goes.
      record: what else is known of the run, by names of `RECORDED`.
    """
    recorded = {"working_dir": str(Path.cwd()), **(record or {}), "version": __version__}
    write_json(folder / OPTIONS_FILE, {**options.flat(), **recorded}, sort_keys=True)


def read_options(folder: Path) -> dict[str, Any]:
    """Reads a folder's options.json, this package's or the reference program's.

    Returns:
      The options that stand in it, by name; what they leave out and their preset sets, from there.

    Raises:
      UserError: there is none, it is not JSON, or it has unknown keys or an unknown preset.
    """
    path = folder / OPTIONS_FILE
    try:
        options = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"{path} is missing: it stands beside every checkpoint and says what the model is"
        ) from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"{path} cannot be read as JSON: {error}") from None
    if not isinstance(options, dict):
        raise UserError(f"{path} must hold one JSON object")
    for name in RECORDED:
        options.pop(name, None)
    if unknown := sorted(set(options) - set(FIELDS)):
        raise UserError(f"{path} has keys that are not known: {', '.join(unknown)}")
    preset = options.get("preset", DEFAULTS["preset"])
    if preset not in PRESETS:
        raise UserError(f"{path}: preset must be one of {', '.join(PRESETS)}, not {preset!r}")
    return {**PRESETS[preset], **options}


def read_record(folder: Path) -> dict[str, str]:
    """What options.json tells of a run besides its options, of `RECORDED`.

    Raises:
      UserError: as `read_options`.
    """
    read_options(folder)
    options = json.loads((folder / OPTIONS_FILE).read_text(encoding="utf-8"))
    return {name: options[name] for name in RECORDED if name in options}


def same_path(was: str, now: str, folder: Path) -> bool:
    """Whether a path in a folder's options.json, maybe relative, is the same as one given now."""
    before = Path(read_record(folder).get("working_dir", "")) / was
    return was == now or before.resolve() == Path(now).resolve()


def model_options(folder: Path) -> dict[str, Any]:
    """Reads what a checkpoint's model is from its options.json.

    Returns:
      All of `MODEL_FIELDS`, by name; what the file leaves out has its default.

    Raises:
      UserError: as `read_options`, or the options that every model has are missing.
    """
    options = read_options(folder)
    if missing := [name for name in ("which_direction", "ngf", "ndf") if name not in options]:
        raise UserError(
            f"{folder / OPTIONS_FILE} lacks {', '.join(missing)}: without it the model is not known"
        )
    try:
        stored = Options.of(**{name: options[name] for name in MODEL_FIELDS if name in options})
    except UserError as error:
        raise UserError(f"{folder / OPTIONS_FILE}: {error}") from None
    flat = stored.flat()
    return {name: flat[name] for name in MODEL_FIELDS}


def check_unchanged(options: Options, folder: Path, given: Mapping[str, Any]) -> None:
    """Refuses to go on with a run folder that was made otherwise.

    Raises:
      UserError: as `read_options`, or an option that matters was another one.
    """
    if changed := changed_options(options, folder, given):
        raise UserError(
            f"{folder} was made with other options: {'; '.join(changed)}; "
            "give the same ones, or another --output_dir"
        )


def changed_options(options: Options, folder: Path, given: Mapping[str, Any]) -> list[str]:
    """Names the options in which a run folder was made otherwise, as "name (was X, now Y)".

    Options that do not change a run's result, or that the folder's file does not name, are left
    out; so is a seed that was not asked for.
    """
    stored, flat = read_options(folder), options.flat()
    free = set(FREE_FIELDS)
    if options.optimizer.lr_schedule == "linear":  # the last step is a part of the schedule
        free -= {"max_steps", "max_epochs"}
    changed = []
    for name, was in stored.items():
        now = flat[name]
        if name in free or was == now or (name == "seed" and name not in given):
            continue
        paths = name in ("input_dir", "target_dir", "manifest") and None not in (was, now)
        if paths and same_path(was, now, folder):
            continue
        changed.append(f"{name} (was {json.dumps(was)}, now {json.dumps(now)})")
    return changed
