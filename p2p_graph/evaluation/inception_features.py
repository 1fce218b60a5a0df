"""Features of images from the Inception network of 2015, by which FID and KID compare sets.

It is the frozen graph `classify_image_graph_def.pb` (inception-2015-12-05) that the programs of
both papers use; another Inception, or one converted, gives other figures. The file is named, never
downloaded.
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
from p2p_graph.metrics import fid
from p2p_graph.metrics.fid import Moments
from p2p_graph.runtime import devices
from p2p_graph.utils.errors import UserError, reason_of

DIMS = 2048  # of pool_3, whose mean over 8x8 places the features are
_IMAGES, _FEATURES = "ExpandDims", "pool_3"
_VARIABLES = ("Variable", "VariableV2", "VarHandleOp")
_AT_ONCE = 256  # images whose features are taken into the moments together: 2 MB of them
_FORM = b"1 "  # changes with how features are made, so that older caches are not used

Array = np.ndarray[Any, Any]


class Inception:
    """The network, in a session of its own, which `close` or leaving a `with` block ends.

    Images run one at a time. The graph is of one image (TTUR's program rewrites its shapes), a
    set's images may have several sizes, and so nobody's features depend on what is beside it.

    Args:
      path: the frozen graph.
      device: "auto", "cpu" or "gpu".
      dims: how many features its layer pool_3 must have.

    Attributes:
      dims: how many features an image has.
      digest: SHA-256 of the file, in hexadecimal.
      device: what the session runs on, to be printed.

    Raises:
      UserError: the file cannot be read or is not this graph, or there is no such device.
    """

    def __init__(self, path: Path, device: str = "auto", dims: int = DIMS):
        self.dims = dims
        self._path = path
        self.device, config = devices.choose(device)
        try:
            contents = path.read_bytes()
        except OSError as error:
            raise UserError(f"inception {path} cannot be read: {error.strerror}") from None
        self.digest = hashlib.sha256(contents).hexdigest()
        with tf.Graph().as_default() as graph:
            # DecodeJpeg, Cast and ExpandDims give values of 0..255, and so does this.
            self._images = tf.placeholder(tf.float32, [1, None, None, 3], "images")
            self._features = self._imported(contents)
        self._session = tf.Session(graph=graph, config=config)

    def __enter__(self) -> "Inception":
        """Gives itself."""
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
        """Ends the session; what it held is free."""
        self._session.close()

    def features(self, images: Iterable[Array]) -> Iterator[Array]:
        """Computes features as they are asked for.

        Args:
          images: uint8 RGB [H, W, 3] each, of any size: the graph itself makes them 299x299.

        Yields:
          float32 [dims] for each image, in order.

        Raises:
          UserError: the graph cannot be run.
          ValueError: it is not an image.
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
                    f"inception {self._path} cannot be run: {reason_of(error)}"
                ) from None
            yield values.reshape(self.dims)

    def _imported(self, contents: bytes) -> tf.Tensor:
        """Puts the graph, as far as pool_3, behind the placeholder.

        Returns:
          float32 [1, 1, 1, dims].
        """
        definition = tf.GraphDef()
        try:
            definition.ParseFromString(contents)
        except DecodeError:
            raise self._another("it is no frozen graph (a GraphDef)") from None
        names = {node.name for node in definition.node}
        if missing := [name for name in (_IMAGES, _FEATURES) if name not in names]:
            raise self._another(f"it has no {' and no '.join(missing)}")
        try:
            needed = tf.graph_util.extract_sub_graph(definition, [_FEATURES])
        except (ValueError, KeyError, AssertionError) as error:
            raise self._another(reason_of(error)) from None
        if variables := [node.name for node in needed.node if node.op in _VARIABLES]:
            raise self._another(f"it is not frozen, {variables[0]} is a variable")
        inputs = {f"{_IMAGES}:0": self._images}
        try:
            (features,) = tf.import_graph_def(needed, inputs, [f"{_FEATURES}:0"], name="inception")
        except (ValueError, TypeError, tf.errors.OpError) as error:
            raise self._another(reason_of(error)) from None
        shape = features.shape.as_list() if features.shape.rank is not None else "of no known rank"
        if features.dtype != tf.float32 or shape != [1, 1, 1, self.dims]:
            raise self._another(
                f"its {_FEATURES} is {features.dtype.name} {shape}, "
                f"not float32 {[1, 1, 1, self.dims]}"
            )
        return features

    def _another(self, why: str) -> UserError:
        return UserError(
            f"inception {self._path} is not the Inception graph of 2015: {why}; "
            f"name its classify_image_graph_def.pb"
        )


