"""Translation: every image of a folder once, by the generator alone, as the reference's test."""

import concurrent.futures
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow.compat.v1 as tf
from tqdm import tqdm

from p2p_graph.checkpoints import checkpoint_files
from p2p_graph.checkpoints.checkpoint_files import Checkpoint
from p2p_graph.config import recipes
from p2p_graph.config.options import Config
from p2p_graph.config.options_file import (
    MODEL_FIELDS,
    model_options,
    read_options,
    recorded,
    same_path,
)
from p2p_graph.data import postprocess
from p2p_graph.data.dataset_ops import iterator_of
from p2p_graph.data.image_files import SourceImage, output_names
from p2p_graph.data.image_listing import list_images, names_digest
from p2p_graph.data.input_graph import Batch, translation_batches
from p2p_graph.imaging import html_page, image_grid
from p2p_graph.models.networks import translate
from p2p_graph.models.ops import FIXED
from p2p_graph.runtime import devices
from p2p_graph.utils.errors import UserError, reason_of

# What may be chosen anew for a trained model; the other model options are its checkpoint's.
_OWN_CHOICE = ("crop_size", "dropout", "resize", "resize_targets")
_MOST_AT_ONCE = 8  # runs of the session


def configure(given: Mapping[str, Any], mode: str) -> tuple[Config, Checkpoint]:
    """Makes the configuration for using a checkpoint: its own model options, and what was given.

    Args:
      given: the options that were asked for by name.
      mode: "test" or "export".

    Raises:
      UserError: there is no checkpoint, its options.json is wrong, or what was given contradicts
        it.
    """
    folder = Path(given["checkpoint"]) if "checkpoint" in given else _default_run(given)
    checkpoint = checkpoint_files.need(folder)
    stored = {**model_options(checkpoint.folder)}
    # The reference does not read this one back; its checkpoint's variables tell.
    stored |= {"bias": checkpoint.bias or stored["bias"], "separable_conv": checkpoint.separable}
    if not stored["dropout_in_use"]:
        stored["dropout"] = 0.0
    for name in MODEL_FIELDS:
        if name in given and name not in _OWN_CHOICE and given[name] != stored[name]:
            raise UserError(
                f"{name} {given[name]} contradicts {folder}, which was trained with {stored[name]}"
            )
    config = Config(**{**stored, "scale_size": None, **given, "mode": mode})
    if config.output_dir and Path(config.output_dir).resolve() == checkpoint.folder.resolve():
        raise UserError(
            f"output_dir {config.output_dir} is the checkpoint's folder, whose options.json would "
            "be replaced: name another"
        )
    return config.replace(scale_size=config.crop_size, checkpoint=str(folder)), checkpoint


def _default_run(given: Mapping[str, Any]) -> Path:
    """The folder in which training on the same data set leaves its checkpoint by default."""
    if data := _data(given):
        name = recipes.dataset_name(Path(data))
        runs = [Path("runs") / f"{name}_{direction}" for direction in ("AtoB", "BtoA")]
        found = [run for run in runs if run.exists()]
        if len(found) == 1:
            return found[0]
    raise UserError("checkpoint is missing: name the output_dir of a training run (--checkpoint)")


def _data(options: Mapping[str, Any]) -> str | None:
    """What names the images among options, if anything does."""
    named: str | None = options.get("manifest") or options.get("input_dir")
    return named


def _with_split(config: Config, given: Mapping[str, Any], checkpoint: Checkpoint) -> Config:
    """Has those images tested that the checkpoint's run left, if these are its images.

    Raises:
      UserError: images have come or gone since, so that the run's parts are not known any more.
    """
    stored = read_options(checkpoint.folder)
    trained, tested = _data(stored), _data(given)
    share = stored.get("split", 1.0)
    if "split" in given or share == 1 or not (trained and tested):
        return config
    if not same_path(trained, tested, checkpoint.folder):
        print(f"split: not applied, since training was on {trained} (--split {share} does)")
        return config
    config = config.replace(split=share, split_seed=stored.get("split_seed", 0))
    was = recorded(checkpoint.folder).get("images")
    if was is not None and was != names_digest(config):
        raise UserError(
            f"the images in {tested} are others than in training ({was.split()[0]} then): "
            "those that were not trained on cannot be told; --split 1 takes all"
        )
    return config


