"""What a process has to do to translate a folder: its images, their names, where they go."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from p2p_graph.checkpoints.restore_checkpoint import Checkpoint
from p2p_graph.config import dataset_recipes
from p2p_graph.config.image_size import ORIGINAL
from p2p_graph.config.options import Options
from p2p_graph.config.options_file import save_options
from p2p_graph.config.output_folder import refuse_data_folder
from p2p_graph.data.channel_counts import channels_of_data
from p2p_graph.data.image_files import Entry, SourceImage, output_names
from p2p_graph.data.image_sources import digest_of, list_unchecked
from p2p_graph.imaging import preview
from p2p_graph.imaging.array_files import ARRAY_SUFFIX
from p2p_graph.inference.folder.folder_record import Made, ResultsFolder
from p2p_graph.inference.folder.image_choice import files_read, numbers_of_part
from p2p_graph.inference.folder.network import Restored
from p2p_graph.pages import html_page
from p2p_graph.runtime import devices
from p2p_graph.runtime.devices import Device
from p2p_graph.utils.cores import available_cores
from p2p_graph.utils.counted import counted
from p2p_graph.utils.errors import UserError
from p2p_graph.utils.outside_files import real_path

_MOST_PARALLEL_CALLS = 8  # of Session.run


class Work(NamedTuple):
    """What a process has to do.

    Attributes:
      options: all options.
      folder: to write to.
      device: to run on.
      parallel_calls: threads that call `Session.run`.
      listed: all images of the source, of which image files are not checked yet.
      names: of the output files of each.
      numbers: of those that this process is to have in the folder.
      digest: of the names of all images, as `names_digest`.
    """

    options: Options
    folder: Path
    device: Device
    parallel_calls: int
    listed: Sequence[Entry | SourceImage]
    names: Sequence[str]
    numbers: Sequence[int]
    digest: str

    @property
    def checkpoint(self) -> Path:
        """The checkpoint's folder or prefix."""
        assert self.options.run.checkpoint is not None
        return Path(self.options.run.checkpoint)

    def columns(self) -> dict[str, str]:
        """The titles of the written images by kind."""
        task = self.options.data.task
        kinds = preview.titles(task.shown_parts)
        return {
            kind: text for kind, text in kinds.items() if kind != "targets" or not task.inputs_only
        }

    @property
    def endings(self) -> list[str]:
        """The endings of the names of an image's files."""
        parts = self.options.data.task.shown_parts
        arrays = [k for k in self.columns() if k != "inputs" and not preview.is_whole(parts[k])]
        return [f"-{k}.png" for k in self.columns()] + [f"-{k}{ARRAY_SUFFIX}" for k in arrays]

    def results_by(self, checkpoint: Restored) -> ResultsFolder:
        """The folder of results that a checkpoint makes."""
        options = self.options
        shared = options.replace(shard=None, skip_done=False)
        made = Made(
            shared.flat(),
            checkpoint.weights,
            "CPU" if self.device.is_cpu else "GPU",
            self.digest,
        )
        return ResultsFolder(
            self.folder,
            made,
            functools.partial(save_options, shared, self.folder),
            options.bulk.part,
            self.endings,
        )


def output_folder(options: Options, checkpoint: Checkpoint) -> Path:
    """The folder to write to: the named one, or one in the checkpoint's folder."""
    if options.run.output_dir is not None:
        return Path(options.run.output_dir)
    data = Path(options.data.source.path)
    name = f"{dataset_recipes.dataset_name(data)}_{real_path(data).stem}"
    return checkpoint.folder / f"{name}{options.run.step_suffix}"


def list_work(options: Options, folder: Path) -> Work:
    """Lists the images, and chooses the device.

    Args:
      options: all options.
      folder: to write to.

    Raises:
      UserError: there are no images, or not of the channels of the options, or none for this shard,
        or they lie in the folder.
    """
    source, task = options.data.source, options.data.task
    parallel_calls = min(available_cores(), _MOST_PARALLEL_CALLS)
    if options.data.scaling.crop_size == ORIGINAL:
        parallel_calls = 1  # an image may need gigabytes
    device = devices.choose(options.execution.device, parallel_calls)
    channels_of_data(task, source)
    listed = list_unchecked(source, single=task.is_single, held_out=True)
    refuse_data_folder(folder, files_read(listed), (html_page.IMAGE_FOLDER,))
    numbers = numbers_of_part(
        len(listed),
        options.bulk.part,
        options.data.batches.batch_size,
        options.length.max_steps or None,
    )
    if not numbers:
        raise UserError(
            f"shard {options.bulk.shard} of {counted(len(listed), 'image')} has none: take fewer "
            "shards"
        )
    paths = [image.path for image in listed]
    names, digest = output_names(paths), digest_of(listed, source)
    return Work(options, folder, device, parallel_calls, listed, names, numbers, digest)
