"""Which images a training run validates on."""

import dataclasses
from pathlib import Path

from p2p_graph.config.data_options import ImageSource, TaskOptions
from p2p_graph.config.listed_values import Folders
from p2p_graph.config.training_options import ValidationOptions
from p2p_graph.data.channel_counts import channels_of_data
from p2p_graph.data.image_files import SourceImage
from p2p_graph.data.image_sources import is_archive, is_packed, list_images
from p2p_graph.utils.errors import UserError
from p2p_graph.utils.outside_files import real_path

_NAMES = {"target_dir": "targets", "more_inputs": "further inputs"}  # by the option of training
_SIBLINGS = ("val", "test")


def validation_source(training: ImageSource, validation: ValidationOptions) -> ImageSource:
    """Where the validation images of a training run are.

    Images come from `val_dir`; without it from the remainder of `split`; without a split from the
    folder val or test beside input_dir. Targets come from `val_target_dir`; without it, where
    training has a `target_dir`, from the folder beside that with the validation images' name;
    otherwise from beside the inputs. Further inputs are found likewise.

    Raises:
      UserError: there are none.
    """
    if validation.val_dir is None and training.split < 1:
        return training
    named = validation.val_dir or _sibling(training.input_dir)
    if named is None:
        raise UserError(
            "sample_freq needs validation images, and there is no folder val or test beside the "
            "training images: name them (--val_dir)"
        )
    source = dataclasses.replace(
        training, input_dir=named, target_dir=None, manifest=None, more_inputs=None, split=1.0
    )
    is_list = Path(named).is_file() and not is_archive(source)
    holds_packed = is_archive(source) or is_packed(source)
    if validation.val_target_dir and (is_list or holds_packed):
        raise UserError(f"val_target_dir is for folders of images: {named} holds A and B")
    if is_archive(source):
        return source
    source = dataclasses.replace(source, arrays=None)
    if is_list:
        return dataclasses.replace(source, input_dir=None, manifest=named)
    if is_packed(source):
        return source
    targets = validation.val_target_dir or _sibling_of("target_dir", named, training.target_dir)
    further = validation.val_more_inputs
    if training.more_inputs and not further:
        beside = [_sibling_of("more_inputs", named, folder) for folder in training.more_inputs]
        further = Folders(filter(None, beside))
    return dataclasses.replace(source, target_dir=targets, more_inputs=further or None)


def validation_images(
    training: ImageSource, validation: ValidationOptions, task: TaskOptions
) -> list[SourceImage]:
    """Lists the first `sample_count` validation images; none if there is no validation.

    Raises:
      UserError: there are none, or some cannot be used.
    """
    if not validation.is_on:
        return []
    source = validation_source(training, validation)
    try:
        channels_of_data(task, source)
        return list_images(
            source, single=task.is_single, held_out=True, at_most=validation.sample_count
        )
    except UserError as error:
        message, *listed = error.args
        raise UserError(f"validation images: {message}", *listed) from None


def _sibling(input_dir: str | None) -> str | None:
    """The folder val or test beside the folder of training images."""
    if input_dir is None:
        return None
    folder = real_path(Path(input_dir))
    beside = [folder.with_name(name) for name in _SIBLINGS if name != folder.name]
    return next((str(path) for path in beside if path.is_dir()), None)


def _sibling_of(what: str, named: str, folder: str | None) -> str | None:
    """The folder beside a folder of training that has the validation images' name."""
    if folder is None:
        return None
    beside = real_path(Path(folder)).with_name(real_path(Path(named)).name)
    if beside == real_path(Path(named)):
        raise UserError(f"the {_NAMES[what]} of {named} are not known: name them (--val_{what})")
    return str(beside) if beside.is_dir() else None
