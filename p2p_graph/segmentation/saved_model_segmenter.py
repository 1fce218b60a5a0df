"""A SavedModel that gives the class of each pixel of an image, run by TensorFlow."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow.compat.v1 as tf

from p2p_graph.runtime import devices
from p2p_graph.runtime.glob_free_paths import without_pattern
from p2p_graph.utils.errors import UserError, one_line_reason
from p2p_graph.utils.outside_files import UnreadableError, damage_reported, open_regular

_LARGEST_GRAPH = 2**31  # bytes, which a protocol buffer does not reach
_SIGNATURE = "serving_default"

Array = np.ndarray[Any, Any]


@dataclasses.dataclass(frozen=True)
class SavedModelNetwork:
    """A loaded SavedModel.

    Attributes:
      session: holds the model's graph and weights.
      images: input, uint8 or float32 in [0, 1], compatible with [1, H, W, 3].
      outputs: integer classes [N, H', W'] or float scores [N, H', W', C].
    """

    session: tf.Session
    images: tf.Tensor
    outputs: tf.Tensor

    @property
    def gives_scores(self) -> bool:
        """Whether the model gives scores of classes, rather than classes."""
        return bool(self.outputs.dtype.is_floating)

    def __call__(self, image: Array) -> Array:
        """Runs the model on an image.

        Args:
          image: uint8 RGB [H, W, 3].

        Returns:
          Integers [H', W'], or floats [C, H', W'] if the model gives scores.

        Raises:
          UserError: the model cannot take the image; the message lacks the model's name in front.
        """
        values = image if self.images.dtype == tf.uint8 else image.astype(np.float32) / 255
        try:
            result: Array = self.session.run(self.outputs, {self.images: values[None]})
        except Exception as error:  # which one depends on the damage to the model
            height, width, _ = image.shape
            raise UserError(
                f"cannot take an image of {width}x{height} pixels: {one_line_reason(error)}"
            ) from None
        return np.moveaxis(result[0], -1, 0) if self.gives_scores else result[0]


def load(folder: Path) -> SavedModelNetwork:
    """Loads a SavedModel by its signature `serving_default`.

    The signature has one input and one output. The input is [N, H, W, 3], uint8 or float32 in
    [0, 1]. The output is integers [N, H', W'] or floats [N, H', W', C].

    Args:
      folder: holds saved_model.pb.

    Raises:
      UserError: the model cannot be loaded, or has another signature.
    """
    config = devices.choose("auto").config
    devices.set_gpu_arithmetic("fp32")
    session = tf.Session(graph=tf.Graph(), config=config)
    with damage_reported(folder, "a SavedModel"), session.graph.as_default():
        _refuse_special_files(folder)
        with without_pattern(folder, [folder]) as plain:
            loaded = tf.saved_model.load(session, [tf.saved_model.SERVING], plain)
    signatures = loaded.signature_def
    if _SIGNATURE not in signatures:
        names = ", ".join(sorted(signatures)) or "none"
        raise UserError(f"{folder} has no signature {_SIGNATURE} (it has: {names})")
    images = _only_tensor(folder, "input", signatures[_SIGNATURE].inputs, session.graph)
    outputs = _only_tensor(folder, "output", signatures[_SIGNATURE].outputs, session.graph)
    _check_input(folder, images)
    _check_output(folder, outputs)
    return SavedModelNetwork(session, images, outputs)


def _only_tensor(folder: Path, kind: str, tensors: Any, graph: tf.Graph) -> tf.Tensor:
    """Returns the one tensor of a signature's inputs or outputs.

    Raises:
      UserError: there are none, or several.
    """
    if len(tensors) != 1:
        names = ", ".join(sorted(tensors)) or "none"
        raise UserError(f"{folder} has {len(tensors)} {kind}s ({names}) in {_SIGNATURE}, not one")
    (info,) = tensors.values()
    with damage_reported(folder, "a SavedModel"):
        return graph.get_tensor_by_name(info.name)


def _refuse_special_files(folder: Path) -> None:
    """Refuses FIFOs and devices in a folder, whose reading might never end."""
    for path in folder.rglob("*"):
        if not path.is_dir():
            open_regular(path).close()
    graph = folder / "saved_model.pb"
    if graph.stat().st_size >= _LARGEST_GRAPH:
        raise UnreadableError(f"has a {graph.name} of 2 GB or more, which no graph has")


def _check_input(folder: Path, images: tf.Tensor) -> None:
    is_image = images.shape.is_compatible_with([1, None, None, 3])
    if images.dtype not in (tf.uint8, tf.float32) or not is_image:
        raise UserError(
            f"{folder} takes {_described(images)}, not uint8 or float32 images [N, H, W, 3]"
        )


def _check_output(folder: Path, outputs: tf.Tensor) -> None:
    gives_scores = outputs.dtype.is_floating
    shape = [1, None, None, None] if gives_scores else [1, None, None]
    is_numeric = gives_scores or outputs.dtype.is_integer
    if not is_numeric or not outputs.shape.is_compatible_with(shape):
        raise UserError(
            f"{folder} gives {_described(outputs)}, neither integer classes [N, H, W] nor scores "
            "[N, H, W, C]"
        )


def _described(tensor: tf.Tensor) -> str:
    return f"{tensor.dtype.name} {tensor.shape}"
