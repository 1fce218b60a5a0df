"""options.json, the options of a training run: written, read back and compared."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from p2p_graph.config.option_fields import check_no_zero_byte, check_value
from p2p_graph.config.options import DEFAULTS, FIELDS, RECORDS, Options
from p2p_graph.config.system_presets import PRESETS
from p2p_graph.utils.atomic_write import write_json
from p2p_graph.utils.counted import counted
from p2p_graph.utils.errors import UserError
from p2p_graph.utils.outside_files import from_folder, read_json, real_path
from p2p_graph.utils.same_files import have_same_files
from p2p_graph.version import __version__

OPTIONS_FILE = "options.json"

# Options that define a checkpoint's model: translation and export read them from its options.json.
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
    "dropout_levels",
    "generator",
    "bottleneck_norm",
    "norm_epsilon",
    "lrelu_slope",
    "skip_activation",
    "inpaint",
    "input_channels",
    "target_channels",
    "upright",
    "resize",
    "resize_targets",
    "preset",
)
# Options that may change when a training run is resumed: they do not affect its result.
FREE_FIELDS = (
    "mode",
    "output_dir",
    "checkpoint",
    "recipe",
    "max_steps",
    "max_epochs",
    "skip_bad",
    "summary_freq",
    "progress_freq",
    "open",
    "trace_freq",
    "display_freq",
    "sample_freq",
    "sample_count",
    "val_dir",
    "val_target_dir",
    "val_more_inputs",
    "keep_best",
    "grid",
    "save_freq",
    "keep_checkpoints",
    "keep_every",
    "step",
    "cache_as",
    "steps_per_run",
    "cache_mb",
    "device",
    "replicas",
    "aspect_ratio",
    "output_bits",
    "output_filetype",
    "format",
    "calibration_dir",
    "ort_dir",
    "examples",
    "palette",
    "inputs_only",
    "shard",
    "skip_done",
    "page_limit",
)

# The options of the reference program, in all of its modes and in its options.json.
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

# Options that affect the result and that both generations of the reference wrote, as every version
# of this program: a file without one of them has been changed.
ALWAYS_WRITTEN = (
    "which_direction",
    "lab_colorization",
    "ngf",
    "ndf",
    "batch_size",
    "scale_size",
    "flip",
    "lr",
    "beta1",
    "l1_weight",
    "gan_weight",
    "seed",
)

# Keys of an options.json besides options: the version and the working directory that wrote it, how
# many options it had then, the result of `image_sources.names_digest`, and of translations what
# made them: the training steps, the result of `weights_digest`, CPU or GPU, the number of shards,
# and whether images of an earlier translation were left; of a training run, the images that could
# be used, as `names_digest`, and the number of replicas where there were several.
RECORD_FIELDS = (
    "version",
    "working_dir",
    "option_count",
    "images",
    "usable_images",
    "trained_steps",
    "weights",
    "made_on",
    "shards",
    "earlier_images",
    "replica_count",
)


def save_options(options: Options, folder: Path, record: Mapping[str, str] | None = None) -> None:
    """Writes options.json into a folder, atomically.

    Args:
      options: all options of the run.
      folder: the folder to write to.
      record: further values of `RECORD_FIELDS`.
    """
    flat = options.flat()
    recorded = {
        "working_dir": str(Path.cwd()),
        **(record or {}),
        "version": __version__,
        "option_count": str(len(flat)),
    }
    write_json(folder / OPTIONS_FILE, {**flat, **recorded}, sort_keys=True)


def read_options(folder: Path) -> dict[str, Any]:
    """Reads a folder's options.json, written by this package or by the reference program.

    Returns:
      The options in the file and, where the file has none, those of its preset, by flat name.

    Raises:
      UserError: the file is missing, is not JSON, or has an unknown key or a value that is not
        allowed.
    """
    return _read(folder)[0]


def read_record(folder: Path) -> dict[str, str]:
    """Reads the values of `RECORD_FIELDS` in a folder's options.json.

    Returns:
      The values that the file has, by name.

    Raises:
      UserError: see `read_options`.
    """
    return _read(folder)[1]


def maker_of(options: Mapping[str, Any], weights: str | None) -> dict[str, Any]:
    """What decides the outputs of a run's generator: recorded by evaluations, wanted by exports.

    Args:
      options: of the translation, by flat name.
      weights: the result of `weights_digest`.
    """
    return {
        "weights": weights,
        **{name: options.get(name) for name in ("seed", "dropout", "crop_size")},
    }


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The results of `read_options` and `read_record`."""
    path = folder / OPTIONS_FILE
    try:
        options = read_json(path)
    except FileNotFoundError:
        raise UserError(
            f"{path} is missing: training writes it beside the checkpoint, copy it from there"
        ) from None
    return _checked(options, path)


