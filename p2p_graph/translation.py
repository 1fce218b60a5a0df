"""Translation: every picture of a folder once, by the generator alone, as the reference's test."""

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

from p2p_graph import checkpoints, devices, grids, images, recipes, report
from p2p_graph.checkpoints import Checkpoint
from p2p_graph.config import Config
from p2p_graph.errors import UserError, reason_of
from p2p_graph.files import Picture, output_names
from p2p_graph.inputs import Batch, translation_batches
from p2p_graph.listing import list_pictures, names_digest
from p2p_graph.mapping import iterator_of
from p2p_graph.networks import translate
from p2p_graph.ops import FIXED
from p2p_graph.options import MODEL_FIELDS, model_options, read_options, recorded, same_path

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
    checkpoint = checkpoints.need(folder)
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
    """What names the pictures among options, if anything does."""
    named: str | None = options.get("manifest") or options.get("input_dir")
    return named


def _with_split(config: Config, given: Mapping[str, Any], checkpoint: Checkpoint) -> Config:
    """Has those pictures tested that the checkpoint's run left, if these are its pictures.

    Raises:
      UserError: pictures have come or gone since, so that the run's parts are not known any more.
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
    was = recorded(checkpoint.folder).get("pictures")
    if was is not None and was != names_digest(config):
        raise UserError(
            f"the pictures in {tested} are others than in training ({was.split()[0]} then): "
            "those that were not trained on cannot be told; --split 1 takes all"
        )
    return config


def test(given: Mapping[str, Any]) -> None:
    """Translates a folder of pictures and writes pictures and a page.

    Raises:
      UserError: something that a person can mend.
    """
    if _data(given) is None:
        raise UserError("input_dir is missing: name the folder of pictures (--input_dir)")
    config, checkpoint = configure(given, "test")
    config = _with_split(config, given, checkpoint)
    data = Path(config.data)
    if config.output_dir is None:
        name = f"{recipes.dataset_name(data)}_{data.resolve().stem}"
        config = config.replace(output_dir=str(checkpoint.folder / name))
    assert config.output_dir is not None
    folder = Path(config.output_dir)
    pictures = list_pictures(config, held_out=True)
    if config.split < 1:
        print(
            f"split: {len(pictures)} pictures that are not trained on "
            f"(--split {config.split} --split_seed {config.split_seed}; --split 1 takes all)"
        )
    at_once = min(os.cpu_count() or 1, _MOST_AT_ONCE)
    found, session_config = devices.choose(
        config.device, at_once, mixed=config.precision == "mixed"
    )
    print(f"device: {found}")
    print(f"checkpoint: {checkpoint.prefix}, {config.which_direction}")

    names = output_names([picture.path for picture in pictures])
    start = time.monotonic()
    done: dict[int, _Translated] = {}
    told = 0
    with tf.Graph().as_default(), tf.Session(config=session_config) as session:
        fetches = _build(pictures, config, checkpoint, session)
        _make_folder(config, folder)
        batches = _batches(session, fetches, config, names, folder, at_once)
        with tqdm(total=len(pictures), unit="picture", disable=not sys.stderr.isatty()) as bar:
            for batch in batches:
                done |= batch
                while told in done:  # a later one may be done before
                    if bar.disable:
                        print("evaluated image", names[told])
                    bar.update()
                    told += 1
    seconds = time.monotonic() - start
    translated = [done[index] for index in sorted(done)]
    rows = [picture.row for picture in translated]
    if config.grid:
        grid = folder / "grid.png"
        shown = [picture.shown for picture in translated[: config.sample_count]]
        columns = {
            kind.removesuffix("s"): [pictures[kind] for pictures in shown] for kind in fetches[1]
        }
        grids.save_grid(grid, f"step {checkpoint.step()}", columns, [row[0] for row in rows])
        print("wrote grid at", grid)
    page = report.write_index(
        folder,
        f"Translated pictures of {data}",
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
    print(f"{len(rows)} pictures in {seconds:.1f} s, {seconds / len(rows):.3f} s a picture")
    print("wrote index at", page)


def _build(
    pictures: Sequence[Picture], config: Config, checkpoint: Checkpoint, session: tf.Session
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """Builds decoding, the generator and conversion; returns the indices and what is shown."""
    with tf.name_scope("load_images"), tf.device("/cpu:0"):
        iterator = iterator_of(translation_batches(pictures, config))
        indices, inputs, *targets = iterator.get_next()
    outputs = translate(inputs, config, fixed=True)
    batch = Batch(indices, inputs, targets[0] if targets else None)
    shown = images.to_bytes(images.to_rgb(batch, outputs, config), config)
    checkpoint.restorer(tf.trainable_variables())(session)
    session.run([iterator.initializer, *(v.initializer for v in tf.get_collection(FIXED))])
    return indices, shown


def _make_folder(config: Config, folder: Path) -> None:
    try:
        (folder / report.IMAGES).mkdir(parents=True, exist_ok=True)
        config.save(folder)
    except OSError as error:
        raise UserError(f"output_dir {folder} cannot be written: {error.strerror}") from None


class _Translated(NamedTuple):
    """A picture that is written.

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
    """Translates and writes every picture, or `max_steps` batches, in order or nearly so.

    Several threads each run the graph and write what comes of it, so that a network always has
    pictures to work on while others are encoded.
    """
    steps = -(-len(names) // config.batch_size)
    if config.max_steps:
        steps = min(steps, config.max_steps)

    def translated(_: int) -> dict[int, _Translated]:
        indices, shown = session.run(fetches)
        done = {}
        for i, index in enumerate(indices):
            pictures = {kind: values[i] for kind, values in shown.items()}
            row = _write(folder, names[index], pictures)
            keep = config.grid and index < config.sample_count
            done[int(index)] = _Translated(row, pictures if keep else {})
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
            raise UserError(f"a picture can no longer be read: {reason}") from None
        finally:
            pool.shutdown(cancel_futures=True)


def _write(folder: Path, name: str, pictures: Mapping[str, Any]) -> list[str]:
    """Writes one picture's input, output and target; returns its row of the page."""
    row = [name]
    for kind, picture in pictures.items():
        row.append(f"{name}-{kind}.png")
        try:
            images.save_png(folder / report.IMAGES / row[-1], picture)
        except OSError as error:
            raise UserError(
                f"{folder / 'images' / row[-1]} cannot be written: {error.strerror}"
            ) from None
    return row
