"""Segmenters: what says which class each pixel of an image is of, named by a line of text.

Which package a segmenter needs depends on what it is; none is imported before one is loaded.
"""

import dataclasses
import importlib
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from p2p_graph.imaging.palettes import CITYSCAPES, IGNORED_ID, Palette
from p2p_graph.runtime.quiet_import import tensorflow_import
from p2p_graph.segmentation import fcn8s, opencv_networks
from p2p_graph.segmentation.small_fcn_file import SEGMENTER_FILE
from p2p_graph.utils.errors import UserError, reason_of

_FORMS = (
    "a folder with a .caffemodel and its .prototxt, one by tools/train_segmenter.py, the folder of "
    "a SavedModel, an .onnx file, or module:function"
)
_FUNCTION = re.compile(r"[\w.]+:\w+")

Array = np.ndarray[Any, Any]


@dataclasses.dataclass(frozen=True)
class Segmenter:
    """Says which class each pixel is of; for one thread at a time.

    Attributes:
      name: what a table calls it: the name of its file or folder, or module:function.
      run: takes uint8 RGB [H, W, 3]. Gives integer classes [H', W'], or float scores [C, H', W']
        of which the highest is the class. What its `UserError`s say goes on from a name.
      scores: whether `run` gives scores.
      is_fcn8s: whether it is the network of the paper's FCN-score, in its protocol.
      palette: the classes, where they are known.
    """

    name: str
    run: Callable[[Array], Array]
    scores: bool
    is_fcn8s: bool = False
    palette: Palette | None = None

    def __call__(self, image: Array) -> Array:
        """Finds the classes of an image.

        Args:
          image: uint8 RGB [H, W, 3].

        Returns:
          int64 [H', W'], a size of the segmenter's choice.

        Raises:
          UserError: the segmenter cannot take the image, or gives something else, or other
            classes than the palette's.
        """
        try:
            result = self.run(image)
        except UserError as error:
            raise UserError(f"segmenter {self.name} {error}") from None
        if not isinstance(result, np.ndarray):
            raise self._wrong(type(result).__name__)
        found = f"{result.dtype} {list(result.shape)}"
        if 0 in result.shape:
            raise self._wrong(found)
        if not self.scores:
            if result.ndim != 2 or not np.issubdtype(result.dtype, np.integer):
                raise self._wrong(found)
            self._check_classes(result)
            return result.astype(np.int64)
        if result.ndim != 3:
            raise self._wrong(found)
        # One more may stand for what is of none, as in the authors' network.
        if self.palette and len(result) - len(self.palette.classes) not in (0, 1):
            raise UserError(
                f"segmenter {self.name} gives scores of {len(result)} classes; {self._known()}"
            )
        if np.isnan(result).any():
            raise UserError(f"segmenter {self.name} gives scores that are not numbers")
        return np.asarray(result.argmax(axis=0), np.int64)

    def knowing(self, palette: Palette | None) -> "Segmenter":
        """The same with a palette's classes, unless it knows its own.

        Raises:
          UserError: its own are others.
        """
        if palette and self.palette and not palette.is_equivalent(self.palette):
            raise UserError(
                f"palette {palette.name} is not what segmenter {self.name} knows: leave it out"
            )
        return dataclasses.replace(self, palette=self.palette or palette)

    def _check_classes(self, ids: Array) -> None:
        """Refuses ids that are neither classes nor what stands for none: -1, 255, one more."""
        if self.palette is None:
            return
        last = len(self.palette.classes)
        strange = (ids < -1) | ((ids > last) & (ids != IGNORED_ID))
        if strange.any():
            found = ids[strange][0]
            raise UserError(f"segmenter {self.name} gives class {found}; {self._known()} from 0 on")

    def _known(self) -> str:
        assert self.palette is not None
        return f"palette {self.palette.name} has {len(self.palette.classes)}"

    def _wrong(self, found: str) -> UserError:
        wanted = "scores [C, H, W]" if self.scores else "an integer array [H, W]"
        return UserError(f"segmenter {self.name} gives {found}, not {wanted}")


