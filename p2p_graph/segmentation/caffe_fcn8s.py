"""The network of the paper's FCN-score: FCN-8s for Cityscapes, in Caffe's format, run by OpenCV.

The FCN-score (Isola et al. 2017, section 3.4) asks how well a network that was trained on photos
(Long, Shelhamer and Darrell 2015) recognises the classes in synthesised photos. Images are scaled
as in the pix2pix authors' evaluation program, by scipy.misc.imresize, and prepared as in FCN-8s'
own code.
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from p2p_graph.segmentation import opencv_networks
from p2p_graph.utils.counted import counted
from p2p_graph.utils.errors import UserError
from p2p_graph.utils.outside_files import damage_reported

SIZE = (1024, 2048)  # height and width of the images of Cityscapes and their labels
CLASSES = 19  # Cityscapes' train ids, the evaluated classes
SCORES = "score"  # the output blob
# The authors' file has one score more than evaluated classes.
_CHANNELS = (CLASSES, CLASSES + 1)
_MEANS = np.array([72.78044, 83.21195, 73.45286], np.float32)  # blue, green, red, in [0, 255]
_PROBE_SIZE = (32, 32)  # pixels; small, as the network pads each side by 100 or more

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
        """Scores every class at every pixel.

        Args:
          image: uint8 RGB [H, W, 3] of any size.

        Returns:
          float32 [C, *size]. C is 19, Cityscapes' train ids; or 20 with the authors' file, whose
          last score is of no class.

        Raises:
          UserError: the network cannot run at this size.
        """
        values = preprocess(resize(image, self.size))
        scores: Array = opencv_networks.forward(self.net, values, SCORES)[0]
        return scores


def load(folder: Path, size: tuple[int, int] = SIZE) -> FCN8s:
    """Reads the network from a folder, and tries it on a small image.

    Args:
      folder: holds one .caffemodel, and either deploy.prototxt or one other .prototxt.
      size: height and width to which images are scaled.

    Raises:
      UserError: a file is missing, there are several, or the network is another.
    """
    caffemodel = _only_file(folder, ".caffemodel")
    prototxt = folder / "deploy.prototxt"
    if not prototxt.is_file():
        prototxt = _only_file(folder, ".prototxt")
    net = opencv_networks.read_caffe(prototxt, caffemodel)
    with damage_reported(folder, "FCN-8s for Cityscapes"):
        _check_layers(net, folder)
        _check_scores(net, folder)
    return FCN8s(net, size)


def _only_file(folder: Path, suffix: str) -> Path:
    """Returns the one file of a folder with a suffix."""
    found = sorted(path for path in folder.glob(f"*{suffix}") if path.is_file())
    if len(found) != 1:
        names = f" ({', '.join(path.name for path in found)})" if found else ""
        advice = "leave one" if found else "put it beside the network's other file"
        raise UserError(f"{folder} holds {counted(len(found), 'file')} *{suffix}{names}: {advice}")
    return found[0]


def _check_layers(net: Any, folder: Path) -> None:
    """Checks that a network takes RGB images and has a blob of scores.

    Raises:
      UserError: the network does not.
    """
    layers = opencv_networks.layers(net)
    if SCORES not in layers:
        last = ", ".join(net.getUnconnectedOutLayersNames())
        raise UserError(f"{_not_fcn8s(folder)}: it has no blob `{SCORES}`, its last is {last}")
    # OpenCV would run a network of fewer input channels, as a grouped convolution.
    kernels = [layer.blobs[0] for layer in layers.values() if layer.type == "Convolution"]
    if kernels and kernels[0].shape[1] != 3:
        channels = kernels[0].shape[1]
        raise UserError(
            f"{_not_fcn8s(folder)}: it takes images of {counted(channels, 'channel')}, not 3"
        )


def _check_scores(net: Any, folder: Path) -> None:
    """Checks that a network scores Cityscapes' classes at every pixel of a small image.

    Raises:
      UserError: the network does not.
    """
    height, width = _PROBE_SIZE
    try:
        scores = opencv_networks.forward(net, np.zeros((1, 3, height, width), np.float32), SCORES)
    except UserError as error:
        raise UserError(f"{_not_fcn8s(folder)}: it {error}") from None
    if scores.ndim != 4 or scores.shape[1] not in _CHANNELS or scores.shape[2:] != _PROBE_SIZE:
        shape = "x".join(map(str, scores.shape[1:]))
        least, most = (f"{count}x{height}x{width}" for count in _CHANNELS)
        raise UserError(
            f"{_not_fcn8s(folder)}: for an image of {width}x{height} pixels its blob `{SCORES}` is "
            f"{shape}, not {least} or {most}"
        )
    if np.isnan(scores).any():
        raise UserError(f"{folder} gives scores that are not numbers: fetch its files again")


def _not_fcn8s(folder: Path) -> str:
    return f"{folder} is not FCN-8s for Cityscapes"


def resize(image: Array, size: tuple[int, int]) -> Array:
    """Scales uint8 RGB [H, W, 3] to uint8 [*size, 3] as scipy.misc.imresize did: Pillow, bilinear.

    When an image shrinks, each new pixel is a weighted mean of all pixels that it covers.
    """
    height, width = size
    pil_image = Image.fromarray(image)
    return np.asarray(pil_image.resize((width, height), Image.Resampling.BILINEAR))


def preprocess(image: Array) -> Array:
    """Converts uint8 RGB [H, W, 3] to the input: float32 BGR minus means, [1, 3, H, W]."""
    values = image[:, :, ::-1].astype(np.float32) - _MEANS
    return np.ascontiguousarray(values.transpose(2, 0, 1))[None]
