"""Translation: every image of a folder once, by the generator alone, as the reference's test."""

import concurrent.futures
import contextlib
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import tensorflow.compat.v1 as tf
from tqdm import tqdm

from p2p_graph.checkpoints import restore_checkpoint
from p2p_graph.checkpoints.restore_checkpoint import Checkpoint
from p2p_graph.config import dataset_recipes
from p2p_graph.config.image_size import ORIGINAL, ImageSize
from p2p_graph.config.model_options import GeneratorOptions
from p2p_graph.config.options import Options
from p2p_graph.config.options_file import save_options
from p2p_graph.config.output_folder import claimed, refuse_data_folder
from p2p_graph.data.channel_counts import channels_of_data
from p2p_graph.data.dataset_iterators import plain_iterator
from p2p_graph.data.decode_check import image_errors_named
from p2p_graph.data.image_files import SourceImage, files_of, output_names
from p2p_graph.data.image_pairs import sizes_before_scaling
from p2p_graph.data.image_sources import list_images
from p2p_graph.data.input_graph import Batch, translation_batches
from p2p_graph.imaging import image_grid, preview
from p2p_graph.imaging.array_files import ARRAY_SUFFIX, save_npy
from p2p_graph.imaging.image_arrays import save_png, to_8_bits
from p2p_graph.inference.option_precedence import configure, named_data, with_training_split
from p2p_graph.models.memory_estimate import translation_bytes
from p2p_graph.models.networks import translate
from p2p_graph.models.postprocess import to_integers, to_rgb, to_shown, to_values
from p2p_graph.models.precision import compute_once
from p2p_graph.pages import html_page, results_page
from p2p_graph.pages.results_page import ImageColumn, Row, own_image
from p2p_graph.runtime import devices
from p2p_graph.runtime.memory_check import check_memory
from p2p_graph.utils import signals
from p2p_graph.utils.cores import available_cores
from p2p_graph.utils.counted import counted
from p2p_graph.utils.errors import UserError, one_line_reason, why_not_written
from p2p_graph.utils.outside_files import real_path

_MOST_PARALLEL_CALLS = 8  # of Session.run
_GRID_FILE = "grid.png"
_WRITTEN = (html_page.INDEX_FILE, html_page.IMAGE_FOLDER, _GRID_FILE)

Images = Mapping[str, Any]  # one image's arrays by kind


class _Fetches(NamedTuple):
    """What a `Session.run` call gives of a batch: tensors, or their values.

    Attributes:
      indices: int64 [N], the images' numbers.
      shown: uint8 or uint16 [N, H, W, 1, 3 or 4] by kind.
      values: outputs and targets that no image file holds, float32 [N, H, W, C] by kind.
    """

    indices: Any
    shown: dict[str, Any]
    values: dict[str, Any]


class Translation(NamedTuple):
    """An image that is translated and written.

    Attributes:
      name: of its files.
      files: its input, output and target in `images/`, with their sizes.
      images: the same as uint8 [H, W, C] by kind, where a grid shows them.
    """

    name: str
    files: Mapping[str, ImageSize]
    images: Images


def test(given: Mapping[str, Any]) -> None:
    """Translates a folder of images; writes the images, a page and perhaps an image grid.

    Args:
      given: the flags' values by flat name.

    Raises:
      UserError: something that a person can mend.
    """
    if named_data(given) is None:
        raise UserError("input_dir is missing: name the folder of images (--input_dir)")
    options, checkpoint = configure(given, "test")
    options = with_training_split(options, given, checkpoint)
    folder = _output_folder(options, checkpoint)
    with claimed(folder, "test", _WRITTEN):
        _test(options.replace(output_dir=str(folder)), folder)


def _test(options: Options, folder: Path) -> None:
    """Translates all images into a folder that no other program works in."""
    source, task = options.data.source, options.data.task
    parallel_calls = min(available_cores(), _MOST_PARALLEL_CALLS)
    if options.data.scaling.crop_size == ORIGINAL:
        parallel_calls = 1  # an image may need gigabytes
    device = devices.choose(options.execution.device, parallel_calls)
    channels_of_data(task, source)
    images = list_images(source, single=task.is_single, held_out=True)
    refuse_data_folder(folder, files_of(images), (html_page.IMAGE_FOLDER,))
    if source.split < 1:
        print(
            f"split: {counted(len(images), 'image')} left out of training "
            f"(--split {source.split} --split_seed {source.split_seed}; --split 1 takes all)"
        )
    check_memory(_needed_memory(options, images), device)
    devices.set_gpu_arithmetic(options.model.layers.precision)
    print(f"device: {device.name}")
    start = time.monotonic()
    with tf.Graph().as_default(), tf.Session(config=device.config) as session:
        with signals.held():
            fetches = _build(images, options, session, on_cpu=device.is_cpu)
        prefix, step = _restore(options, session)
        print(f"checkpoint: {prefix}, {task.which_direction}")
        names = output_names([image.path for image in images])
        _make_folder(options, folder, names, step)
        writer = _Writer(names, folder, options.validation.sample_count * options.outputs.grid)
        with image_errors_named(images):
            translations = _translate_all(session, fetches, writer, options, parallel_calls)
    seconds = time.monotonic() - start
    if options.outputs.grid:
        _write_grid(folder, translations, options, step)
    page = _write_page(folder, translations, options, (prefix, step), list(fetches.shown))
    count = len(translations)
    print(f"{counted(count, 'image')} in {seconds:.1f} s, {seconds / count:.3f} s an image")
    print("wrote index at", page)
    _report_earlier_images(folder, translations)


