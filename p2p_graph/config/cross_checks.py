"""Checks of several options together, and the defaults that depend on other options."""

import math
from pathlib import Path

from p2p_graph.config.data_options import ImageSource, ScalingOptions, TaskOptions
from p2p_graph.config.image_size import LARGEST_SIDE, ORIGINAL, ImageSize
from p2p_graph.config.model_options import INNERMOST, GeneratorOptions
from p2p_graph.config.training_options import LossOptions, ReportOptions, ValidationOptions
from p2p_graph.utils.errors import UserError
from p2p_graph.utils.outside_files import real_path

_POOLED_LEVELS = 4
_SSIM_WINDOW = 11  # pixels
_WIDEST = 32  # pixels at the innermost level of a U-Net of default depth
_FREQUENCIES = (
    "summary_freq",
    "progress_freq",
    "trace_freq",
    "display_freq",
    "save_freq",
    "keep_every",
)
_SAMPLE_COUNT = ValidationOptions.sample_count


def default_levels(generator: GeneratorOptions, crop_size: ImageSize) -> int:
    """The generator's default depth: the number of times that both sides halve evenly.

    Raises:
      UserError: the smaller side does not halve evenly to at most 32; the message suggests another
        size.
    """
    if generator.generator == "pooled":
        return _POOLED_LEVELS
    levels = min(map(_halvings, crop_size))
    smaller = min(crop_size)
    if levels < 2:
        nearest = crop_size.rounded(4)
        raise UserError(f"crop_size must be a multiple of 4: {crop_size} is not, try {nearest}")
    if smaller >> levels > _WIDEST:
        nearest = crop_size.rounded(2 ** math.ceil(math.log2(smaller / _WIDEST)))
        raise UserError(
            f"crop_size must halve evenly to {_WIDEST} or less, unless levels is given: "
            f"{crop_size} stops at {smaller >> levels}, try {nearest}"
        )
    return levels


def default_scale_size(scaling: ScalingOptions) -> ImageSize:
    """The default image size before the random crop: 286/256 of the crop, as in the reference."""
    if scaling.jitter == "none":
        return scaling.crop_size
    return scaling.crop_size.scaled(286 / 256)


def check_source(source: ImageSource, task: TaskOptions) -> None:
    """Checks that the options that name the images are consistent.

    Raises:
      UserError: two options contradict each other.
    """
    named = [real_path(Path(name)) for name in (source.input_dir, source.target_dir) if name]
    if len(named) == 2 and named[0] == named[1]:
        raise UserError(f"input_dir and target_dir are both {source.input_dir}")
    for one, other in (
        ("input_dir", "manifest"),
        ("target_dir", "manifest"),
        ("arrays", "manifest"),
        ("arrays", "target_dir"),
        ("more_inputs", "manifest"),
        ("arrays", "more_inputs"),
    ):
        if getattr(source, one) is not None and getattr(source, other) is not None:
            raise UserError(f"{one} and {other} contradict each other: give one of them")
    alone = [name for name in ("inputs_only", "lab_colorization") if getattr(task, name)]
    alone += ["inpaint"] if task.inpaint != "none" else []
    if source.target_dir is not None and alone:
        raise UserError(f"target_dir and {alone[0]} contradict each other: give one of them")
    if source.more_inputs and (task.lab_colorization or task.inpaint != "none"):
        raise UserError(
            "more_inputs goes with pairs of input and target, not with "
            f"{'lab_colorization' if task.lab_colorization else 'inpaint'}: leave it out"
        )


def check_task(task: TaskOptions, scaling: ScalingOptions) -> None:
    """Checks that one task is chosen, and that the scaling fits it.

    Raises:
      UserError: two options contradict each other.
    """
    if task.inpaint == "center" and scaling.resize_targets is not None:
        raise UserError(
            "resize_targets contradicts inpaint center, where input and target are one image: "
            "leave it out"
        )
    for name in ("input_channels", "target_channels"):
        if task.lab_colorization and getattr(task, name) is not None:
            raise UserError(
                f"{name} contradicts lab_colorization, where the channels are L, a and b"
            )
    if task.inpaint != "none" and task.lab_colorization:
        raise UserError("inpaint and lab_colorization are two tasks: give one of them")
    if task.inpaint != "none" and len(set(task.channels)) > 1:
        raise UserError(
            "inpaint has inputs and targets of equal channels: give input_channels and "
            f"target_channels the same number, not {task.channels[0]} and {task.channels[1]}"
        )


def check_output_form(task: TaskOptions, output_filetype: str) -> None:
    """Checks that exported graphs can encode the outputs.

    Raises:
      UserError: they cannot.
    """
    if output_filetype == "jpeg" and task.channels[1] == 4:
        raise UserError("output_filetype jpeg holds no alpha, and outputs have 4 channels: use png")


