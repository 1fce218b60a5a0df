"""The Python API: a trained generator that is called with images."""

import functools
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
import tensorflow.compat.v1 as tf
from PIL import Image

from p2p_graph.checkpoints import restore_checkpoint
from p2p_graph.checkpoints.model_files import FILES, read_model
from p2p_graph.checkpoints.restore_checkpoint import Checkpoint
from p2p_graph.config.data_options import RGB, ScalingOptions, TaskOptions
from p2p_graph.config.image_size import ORIGINAL, ImageSize
from p2p_graph.config.model_options import ModelOptions
from p2p_graph.data.decode import decode_file, with_channels
from p2p_graph.data.image_pairs import scale
from p2p_graph.imaging import array_files
from p2p_graph.imaging.image_arrays import read_contents
from p2p_graph.imaging.read_structure import read_structure
from p2p_graph.inference.option_precedence import configure
from p2p_graph.inference.translation import image_channels, to_values, translated
from p2p_graph.models.layer_settings import FROZEN
from p2p_graph.models.postprocess import to_integers
from p2p_graph.models.precision import compute_once
from p2p_graph.runtime import devices
from p2p_graph.utils.counted import counted
from p2p_graph.utils.errors import UserError

Array = np.ndarray[Any, Any]
# Restores variables in a session; returns the number of training steps.
_Restore = Callable[[list[tf.Variable], tf.Session], int]