def check_options(options: dict[str, Any], source: Path) -> dict[str, Any]:
    """Checks the values of an options.json that is not a file of its own.

    Args:
      options: by flat name.
      source: what holds them, for messages.

    Returns:
      As `read_options`.

    Raises:
      UserError: as `read_options`.
    """
    return _checked(options, source)[0]


def _checked(options: Any, path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    if not isinstance(options, dict):
        raise UserError(f"{path} must hold one JSON object")
    record = {name: options.pop(name) for name in RECORD_FIELDS if name in options}
    if unknown := sorted(set(options) - set(FIELDS)):
        raise UserError(f"{path} has unknown keys: {', '.join(unknown)}")
    try:
        for name, value in options.items():
            if name.endswith("_freq") and type(value) is int and value < 0:
                options[name] = value = 0  # for the reference, too: never
            check_value(RECORDS[name], FIELDS[name], value)
        for name, value in record.items():
            if not isinstance(value, str):
                raise UserError(f"{name} must be of type str")
            check_no_zero_byte(name, value)  # a working directory may have any other name
        for name in ("replica_count", "option_count"):
            if not re.fullmatch("[1-9][0-9]{0,5}", record.get(name, "1")):
                raise UserError(f"{name} must be a number")
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    lost = int(record.get("option_count", "0")) - len(options)
    if lost > 0:
        missing = sorted(set(FIELDS) - set(options))
        # Another version may have had others.
        what = (
            ", ".join(missing) if len(missing) == lost else f"{counted(lost, 'option')} that it had"
        )
        raise _lacking(path, what)
    return {**PRESETS[options.get("preset", DEFAULTS["preset"])], **options}, record


def same_path(was: str, now: str, folder: Path) -> bool:
    """Whether two paths name the same file.

    The same relative path may lead elsewhere now: to the same files in a copy of the project, or to
    other files of another one.

    Args:
      was: path in the folder's options.json, absolute or relative to its working directory.
      now: path given now, absolute or relative to the current directory.
      folder: the folder of the options.json.
    """
    before, after = recorded_path(was, folder), Path(now)
    if real_path(before) == real_path(after):
        return True
    return was == now and have_same_files(before, after)


def recorded_path(was: str, folder: Path) -> Path:
    """A path in a folder's options.json, seen from the working directory in it where it has one."""
    return from_folder(Path(read_record(folder).get("working_dir", "")), was)


def is_gone(was: str, folder: Path) -> bool:
    """Whether a path in a folder's options.json leads nowhere: it was moved, or is on another host.

    An empty folder is what is left of images, or of a disk that is mounted elsewhere.

    Args:
      was: absolute, or relative to the working directory in the file; without one, it is unknown.
      folder: the folder of the options.json.
    """
    before = recorded_path(was, folder)
    if not before.is_absolute():
        return False
    try:
        return not (any(before.iterdir()) if before.is_dir() else before.exists())
    except OSError:  # it lies in another person's folder
        return False


def model_options(folder: Path) -> dict[str, Any]:
    """Reads the options that define a checkpoint's model from its options.json.

    Returns:
      All of `MODEL_FIELDS`, by name; options that the file lacks have their defaults.

    Raises:
      UserError: see `read_options`; or a required option is missing, or values contradict each
        other.
    """
    options = read_options(folder)
    check_complete(folder, options, ("which_direction", "ngf", "ndf"))
    try:
        stored = Options.of(**{name: options[name] for name in MODEL_FIELDS if name in options})
    except UserError as error:
        raise UserError(f"{folder / OPTIONS_FILE}: {error}") from None
    flat = stored.flat()
    if not stored.data.task.lab_colorization:
        # Files without them are of models of RGB images.
        task = stored.data.task
        flat["input_channels"] = task.input_parts.stored
        flat["target_channels"] = task.channels[1]
    return {name: flat[name] for name in MODEL_FIELDS}


def check_complete(folder: Path, options: Mapping[str, Any], names: Sequence[str]) -> None:
    """Checks that the options of a folder's options.json include some.

    Raises:
      UserError: one is missing.
    """
    if missing := [name for name in names if name not in options]:
        raise _lacking(folder / OPTIONS_FILE, ", ".join(missing))


def _lacking(path: Path, what: str) -> UserError:
    return UserError(f"{path} lacks {what}: add the value of the training run")