def _needed_memory(options: Options, images: Sequence[SourceImage]) -> int:
    """Estimates the memory of translation, in bytes.

    Raises:
      UserError: an image is too small to be translated at its own size.
    """
    data = options.data
    size = data.scaling.crop_size
    if size == ORIGINAL:
        sizes = sizes_before_scaling(images, data.task)
        _check_sides(images, sizes, options.model.generator)
        size = max(sizes, key=math.prod)
    return translation_bytes(options.model, data.task.channels, size, data.batches.batch_size)


def _check_sides(
    images: Sequence[SourceImage], sizes: Sequence[ImageSize], generator: GeneratorOptions
) -> None:
    assert generator.levels is not None
    smallest = 2**generator.levels
    small = [
        f"{image.path}: is {size.width} pixels wide and {size.height} high"
        for image, size in zip(images, sizes, strict=True)
        if min(size) < smallest
    ]
    if small:
        raise UserError(
            f"crop_size original needs images of at least {smallest} pixels a side, as the "
            f"generator has {generator.levels} levels; scale them (--crop_size {smallest}), or "
            "remove these:",
            *small,
        )


def _output_folder(options: Options, checkpoint: Checkpoint) -> Path:
    if options.run.output_dir is not None:
        return Path(options.run.output_dir)
    data = Path(options.data.source.path)
    name = f"{dataset_recipes.dataset_name(data)}_{real_path(data).stem}"
    return checkpoint.folder / f"{name}{options.run.step_suffix}"


def _build(
    images: Sequence[SourceImage],
    options: Options,
    session: tf.Session,
    *,
    on_cpu: bool,
) -> _Fetches:
    """Builds decoding, the generator and conversion."""
    data = options.data
    with tf.name_scope("load_images"), tf.device("/cpu:0"):
        batches = translation_batches(images, data.task, data.scaling, data.batches.batch_size)
        iterator = plain_iterator(batches)
        indices, inputs, *targets = iterator.get_next()
    channels, seed = data.task.channels[1], options.run.seed
    outputs = translate(
        inputs,
        options.model,
        channels,
        seed,
        on_cpu=on_cpu,
        frozen=True,
        any_size=data.scaling.crop_size == ORIGINAL,
    )
    batch = Batch(indices, inputs, targets[0] if targets else None)
    rgb = to_rgb(batch, outputs, data.task)
    parts, aspect_ratio = data.task.shown_parts, options.outputs.aspect_ratio
    shown = to_integers(to_shown(rgb, parts), aspect_ratio, options.outputs.output_bits)
    session.run(iterator.initializer)
    return _Fetches(indices, shown, to_values(rgb, parts, aspect_ratio))


def _restore(options: Options, session: tf.Session) -> tuple[Path, int]:
    """Restores the generator; returns the checkpoint's prefix and step.

    The checkpoint is the newest one of this moment: training may have gone on since the options
    were read.
    """
    variables = tf.trainable_variables()

    def restore(checkpoint: Checkpoint) -> tuple[Path, int]:
        checkpoint.restorer(variables)(session)
        return checkpoint.prefix, checkpoint.step()

    assert options.run.checkpoint is not None
    restored = restore_checkpoint.with_newest(Path(options.run.checkpoint), restore)
    compute_once(session)
    return restored


def _make_folder(options: Options, folder: Path, names: Sequence[str], step: int) -> None:
    """Makes the folder, and removes what an earlier translation has left of the same names.

    Otherwise an interrupted translation would leave images of two checkpoints side by side, and one
    without targets the targets of other images.
    """
    images = folder / html_page.IMAGE_FOLDER
    try:
        # First: the folder is known as this program's by it.
        save_options(options, folder, {"trained_steps": str(step)})
        images.mkdir(exist_ok=True)
        # Also first: without the page, the translation is not finished.
        for path in (folder / html_page.INDEX_FILE, folder / _GRID_FILE):
            path.unlink(missing_ok=True)
        if any(images.iterdir()):
            batches = options.length.max_steps or len(names)
            for name in names[: batches * options.data.batches.batch_size]:
                for kind in preview.KINDS:
                    for suffix in (".png", ARRAY_SUFFIX):
                        (images / f"{name}-{kind}{suffix}").unlink(missing_ok=True)
    except OSError as error:
        raise UserError(
            f"output_dir {folder} cannot be written: {why_not_written(error)}"
        ) from None