def test(given: Mapping[str, Any]) -> None:
    """Translates a folder of images and writes images and a page.

    Raises:
      UserError: something that a person can mend.
    """
    if _data(given) is None:
        raise UserError("input_dir is missing: name the folder of images (--input_dir)")
    config, checkpoint = configure(given, "test")
    config = _with_split(config, given, checkpoint)
    data = Path(config.data)
    if config.output_dir is None:
        name = f"{recipes.dataset_name(data)}_{data.resolve().stem}"
        config = config.replace(output_dir=str(checkpoint.folder / name))
    assert config.output_dir is not None
    folder = Path(config.output_dir)
    images = list_images(config, held_out=True)
    if config.split < 1:
        print(
            f"split: {len(images)} images that are not trained on "
            f"(--split {config.split} --split_seed {config.split_seed}; --split 1 takes all)"
        )
    at_once = min(os.cpu_count() or 1, _MOST_AT_ONCE)
    found, session_config = devices.choose(
        config.device, at_once, mixed=config.precision == "mixed"
    )
    print(f"device: {found}")
    print(f"checkpoint: {checkpoint.prefix}, {config.which_direction}")

    names = output_names([image.path for image in images])
    start = time.monotonic()
    done: dict[int, _Translated] = {}
    told = 0
    with tf.Graph().as_default(), tf.Session(config=session_config) as session:
        fetches = _build(images, config, checkpoint, session)
        _make_folder(config, folder)
        batches = _batches(session, fetches, config, names, folder, at_once)
        with tqdm(total=len(images), unit="image", disable=not sys.stderr.isatty()) as bar:
            for batch in batches:
                done |= batch
                while told in done:  # a later one may be done before
                    if bar.disable:
                        print("evaluated image", names[told])
                    bar.update()
                    told += 1
    seconds = time.monotonic() - start
    translated = [done[index] for index in sorted(done)]
    rows = [image.row for image in translated]
    if config.grid:
        grid = folder / "grid.png"
        shown = [image.shown for image in translated[: config.sample_count]]
        columns = {
            kind.removesuffix("s"): [images[kind] for images in shown] for kind in fetches[1]
        }
        image_grid.save_grid(grid, f"step {checkpoint.step()}", columns, [row[0] for row in rows])
        print("wrote grid at", grid)
    page = html_page.write_index(
        folder,
        f"Translated images of {data}",
        {
            "checkpoint": checkpoint.prefix,
            "steps trained": checkpoint.step(),
            "direction": config.which_direction,
            "size": f"{config.crop_size} pixels",
            "dropout": f"{config.dropout}, seed {config.seed}",
        },
        ("name", *(kind[:-1] for kind in fetches[1])),
        rows,
    )
    print(f"{len(rows)} images in {seconds:.1f} s, {seconds / len(rows):.3f} s an image")
    print("wrote index at", page)


def _build(
    images: Sequence[SourceImage], config: Config, checkpoint: Checkpoint, session: tf.Session
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """Builds decoding, the generator and conversion; returns the indices and what is shown."""
    with tf.name_scope("load_images"), tf.device("/cpu:0"):
        iterator = iterator_of(translation_batches(images, config))
        indices, inputs, *targets = iterator.get_next()
    outputs = translate(inputs, config, fixed=True)
    batch = Batch(indices, inputs, targets[0] if targets else None)
    shown = postprocess.to_bytes(postprocess.to_rgb(batch, outputs, config), config)
    checkpoint.restorer(tf.trainable_variables())(session)
    session.run([iterator.initializer, *(v.initializer for v in tf.get_collection(FIXED))])
    return indices, shown


def _make_folder(config: Config, folder: Path) -> None:
    try:
        (folder / html_page.IMAGE_FOLDER).mkdir(parents=True, exist_ok=True)
        config.save(folder)
    except OSError as error:
        raise UserError(f"output_dir {folder} cannot be written: {error.strerror}") from None


class _Translated(NamedTuple):
    """An image that is written.

    Attributes:
      row: its row of the page.
      shown: its input, output and target, if a grid wants them.
    """

    row: list[str]
    shown: dict[str, "np.ndarray[Any, Any]"]


def _batches(
    session: tf.Session,
    fetches: Any,
    config: Config,
    names: Sequence[str],
    folder: Path,
    at_once: int,
) -> Iterator[dict[int, _Translated]]:
    """Translates and writes every image, or `max_steps` batches, in order or nearly so.

    Several threads each run the graph and write what comes of it, so that a network always has
    images to work on while others are encoded.
    """
    steps = -(-len(names) // config.batch_size)
    if config.max_steps:
        steps = min(steps, config.max_steps)

    def translated(_: int) -> dict[int, _Translated]:
        indices, shown = session.run(fetches)
        done = {}
        for i, index in enumerate(indices):
            images = {kind: values[i] for kind, values in shown.items()}
            row = _write(folder, names[index], images)
            keep = config.grid and index < config.sample_count
            done[int(index)] = _Translated(row, images if keep else {})
        return done

    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        running = [pool.submit(translated, step) for step in range(steps)]
        try:
            for batch in running:
                yield batch.result()
        except tf.errors.ResourceExhaustedError as error:
            reason = reason_of(error)
            raise UserError(
                f"out of memory: {reason}; try a smaller --batch_size or --crop_size"
            ) from None
        except (tf.errors.InvalidArgumentError, tf.errors.NotFoundError) as error:
            reason = reason_of(error)
            raise UserError(f"an image can no longer be read: {reason}") from None
        finally:
            pool.shutdown(cancel_futures=True)


def _write(folder: Path, name: str, images: Mapping[str, Any]) -> list[str]:
    """Writes one image's input, output and target; returns its row of the page."""
    row = [name]
    for kind, image in images.items():
        row.append(f"{name}-{kind}.png")
        try:
            postprocess.save_png(folder / html_page.IMAGE_FOLDER / row[-1], image)
        except OSError as error:
            raise UserError(
                f"{folder / 'images' / row[-1]} cannot be written: {error.strerror}"
            ) from None
    return row
