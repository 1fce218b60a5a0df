"""Translates a shard with the Python API's generator: what a worker does, with or without Ray."""

import collections
import concurrent.futures
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from p2p_graph.checkpoints.find_checkpoint import is_complete
from p2p_graph.checkpoints.model_files import FILES as MODEL_FILES
from p2p_graph.imaging.image_arrays import encode_png
from p2p_graph.inference.bulk.bulk_record import DoneShard, count_attempt, read_done, write_done
from p2p_graph.inference.bulk.read_shards import ReadImage, read_images
from p2p_graph.inference.bulk.shard_outputs import TranslatedImage, write_shard, written_size
from p2p_graph.inference.bulk.work_shards import Columns, WorkShard
from p2p_graph.inference.find_model import find_model
from p2p_graph.inference.generator import Generator, load
from p2p_graph.utils.errors import UserError

MOST_ATTEMPTS = 5  # of workers that die on a shard
_AHEAD = 2  # images for each thread
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class WorkerSetup(NamedTuple):
    """All that a worker needs, as values that another process takes.

    Attributes:
      checkpoint: prefix of a checkpoint, or a file.
      weights: the digest that its weights must have.
      device: "cpu" or "gpu".
      precision: "fp32" or "mixed".
      seed: of the dropout masks.
      dropout: rate; None for that of tools/test.py.
      size: that images are scaled to, as "256x512" or "original"; None for training's.
      single: whether images are inputs alone, not pairs.
      columns: of Parquet files.
      folder: to write to, absolute.
      form: of the outputs.
      shards: the number of all shards.
      threads: that translate images side by side.
    """

    checkpoint: str
    weights: str
    device: str
    precision: str
    seed: int
    dropout: float | None
    size: str | None
    single: bool
    columns: Columns
    folder: str
    form: str
    shards: int
    threads: int


class ShardTranslator:
    """Holds a generator, and translates shards."""

    def __init__(self, setup: WorkerSetup) -> None:
        """Loads the generator.

        Raises:
          UserError: it cannot be loaded, has gone, or has other weights than the driver has found.
        """
        self._setup = setup
        source = Path(setup.checkpoint)
        if not (source.exists() if source.suffix in MODEL_FILES else is_complete(source)):
            raise UserError(
                f"checkpoint {setup.checkpoint} has gone since the run began, as training keeps "
                "the newest one only: translate by one that --keep_every keeps (--step), or when "
                "training is done"
            )
        self._generator: Generator = load(
            setup.checkpoint,
            device=setup.device,
            precision=setup.precision,
            seed=setup.seed,
            dropout=setup.dropout,
            threads=1,
        )
        if find_model(source, {}, None).weights() != setup.weights:
            raise UserError(f"checkpoint {setup.checkpoint} has changed since the run began")
        # The input of a pair: A is its left half.
        self._b_is_input = self._generator.direction == "BtoA"

    def translate(self, shard: WorkShard) -> DoneShard:
        """Translates a shard and writes its images, unless it is done.

        Raises:
          UserError: a file of several images cannot be read, the outputs cannot be written, or
            workers have died on the shard again and again.
        """
        setup, folder = self._setup, Path(self._setup.folder)
        if done := read_done(folder, shard.number, setup.shards):
            return done
        attempts = count_attempt(folder, shard.number, setup.shards)
        if attempts > MOST_ATTEMPTS:
            raise UserError(
                f"shard {shard.number}, of images from {shard.pieces[0].path} on: workers have "
                f"died on it {attempts - 1} times, as by a lack of memory (take fewer --workers), "
                "or by an image on which a decoder crashes"
            )
        failed: list[tuple[str, str]] = []
        translated = 0

        def images() -> Iterator[TranslatedImage]:
            nonlocal translated
            read = read_images(
                shard, setup.columns, single=setup.single, b_is_input=self._b_is_input
            )
            for name, result in ordered_map(self._translate, read, setup.threads):
                if isinstance(result, str):
                    failed.append((name, result))
                    continue
                translated += 1
                yield result

        write_shard(folder, setup.form, shard.number, setup.shards, images())
        size = written_size(folder, setup.form, shard.number, setup.shards)
        found = DoneShard(translated, failed, size)
        write_done(folder, shard.number, setup.shards, found)
        return found

    def close(self) -> None:
        """Frees the generator."""
        self._generator.close()

    def _translate(self, image: ReadImage) -> tuple[str, TranslatedImage | str]:
        """Translates an image; gives its name, and the result, or why there is none."""
        if isinstance(image.file, str):
            return image.name, image.file
        half = None if image.is_alone else ("right" if self._b_is_input else "left")
        try:
            output = self._generator(image.file, size=self._setup.size, half=half)
        except UserError as error:
            subject = str(image.file) if isinstance(image.file, Path) else "the image"
            return image.name, str(error).removeprefix(subject).lstrip(": ")
        height, width = output.shape[:2]
        return image.name, TranslatedImage(image.output, encode_png(output), width, height)


def ordered_map(
    function: Callable[[_Item], _Result], items: Iterable[_Item], threads: int
) -> Iterator[_Result]:
    """Calls a function with items in threads, a few ahead; yields the results in their order."""
    waiting: collections.deque[concurrent.futures.Future[_Result]] = collections.deque()
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > _AHEAD * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


class RayWorker:
    """What Ray makes in a worker: it takes shards as text, and gives what came of them."""

    def __init__(self, setup: tuple[Any, ...]) -> None:
        """Loads the generator; an error is kept, and given with the first shard."""
        self._translator: ShardTranslator | None = None
        self._error = ""
        try:
            self._translator = ShardTranslator(WorkerSetup(*setup))
        except UserError as error:
            self._error = str(error)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Translates the shards of a batch.

        Args:
          batch: texts of `WorkShard.to_json` under "shard".

        Returns:
          The numbers of images under "images" and "failed"; under "error" what ends the run.
        """
        found: dict[str, list[Any]] = {"images": [], "failed": [], "error": []}
        for text in batch["shard"]:
            images, failed, error = 0, 0, self._error
            if self._translator:
                try:
                    done = self._translator.translate(WorkShard.from_json(str(text)))
                    images, failed = done.images, len(done.failed)
                except UserError as problem:
                    error = str(problem)
            for name, value in (("images", images), ("failed", failed), ("error", error)):
                found[name].append(value)
        return found
