"""Translation of very many images: list, cut into shards, hand the missing ones to workers."""

import dataclasses
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from p2p_graph.checkpoints import restore_checkpoint
from p2p_graph.checkpoints.model_files import FILES as MODEL_FILES
from p2p_graph.config.data_options import FILE_CHANNELS, ImageSource
from p2p_graph.config.image_size import ORIGINAL
from p2p_graph.config.options_file import MODEL_FIELDS
from p2p_graph.config.output_folder import claimed, refuse_data_folder
from p2p_graph.data.image_sources import is_archive, source_named
from p2p_graph.inference.bulk import bulk_record, ray_cluster
from p2p_graph.inference.bulk.ray_cluster import Pool, ShardResult
from p2p_graph.inference.bulk.shard_outputs import (
    refuse_foreign,
    remove_unfinished,
    written_size,
)
from p2p_graph.inference.bulk.shard_translator import WorkerSetup
from p2p_graph.inference.bulk.work_shards import Columns, WorkList, list_work
from p2p_graph.inference.find_model import FoundModel, find_model
from p2p_graph.inference.folder.failed_images import FAILED_FILE
from p2p_graph.models.memory_estimate import translation_bytes
from p2p_graph.runtime import devices
from p2p_graph.runtime.memory_check import check_memory
from p2p_graph.utils.counted import counted
from p2p_graph.utils.errors import UserError, escaped

_TOO_LARGE = (
    "images of this size need about {needed} GB of memory, and this machine has {present} GB: try "
    "a smaller --crop_size"
)


class ManyOptions(NamedTuple):
    """What is translated, by what, and to where.

    Attributes:
      checkpoint: see `generator.load`.
      step: see `generator.load`.
      source: the images.
      columns: of Parquet files.
      inputs_only: whether images are inputs alone, not pairs.
      folder: to write to.
      form: "files", "tfrecord" or "parquet".
      shard_size: images in a shard.
      size: that images are scaled to, as "256x512" or "original"; None for training's.
      seed: of the dropout masks.
      dropout: rate; None for that of tools/test.py.
      precision: "fp32" or "mixed".
      device: "auto", "cpu" or "gpu".
      workers: their number; None for one a GPU, or without GPUs one a machine.
      address: of an existing Ray cluster; None for this machine.
    """

    checkpoint: Path
    step: int | None
    source: ImageSource
    columns: Columns
    inputs_only: bool
    folder: Path
    form: str
    shard_size: int
    size: str | None
    seed: int
    dropout: float | None
    precision: str
    device: str
    workers: int | None
    address: str | None


def translate_many(many: ManyOptions) -> None:
    """Translates the images of a source; the same call again does only the shards that are missing.

    Raises:
      UserError: something that a person can mend.
    """
    many = _with_prefix(many)
    model = _found(many)
    _check_size(many)
    single = _is_single(model, many)
    if is_archive(many.source):
        raise UserError(
            f"input_dir {many.source.path} is an archive: translate_many takes folders, lists, "
            "TFRecord shards and Parquet files"
        )
    with source_named("input_dir"):  # without advice on flags that this program lacks
        work = list_work(
            dataclasses.replace(many.source, upright=model.options.data.source.upright),
            many.columns,
            many.shard_size,
            single=single,
            b_is_input=model.options.data.task.which_direction == "BtoA",
        )
    refuse_data_folder(
        many.folder, (Path(piece.path) for shard in work.shards for piece in shard.pieces)
    )
    record = _record(many, model, work)
    with claimed(many.folder, "translate_many", bulk_record.WRITTEN):
        bulk_record.refuse_other(many.folder, record)
        _translate_missing(many, work, record, single=single)
        _report_end(many.folder, work)


def _with_prefix(many: ManyOptions) -> ManyOptions:
    """Names the checkpoint by its prefix: all workers have it, whether or not training goes on."""
    if many.checkpoint.suffix in MODEL_FILES:
        return many
    folder = find_model(many.checkpoint, {}, many.step).options.run.checkpoint
    assert folder is not None
    return many._replace(checkpoint=restore_checkpoint.need(Path(folder)).prefix, step=None)


def _found(many: ManyOptions, **more: Any) -> FoundModel:
    given: dict[str, Any] = {"seed": many.seed, "precision": many.precision, **more}
    given |= {} if many.dropout is None else {"dropout": many.dropout}
    return find_model(many.checkpoint, given, many.step)


def _check_size(many: ManyOptions) -> None:
    """Refuses a size that the generator cannot translate, or no memory holds.

    Every image would fail. Sizes of their own are not known before the images are read.
    """
    if many.size is None or many.size == str(ORIGINAL):
        return
    options = _found(many, crop_size=many.size).options
    if many.device != "gpu" and not many.address:
        data = options.data
        needed = translation_bytes(options.model, data.task.channels, data.scaling.crop_size, 1)
        check_memory(needed, devices.choose("cpu"), _TOO_LARGE)