def load(spec: str, fcn8s_size: tuple[int, int] = fcn8s.SIZE) -> Segmenter:
    """Loads a segmenter.

    Args:
      spec: names it, as one of
        - a folder with one .caffemodel and its .prototxt: FCN-8s as `fcn` has it;
        - a folder with saved_model.pb, as `saved_segmenter` says;
        - a folder that tools/train_segmenter.py has written;
        - a file .onnx: float32 RGB [1, 3, H, W] in [0, 1] to scores [1, C, H', W'];
        - module:function: uint8 RGB [H, W, 3] to integers [H', W'], 255 or -1 for no class.
      fcn8s_size: height and width to which FCN-8s scales images.

    Raises:
      UserError: there is no such segmenter, it cannot be loaded, or a package that it needs is
        missing.
    """
    path = Path(spec)
    if (path / "saved_model.pb").is_file():
        return _saved_model(path)
    if (path / SEGMENTER_FILE).is_file():
        return _segnet(path)
    if path.is_dir() and any((*path.glob("*.caffemodel"), *path.glob("*.prototxt"))):
        net = fcn8s.load(path, fcn8s_size)
        return Segmenter(_name(path), net, scores=True, is_fcn8s=True, palette=CITYSCAPES)
    if path.suffix == ".onnx" and path.is_file():
        return _onnx(path)
    if _FUNCTION.fullmatch(spec) and not path.exists():
        return _function(spec)
    found = "is none" if path.exists() else "does not exist"
    raise UserError(f"segmenter {spec} {found}; it may be {_FORMS}")


def files_of(spec: str) -> list[Path]:
    """The files that a segmenter was loaded from.

    Of module:function they are the module's and those of others that it has imported from its own
    folder; what else it reads is not known.
    """
    path = Path(spec)
    if path.is_dir():
        found = (each for each in path.rglob("*") if not each.name.startswith("."))
        return [each for each in found if each.is_file()]
    if path.is_file():
        return [path]
    sources = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    own = Path(sys.modules[spec.partition(":")[0]].__file__ or "")
    return [Path(source) for source in sources if source and Path(source).parent == own.parent]


def _name(path: Path) -> str:
    return path.resolve().name


def _saved_model(folder: Path) -> Segmenter:
    with tensorflow_import():
        from p2p_graph.segmentation import saved_model_segmenter
    run, scores = saved_model_segmenter.load(folder)
    return Segmenter(_name(folder), run, scores)


def _segnet(folder: Path) -> Segmenter:
    with tensorflow_import():
        from p2p_graph.segmentation.small_fcn import SmallFCN
    net = SmallFCN(folder)
    return Segmenter(_name(folder), net, scores=False, palette=net.facts.palette)


def _onnx(path: Path) -> Segmenter:
    net = opencv_networks.read_onnx(path)

    def run(image: Array) -> Array:
        values = np.ascontiguousarray(image.transpose(2, 0, 1)[None], np.float32) / 255
        scores = opencv_networks.forward(net, values)
        if scores.ndim != 4:
            raise UserError(f"gives float32 {list(scores.shape)}, not scores [1, C, H, W]")
        first: Array = scores[0]
        return first

    return Segmenter(_name(path), run, scores=True)


def _function(spec: str) -> Segmenter:
    """Imports a function; its module may lie in the current folder."""
    module, _, name = spec.partition(":")
    # Programs begin in their own folder, not in the one where they are started. The last of all
    # folders, so that it hides nothing; it stays, as the function may import more when it runs.
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        function = getattr(importlib.import_module(module), name, None)
    except (Exception, SystemExit) as error:  # of any kind: the module is not ours
        reason = f"{type(error).__name__}: {reason_of(error)}"
        raise UserError(
            f"segmenter {spec}: module {module} cannot be imported: {reason}"
        ) from error
    if not callable(function):
        raise UserError(f"segmenter {spec}: module {module} has no function {name}")

    def run(image: Array) -> Array:
        try:
            result: Array = function(image)
        except (Exception, SystemExit) as error:
            raise UserError(f"failed: {type(error).__name__}: {reason_of(error)}") from error
        return result

    return Segmenter(spec, run, scores=False)
