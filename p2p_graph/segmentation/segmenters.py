"""Segmenters: functions from an image to the class of each pixel, named on a command line.

OpenCV and TensorFlow are imported only by the segmenters that need them.
"""

import dataclasses
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from p2p_graph.imaging.palettes import CITYSCAPES, IGNORED_ID, Palette
from p2p_graph.runtime import user_functions
from p2p_graph.runtime.quiet_import import tensorflow_import
from p2p_graph.segmentation import caffe_fcn8s, opencv_networks
from p2p_graph.segmentation.segmenter_file import SEGMENTER_FILE
from p2p_graph.utils.errors import UserError
from p2p_graph.utils.outside_files import real_path

_FORMS = (
    "a folder with a .caffemodel and its .prototxt, one by tools/train_segmenter.py, the folder of "
    "a SavedModel, an .onnx file, or module:function"
)
_FUNCTION = re.compile(r"[\w.]+:\w+")

Array = np.ndarray[Any, Any]


@dataclasses.dataclass(frozen=True)
class Segmenter:
    """Finds the class of each pixel; for one thread at a time.

    Attributes:
      name: the name in tables: that of the file or folder, or module:function.
      predict: takes uint8 RGB [H, W, 3] and gives integer classes [H', W'], or float scores
        [C, H', W'] whose maximum is the class. The messages of its `UserError`s lack the
        segmenter's name in front.
      gives_scores: whether `predict` gives scores.
      is_fcn8s: whether this is the network and the protocol of the paper's FCN-score.
      palette: the classes; None if the segmenter does not know them.
    """

    name: str
    predict: Callable[[Array], Array]
    gives_scores: bool
    is_fcn8s: bool = False
    palette: Palette | None = None

    def __call__(self, image: Array) -> Array:
        """Finds the class of each pixel of an image.

        Args:
          image: uint8 RGB [H, W, 3].

        Returns:
          int64 [H', W'], in a size that the segmenter chooses.

        Raises:
          UserError: the segmenter cannot take the image, gives another kind of result, or other
            classes than the palette's.
        """
        try:
            result = self.predict(image)
        except UserError as error:
            raise UserError(f"segmenter {self.name} {error}") from None
        if not isinstance(result, np.ndarray):
            raise self._wrong_result(type(result).__name__)
        dims = 3 if self.gives_scores else 2
        is_kind = self.gives_scores or result.dtype.kind in "iu"
        if not is_kind or result.ndim != dims or 0 in result.shape:
            raise self._wrong_result(f"{result.dtype} {list(result.shape)}")
        if self.gives_scores:
            self._check_scores(result)
            return np.asarray(result.argmax(axis=0), np.int64)
        self._check_ids(result)
        return np.asarray(result, np.int64)

    def with_palette(self, palette: Palette | None) -> "Segmenter":
        """Returns the segmenter with the classes of a palette, unless it knows its own.

        Raises:
          UserError: the segmenter knows other classes.
        """
        if palette and self.palette and not palette.is_equivalent(self.palette):
            raise UserError(
                f"palette {palette.name} has other classes than segmenter {self.name}: leave it out"
            )
        return dataclasses.replace(self, palette=self.palette or palette)

    def _check_scores(self, scores: Array) -> None:
        """Checks that scores [C, H, W] are numbers, for the palette's classes.

        The authors' network has one score more than classes, for pixels without a class.
        """
        if self.palette and len(scores) - len(self.palette.classes) not in (0, 1):
            raise UserError(
                f"segmenter {self.name} gives scores of {len(scores)} classes; "
                f"{_count_of(self.palette)}"
            )
        if np.isnan(scores).any():
            raise UserError(f"segmenter {self.name} gives scores that are not numbers")

    def _check_ids(self, ids: Array) -> None:
        """Checks that ids are the palette's classes, or stand for none: -1, 255, one more."""
        if self.palette is None:
            return
        count = len(self.palette.classes)
        unknown = (ids < -1) | ((ids > count) & (ids != IGNORED_ID))
        if unknown.any():
            raise UserError(
                f"segmenter {self.name} gives class {ids[unknown][0]}; "
                f"{_count_of(self.palette)} from 0 on"
            )

    def _wrong_result(self, result: str) -> UserError:
        wanted = "scores [C, H, W]" if self.gives_scores else "an integer array [H, W]"
        return UserError(f"segmenter {self.name} gives {result}, not {wanted}")


