"""The network of the paper's FCN-score: FCN-8s for Cityscapes, in Caffe's form, run by OpenCV.

Isola et al. 2017, section 3.4: results are judged by how well a network that was trained on photos
(Long, Shelhamer and Darrell 2015) finds their classes. What an image goes through before it is
the authors' evaluation program's: scipy.misc.imresize, then the preparation of the network's own
authors.
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from p2p_graph.segmentation import opencv_networks
from p2p_graph.utils.errors import UserError

SIZE = (1024, 2048)  # height and width of the images of Cityscapes and their labels
CLASSES = 19  # that are judged: Cityscapes' train ids
SCORES = "score"  # the blob
# The authors' file has one score more than there are judged classes.
_CHANNELS = (CLASSES, CLASSES + 1)
_MEANS = np.array([72.78044, 83.21195, 73.45286], np.float32)  # blue, green, red, of 255
_TRIED = (32, 32)  # pixels; the network's padding makes 230 of each

Array = np.ndarray[Any, Any]


@dataclasses.dataclass(frozen=True)
class FCN8s:
    """The network and its protocol; for one thread at a time.

    Attributes:
      net: a `cv2.dnn.Net`.
      size: height and width to which images are scaled.
    """

    net: Any
    size: tuple[int, int]

    def __call__(self, image: Array) -> Array:
        """Gives each pixel's score in each class.

        Args:
          image: uint8 RGB [H, W, 3] of any size.

        Returns:
          float32 [C, *size]. C is 20 with the authors' file: the first 19 are Cityscapes' train
          ids; the last one is of no class.

        Raises:
          UserError: the network cannot be run at this size.
        """
        scores: Array = opencv_networks.forward(
            self.net, prepared(resized(image, self.size)), SCORES
        )[0]
        return scores


def load(folder: Path, size: tuple[int, int] = SIZE) -> FCN8s:
    """Reads the network of a folder, and tries it on a small image.

    Args:
      folder: holds one .caffemodel, and one .prototxt or deploy.prototxt among others.
      size: height and width to which images are scaled.

    Raises:
      UserError: files are missing or more than one, or are not of such a network.
    """
    caffemodel = _only(folder, ".caffemodel")
    prototxt = folder / "deploy.prototxt"
    if not prototxt.is_file():
        prototxt = _only(folder, ".prototxt")
    net = opencv_networks.read_caffe(prototxt, caffemodel)
    _check(net, folder)
    return FCN8s(net, size)


def _only(folder: Path, suffix: str) -> Path:
    """The one file of a folder with a suffix."""
    found = sorted(path for path in folder.glob(f"*{suffix}") if path.is_file())
    if len(found) != 1:
        names = f" ({', '.join(path.name for path in found)})" if found else ""
        advice = "leave one" if found else "put it beside the network's other file"
        raise UserError(f"{folder} holds {len(found)} files *{suffix}{names}: {advice}")
    return found[0]


def _check(net: Any, folder: Path) -> None:
    """Checks that a network takes RGB images and gives scores of Cityscapes' classes.

    Raises:
      UserError: it does not; what it does is named.
    """
    wanted = f"{folder} is not FCN-8s for Cityscapes"
    layers = opencv_networks.layers(net)
    if SCORES not in layers:
        last = ", ".join(net.getUnconnectedOutLayersNames())
        raise UserError(f"{wanted}: it has no blob `{SCORES}`, its last is {last}")
    # OpenCV would run a network for fewer channels, too, as one of groups.
    kernels = [layer.blobs[0] for layer in layers.values() if layer.type == "Convolution"]
    if kernels and kernels[0].shape[1] != 3:
        raise UserError(f"{wanted}: it takes images of {kernels[0].shape[1]} channels, not 3")
    try:
        scores = opencv_networks.forward(net, np.zeros((1, 3, *_TRIED), np.float32), SCORES)
    except UserError as error:
        raise UserError(f"{wanted}: it {error}") from None
    if scores.ndim != 4 or scores.shape[1] not in _CHANNELS or scores.shape[2:] != _TRIED:
        shape = "x".join(map(str, scores.shape[1:]))
        least, most = (f"{count}x{_TRIED[0]}x{_TRIED[1]}" for count in _CHANNELS)
        raise UserError(
            f"{wanted}: of an image of {_TRIED[1]}x{_TRIED[0]} pixels its blob `{SCORES}` is "
            f"{shape}, not {least} or {most}"
        )
    if np.isnan(scores).any():
        raise UserError(f"{folder} gives scores that are not numbers: fetch its files again")


def resized(image: Array, size: tuple[int, int]) -> Array:
    """Scales uint8 RGB [H, W, 3] to uint8 [*size, 3] as scipy.misc.imresize did: Pillow, bilinear.

    Where it makes an image smaller, each pixel is a mean over all that it covers.
    """
    height, width = size
    pil_image = Image.fromarray(image)
    return np.asarray(pil_image.resize((width, height), Image.Resampling.BILINEAR))


def prepared(image: Array) -> Array:
    """Makes uint8 RGB [H, W, 3] the network's input: float32 BGR minus means, [1, 3, H, W]."""
    values = image[:, :, ::-1].astype(np.float32) - _MEANS
    return np.ascontiguousarray(values.transpose(2, 0, 1))[None]