class _Writer(NamedTuple):
    """Writes translated images.

    Attributes:
      names: of all images.
      folder: that holds the folder of images.
      grid_count: the number of first images that a grid shows.
    """

    names: Sequence[str]
    folder: Path
    grid_count: int

    def write(self, index: int, images: Images, values: Images) -> Translation:
        """Writes one image's input, output and target, and the values that files do not hold."""
        name, files = self.names[index], {}
        image_folder = self.folder / html_page.IMAGE_FOLDER
        for kind, array in values.items():
            self._write(save_npy, image_folder / f"{name}-{kind}{ARRAY_SUFFIX}", array)
        for kind, image in images.items():
            file = f"{name}-{kind}.png"
            self._write(save_png, image_folder / file, image)
            files[file] = ImageSize(*image.shape[:2])
        shown = images if index < self.grid_count else {}
        return Translation(name, files, {kind: to_8_bits(v) for kind, v in shown.items()})

    def _write(self, save: Callable[[Path, Any], None], path: Path, image: Any) -> None:
        try:
            save(path, image)
        except OSError as error:
            raise UserError(f"{path} cannot be written: {why_not_written(error)}") from None


def _translate_all(
    session: tf.Session, fetches: _Fetches, writer: _Writer, options: Options, parallel_calls: int
) -> list[Translation]:
    """Translates and writes the images, and reports each in the images' order."""
    count = -(-len(writer.names) // options.data.batches.batch_size)
    if options.length.max_steps:
        count = min(count, options.length.max_steps)
    done: dict[int, Translation] = {}
    reported = 0
    with tqdm(total=len(writer.names), unit="image", disable=not sys.stderr.isatty()) as bar:
        for batch in _batches(session, fetches, writer, count, parallel_calls):
            done |= batch
            while reported in done:  # a later batch may be done first
                if bar.disable:
                    print("evaluated image", writer.names[reported])
                bar.update()
                reported += 1
    return [done[index] for index in sorted(done)]


def _batches(
    session: tf.Session, fetches: _Fetches, writer: _Writer, count: int, parallel_calls: int
) -> Iterator[dict[int, Translation]]:
    """Translates and writes `count` batches, in order or nearly so; each by image number.

    Several threads call `Session.run` and write the results: the network always has images to work
    on while others are encoded.
    """

    def translate_batch(_: int) -> dict[int, Translation]:
        indices, *by_kind = session.run(fetches)
        return {
            int(index): writer.write(
                index, *({kind: v[i] for kind, v in found.items()} for found in by_kind)
            )
            for i, index in enumerate(indices)
        }

    with concurrent.futures.ThreadPoolExecutor(parallel_calls) as pool, _readable_errors():
        batches = [pool.submit(translate_batch, number) for number in range(count)]
        try:
            for batch in batches:
                yield batch.result()
        finally:
            pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _readable_errors() -> Iterator[None]:
    """Makes a lack of memory one line."""
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        reason = one_line_reason(error)
        raise UserError(
            f"out of memory: {reason}; try a smaller --batch_size or --crop_size"
        ) from None


def _write_grid(
    folder: Path, translations: Sequence[Translation], options: Options, step: int
) -> None:
    path, shown = folder / _GRID_FILE, translations[: options.validation.sample_count]
    columns = {
        title: [translation.images[kind] for translation in shown]
        for kind, title in preview.titles(options.data.task.shown_parts).items()
        if kind in shown[0].images
    }
    names = [translation.name for translation in translations]
    image_grid.save_grid(path, f"step {step}", columns, names)
    print("wrote grid at", path)


def _report_earlier_images(folder: Path, translations: Sequence[Translation]) -> None:
    """Tells of translated images that this translation has not replaced."""
    image_folder = folder / html_page.IMAGE_FOLDER
    now = {translation.name for translation in translations}
    if earlier := set(html_page.translated_names(image_folder)) - now:
        print(
            f"{image_folder} also holds {counted(len(earlier), 'image')} of an earlier "
            "translation, which tools/evaluate.py evaluates, too: to have the new ones alone, "
            "remove that folder and run the same command again"
        )


def _write_page(
    folder: Path,
    translations: Sequence[Translation],
    options: Options,
    checkpoint: tuple[Path, int],
    kinds: Sequence[str],
) -> Path:
    prefix, step = checkpoint
    titles = preview.titles(options.data.task.shown_parts)
    page = folder / html_page.INDEX_FILE
    results_page.write_results_page(
        page,
        f"Translated images of {options.data.source.path}",
        {
            "checkpoint": prefix,
            "steps trained": step,
            "direction": options.data.task.which_direction,
            "size": _size_text(options.data.scaling.crop_size),
            "dropout": f"{options.model.generator.dropout}, seed {options.run.seed}",
        },
        [ImageColumn(titles[kind], preview.KINDS[kind]) for kind in kinds],
        [
            Row(name, [own_image(file, size) for file, size in files.items()])
            for name, files, _ in translations
        ],
    )
    return page


def _size_text(crop_size: ImageSize) -> str:
    return "each image's own" if crop_size == ORIGINAL else f"{crop_size} pixels"
