"""A segmenter that is a SavedModel: which class each pixel of an image is of, by TensorFlow."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow.compat.v1 as tf

from p2p_graph.runtime import devices
from p2p_graph.utils.errors import UserError, reason_of

_SIGNATURE = "serving_default"

Array = np.ndarray[Any, Any]


def load(folder: Path) -> tuple[Callable[[Array], Array], bool]:
    """Loads a SavedModel whose signature `serving_default` takes images and gives classes.

    Args:
      folder: holds saved_model.pb.

    Returns:
      A function of one uint8 RGB image [H, W, 3], and whether it gives scores. It gives float
      [C, H', W'] then, else integers [H', W'], and raises `UserError` on an image that the model
      cannot take, which goes on from the model's name.

    Raises:
      UserError: it cannot be loaded, or its signature is another. It may take one tensor
        [N, H, W, 3], uint8, or float32 in [0, 1], and give one: integers [N, H, W], or floats
        [N, H, W, C].
    """
    _, config = devices.choose("auto")
    session = tf.Session(graph=tf.Graph(), config=config)
    try:
        with session.graph.as_default():
            loaded = tf.saved_model.load(session, [tf.saved_model.SERVING], str(folder))
    except (OSError, RuntimeError, ValueError, tf.errors.OpError) as error:
        reason = reason_of(error)
        raise UserError(f"{folder} cannot be loaded as a SavedModel: {reason}") from None
    signatures = loaded.signature_def
    if _SIGNATURE not in signatures:
        names = ", ".join(sorted(signatures)) or "none"
        raise UserError(f"{folder} has no signature {_SIGNATURE} (it has: {names})")
    given = _only(folder, "input", signatures[_SIGNATURE].inputs, session.graph)
    taken = _only(folder, "output", signatures[_SIGNATURE].outputs, session.graph)
    if given.dtype not in (tf.uint8, tf.float32) or not given.shape.is_compatible_with(
        [1, None, None, 3]
    ):
        raise UserError(
            f"{folder} takes {_described(given)}, not uint8 or float32 images [N, H, W, 3]"
        )
    scores = taken.dtype.is_floating
    if not (scores or taken.dtype.is_integer) or not taken.shape.is_compatible_with(
        [1] + [None] * (3 if scores else 2)
    ):
        raise UserError(
            f"{folder} gives {_described(taken)}, neither integer classes [N, H, W] nor scores "
            "[N, H, W, C]"
        )

    def run(image: Array) -> Array:
        values = image if given.dtype == tf.uint8 else image.astype(np.float32) / 255
        try:
            result: Array = session.run(taken, {given: values[None]})
        except (ValueError, tf.errors.OpError) as error:
            height, width, _ = image.shape
            size = f"{width}x{height} pixels"
            reason = reason_of(error)
            raise UserError(f"cannot take an image of {size}: {reason}") from None
        return np.moveaxis(result[0], -1, 0) if scores else result[0]

    return run, scores


def _only(folder: Path, what: str, tensors: Any, graph: tf.Graph) -> tf.Tensor:
    """The one tensor of a signature's inputs or outputs."""
    if len(tensors) != 1:
        names = ", ".join(sorted(tensors)) or "none"
        raise UserError(f"{folder} has {len(tensors)} {what}s ({names}) in {_SIGNATURE}, not one")
    (info,) = tensors.values()
    return graph.get_tensor_by_name(info.name)


def _described(tensor: tf.Tensor) -> str:
    return f"{tensor.dtype.name} {tensor.shape}"
