"""What tools/evaluate.py does: chooses metrics, checks all that could be wrong, and reports."""

import argparse
import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from p2p_graph import __version__, evaluation, flags, label_files, metrics, plots
from p2p_graph.errors import UserError
from p2p_graph.evaluation import Example
from p2p_graph.metrics import Measure, Shown, fid, kid, labels, palettes
from p2p_graph.metrics.palettes import Palette
from p2p_graph.segmenters import Segmenter
from p2p_graph.segmenters import load as load_segmenter

if TYPE_CHECKING:  # it takes TensorFlow's import, which few metrics need
    from p2p_graph.inception import Inception

Array = np.ndarray[Any, Any]

_EACH = ("l1", "psnr", "ssim", "histogram")
_LABELS, _FCN, _FID, _KID = "labels", "fcn", "fid", "kid"
METRICS = (*_EACH, _LABELS, _FCN, _FID, _KID)
_OF_PHOTOS = "photos"  # what the segmenter reads off the targets: the ground-truth row
_FOLDER = "evaluation"
_ONE_OF_OURS = (
    "fcn and photos are not FCN-8s' scores: they compare models with each other, "
    "not with the paper's tables"
)
# Isola et al. 2017, Table 1: FCN-8s on Cityscapes' own photos, scaled to 256 pixels and back.
_PAPER_ON_PHOTOS = "0.80, 0.26 and 0.21"


class Request(NamedTuple):
    """What is to be evaluated, and how.

    Attributes:
      examples: the pictures.
      names: of `METRICS`.
      palette: of label pictures, for "labels" and "fcn".
      segmenter: for "fcn".
      labels_dir: where true labels are; None if they are the inputs.
      self_check: whether the segmenter reads the targets, first of all.
      inception: the graph's file, for "fid" and "kid".
      target_statistics: a file for what it makes of the targets.
      repetitions: of the bootstrap; 0 for none.
      seed: of the bootstrap and KID's draws.
    """

    examples: Sequence[Example]
    names: Sequence[str]
    palette: Palette | None = None
    segmenter: Segmenter | None = None
    labels_dir: Path | None = None
    self_check: bool = False
    inception: Path | None = None
    target_statistics: Path | None = None
    repetitions: int = 1000
    seed: int = 0


def run(options: argparse.Namespace) -> None:
    """Evaluates what the flags of tools/evaluate.py ask for.

    Raises:
      UserError: something that a person can mend.
    """
    for name in ("bootstrap", "seed"):
        if getattr(options, name) < 0:
            raise UserError(f"{name} must be at least 0, not {getattr(options, name)}")
    if not options.segmenter and (options.self_check or options.labels_dir):
        raise UserError("self_check and labels_dir are for a segmenter: name it (--segmenter)")
    if options.target_statistics and not options.inception:
        raise UserError("target_statistics are Inception's: name its graph (--inception)")
    examples, folder = _pictures(options)
    palette = palettes.find(options.palette) if options.palette else None
    segmenter = load_segmenter(options.segmenter) if options.segmenter else None
    if segmenter and segmenter.palette:
        if palette and palette != segmenter.palette:
            raise UserError(
                f"palette {palette.name} is not what segmenter {segmenter.name} knows: leave it out"
            )
        palette = segmenter.palette
    available = {_LABELS: palette, _FCN: segmenter, _FID: options.inception}
    names = _choose(options.metrics, available)
    for what, given, uses in (
        ("segmenter", segmenter, {_FCN}),
        ("palette", palette, {_LABELS, _FCN}),
        ("inception", options.inception, {_FID, _KID}),
    ):
        if given and not uses & set(names):
            used = " and ".join(sorted(uses))
            raise UserError(f"{what} is for metrics {used}: leave it out, or name one of them, too")
    request = Request(
        examples,
        names,
        palette,
        segmenter,
        options.labels_dir,
        options.self_check,
        options.inception,
        options.target_statistics,
        options.bootstrap,
        options.seed,
    )
    evaluate(request, folder, str(options.results_dir or options.outputs_dir))


def _pictures(options: argparse.Namespace) -> tuple[list[Example], Path]:
    """Finds the pictures that are named, and where to write what is found out about them."""
    folders = (options.outputs_dir, options.targets_dir, options.inputs_dir)
    if options.results_dir:
        if any(folders):
            raise UserError(
                "results_dir contradicts outputs_dir, targets_dir and inputs_dir: give one of them"
            )
        examples = evaluation.of_results(options.results_dir)
        return examples, options.output_dir or options.results_dir / _FOLDER
    if not (options.outputs_dir and options.targets_dir):
        raise UserError(
            "results_dir is missing: name what tools/test.py has written (--results_dir), or two "
            "folders of pictures (--outputs_dir, --targets_dir)"
        )
    examples = evaluation.of_folders(*folders)
    return examples, options.output_dir or options.outputs_dir.resolve().parent / _FOLDER


