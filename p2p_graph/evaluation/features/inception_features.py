"""Features of images from the Inception network of 2015, by which FID and KID compare sets.

The network is the frozen graph `classify_image_graph_def.pb` (inception-2015-12-05) that both
papers' programs use. Another Inception network, or a converted graph, gives other figures. The
user names the file; nothing downloads the file.
"""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import tensorflow.compat.v1 as tf
from google.protobuf.message import DecodeError

from p2p_graph.evaluation.features.feature_statistics import read_named
from p2p_graph.runtime import devices
from p2p_graph.utils import signals
from p2p_graph.utils.errors import UserError, one_line_reason

DIMS = 2048  # channels of pool_3, the mean over 8x8 positions
_IMAGES_NODE, _FEATURES_NODE = "ExpandDims", "pool_3"
_VARIABLE_OPS = ("Variable", "VariableV2", "VarHandleOp")

Array = np.ndarray[Any, Any]


class Inception:
    """The network in its own session, which `close` or leaving a `with` block ends.

    Images are computed one at a time: the graph takes one image (TTUR's program rewrites the
    shapes in the graph), a set's images may differ in size, and the features of an image do not
    depend on a batch.

    Args:
      path: the frozen graph.
      dims: the number of channels that the layer pool_3 must have.

    Attributes:
      dims: the number of features of an image.
      digest: SHA-256 of the file, in hexadecimal.
      device: the device of the session, in words.

    Raises:
      UserError: the file cannot be read or is not the graph of 2015.
    """

    def __init__(self, path: Path, dims: int = DIMS):
        self.dims = dims
        self._path = path
        device = devices.choose("auto")
        devices.set_gpu_arithmetic("fp32")
        self.device = device.name
        contents = read_named(path, f"inception {path}", "a frozen graph")
        self.digest = hashlib.sha256(contents).hexdigest()
        with signals.held(), tf.Graph().as_default() as graph:
            # Values in [0, 255], as the graph's own DecodeJpeg, Cast and ExpandDims give.
            self._images = tf.placeholder(tf.float32, [1, None, None, 3], "images")
            self._features = self._import_graph(contents)
        self._session = tf.Session(graph=graph, config=device.config)

    def __enter__(self) -> "Inception":
        """Gives the network."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends the session."""
        self.close()

    def close(self) -> None:
        """Ends the session and frees its memory."""
        self._session.close()

    def features(self, images: Iterable[Array]) -> Iterator[Array]:
        """Computes features lazily, image by image.

        Args:
          images: uint8 RGB [H, W, 3] of any sizes; the graph scales each to 299x299.

        Yields:
          float32 [dims] for each image, in order.

        Raises:
          UserError: the graph cannot be run.
          ValueError: an array is not uint8 [H, W, 3].
        """
        for image in images:
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
                raise ValueError(
                    f"an image must be uint8 [H, W, 3], not {image.dtype} {list(image.shape)}"
                )
            try:
                values: Array = self._session.run(
                    self._features, {self._images: image[None].astype(np.float32)}
                )
            except tf.errors.OpError as error:
                raise UserError(
                    f"inception {self._path} cannot be run: {one_line_reason(error)}"
                ) from None
            yield values.reshape(self.dims)

    def _import_graph(self, contents: bytes) -> tf.Tensor:
        """Imports the graph up to pool_3 with the placeholder as its images.

        Returns:
          float32 [1, 1, 1, dims].
        """
        try:
            definition = tf.GraphDef.FromString(contents)
        except DecodeError:
            raise self._wrong_graph("it is no frozen graph (a GraphDef)") from None
        names = {node.name for node in definition.node}
        if missing := [name for name in (_IMAGES_NODE, _FEATURES_NODE) if name not in names]:
            raise self._wrong_graph(f"it has no {' and no '.join(missing)}")
        try:
            needed = tf.graph_util.extract_sub_graph(definition, [_FEATURES_NODE])
        except Exception as error:  # which one depends on the damage to the graph
            raise self._wrong_graph(one_line_reason(error)) from None
        if variables := [node.name for node in needed.node if node.op in _VARIABLE_OPS]:
            raise self._wrong_graph(f"it is not frozen, {variables[0]} is a variable")
        inputs = {f"{_IMAGES_NODE}:0": self._images}
        try:
            (features,) = tf.import_graph_def(
                needed, inputs, [f"{_FEATURES_NODE}:0"], name="inception"
            )
        except Exception as error:
            raise self._wrong_graph(one_line_reason(error)) from None
        shape = features.shape.as_list() if features.shape.rank is not None else "of no known rank"
        if features.dtype != tf.float32 or shape != [1, 1, 1, self.dims]:
            raise self._wrong_graph(
                f"its {_FEATURES_NODE} is {features.dtype.name} {shape}, "
                f"not float32 {[1, 1, 1, self.dims]}"
            )
        return features

    def _wrong_graph(self, reason: str) -> UserError:
        return UserError(
            f"inception {self._path} is not the Inception graph of 2015: {reason}; "
            f"name its classify_image_graph_def.pb"
        )
