"""The Python API: a trained generator that is called with images."""

import functools
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
import tensorflow.compat.v1 as tf
from PIL import Image

from p2p_graph.config.data_options import DataOptions
from p2p_graph.config.image_size import ORIGINAL, ImageSize
from p2p_graph.config.model_options import ModelOptions
from p2p_graph.config.option_fields import check_value
from p2p_graph.config.options import FIELDS, RECORDS
from p2p_graph.inference.find_model import Restore, find_model
from p2p_graph.inference.image_arguments import (
    array_of,
    array_of_pil,
    as_floats,
    size_of,
)
from p2p_graph.inference.image_values import HALVES, ImageValues
from p2p_graph.inference.translation import image_channels, to_values, translated
from p2p_graph.models.layer_settings import FROZEN
from p2p_graph.models.networks import translate
from p2p_graph.models.postprocess import to_integers
from p2p_graph.models.precision import compute_once
from p2p_graph.runtime import devices
from p2p_graph.utils import signals
from p2p_graph.utils.errors import UserError
from p2p_graph.utils.outside_files import without_links_up

Array = np.ndarray[Any, Any]

# The process that has loaded the first generator, and its threads.
_first_load: list[tuple[int, int | None]] = []


def load(
    path: str | os.PathLike[str],
    *,
    device: str = "auto",
    precision: str = "fp32",
    seed: int = 0,
    dropout: float | None = None,
    step: int | None = None,
    threads: int | None = None,
) -> "Generator":
    """Loads a trained generator.

    Args:
      path: the folder of a training run or of the reference's checkpoint with its options.json, the
        prefix of a checkpoint, or a file: a `.pict`, a `.safetensors` of tools/convert.py, or a
        generator's `.pth` of junyanz's program.
      device: "auto" (a GPU where there is one), "cpu" or "gpu".
      precision: "fp32", or "mixed" for bfloat16 convolutions. On a GPU it holds for the process.
      seed: of the dropout masks; the same seed gives the same images.
      dropout: rate of dropout; None for that of tools/test.py, 0 for none.
      step: of a checkpoint that the run has kept; None for the newest.
      threads: among which an operation is split on a CPU, for the whole process: the first session
        of TensorFlow makes them. None for one a core. They decide the order of sums. With 1, an
        image of `size` is byte for byte that of tools/test.py, which translates an image on each
        core (on at most 8 of them: with 16 cores or more, it has cores // 8 threads). In images of
        other sizes, a few values differ by 1 of 255.

    Raises:
      UserError: there is no checkpoint, or it cannot be read, or a value is not allowed.
    """
    _check_process(threads)
    if not (step is None or (isinstance(step, int | np.integer) and step >= 0)):
        raise UserError(f"step must be a whole number or None, not {step!r}")
    chosen = devices.choose(device, threads=threads)
    _first_load[:] = [(os.getpid(), threads)]
    seed = int(seed) if isinstance(seed, np.integer) else seed
    given: dict[str, Any] = {"seed": seed, "device": device, "precision": precision}
    given |= {} if dropout is None else {"dropout": dropout}
    try:
        options, restore, _ = find_model(Path(without_links_up(str(path))), given, step)
    except OSError as error:
        raise UserError(f"checkpoint {path} cannot be read: {error.strerror}") from None
    return Generator(options.data, options.model, options.run.seed, chosen, restore)


def _check_process(threads: int | None) -> None:
    """Refuses a fork of a process that has loaded a generator, and other threads than it has."""
    if threads is not None and not (isinstance(threads, int) and threads > 0):
        raise UserError(f"threads must be a whole number of at least 1, not {threads}")
    for process, first in _first_load:
        if process != os.getpid():
            raise UserError(
                "TensorFlow does not work in a process forked from one that uses it: load "
                "generators in the new processes alone, or start them by multiprocessing's method "
                "spawn"
            )
        if first != threads:
            raise UserError(
                f"threads {threads}: a generator with threads {first} was loaded before, and a "
                "process has one set of threads; load all with the same"
            )