def _choose(names: str | None, available: Mapping[str, Any]) -> list[str]:
    """Chooses metrics: those named, separated by commas, or all that there is something for.

    Raises:
      UserError: one is not known, or lacks what it needs.
    """
    if names is None:
        read = [_FCN] if available[_FCN] else [_LABELS] if available[_LABELS] else []
        chosen = [*_EACH, *read, *([_FID, _KID] if available[_FID] else [])]
    else:
        chosen = [name.strip() for name in names.split(",")]
    if unknown := [name for name in chosen if name not in METRICS]:
        raise UserError(f"metrics must be of {', '.join(METRICS)}, not {unknown[0]!r}")
    for name in chosen:
        if name in (_LABELS, _FCN) and not available[_LABELS]:
            raise UserError(f"metrics {name} needs the labels' colours: name them (--palette)")
        if name == _FCN and not available[_FCN]:
            raise UserError(
                f"metrics {name} needs what reads labels off photos: name it (--segmenter)"
            )
        if name in (_FID, _KID) and not available[_FID]:
            raise UserError(f"metrics {name} needs Inception's graph: name it (--inception)")
    return list(dict.fromkeys(chosen))


def evaluate(request: Request, folder: Path, outputs: str) -> None:
    """Measures the pictures, prints a table, and writes figures, a page and confused classes.

    Args:
      request: what is asked for.
      folder: where it goes.
      outputs: what the pictures are called in the files.

    Raises:
      UserError: the pictures do not fit the metrics, or the folder cannot be written.
    """
    evaluation.check_folder(folder, request.examples)
    measures, photos = _measures(request)
    with contextlib.ExitStack() as cleanup:
        inception = _inception(request, cleanup)  # refuses what is none, before the long work
        repeat = (request.repetitions, request.seed)
        read_off_photos = evaluation.measured(request.examples, photos, *repeat) if photos else {}
        if photos:
            print(_self_check(request, read_off_photos[_OF_PHOTOS].of_all), flush=True)
        distances, notes = _distances(request, inception) if inception else ({}, [])
    if request.segmenter and not request.segmenter.is_fcn8s and _FCN in measures:
        notes.append(_ONE_OF_OURS)
    measured = evaluation.measured(request.examples, measures, *repeat)
    found = measured | read_off_photos
    values = {name: value for one in found.values() for name, value in one.of_all.items()}
    values |= distances
    within = {name: ends for one in found.values() for name, ends in one.intervals.items()}
    print(evaluation.table(values, within))
    for note in notes:
        print(f"note: {note}")
    record: dict[str, Any] = {
        "outputs": outputs,
        "pictures": len(request.examples),
        "figures": {
            name: {"value": value, "interval_95": within.get(name)}
            for name, value in values.items()
        },
        "notes": notes,
        "segmenter": request.segmenter.name if request.segmenter else None,
        "palette": request.palette.name if request.palette else None,
        "bootstrap": {"repetitions": request.repetitions, "seed": request.seed},
        "version": __version__,
    }
    confused = {}
    for name in [name for name in (_LABELS, _FCN, _OF_PHOTOS) if name in found]:
        assert request.palette is not None
        classes = list(request.palette.classes)
        matrix = found[name].records.sum(0).reshape(len(classes), -1)
        record[f"{name}_classes"] = {
            called: {"accuracy": float(accuracy), "iou": float(iou)}
            for called, accuracy, iou in zip(classes, *labels.by_class(matrix), strict=True)
        }
        record[f"{name}_confusion"] = matrix.astype(int).tolist()
        confused[name] = matrix
    evaluation.write(folder, record, request.examples, measures, measured)
    for name, matrix in confused.items():
        plots.save_matrix(folder / f"{name}-confusion.png", matrix, classes)
    print("wrote", folder / "index.html")