_PIL_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def load(
    path: str | os.PathLike[str],
    *,
    device: str = "auto",
    precision: str = "fp32",
    seed: int = 0,
    dropout: float | None = None,
    step: int | None = None,
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

    Raises:
      UserError: there is no checkpoint, or it cannot be read, or a value is not allowed.
    """
    given: dict[str, Any] = {"seed": seed, "device": device, "precision": precision}
    given |= {} if dropout is None else {"dropout": dropout}
    source = Path(path)
    restore: _Restore
    if source.suffix in FILES:
        if step is not None:
            raise UserError(f"step {step} is of no use: {source} holds one generator")
        model = read_model(source, "AtoB")
        options = model.options.replace(mode="test", **given)
        restore = functools.partial(_assign, model.arrays)
    else:
        given |= {"checkpoint": str(source)} | ({} if step is None else {"step": step})
        options, _ = configure(given, "test")
        assert options.run.checkpoint is not None
        restore = functools.partial(_restore_newest, Path(options.run.checkpoint))
    data, execution = options.data, options.execution
    return Generator(
        data.task, data.scaling, options.model, options.run.seed, execution.device, restore
    )


def _assign(arrays: Mapping[str, Array], variables: list[tf.Variable], session: tf.Session) -> int:
    for variable in variables:
        variable.load(arrays[variable.op.name], session)
    return 0


def _restore_newest(path: Path, variables: list[tf.Variable], session: tf.Session) -> int:
    def restore(checkpoint: Checkpoint) -> int:
        checkpoint.restorer(variables)(session)
        return checkpoint.step()

    return restore_checkpoint.with_newest(path, restore)


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
    """

    def __init__(
        self,
        task: TaskOptions,
        scaling: ScalingOptions,
        model: ModelOptions,
        seed: int,
        device: str,
        restore: _Restore,
    ) -> None:
        """Builds the graph and restores the weights; `load` is the way to make one."""
        self._task, self._scaling, self._model, self._seed = task, scaling, model, seed
        self.channels = image_channels(task)
        assert model.generator.levels is not None
        self._multiple = 2**model.generator.levels
        self._size = scaling.crop_size
        self._device = devices.choose(device)
        if not self._device.is_cpu:
            devices.set_gpu_arithmetic(model.layers.precision)
        self.size, self.direction = tuple(self._size), task.which_direction
        self.device = self._device.name
        self._building = threading.Lock()
        self._networks: dict[bool, _Network] = {}
        self._graph = tf.Graph()
        with self._graph.as_default():
            with tf.device("/cpu:0"):
                self._make_preparation()
            network = self._build(any_size=False)
            self._session: tf.Session | None = tf.Session(config=self._device.config)
            self.steps = restore(tf.trainable_variables(), self._session)
            compute_once(self._session)
        self._networks[False] = network

    def __call__(self, images: Any, *, size: Any = None) -> Array:
        """Translates images.

        Args:
          images: an image [H, W, C] or several [N, H, W, C], uint8, uint16 or float in [0, 1]; a
            PIL image; or the path of an image file (JPEG, PNG, .npy or TIFF). With inpainting, the
            hole is white already.
          size: height and width that images are scaled to, as 256, (256, 512) or "256x512". By
            default arrays and PIL images keep their size, which must be a multiple of 2^levels,
            and a file's image is scaled to `size`, as by tools/test.py. "original" keeps every
            image's size, with a border by reflection that is cut off the output.

        Returns:
          [H, W, C] or [N, H, W, C] of the same type; of PIL images and files uint8. An image is
          the same as tools/test.py writes with the same seed, up to the order of sums on a CPU: a
          few values may differ by 1 of 255.

        Raises:
          UserError: the images do not fit the generator, or a file cannot be read.
        """
        if self._session is None:
            raise UserError("the generator is closed: load it again")
        wanted = None if size is None else _as_size(size)
        if isinstance(images, str | os.PathLike):
            values = self._values_of_file(Path(images), wanted or self._size)
            found = self._run(None, values[None], np.uint8)
            return np.asarray(found[0])
        array = self._as_array(images)
        batch = array[None] if array.ndim == 3 else array
        kind = array.dtype.type
        if wanted in (None, ORIGINAL, ImageSize(*batch.shape[1:3])):
            self._check_size(ImageSize(*batch.shape[1:3]), wanted)
            found = self._run(batch, None, kind)
        else:
            assert wanted is not None
            self._check_size(wanted, None)
            scaled = np.stack([self._scaled(image, wanted) for image in as_floats(batch)])
            found = self._run(None, scaled, kind)
        return np.asarray(found[0]) if array.ndim == 3 else found

    def close(self) -> None:
        """Frees the session; a closed generator cannot be called."""
        with self._building:
            if self._session:
                self._session.close()
                self._session = None

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

    def _make_preparation(self) -> None:
        """Builds what makes the values of one image of another size."""
        channels = self.channels[0]
        self._wanted = tf.placeholder(tf.int32, [2])
        self._contents = tf.placeholder(tf.string, [])
        if channels in _PIL_MODES:
            decoded = with_channels(decode_file(self._contents, max(RGB, channels)), channels)
            self._image = tf.placeholder_with_default(decoded, [None, None, channels])
        else:
            self._image = tf.placeholder(tf.float32, [None, None, channels])
        values = to_values(self._image, self._task)
        self._values = values
        self._scaled_values = scale(values, tf.unstack(self._wanted), self._scaling.resize)

    def _build(self, *, any_size: bool) -> _Network:
        """Builds the translation of images of training's size, one by one, or of any images."""
        number, height, width = (None, None, None) if any_size else (1, *self._size)
        shape = [number, height, width, self.channels[0]]
        in_bytes = tf.placeholder(tf.uint8, shape)
        as_float = tf.image.convert_image_dtype(in_bytes, tf.float32)
        images = tf.placeholder_with_default(as_float, shape)
        values = tf.placeholder_with_default(to_values(images, self._task), shape)
        found = translated(
            values,
            self._task,
            self._model,
            self._seed,
            on_cpu=self._device.is_cpu,
            frozen=True,
            any_size=any_size,
        )
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

    def _run(self, images: Array | None, values: Array | None, kind: type) -> Array:
        """Translates images, or values, to images of a type."""
        given = values if images is None else images
        assert given is not None
        assert self._session is not None
        network = self._network_for(given.shape)
        if images is None:
            feed = {network.values: values}
        elif kind is np.uint8:
            feed = {network.in_bytes: images}
        else:
            feed = {network.images: as_floats(images)}
        found: Array = self._session.run(network.outputs[kind], feed)
        return found

    def _values_of_file(self, path: Path, size: ImageSize) -> Array:
        """Decodes a file as tools/test.py does, to values [H, W, C] in [-1, 1]."""
        try:
            contents = read_contents(path)
            if array_files.is_array(contents):
                image = array_files.as_values(array_files.decode_array(contents))
                self._check_channels(image.shape[2])
                feed: dict[tf.Tensor, Any] = {self._image: image}
                height, width = image.shape[:2]
            else:
                structure = read_structure(contents)
                height, width = structure.height, structure.width
                if self.channels[0] not in _PIL_MODES:
                    self._check_channels(structure.channels)
                feed = {self._contents: contents}
        except UserError as error:
            raise UserError(f"{path} {error}") from None
        assert self._session is not None
        if size == ORIGINAL:
            self._check_size(ImageSize(height, width), ORIGINAL)
            fetch = self._values
        else:
            self._check_size(size, None)
            fetch, feed = self._scaled_values, {**feed, self._wanted: list(size)}
        try:
            found: Array = self._session.run(fetch, feed)
        except tf.errors.InvalidArgumentError:
            raise UserError(f"{path} cannot be decoded") from None
        return found

    def _scaled(self, image: Array, size: ImageSize) -> Array:
        """The values of an image, float32 [H, W, C] in [0, 1], scaled to a size."""
        assert self._session is not None
        feed = {self._image: image, self._wanted: list(size)}
        found: Array = self._session.run(self._scaled_values, feed)
        return found

    def _as_array(self, images: Any) -> Array:
        """Checks images: uint8, uint16 or float32 [H, W, C] or [N, H, W, C]."""
        if isinstance(images, Image.Image):
            mode = _PIL_MODES.get(self.channels[0])
            if mode is None:
                raise UserError(f"the generator takes {self._taken()}: give it arrays")
            images = np.asarray(images.convert(mode))
            images = images[..., None] if images.ndim == 2 else images
        array = np.asarray(images)
        if array.ndim == 2 and self.channels[0] == 1:
            array = array[..., None]
        if array.ndim not in (3, 4) or 0 in array.shape:
            raise UserError(
                f"an image is [H, W, {self.channels[0]}], and several are [N, H, W, "
                f"{self.channels[0]}], not {list(array.shape)}"
            )
        self._check_channels(array.shape[-1])
        if array.dtype in (np.uint8, np.uint16):
            return array
        if array.dtype.kind != "f":
            raise UserError(f"images are uint8, uint16 or float in 0..1, not {array.dtype}")
        low, high = array.min(), array.max()
        if not (low >= 0 and high <= 1):
            raise UserError(f"float images have values in 0..1, not {low:g}..{high:g}")
        return array.astype(np.float32, copy=False)

    def _taken(self) -> str:
        return f"images of {counted(self.channels[0], 'channel')}"

    def _check_channels(self, found: int) -> None:
        if found != self.channels[0]:
            raise UserError(f"the generator takes {self._taken()}, not {found}")

    def _check_size(self, size: ImageSize, wanted: ImageSize | None) -> None:
        """Checks that the generator can halve an image of a size."""
        multiple = self._multiple
        if wanted == ORIGINAL:
            if min(size) < multiple:
                raise UserError(
                    f"images have at least {multiple} pixels a side, not {size}: give another size"
                )
        elif any(side % multiple for side in size):
            raise UserError(
                f"images have sides of multiples of {multiple} pixels, not {size}: give a size "
                f"({size.rounded(multiple)}), or size='original'"
            )


def _as_size(size: Any) -> ImageSize:
    """Reads the argument `size`."""
    try:
        if isinstance(size, tuple | list):
            size = "x".join(map(str, size))
        return ImageSize.parse(size)
    except UserError as error:
        raise UserError(f"size {error}") from None


def as_floats(images: Array) -> Array:
    """Converts uint8, uint16 or float32 images to float32 in [0, 1], as TensorFlow does."""
    if images.dtype == np.float32:
        return images
    scale_factor = np.float32(1.0 / np.iinfo(images.dtype).max)
    floats: Array = images.astype(np.float32) * scale_factor
    return floats
