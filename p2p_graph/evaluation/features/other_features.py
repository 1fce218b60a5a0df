"""Features of other networks than Inception: EfficientNet-Lite0's, or those of any function."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow.compat.v1 as tf

from p2p_graph.evaluation.features.feature_statistics import FeatureNetwork
from p2p_graph.runtime import devices, user_functions
from p2p_graph.segmentation.networks import backbone_weights, efficientnet_lite
from p2p_graph.segmentation.segmenter_file import BACKBONES
from p2p_graph.utils import signals
from p2p_graph.utils.errors import UserError

Array = np.ndarray[Any, Any]

_MOST_FEATURES = 8192  # of an image: matrices of 0.5 GB


def load(spec: str) -> FeatureNetwork:
    """Loads a network.

    Args:
      spec: "efficientnet_lite0", or module:function, a function from uint8 RGB [H, W, 3] to
        numbers [D].

    Raises:
      UserError: there is no such network, or a package that it needs is missing.
    """
    if spec in BACKBONES:
        return EfficientNetFeatures(backbone_weights.load())
    if ":" in spec:
        return FunctionFeatures(spec)
    raise UserError(f"features must be {', '.join(BACKBONES)} or module:function, not {spec!r}")


class EfficientNetFeatures:
    """The features before EfficientNet-Lite0's classifier, averaged over positions.

    Images are neither scaled nor cropped: compare sets of images of one size.

    Attributes:
      dims: 1280.
      digest: SHA-256 of the weights.
      device: the device of the session, in words.
    """

    dims = efficientnet_lite.POOLED_CHANNELS

    def __init__(self, parameters: dict[str, Array]) -> None:
        """Builds the network with the weights that `backbone_weights.load` returns."""
        device = devices.choose("auto")
        devices.set_gpu_arithmetic("fp32")
        self.device = device.name
        total = hashlib.sha256()
        for name in sorted(parameters):
            total.update(name.encode() + np.ascontiguousarray(parameters[name]).tobytes())
        self.digest = total.hexdigest()
        with signals.held(), tf.Graph().as_default():
            self._image = tf.placeholder(tf.uint8, [None, None, 3], "image")
            photos = tf.image.convert_image_dtype(self._image[None], tf.float32) * 2 - 1
            self._features = efficientnet_lite.pooled_features(photos)[0]
            self._session = tf.Session(config=device.config)
            backbone_weights.assign(tf.global_variables(), "", parameters, self._session)

    def features(self, images: Iterable[Array]) -> Iterator[Array]:
        """Computes features lazily; see `FeatureNetwork`."""
        for image in images:
            values: Array = self._session.run(self._features, {self._image: image})
            yield values

    def close(self) -> None:
        """Ends the session."""
        self._session.close()


class FunctionFeatures:
    """Features by a person's own function.

    Attributes:
      dims: the number of features of an image.
      digest: of the function's name; features are not cached.
      device: "function".
    """

    device = "function"

    def __init__(self, spec: str) -> None:
        """Imports the function of module:function."""
        self._spec = spec
        self._function: Callable[[Any], Any] = user_functions.load(spec, "features")
        self.digest = hashlib.sha256(spec.encode()).hexdigest()
        # The number of features is known before the long work.
        self.dims = len(self._features_of(np.zeros((64, 64, 3), np.uint8)))

    def features(self, images: Iterable[Array]) -> Iterator[Array]:
        """Computes features lazily; see `FeatureNetwork`.

        Raises:
          UserError: the function fails, or gives another number of features.
        """
        for image in images:
            values = self._features_of(image)
            if len(values) != self.dims:
                raise UserError(
                    f"features {self._spec} gives {self.dims} numbers for one image, and "
                    f"{len(values)} for another"
                )
            yield values

    def close(self) -> None:
        """Does nothing."""

    def _features_of(self, image: Array) -> Array:
        try:
            with np.errstate(over="ignore"):  # infinite values are refused later
                values = np.asarray(self._function(image), np.float32)
        except UserError as error:
            raise UserError(f"features {self._spec} {error}") from None
        except (TypeError, ValueError):
            raise UserError(f"features {self._spec} gives no array of numbers") from None
        if values.ndim != 1 or not len(values):
            raise UserError(f"features {self._spec} gives {list(values.shape)}, not numbers [D]")
        if len(values) > _MOST_FEATURES:
            raise UserError(
                f"features {self._spec} gives {len(values)} numbers for an image, and at most "
                f"{_MOST_FEATURES} are taken: the distance takes matrices of D x D numbers"
            )
        return values
