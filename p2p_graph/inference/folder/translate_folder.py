"""Translation: every image of a folder once, by the generator alone, as the reference's test."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

import tensorflow.compat.v1 as tf

from p2p_graph.checkpoints import restore_checkpoint
from p2p_graph.config.image_size import ORIGINAL
from p2p_graph.config.output_folder import claimed
from p2p_graph.data.decode_check import image_errors_named
from p2p_graph.inference.folder import network, results
from p2p_graph.inference.folder.failed_images import (
    failed_while_translated,
    report_failed,
    write_failed,
)
from p2p_graph.inference.folder.folder_record import (
    LAST_FILES,
    WRITTEN,
    Ended,
    ResultsFolder,
)
from p2p_graph.inference.folder.image_choice import (
    Choice,
    choose_images,
    numbers_to_do,
)
from p2p_graph.inference.folder.network import Restored
from p2p_graph.inference.folder.translated_batches import translate_all
from p2p_graph.inference.folder.work import Work, list_work, output_folder
from p2p_graph.inference.folder.written_files import refuse_in_the_way
from p2p_graph.inference.option_precedence import configure, named_data, with_training_split
from p2p_graph.pages import html_page
from p2p_graph.runtime import devices
from p2p_graph.runtime.memory_check import check_memory
from p2p_graph.utils import signals
from p2p_graph.utils.counted import counted
from p2p_graph.utils.errors import UserError


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
    folder = output_folder(options, checkpoint)
    with claimed(folder, "test", WRITTEN, shared=options.bulk.part is not None):
        _test(list_work(options.replace(output_dir=str(folder)), folder))


def _test(work: Work) -> None:
    """Translates the images into a folder that no other program works in."""
    bulk, endings, known = work.options.bulk, work.endings, None
    refuse_in_the_way(
        [work.folder / name for name in LAST_FILES],
        work.folder / html_page.IMAGE_FOLDER,
        (work.names[number] + end for number in work.numbers for end in endings),
    )
    if bulk.skip_done or bulk.part:
        known = restore_checkpoint.with_newest(work.checkpoint, network.identified)
        work.results_by(known).refuse_other()
    choice = _choose(work, known)
    if choice.images:
        _translate(work, choice, known)
        return
    assert known is not None
    print("no image is left to translate")
    into = work.results_by(known)
    names = [work.names[image.number] for image in choice.failed]
    with into.begun(names, known.step, keeps_done=bulk.skip_done):
        _finish(work, into, Ended(choice.done_before, choice.failed), known)


def _choose(work: Work, known: Restored | None) -> Choice:
    """Checks the images that are to be translated."""
    options, numbers = work.options, work.numbers
    source, bulk = options.data.source, options.bulk
    if bulk.skip_done:
        assert known is not None
        into = work.results_by(known)
        numbers = numbers_to_do(
            numbers, options.data.batches.batch_size, lambda n: into.is_done(work.names[n])
        )
    done_before = len(work.numbers) - len(numbers)
    choice = choose_images(
        work.listed,
        numbers,
        source,
        single=options.data.task.is_single,
        done_before=done_before,
        needs_one=not (done_before or bulk.part),
    )
    if source.split < 1:
        print(
            f"split: {counted(len(work.listed), 'image')} that --split {source.split} --split_seed "
            f"{source.split_seed} leaves out of training (--split 1 takes all)"
        )
    if bulk.part:
        print(f"shard {bulk.shard}: {len(work.numbers)} of {counted(len(work.listed), 'image')}")
    if done_before:
        print(f"{counted(done_before, 'image')} done before, left out")
    return choice


def _translate(work: Work, choice: Choice, known: Restored | None) -> None:
    options = work.options
    check_memory(network.needed_memory(options.data, options.model, choice.images), work.device)
    devices.set_gpu_arithmetic(options.model.layers.precision)
    print(f"device: {work.device.name}")
    start = time.monotonic()
    with tf.Graph().as_default(), tf.Session(config=work.device.config) as session:
        with signals.held():
            fetches = network.build(
                choice.images,
                options.data,
                options.model,
                options.outputs,
                options.run.seed,
                session,
                on_cpu=work.device.is_cpu,
            )
        restored = network.restore(work.checkpoint, session)
        _refuse_other_weights(known, restored)
        print(f"checkpoint: {restored.prefix}, {options.data.task.which_direction}")
        names = [work.names[number] for number in choice.numbers]
        into = work.results_by(restored)
        replaced = [*names, *(work.names[image.number] for image in choice.failed)]
        with into.begun(replaced, restored.step, keeps_done=options.bulk.skip_done):
            with image_errors_named(choice.images):
                written = translate_all(
                    session,
                    fetches,
                    work.folder / html_page.IMAGE_FOLDER,
                    names,
                    batch_size=options.data.batches.batch_size,
                    parallel_calls=work.parallel_calls,
                )
            _report_speed(sum(written), time.monotonic() - start)
            _finish(work, into, _ended(choice, written), restored)


def _refuse_other_weights(known: Restored | None, restored: Restored) -> None:
    if known and known.weights != restored.weights:
        raise UserError(
            f"checkpoint {known.prefix} was replaced by {restored.prefix}, as training does: name "
            "the step of one that stays (--step)"
        )


def _ended(choice: Choice, written: bytearray) -> Ended:
    """What came of the images of a choice, of which those that are written are marked."""
    left_out = [
        (number, image)
        for number, image, is_written in zip(choice.numbers, choice.images, written, strict=True)
        if not is_written
    ]
    failed = sorted([*choice.failed, *failed_while_translated(left_out)])
    return Ended(choice.done_before + sum(written), failed)


def _report_speed(count: int, seconds: float) -> None:
    if count:
        print(
            f"{counted(count, 'image')} in {seconds:.1f} s, {seconds / count:.3f} s an image, "
            f"{count / seconds:.1f} images/s"
        )


def _finish(work: Work, into: ResultsFolder, own: Ended, checkpoint: Restored) -> None:
    """Writes the page and what goes with it, if all images are done."""
    options, folder, columns = work.options, work.folder, work.columns()
    with into.ended(own) as ended:
        if ended is None:
            return
        numbers = range(len(work.names)) if into.part else work.numbers

        def names() -> Iterator[str]:
            return filter(into.is_there, (work.names[number] for number in numbers))

        if ended.failed:
            write_failed(folder, ((image.name, image.reason) for image in ended.failed))
        if options.outputs.grid:
            title, count = f"step {checkpoint.step}", options.validation.sample_count
            results.write_grid(folder, title, columns, names(), count)
        title = f"Translated images of {options.data.source.path}"
        metadata, limit = _metadata(work, checkpoint), options.bulk.page_limit
        page = results.write_page(folder, title, metadata, columns, names(), ended.done, limit)
        print("wrote index at", page)
        report_failed(folder, ended.failed)
        if not results.report_earlier_images(folder, ended.done):
            into.forget_earlier()


def _metadata(work: Work, checkpoint: Restored) -> dict[str, object]:
    options = work.options
    size = options.data.scaling.crop_size
    return {
        "checkpoint": checkpoint.prefix,
        "steps trained": checkpoint.step,
        "direction": options.data.task.which_direction,
        "size": "each image's own" if size == ORIGINAL else f"{size} pixels",
        "dropout": f"{options.model.generator.dropout}, seed {options.run.seed}",
    }
