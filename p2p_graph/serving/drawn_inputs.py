"""What is drawn for a model: labels of a palette, edges, or photos; with example inputs."""

import contextlib
import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from p2p_graph.checkpoints.model_files import FILES
from p2p_graph.config.data_options import DataOptions
from p2p_graph.config.options_file import read_options, read_record
from p2p_graph.data.image_sources import count_before, source_named
from p2p_graph.imaging import palettes
from p2p_graph.imaging.image_arrays import encode_png
from p2p_graph.imaging.palettes import PALETTES, Palette
from p2p_graph.inference.input_images import read_inputs
from p2p_graph.inference.litert_generator import SUFFIX
from p2p_graph.inference.model_card import RECORD_FILE
from p2p_graph.utils.errors import UserError
from p2p_graph.utils.outside_files import from_folder, read_json, real_path

Array = np.ndarray[Any, Any]

_MOST_EXAMPLES = 24
_TEST_FOLDERS = ("test", "val")  # beside the folder of training
_LABELS = 0.25  # least share of the pixels that match the palette: JPEG label images have 0.43
_INK = 0.9  # share of the pixels that are nearly white in an edge drawing, or nearly black
_PALETTE_FILE = "palette.csv"
PEN = Palette("pen", {"pen": (0, 0, 0), "paper": (255, 255, 255)})


class DrawnInputs(NamedTuple):
    """What a person draws for a model.

    Attributes:
      kind: "labels" of a palette, "edges" with a black pen, or nothing ("photo").
      palette: the colours to draw with; None for photos.
      examples: PNG files of inputs.
    """

    kind: str
    palette: Palette | None
    examples: Sequence[bytes]


def find_inputs(
    checkpoint: Path, data: DataOptions, *, palette: str | None, examples: str | None
) -> DrawnInputs:
    """Finds what is drawn for a model, by its examples and by what lies beside them.

    Args:
      checkpoint: folder of a training run, prefix of a checkpoint, or a file of one generator.
      data: of the model.
      palette: name or CSV file of the palette of label images; None to find it.
      examples: folder of images as in training, or of inputs; None for the test images beside those
        of training.

    Raises:
      UserError: the palette or the folder of examples cannot be read.
    """
    data_folder = None if examples and palette else _data_folder(checkpoint, data)
    folder = Path(examples) if examples else _test_images(data_folder)
    images = _read_examples(folder, data, required=examples is not None)
    named = None if palette is None else palettes.load(palette)
    kind, found = ("labels", named) if named else _kind_of(images, _palette_beside(data_folder))
    return DrawnInputs(kind, found, [encode_png(image) for image in images])


def described(
    name: str, data: DataOptions, channels: tuple[int, int], steps: int, inputs: DrawnInputs
) -> dict[str, Any]:
    """What the page needs to know of a model, as JSON has it.

    Args:
      name: of the model.
      data: of the model.
      channels: of the images that it takes and gives.
      steps: of its training.
      inputs: what is drawn for it.
    """
    height, width = data.scaling.crop_size
    colours = inputs.palette.classes.items() if inputs.palette else ()
    return {
        "name": name,
        "direction": data.task.which_direction,
        "height": height,
        "width": width,
        "channels": list(channels),
        "resize": data.scaling.resize,
        "steps": steps,
        "kind": inputs.kind,
        "palette": [{"name": name, "colour": list(colour)} for name, colour in colours],
        "examples": len(inputs.examples),
    }


def _data_folder(checkpoint: Path, data_options: DataOptions) -> Path | None:
    """The images that a model was trained on, if they still are there, or were moved with it.

    Where there are images in both places, it is those that have the names of training.
    """
    folder = checkpoint if checkpoint.is_dir() else checkpoint.parent
    if checkpoint.suffix in FILES:
        return None
    run = digest = None
    if checkpoint.suffix == SUFFIX:  # the options beside it are those of the export
        record = read_json(folder / RECORD_FILE)
        data, working_dir = record.get("trained_on"), record.get("trained_in")
    else:
        options = read_options(folder)
        data, run = options.get("input_dir"), options.get("output_dir")
        run_record = read_record(folder)
        working_dir, digest = run_record.get("working_dir"), run_record.get("images")
    if data is None:
        return None
    start = Path(working_dir or "")
    recorded = from_folder(start, str(data))
    still = _existing([recorded])
    moved: list[Path] = []
    if run:  # as seen from the run, whose best checkpoint is one level deeper
        from_run = os.path.relpath(recorded, from_folder(start, str(run)))
        seen = _existing([folder / from_run, folder.parent / from_run])
        moved = [path for path in seen if path not in still]
    both = still + moved if moved else []
    named = [path for path in both if _has_names(path, digest, data_options)]
    if found := named + still:
        return found[0]
    print(
        f"note: {checkpoint} was trained on {data}, which is not there: without --examples and "
        "--palette, the page has no examples, and knows no colours of labels"
    )
    return None


def _existing(paths: Sequence[Path]) -> list[Path]:
    found = []
    for path in map(real_path, paths):
        with contextlib.suppress(OSError):  # in another person's folder
            if path.exists():
                found.append(path)
    return found


def _has_names(path: Path, digest: str | None, data: DataOptions) -> bool:
    """Whether images have the names of those of training, or the latter are not known."""
    source = dataclasses.replace(
        data.source, input_dir=str(path), target_dir=None, more_inputs=None
    )
    with contextlib.suppress(UserError):
        return count_before(digest, source, single=data.task.is_single) is None
    return False


def _test_images(data: Path | None) -> Path | None:
    if data is None or not data.is_dir():
        return None
    folders = [data.parent / name for name in _TEST_FOLDERS]
    return next((folder for folder in folders if folder.is_dir()), data)


def _read_examples(folder: Path | None, data: DataOptions, *, required: bool) -> list[Array]:
    """Reads inputs, uint8 [H, W, C]."""
    if folder is None:
        return []
    try:
        with source_named("examples"):
            found = read_inputs(str(folder), data, _MOST_EXAMPLES)
    except UserError:
        if required:
            raise
        return []
    return [np.uint8(np.rint(image[0] * 255)) for image in found]


def _palette_beside(data: Path | None) -> Palette | None:
    """The palette that lies beside the images of training."""
    for folder in (data, data.parent) if data else ():
        if (folder / _PALETTE_FILE).is_file():
            return palettes.load(str(folder / _PALETTE_FILE))
    return None


def _kind_of(examples: Sequence[Array], palette: Palette | None) -> tuple[str, Palette | None]:
    """What is drawn, by the looks of the examples."""
    sample = [image for image in examples if image.shape[2] == 3]
    if palette and not examples:
        return "labels", palette
    if not sample:
        return "photo", None
    if palette and np.mean([palette.coverage(image) for image in sample]) > _LABELS:
        return "labels", palette
    extremes = np.mean([((image < 32) | (image > 223)).all(2).mean() for image in sample])
    grey = np.mean([np.ptp(image.astype(int), axis=2).max() < 24 for image in sample])
    if extremes > _INK and grey > _INK:
        return "edges", PEN
    shares = {
        name: float(np.mean([known.coverage(image) for image in sample]))
        for name, known in PALETTES.items()
    }
    best = max(shares, key=lambda name: shares[name])
    return ("labels", PALETTES[best]) if shares[best] > _LABELS else ("photo", None)