class _Network(NamedTuple):
    """The tensors of a translation: one of the first three is fed, one of the last three fetched.

    Attributes:
      in_bytes: uint8 [N, H, W, C].
      images: float32 [N, H, W, C] in [0, 1].
      values: float32 [N, H, W, C] in [-1, 1].
      outputs: of each type of images.
    """

    in_bytes: tf.Tensor
    images: tf.Tensor
    values: tf.Tensor
    outputs: dict[Any, tf.Tensor]


class Generator:
    """A trained generator, from `load`: call it with images.

    Any thread may call it. It holds a TensorFlow session, until `close` or the end of a `with`.

    Attributes:
      size: height and width of the images in training, pixels.
      channels: of images that it takes, and of images that it gives; 3 and 3 with Lab, or 1 for a
        lightness.
      direction: "AtoB" or "BtoA".
      steps: how many steps it was trained.
      device: what it runs on.
      data: the options of its images.
    """

    def __init__(
        self,
        data: DataOptions,
        model: ModelOptions,
        seed: int,
        device: devices.Device,
        restore: Restore,
    ) -> None:
        """Builds the graph and restores the weights; `load` is the way to make one."""
        self.data = data
        self._task, self._model = data.task, model
        self._upright = data.source.upright
        self.channels = image_channels(self._task)
        assert model.generator.levels is not None
        multiple = 2**model.generator.levels
        self._size = data.scaling.crop_size
        self._device = device
        self._process = os.getpid()
        if not self._device.is_cpu:
            devices.set_gpu_arithmetic(model.layers.precision)
        self.size, self.direction = tuple(self._size), self._task.which_direction
        self.device = self._device.name
        self._building = threading.Lock()
        self._networks: dict[bool, _Network] = {}
        self._graph = tf.Graph()
        with signals.held(), self._graph.as_default():
            with tf.device("/cpu:0"):
                self._seed = tf.placeholder_with_default(tf.constant(seed, tf.int64), [])
            self._values = ImageValues(data, self.channels[0], multiple, self._session_run)
            network = self._build(any_size=False)
            self._session: tf.Session | None = tf.Session(config=self._device.config)
            self.steps = restore(tf.trainable_variables(), self._session)
            compute_once(self._session)
        self._networks[False] = network

    def __call__(
        self, images: Any, *, size: Any = None, seed: int | None = None, half: str | None = None
    ) -> Array:
        """Translates images.

        Args:
          images: an image [H, W, C] or several [N, H, W, C], uint8, uint16 or float in [0, 1]; a
            PIL image; the path of an image file (JPEG, PNG, .npy or TIFF), or its contents, bytes.
            With inpainting, the hole is white already. Of a model with --more_inputs, arrays alone,
            whose channels are those of all inputs in their order.
          size: height and width that images are scaled to, as 256, (256, 512) or "256x512". By
            default arrays and PIL images keep their size, which must be a multiple of 2^levels,
            and a file's image is scaled to `size`, as by tools/test.py. "original" keeps every
            image's size, with a border by reflection that is cut off the output.
          seed: of the dropout masks in this call; None for that of `load`.
          half: "left" or "right": of a file that holds a pair side by side, the half that is
            translated.

        Returns:
          [H, W, C] or [N, H, W, C] of the same type; of PIL images and files uint8. An image is
          the same as tools/test.py writes with the same seed, up to the order of sums on a CPU: a
          few values may differ by 1 of 255, unless `load` was given `threads`.

        Raises:
          UserError: the images do not fit the generator, a file cannot be read, TensorFlow gets too
            little memory (Linux may end the process before that), or the generator is closed, or of
            another process.
        """
        wanted = None if size is None else size_of(size)
        seed = int(seed) if isinstance(seed, np.integer) else seed
        if seed is not None:
            check_value(RECORDS["seed"], FIELDS["seed"], seed)
        is_file = isinstance(images, str | os.PathLike | bytes)
        if half not in HALVES or (half and not is_file):
            raise UserError(f'half is "left" or "right" of an image file, not {half!r} of this')
        if isinstance(images, str | os.PathLike | bytes):
            values = self._values.of_file(images, wanted or self._size, half)
            found = self._run(None, values[None], np.uint8, seed)
            return np.asarray(found[0])
        if isinstance(images, Image.Image):
            self._values.check_shown()
            array = array_of_pil(images, self.channels[0], upright=self._upright)
            kind: type = np.uint8
        else:
            array = array_of(images, self.channels[0])
            kind = array.dtype.type
        batch = array[None] if array.ndim == 3 else array
        if wanted in (None, ORIGINAL, ImageSize(*batch.shape[1:3])):
            self._values.check_size(ImageSize(*batch.shape[1:3]), wanted)
            found = self._run(batch, None, kind, seed)
        else:
            assert wanted is not None
            self._values.check_size(wanted, None)
            scaled = np.stack([self._values.scaled(image, wanted) for image in as_floats(batch)])
            found = self._run(None, scaled, kind, seed)
        return np.asarray(found[0]) if array.ndim == 3 else found

    def close(self) -> None:
        """Frees the session; a closed generator cannot be called."""
        with self._building:
            session, self._session = self._session, None
            if session:
                session.close()

    def __enter__(self) -> "Generator":
        """The generator itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Closes the generator."""
        self.close()

    def _build(self, *, any_size: bool) -> _Network:
        """Builds the translation of images of training's size, one by one, or of any images."""
        number, height, width = (None, None, None) if any_size else (1, *self._size)
        shape = [number, height, width, self.channels[0]]
        in_bytes = tf.placeholder(tf.uint8, shape)
        as_float = tf.image.convert_image_dtype(in_bytes, tf.float32)
        images = tf.placeholder_with_default(as_float, shape)
        values = tf.placeholder_with_default(to_values(images, self._task), shape)
        generate = functools.partial(
            translate,
            model=self._model,
            target_channels=self._task.channels[1],
            seed=self._seed,
            on_cpu=self._device.is_cpu,
            frozen=True,
            any_size=any_size,
        )
        found = translated(values, self._task, generate)
        by_type = {
            np.uint8: to_integers({"": found})[""],
            np.uint16: to_integers({"": found}, bits=16)[""],
            np.float32: tf.clip_by_value(found, 0, 1),
        }
        return _Network(in_bytes, images, values, by_type)

    def _network_for(self, shape: tuple[int, ...]) -> _Network:
        """The network for images [N, H, W]; that of other sizes is built when it is needed."""
        any_size = shape[:3] != (1, *self._size)
        if any_size not in self._networks:
            with self._building, self._graph.as_default():
                if any_size not in self._networks and self._session:
                    before = {variable.name for variable in tf.get_collection(FROZEN)}
                    network = self._build(any_size=any_size)
                    compute_once(self._session, before)
                    self._networks[any_size] = network
        return self._networks[any_size]

    def _run(
        self, images: Array | None, values: Array | None, kind: type, seed: int | None
    ) -> Array:
        """Translates images, or values, to images of a type."""
        given = values if images is None else images
        assert given is not None
        network = self._network_for(given.shape)
        if images is None:
            feed = {network.values: values}
        elif given.dtype == np.uint8:
            feed = {network.in_bytes: images}
        else:
            feed = {network.images: as_floats(given)}
        feed |= {} if seed is None else {self._seed: seed}
        made = kind if kind in network.outputs else np.float32
        return self._session_run(network.outputs[made], feed).astype(kind, copy=False)

    def _session_run(self, fetch: tf.Tensor, feed: Mapping[tf.Tensor, Any]) -> Array:
        if os.getpid() != self._process:
            raise UserError(
                "the generator was loaded by another process: TensorFlow does not work in a fork "
                "of it, so load generators in the new processes alone"
            )
        session = self._session
        try:
            if session is None:
                raise UserError("the generator is closed: load it again")
            found: Array = session.run(fetch, feed)
        except (tf.errors.CancelledError, RuntimeError):
            if self._session is not None:
                raise
            raise UserError("the generator was closed during a call: load it again") from None
        except tf.errors.ResourceExhaustedError:
            raise UserError(
                "the images take more memory than there is: give fewer at once, or smaller ones"
            ) from None
        return found
