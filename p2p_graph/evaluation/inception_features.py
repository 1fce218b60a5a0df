"""Features of images from the Inception network of 2015, by which FID and KID compare sets.

The network is the frozen graph `classify_image_graph_def.pb` (inception-2015-12-05) that both
papers' programs use. Another Inception network, or a converted graph, gives other figures. The
user names the file; nothing downloads the file.
"""

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
import tensorflow.compat.v1 as tf
from google.protobuf.message import DecodeError

from p2p_graph.imaging import image_arrays
from p2p_graph.metrics.feature_moments import FeatureMoments, open_moments_file
from p2p_graph.runtime import devices
from p2p_graph.utils.counted import counted
from p2p_graph.utils.errors import UserError, one_line_reason
from p2p_graph.utils.outside_files import damage_reported, read_bytes

DIMS = 2048  # channels of pool_3, the mean over 8x8 positions
_IMAGES_NODE, _FEATURES_NODE = "ExpandDims", "pool_3"
_VARIABLE_OPS = ("Variable", "VariableV2", "VarHandleOp")
_BATCH = 256  # images whose features update the moments together: 2 MB of features
# Part of every digest; a change in how features are computed changes the version, so that older
# caches are recomputed.
_FEATURES_VERSION = b"1 "

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
        contents = _read(path, f"inception {path}", "a frozen graph")
        self.digest = hashlib.sha256(contents).hexdigest()
        with tf.Graph().as_default() as graph:
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


def _read(path: Path, name: object, form: str) -> bytes:
    """Reads a file; `name` and `form` are for the message."""
    try:
        with damage_reported(name, form):
            return read_bytes(path)
    except FileNotFoundError as error:
        raise UserError(f"{name} cannot be read: {error.strerror}") from None


class FeatureStatistics(NamedTuple):
    """What FID and KID need of a set of images.

    Attributes:
      moments: the features' moments, for FID.
      features: float32 [n, dims] in the images' order, for KID; None unless asked for.
    """

    moments: FeatureMoments
    features: Array | None


def feature_statistics(
    paths: Sequence[Path],
    inception: Inception,
    cache: Path | None = None,
    *,
    with_features: bool = False,
) -> FeatureStatistics:
    """Computes the statistics of a set of images, or reads them from their cache.

    Memory is constant without features, and grows by 8 KB an image with features. The cache holds
    the moments, the features if computed, and `set_digest` of the images. A cache with another
    digest, or without features that are asked for, is recomputed and replaced.

    Args:
      paths: JPEG or PNG files, decoded as by `image_arrays.decode_rgb`.
      inception: the network.
      cache: an .npz file, which need not exist; None for no cache.
      with_features: whether to give the features beside the moments.

    Raises:
      UserError: an image or the cache cannot be read, the cache is a file of another kind, or the
        cache cannot be written. The cache is intact then.
    """
    if cache is not None:
        shape = len(paths), inception.dims
        cached = _read_cache(cache, set_digest(paths, inception), shape, with_features)
        if cached is not None:
            return cached
        if cache.exists():
            print(f"{cache} is of other images, another graph or without features: recomputing")
    moments = FeatureMoments(inception.dims)
    all_features: Array = np.empty((len(paths) if with_features else 0, inception.dims), np.float32)
    digest = _SetDigest(inception)
    features = inception.features(digest.decode(path) for path in paths)
    while batch := list(itertools.islice(features, _BATCH)):
        if with_features:
            all_features[moments.count : moments.count + len(batch)] = batch
        moments.add(np.stack(batch))
    optional = {"features": all_features} if with_features else {}
    if cache is not None:
        moments.save(cache, digest=digest.value(), **optional)
    return FeatureStatistics(moments, optional.get("features"))


def set_digest(paths: Iterable[Path], inception: Inception) -> str:
    """SHA-256 of the graph and the contents of all images in their order, in hexadecimal.

    The images' names are not part of the digest.

    Raises:
      UserError: an image cannot be read.
    """
    digest = _SetDigest(inception)
    for path in paths:
        digest.read(path)
    return digest.value()


class _SetDigest:
    """A digest updated by each image that is read, and so of the very bytes that were decoded."""

    def __init__(self, inception: Inception):
        self._hash = hashlib.sha256(_FEATURES_VERSION + bytes.fromhex(inception.digest))

    def read(self, path: Path) -> bytes:
        """Reads a file and adds its contents."""
        contents = _read(path, path, "an image")
        # Digests of equal length keep the boundaries between images.
        self._hash.update(hashlib.sha256(contents).digest())
        return contents

    def decode(self, path: Path) -> Array:
        """Reads a file, adds its contents, and decodes the image to uint8 RGB [H, W, 3]."""
        contents = self.read(path)
        try:
            return image_arrays.decode_rgb(contents)
        except UserError as error:
            raise UserError(f"{path} {error}") from None

    def value(self) -> str:
        """The digest of all contents so far, in hexadecimal."""
        return self._hash.hexdigest()


def _read_cache(
    path: Path, digest: str, shape: tuple[int, int], with_features: bool
) -> FeatureStatistics | None:
    """Reads a cache if it has this digest, and the features if they are asked for."""
    if not path.exists():
        return None
    with open_moments_file(path) as arrays:
        # First: only what is a cache is replaced.
        moments = FeatureMoments.from_arrays(arrays)
        if str(arrays["digest"]) != digest or (with_features and "features" not in arrays):
            return None
        features = arrays["features"] if with_features else None
        if (moments.count, moments.dims) != shape:
            raise ValueError(
                f"it is of {counted(moments.count, 'image')} and {counted(moments.dims, 'feature')}"
            )
        if features is not None:
            if features.dtype != np.float32 or features.shape != shape:
                raise ValueError(f"its features are {features.dtype} {list(features.shape)}")
            if not np.isfinite(features).all():
                raise ValueError("its features are not finite")
        return FeatureStatistics(moments, features)