def check_sizes(scaling: ScalingOptions, generator: GeneratorOptions, aspect_ratio: float) -> None:
    """Checks that crops fit into the images, and that the generator fits the crops.

    Raises:
      UserError: a size does not fit; the message names one that does.
    """
    assert generator.levels is not None
    assert scaling.scale_size is not None
    crop_size, scale_size = scaling.crop_size, scaling.scale_size
    multiple = 2**generator.levels
    if any(side % multiple for side in crop_size):
        nearest = crop_size.rounded(multiple)
        raise UserError(
            f"crop_size must be a multiple of {multiple}, as the generator has {generator.levels} "
            f"levels: {crop_size} is not, try {nearest}"
        )
    room = [scaled - cropped for scaled, cropped in zip(scale_size, crop_size, strict=True)]
    if min(room) < 0:
        raise UserError(f"scale_size must be at least crop_size ({crop_size}), not {scale_size}")
    if scaling.jitter == "none" and scale_size != crop_size:
        raise UserError(
            f"scale_size must be crop_size ({crop_size}) with --jitter none, not {scale_size}"
        )
    if any(scaling.crop_from > pixels > 0 for pixels in room):
        raise UserError(
            f"crop_from must be at most scale_size - crop_size ({min(filter(None, room))}), "
            f"not {scaling.crop_from}"
        )
    if generator.generator == "pooled" and (
        generator.levels != _POOLED_LEVELS or generator.separable_conv
    ):
        raise UserError(f"generator pooled has {_POOLED_LEVELS} levels and no --separable_conv")
    if generator.generator == "pooled" and generator.dropout_levels != INNERMOST:
        raise UserError("dropout_levels is for U-Nets: leave it out with --generator pooled")
    if max(generator.levels_with_dropout(), default=0) > generator.levels:
        raise UserError(
            f"dropout_levels must be at most {generator.levels}, the generator's levels, not "
            f"{generator.dropout_levels}"
        )
    if crop_size == ORIGINAL:
        return
    if round(crop_size.width * aspect_ratio) < 1:
        raise UserError(f"aspect_ratio must leave a pixel of {crop_size}, {aspect_ratio} does not")
    if crop_size.width * aspect_ratio > LARGEST_SIDE:
        raise UserError(
            f"aspect_ratio must leave images of at most {LARGEST_SIDE} pixels a side, "
            f"{aspect_ratio} does not"
        )


def check_original_size(scaling: ScalingOptions, mode: str, batch_size: int) -> None:
    """Checks that images keep their own size only where each is a batch of its own.

    Raises:
      UserError: they are trained on, exported for, or joined to batches.
    """
    if scaling.scale_size == ORIGINAL and scaling.crop_size != ORIGINAL:
        raise UserError("scale_size must be a number of pixels, not 'original'")
    if scaling.crop_size != ORIGINAL:
        return
    if mode != "test":
        raise UserError(f"crop_size original is for tools/test.py, not for {mode}: give a size")
    if batch_size != 1:
        raise UserError(
            f"crop_size original takes one image at a time: leave out --batch_size {batch_size}"
        )


def check_losses(losses: LossOptions) -> None:
    """Checks that G has a loss.

    Raises:
      UserError: both terms of the loss have the weight 0.
    """
    if losses.gan_weight == 0 and losses.l1_weight == 0:
        raise UserError("gan_weight and l1_weight are both 0, so G has no loss: raise one of them")


def check_validation(validation: ValidationOptions, shown_side: int, *, grid: bool) -> None:
    """Checks that every validation option takes effect.

    Args:
      validation: the options.
      shown_side: the shorter side of a written image, pixels.
      grid: whether tools/test.py writes an image grid.

    Raises:
      UserError: an option has no effect without another, or SSIM does not fit the images.
    """
    for name in ("val_dir", "val_target_dir", "val_more_inputs"):
        if getattr(validation, name) is not None and not validation.is_on:
            raise UserError(f"{name} needs --sample_freq, the interval of validation")
    if validation.val_target_dir is not None and validation.val_dir is None:
        raise UserError("val_target_dir needs --val_dir, the folder of the inputs")
    if validation.val_more_inputs is not None and validation.val_dir is None:
        raise UserError("val_more_inputs needs --val_dir, the folder of the first inputs")
    if validation.sample_count != _SAMPLE_COUNT and not (validation.is_on or grid):
        raise UserError("sample_count needs --sample_freq or, in tools/test.py, --grid")
    if validation.keep_best != "none" and not validation.is_on:
        raise UserError("keep_best needs --sample_freq, the interval of validation")
    if validation.is_on and shown_side < _SSIM_WINDOW:
        raise UserError(
            f"sample_freq needs images of at least {_SSIM_WINDOW} pixels, the window of SSIM, "
            f"not {shown_side}"
        )


def check_frequencies(reports: ReportOptions, steps_per_run: int) -> None:
    """Checks that reports fall on the last step of a Session.run call.

    Raises:
      UserError: an interval is not a multiple of steps_per_run.
    """
    for name in _FREQUENCIES:
        if getattr(reports, name) % steps_per_run:
            raise UserError(
                f"{name} must be a multiple of steps_per_run ({steps_per_run}), "
                f"not {getattr(reports, name)}"
            )


def _halvings(size: int) -> int:
    """The number of times that a size halves evenly: 8 for 256, 7 for 128 and 384."""
    return (size & -size).bit_length() - 1