def _measures(request: Request) -> tuple[dict[str, Measure], dict[str, Measure]]:
    """Makes the measures that are asked for, after a look at whether the pictures fit them.

    Returns:
      Those of the outputs, and what the segmenter is tried on first, if it is.

    Raises:
      UserError: the pictures do not fit.
    """
    made: dict[str, Measure] = {}
    photos: dict[str, Measure] = {}
    for name in request.names:
        if name in metrics.METRICS:
            made[name] = metrics.mean_of(name)
        elif name == "histogram":
            made[name] = metrics.color_histogram()
        elif name == _LABELS:
            assert request.palette is not None
            targets = palettes.some([e.target for e in request.examples])
            request.palette.check_fit(map(evaluation.read, targets), "targets")
            made[name] = metrics.label_accuracy(request.palette)
        elif name == _FCN:
            made[name], photos[_OF_PHOTOS] = _read_by_segmenter(request)
    return made, photos if request.self_check else {}


def _read_by_segmenter(request: Request) -> tuple[Measure, Measure]:
    """Labels that the segmenter reads off outputs, and off targets, against the true ones."""
    palette, segmenter = request.palette, request.segmenter
    assert palette is not None
    assert segmenter is not None
    truth = _truth(request, palette)
    one_at_a_time = threading.Lock()

    def reading(picture_of: Callable[[Shown], Array], prefix: str) -> Measure:
        def both(shown: Shown) -> tuple[Array, Array]:
            with one_at_a_time:
                predicted = segmenter(picture_of(shown))
            return _same_size(predicted, truth(shown))

        return metrics.agreement(both, len(palette.classes), prefix)

    return reading(lambda s: s.output, f"{_FCN}_"), reading(lambda s: s.target, f"{_OF_PHOTOS}_")


def _truth(request: Request, palette: Palette) -> Callable[[Shown], Array]:
    """Makes what gives a picture's true class ids: from files of labels, or off its input."""
    if request.labels_dir:
        files = label_files.find(request.labels_dir, [e.name for e in request.examples])
        return lambda shown: label_files.read(files[shown.name], palette)
    inputs = [e.input for e in request.examples if e.input and e.input.is_file()]
    if len(inputs) < len(request.examples):
        raise UserError(
            "metrics fcn needs the true labels: the pictures' inputs (--inputs_dir), or files of "
            "class ids (--labels_dir)"
        )
    palette.check_fit(map(evaluation.read, palettes.some(inputs)), "inputs")

    def off_input(shown: Shown) -> Array:
        assert shown.input is not None
        return palette.ids(shown.input)

    return off_input


def _same_size(*labellings: Array) -> tuple[Array, Array]:
    """Enlarges the smaller of two labellings [H, W] to the other's size, by repeating."""
    height, width = (max(sizes) for sizes in zip(*(each.shape for each in labellings), strict=True))
    rows, columns = np.arange(height), np.arange(width)
    one, other = (
        each[rows[:, None] * each.shape[0] // height, columns * each.shape[1] // width]
        for each in labellings
    )
    return one, other


def _self_check(request: Request, found: Mapping[str, float]) -> str:
    values = ", ".join(f"{value:.2f}" for value in found.values())
    assert request.segmenter is not None
    told = f"real photos, by {request.segmenter.name}: {values} (pixels, classes, IoU)"
    return f"{told}; the paper's: {_PAPER_ON_PHOTOS}" if request.segmenter.is_fcn8s else told


def _inception(request: Request, cleanup: contextlib.ExitStack) -> "Inception | None":
    """Opens Inception's graph, if a metric asks for it."""
    wanted = [name for name in request.names if name in (_FID, _KID)]
    if not wanted:
        return None
    assert request.inception is not None
    if len(request.examples) < 2:
        raise UserError(f"metrics {wanted[0]} needs 2 pictures at least, not 1")
    with flags.tensorflow_import():
        from p2p_graph.inception import Inception
    return cleanup.enter_context(Inception(request.inception))


def _distances(request: Request, inception: "Inception") -> tuple[dict[str, float], list[str]]:
    """FID and KID between outputs and targets, and what is to be said of them."""
    from p2p_graph.inception import statistics_of

    print(f"features of {2 * len(request.examples)} pictures, {inception.device}", flush=True)
    keep = _KID in request.names
    # The targets' first: their file may be another's.
    theirs = statistics_of(
        [e.target for e in request.examples], inception, request.target_statistics, keep=keep
    )
    ours = statistics_of([e.output for e in request.examples], inception, keep=keep)
    figures: dict[str, float] = {}
    notes = []
    if _FID in request.names:
        figures[_FID] = fid.frechet_distance(ours.moments, theirs.moments)
        note = fid.bias_note(len(request.examples), ours.moments.dims)
        notes += [note] if note else []
    if keep:
        assert ours.features is not None
        assert theirs.features is not None
        found = kid.kid(ours.features, theirs.features, seed=request.seed)
        figures |= {_KID: found.mean, "kid_deviation": found.deviation}
    return figures, notes