def load(spec: str) -> Segmenter:
    """Loads a segmenter.

    Args:
      spec: one of
        - a folder with one .caffemodel and its .prototxt: FCN-8s, see `caffe_fcn8s`;
        - a folder with saved_model.pb, see `saved_model_segmenter`;
        - a folder that tools/train_segmenter.py has written;
        - an .onnx file: float32 RGB [1, 3, H, W] in [0, 1] to scores [1, C, H', W'];
        - module:function: uint8 RGB [H, W, 3] to integers [H', W'], 255 or -1 for no class.

    Raises:
      UserError: there is no such segmenter, it cannot be loaded, or a package that it needs is
        missing.
    """
    path = Path(spec)
    if (path / "saved_model.pb").is_file():
        return _load_saved_model(path)
    if (path / SEGMENTER_FILE).is_file():
        return _load_trained(path)
    if path.is_dir() and any((*path.glob("*.caffemodel"), *path.glob("*.prototxt"))):
        return _load_fcn8s(path)
    if path.suffix == ".onnx" and path.is_file():
        return _load_onnx(path)
    if _FUNCTION.fullmatch(spec) and not path.exists():
        return _load_function(spec)
    problem = "is no segmenter" if path.exists() else "does not exist"
    raise UserError(f"segmenter {spec} {problem}; give {_FORMS}")


def files_of(spec: str) -> list[Path]:
    """Lists the files that a loaded segmenter was read from.

    For module:function, the files are the module's and those of the modules that it has imported
    from its own folder. Other files that the function reads are not known.
    """
    path = Path(spec)
    if path.is_dir():
        found = (each for each in path.rglob("*") if not each.name.startswith("."))
        return [each for each in found if each.is_file()]
    if path.is_file():
        return [path]
    own = _source_of(sys.modules.get(spec.partition(":")[0]))
    sources = filter(None, map(_source_of, list(sys.modules.values())))
    return [source for source in sources if own and source.parent == own.parent]


def _source_of(module: object) -> Path | None:
    """The file of a module; None if it has none, as built-in modules have."""
    source = getattr(module, "__file__", None)
    return Path(source) if isinstance(source, str) else None


def _name(path: Path) -> str:
    return real_path(path).name


def _count_of(palette: Palette) -> str:
    return f"palette {palette.name} has {len(palette.classes)}"


def _load_fcn8s(folder: Path) -> Segmenter:
    network = caffe_fcn8s.load(folder)
    name = _name(folder)
    return Segmenter(name, network, gives_scores=True, is_fcn8s=True, palette=CITYSCAPES)


def _load_saved_model(folder: Path) -> Segmenter:
    with tensorflow_import():
        from p2p_graph.segmentation import saved_model_segmenter
    network = saved_model_segmenter.load(folder)
    return Segmenter(_name(folder), network, network.gives_scores)


def _load_trained(folder: Path) -> Segmenter:
    with tensorflow_import():
        from p2p_graph.segmentation.trained_segmenter import TrainedSegmenter
    network = TrainedSegmenter(folder)
    return Segmenter(_name(folder), network, gives_scores=False, palette=network.metadata.palette)


def _load_onnx(path: Path) -> Segmenter:
    net = opencv_networks.read_onnx(path)

    def predict(image: Array) -> Array:
        values = np.ascontiguousarray(image.transpose(2, 0, 1)[None], np.float32) / 255
        scores = opencv_networks.forward(net, values)
        if scores.ndim != 4:
            raise UserError(f"gives float32 {list(scores.shape)}, not scores [1, C, H, W]")
        first: Array = scores[0]
        return first

    return Segmenter(_name(path), predict, gives_scores=True)


def _load_function(spec: str) -> Segmenter:
    return Segmenter(spec, user_functions.load(spec, "segmenter"), gives_scores=False)