class Statistics(NamedTuple):
    """What is known of a set of images.

    Attributes:
      moments: of their features, for FID.
      features: float32 [n, dims] in the images' order, for KID; None where they were not kept.
    """

    moments: Moments
    features: Array | None


def statistics_of(
    paths: Sequence[Path], inception: Inception, cache: Path | None = None, *, keep: bool = False
) -> Statistics:
    """Runs a set of images through the network, unless a file has its statistics already.

    Only what is kept grows with the set: 8 KB an image. The file holds the moments, the features
    if they are kept, and a digest of the graph's and of all images' contents, in their order; it
    is used only if that is the same, whatever the images' names, and else written anew. A file
    without features does not serve where they are to be kept.

    Args:
      paths: JPEG or PNG files, decoded as by `pixels.decode_rgb`.
      inception: the network.
      cache: an .npz file of this set, which need not be there; None for no file.
      keep: whether to keep the features.

    Raises:
      UserError: an image or the file cannot be read, the file is of another kind, or it cannot be
        written. Nothing is overwritten then.
    """
    if cache is not None:
        found = _cached(cache, digest_of(paths, inception), keep)
        if found is not None:
            return found
        if cache.exists():
            print(f"{cache} is of other images, another graph or FID alone: made anew")
    moments = Moments(inception.dims)
    kept: Array = np.empty((len(paths) if keep else 0, inception.dims), np.float32)
    digest = _Digest(inception)
    features = inception.features(digest.decoded(path) for path in paths)
    while part := list(itertools.islice(features, _AT_ONCE)):
        if keep:
            kept[moments.count : moments.count + len(part)] = part
        moments.add(np.stack(part))
    others = {"features": kept} if keep else {}
    if cache is not None:
        moments.save(cache, digest=digest.value(), **others)
    return Statistics(moments, others.get("features"))


def digest_of(paths: Iterable[Path], inception: Inception) -> str:
    """SHA-256 of the graph's and all images' contents, in their order, in hexadecimal.

    Raises:
      UserError: an image cannot be read.
    """
    digest = _Digest(inception)
    for path in paths:
        digest.read(path)
    return digest.value()


class _Digest:
    """Grows with each image that is read, so that it is of what was used."""

    def __init__(self, inception: Inception):
        self._sum = hashlib.sha256(_FORM + bytes.fromhex(inception.digest))

    def read(self, path: Path) -> bytes:
        try:
            contents = path.read_bytes()
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror}") from None
        # A digest of digests: where one image ends and the next begins is part of it.
        self._sum.update(hashlib.sha256(contents).digest())
        return contents

    def decoded(self, path: Path) -> Array:
        contents = self.read(path)
        try:
            return image_arrays.decode_rgb(contents)
        except UserError as error:
            raise UserError(f"{path} {error}") from None

    def value(self) -> str:
        return self._sum.hexdigest()


def _cached(path: Path, digest: str, keep: bool) -> Statistics | None:
    """Reads the statistics if they are those of this digest, and all that is to be kept."""
    if not path.exists():
        return None
    with fid.opened(path) as arrays:
        if str(arrays["digest"]) != digest or (keep and "features" not in arrays):
            return None
        return Statistics(Moments.of_arrays(arrays), arrays["features"] if keep else None)
