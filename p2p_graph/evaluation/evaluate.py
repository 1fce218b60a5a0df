"""What tools/evaluate.py does: chooses metrics, checks all that could be wrong, and reports."""

import argparse
import contextlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from p2p_graph import __version__
from p2p_graph.evaluation import example_files, metric_selection
from p2p_graph.evaluation.example_files import Example
from p2p_graph.evaluation.metric_selection import FCN, FID, KID, LABELS, PHOTOS, Request
from p2p_graph.imaging import confusion_plot, palettes
from p2p_graph.imaging.html_page import INDEX_FILE
from p2p_graph.metrics import label_accuracy
from p2p_graph.segmentation.segmenters import load as load_segmenter
from p2p_graph.utils.errors import UserError

_FOLDER = "evaluation"
_ONE_OF_OURS = (
    "fcn and photos are not FCN-8s' scores: they compare models with each other, "
    "not with the paper's tables"
)
# Isola et al. 2017, Table 1: FCN-8s on Cityscapes' own photos, scaled to 256 pixels and back.
_PAPER_ON_PHOTOS = "0.80, 0.26 and 0.21"


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
    examples, folder = _images(options)
    palette = palettes.find(options.palette) if options.palette else None
    segmenter = None
    if options.segmenter:
        segmenter = load_segmenter(options.segmenter).with_palette(palette)
        palette = segmenter.palette
    available = {LABELS: palette, FCN: segmenter, FID: options.inception}
    names = _choose(options.metrics, available)
    for what, given, uses in (
        ("segmenter", segmenter, {FCN}),
        ("palette", palette, {LABELS, FCN}),
        ("inception", options.inception, {FID, KID}),
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


def _images(options: argparse.Namespace) -> tuple[list[Example], Path]:
    """Finds the images that are named, and where to write what is found out about them."""
    folders = (options.outputs_dir, options.targets_dir, options.inputs_dir)
    if options.results_dir:
        if any(folders):
            raise UserError(
                "results_dir contradicts outputs_dir, targets_dir and inputs_dir: give one of them"
            )
        examples = example_files.of_results(options.results_dir)
        return examples, options.output_dir or options.results_dir / _FOLDER
    if not (options.outputs_dir and options.targets_dir):
        raise UserError(
            "results_dir is missing: name what tools/test.py has written (--results_dir), or two "
            "folders of images (--outputs_dir, --targets_dir)"
        )
    examples = example_files.of_folders(*folders)
    outputs = options.outputs_dir.resolve()
    return examples, options.output_dir or outputs.with_name(f"{outputs.name}-{_FOLDER}")


def _choose(names: str | None, available: Mapping[str, Any]) -> list[str]:
    """Chooses metrics: those named, separated by commas, or all that there is something for.

    Raises:
      UserError: one is not known, or lacks what it needs.
    """
    if names is None:
        read = [FCN] if available[FCN] else [LABELS] if available[LABELS] else []
        chosen = [*metric_selection.EACH, *read, *([FID, KID] if available[FID] else [])]
    else:
        chosen = [name.strip() for name in names.split(",")]
    if unknown := [name for name in chosen if name not in metric_selection.ALL]:
        raise UserError(f"metrics must be of {', '.join(metric_selection.ALL)}, not {unknown[0]!r}")
    for name in chosen:
        if name in (LABELS, FCN) and not available[LABELS]:
            raise UserError(f"metrics {name} needs the labels' colours: name them (--palette)")
        if name == FCN and not available[FCN]:
            raise UserError(
                f"metrics {name} needs what reads labels off photos: name it (--segmenter)"
            )
        if name in (FID, KID) and not available[FID]:
            raise UserError(f"metrics {name} needs Inception's graph: name it (--inception)")
    return list(dict.fromkeys(chosen))


def evaluate(request: Request, folder: Path, outputs: str) -> None:
    """Measures the images, prints a table, and writes figures, a page and confused classes.

    Args:
      request: what is asked for.
      folder: where it goes.
      outputs: what the images are called in the files.

    Raises:
      UserError: the images do not fit the metrics, or the folder cannot be written.
    """
    example_files.check_folder(folder, request.examples)
    if kept := request.target_statistics:
        if kept.is_dir():
            raise UserError(f"target_statistics {kept} is a folder: name a file")
        example_files.check_writable(kept.parent, f"target_statistics {kept}")
    made, photos = metric_selection.measures_of(request)
    with contextlib.ExitStack() as cleanup:
        # What is none is refused here, before the long work.
        inception = metric_selection.open_inception(request, cleanup)
        repeat = (request.repetitions, request.seed)
        read_off_photos = (
            example_files.measured(request.examples, photos, *repeat) if photos else {}
        )
        if photos:
            print(_self_check(request, read_off_photos[PHOTOS].of_all), flush=True)
        distances, notes = metric_selection.distances(request, inception) if inception else ({}, [])
    if request.segmenter and not request.segmenter.is_fcn8s and FCN in made:
        notes.append(_ONE_OF_OURS)
    measured = example_files.measured(request.examples, made, *repeat)
    found = measured | read_off_photos
    values = {name: value for one in found.values() for name, value in one.of_all.items()}
    values |= distances
    infinite = [name for name, value in values.items() if math.isinf(value)]
    notes += [f"{name} is infinite: an image equals its target" for name in infinite]
    within = {name: ends for one in found.values() for name, ends in one.intervals.items()}
    print(example_files.table(values, within))
    for note in notes:
        print(f"note: {note}")
    record: dict[str, Any] = {
        "outputs": outputs,
        "images": len(request.examples),
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
    for name in [name for name in (LABELS, FCN, PHOTOS) if name in found]:
        assert request.palette is not None
        classes = list(request.palette.classes)
        matrix = found[name].records.sum(0).reshape(len(classes), -1)
        record[f"{name}_classes"] = {
            called: {"accuracy": float(accuracy), "iou": float(iou)}
            for called, accuracy, iou in zip(classes, *label_accuracy.by_class(matrix), strict=True)
        }
        record[f"{name}_confusion"] = matrix.astype(int).tolist()
        confused[name] = matrix
    example_files.write(folder, record, request.examples, made, measured)
    for name in (LABELS, FCN, PHOTOS):
        drawn = folder / f"{name}-confusion.png"
        if name in confused:
            confusion_plot.save_matrix(drawn, confused[name], classes)
        else:  # an earlier evaluation's
            drawn.unlink(missing_ok=True)
    print("wrote", folder / INDEX_FILE)


def _self_check(request: Request, found: Mapping[str, float]) -> str:
    values = ", ".join(f"{value:.2f}" for value in found.values())
    assert request.segmenter is not None
    told = f"real photos, by {request.segmenter.name}: {values} (pixels, classes, IoU)"
    return f"{told}; the paper's: {_PAPER_ON_PHOTOS}" if request.segmenter.is_fcn8s else told
