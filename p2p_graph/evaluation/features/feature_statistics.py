"""Statistics of a network's features over sets of images, with a cache."""

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from p2p_graph.imaging import image_arrays
from p2p_graph.metrics.feature_moments import FeatureMoments, open_moments_file
from p2p_graph.utils.counted import counted
from p2p_graph.utils.errors import UserError
from p2p_graph.utils.outside_files import damage_reported, read_bytes

_BATCH = 256  # images whose features update the moments together: 2 MB of features
# Part of every digest; a change in how features are computed changes the version, so that older
# caches are recomputed.
_FEATURES_VERSION = b"1 "

Array = np.ndarray[Any, Any]


class FeatureNetwork(Protocol):
    """A network that gives an image's features.

    Attributes:
      dims: the number of features of an image.
      digest: SHA-256 of what the features depend on besides the image, in hexadecimal.
      device: where the network runs, in words.
    """

    dims: int
    digest: str
    device: str

    def features(self, images: Iterable[Array]) -> Iterator[Array]:
        """Computes features lazily, image by image.

        Args:
          images: uint8 RGB [H, W, 3] of any sizes.

        Yields:
          float32 [dims] for each image, in order.
        """
        ...

    def close(self) -> None:
        """Frees the network's memory."""
        ...


class FeatureStatistics(NamedTuple):
    """What Fréchet distance and KID need of a set of images.

    Attributes:
      moments: the features' moments, for the Fréchet distance.
      features: float32 [n, dims] in the images' order, for KID; None unless asked for.
    """

    moments: FeatureMoments
    features: Array | None


def feature_statistics(
    paths: Sequence[Path],
    network: FeatureNetwork,
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
      network: what computes the features.
      cache: an .npz file, which need not exist; None for no cache.
      with_features: whether to give the features beside the moments.

    Raises:
      UserError: an image or the cache cannot be read, the cache is a file of another kind, or the
        cache cannot be written. The cache is intact then.
    """
    if cache is not None:
        shape = len(paths), network.dims
        cached = _read_cache(cache, set_digest(paths, network), shape, with_features)
        if cached is not None:
            return cached
        if cache.exists():
            print(f"{cache} is of other images, another network or without features: recomputing")
    moments = FeatureMoments(network.dims)
    all_features: Array = np.empty((len(paths) if with_features else 0, network.dims), np.float32)
    digest = _SetDigest(network)
    features = network.features(digest.decode(path) for path in paths)
    while batch := list(itertools.islice(features, _BATCH)):
        if with_features:
            all_features[moments.count : moments.count + len(batch)] = batch
        moments.add(np.stack(batch))
    optional = {"features": all_features} if with_features else {}
    if cache is not None:
        moments.save(cache, digest=digest.value(), **optional)
    return FeatureStatistics(moments, optional.get("features"))


def set_digest(paths: Iterable[Path], network: FeatureNetwork) -> str:
    """SHA-256 of the network and the contents of all images in their order, in hexadecimal.

    The images' names are not part of the digest.

    Raises:
      UserError: an image cannot be read.
    """
    digest = _SetDigest(network)
    for path in paths:
        digest.read(path)
    return digest.value()


class _SetDigest:
    """A digest updated by each image that is read, and so of the very bytes that were decoded."""

    def __init__(self, network: FeatureNetwork):
        self._hash = hashlib.sha256(_FEATURES_VERSION + bytes.fromhex(network.digest))

    def read(self, path: Path) -> bytes:
        """Reads a file and adds its contents."""
        contents = read_named(path, path, "an image")
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


def read_named(path: Path, name: object, form: str) -> bytes:
    """Reads a file.

    Args:
      path: the file.
      name: what the message calls it.
      form: what the file should be, for the message.

    Raises:
      UserError: the file cannot be read.
    """
    try:
        with damage_reported(name, form):
            return read_bytes(path)
    except FileNotFoundError as error:
        raise UserError(f"{name} cannot be read: {error.strerror}") from None