def _is_single(model: FoundModel, many: ManyOptions) -> bool:
    """Whether images are inputs alone, not pairs.

    Raises:
      UserError: the model takes or gives images that no file holds.
    """
    task = model.options.data.task
    if not task.lab_colorization and task.channels[1] not in FILE_CHANNELS:
        raise UserError(
            f"checkpoint {many.checkpoint} gives images of {counted(task.channels[1], 'channel')}, "
            "which no image file holds: tools/test.py writes them"
        )
    if len(task.input_parts) > 1:
        raise UserError(
            f"checkpoint {many.checkpoint} takes several inputs: tools/test.py translates them"
        )
    if task.inpaint != "none" and not many.inputs_only:
        raise UserError(
            "inpaint: the images must have their white holes already; say so with --inputs_only"
        )
    return many.inputs_only or task.is_single


def _record(many: ManyOptions, model: FoundModel, work: WorkList) -> dict[str, Any]:
    """What decides the outputs; compared by later runs, in this order."""
    options = model.options.flat()
    return {
        "shard_size": many.shard_size,
        "format": many.form,
        "images": work.images,
        "source": work.digest,
        "inputs_only": many.inputs_only,
        "size": many.size,
        "seed": many.seed,
        "precision": many.precision,
        **{name: options[name] for name in MODEL_FIELDS},
        "weights": model.weights(),
    }


def _translate_missing(
    many: ManyOptions, work: WorkList, record: Mapping[str, Any], *, single: bool
) -> None:
    """Lets workers translate the shards that are not done."""
    count = len(work.shards)
    missing = [shard for shard in work.shards if not _is_done(shard.number, count, many)]
    of_all = f"{counted(work.images, 'image')} in {counted(count, 'shard')}"
    before = f", {count - len(missing)} of them done before" if len(missing) < count else ""
    print(f"{of_all}{before}", flush=True)
    if not missing:
        return
    refuse_foreign(many.folder, many.form, (shard.number for shard in missing), count)
    with ray_cluster.started(many.address) as machines:
        pool = ray_cluster.pool_of(machines, many.workers, many.device)
        made_on = "GPU" if pool.on_gpu else "CPU"
        bulk_record.begin(many.folder, {**record, "made_on": made_on})
        bulk_record.forget(many.folder, (shard.number for shard in missing), count)
        remove_unfinished(many.folder)
        threads = f"of {counted(pool.cores, 'core')}"
        print(
            f"{counted(pool.workers, 'worker')} {threads}{' and a GPU' * pool.on_gpu}", flush=True
        )
        setup = _setup(many, pool, record["weights"], count, single=single)
        texts = [shard.to_json() for shard in missing]
        results = ray_cluster.translate_shards(texts, setup, pool)
        _with_progress(results, sum(p.images for shard in missing for p in shard.pieces), count)


def _is_done(number: int, count: int, many: ManyOptions) -> bool:
    """Whether a shard is recorded as done, and its file or folder is as it was written."""
    done = bulk_record.read_done(many.folder, number, count)
    if done is None:
        return False
    written = written_size(many.folder, many.form, number, count)
    return written is not None and done.size in (written, None)


def _setup(
    many: ManyOptions, pool: Pool, weights: str, shards: int, *, single: bool
) -> WorkerSetup:
    return WorkerSetup(
        str(many.checkpoint.absolute()),
        weights,
        "gpu" if pool.on_gpu else "cpu",
        many.precision,
        many.seed,
        many.dropout,
        many.size,
        single,
        many.columns,
        str(many.folder.absolute()),
        many.form,
        shards,
        pool.cores,
    )


def _with_progress(results: Iterable[ShardResult], images: int, shards: int) -> None:
    """Reports shards as they are done.

    Raises:
      UserError: a worker has met what ends the run.
    """
    start, done = time.monotonic(), 0
    with tqdm(total=images, unit="image", disable=not sys.stderr.isatty()) as bar:
        for number, result in enumerate(results, 1):
            if result.error:
                raise UserError(result.error)
            done += result.images + result.failed
            bar.update(result.images + result.failed)
            if bar.disable:
                rate = done / (time.monotonic() - start)
                print(
                    f"shard {number}: {done} of {counted(images, 'image')}, {rate:.1f} images/s",
                    flush=True,
                )
    seconds = time.monotonic() - start
    print(f"{counted(done, 'image')} in {seconds:.1f} s, {done / seconds:.1f} images/s")


def _report_end(folder: Path, work: WorkList) -> None:
    """Lists the images that failed in any run; removes what killed workers have left."""
    remove_unfinished(folder)
    translated, failed = bulk_record.write_failed(folder, len(work.shards))
    print(f"{counted(translated, 'image')} translated into {escaped(str(folder))}")
    if failed:
        where = escaped(str(folder / FAILED_FILE))
        print(f"{counted(failed, 'image')} failed, see {where}")
