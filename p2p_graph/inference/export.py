"""Export: a trained generator without this package, in the reference's form and TensorFlow's."""

import contextlib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import tensorflow.compat.v1 as tf

from p2p_graph.checkpoints import restore_checkpoint
from p2p_graph.checkpoints.find_checkpoint import STATE_FILE
from p2p_graph.checkpoints.restore_checkpoint import Checkpoint
from p2p_graph.checkpoints.weights_digest import digest_of_checkpoint
from p2p_graph.config.data_options import DataOptions, TaskOptions
from p2p_graph.config.options import Options, OutputOptions
from p2p_graph.config.options_file import OPTIONS_FILE, save_options
from p2p_graph.config.output_folder import claimed
from p2p_graph.inference import litert_model, model_card, onnx_model
from p2p_graph.inference.exported_graph import ExportedGraph
from p2p_graph.inference.option_precedence import configure
from p2p_graph.utils.atomic_write import remove, write_json
from p2p_graph.utils.errors import UserError, why_not_written
from p2p_graph.utils.outside_files import real_path

_META_GRAPH, _SAVED_MODEL, _WEB = "export", "saved_model", "web"
_FILES = {
    "meta": f"{_META_GRAPH}.meta",
    "saved_model": _SAVED_MODEL,
    "frozen": "frozen_graph.pb",
    "onnx": "generator.onnx",
    "litert": "generator.tflite",
    "litert-fp16": "generator_fp16.tflite",
    "litert-int8-weights": "generator_int8_weights.tflite",
    "litert-int8": "generator_int8.tflite",
    "web": _WEB,
}
# What former exports may have written, of any format.
_OURS = re.compile(
    rf"{_META_GRAPH}\.(index|data-\d+-of-\d+)|"
    + "|".join(
        map(
            re.escape,
            (
                *_FILES.values(),
                STATE_FILE,
                OPTIONS_FILE,
                model_card.CARD_FILE,
                model_card.RECORD_FILE,
            ),
        )
    )
)
_OF_FOLDERS = {
    _SAVED_MODEL: {"saved_model.pb", "variables"},
    _WEB: {"index.html", "static", "models.json", "generator.onnx", "examples", "ort"},
}
_FOR_WEB = ("ort_dir", "examples", "palette")
_TEMPORARY, _FORMER = ".unfinished", ".former"


class WebPage(Protocol):
    """What writes the form web; see `serving.web_page`, a package above this one."""

    def write(self, model: Path, folder: Path, steps: int) -> None:
        """Writes a folder with an ONNX model, which is moved into it."""


# From the options, the seed of the dropout masks if there is dropout, and the checkpoint's folder.
MakeWebPage = Callable[[OutputOptions, DataOptions, int | None, Path], WebPage]


def export(given: Mapping[str, Any], make_web_page: MakeWebPage | None = None) -> None:
    """Writes a checkpoint's generator in the forms that `format` names.

    The meta graph (`export.meta`, `export.index`, `export.data-...`) is the reference's: the
    collections `inputs` and `outputs` name the tensors that its clients feed and fetch. The
    SavedModel is in `saved_model/`. A model whose inputs or outputs no image file holds has no meta
    graph.

    Args:
      given: the flags' values by flat name.
      make_web_page: for the form web; it checks the options.

    Raises:
      UserError: something that a person can mend; a former export is as it was.
    """
    options, checkpoint = configure(given, "export")
    default_folder = checkpoint.folder / f"export{options.run.step_suffix}"
    folder = Path(options.run.output_dir or default_folder)
    _check_not_read(folder, options.outputs)
    exported, task = ExportedGraph(options), options.data.task
    formats = options.outputs.format.split(",")
    for name in ("onnx", "web"):
        if name in formats:
            onnx_model.check_installed(name)
    calibration = litert_model.calibration_images(
        options.outputs.calibration_dir, options.data, formats
    )
    if formats == ["meta"] and not exported.takes_files:
        raise UserError(f"format meta is for image files, and {_no_file_holds(task)}")
    page = None
    if "web" in formats:
        assert make_web_page is not None
        seed = options.run.seed if options.model.generator.dropout else None
        page = make_web_page(options.outputs, options.data, seed, checkpoint.folder)
    files = {name: file for name, file in _FILES.items() if name in formats}
    if not exported.takes_files:
        files.pop("meta", None)
    forms = _Forms(options, exported, files, calibration, page)
    prefix = _write(forms, folder)
    print(f"checkpoint: {prefix}, {task.which_direction}")
    if "meta" in formats and "meta" not in files:
        print(f"no meta graph, and signatures for arrays alone: {_no_file_holds(task)}")
    print(f"wrote {folder}: {', '.join(files.values())}")


class _Forms(NamedTuple):
    """The forms of an export, once everything that could refuse them has been checked.

    Attributes:
      options: of the export.
      exported: writes each form.
      files: form -> its file or folder.
      calibration: images for the form litert-int8.
      page: writes the form web, if it is wanted.
    """

    options: Options
    exported: ExportedGraph
    files: Mapping[str, str]
    calibration: Sequence[litert_model.Array]
    page: WebPage | None

    def write(self, checkpoint: Checkpoint, folder: Path) -> None:
        """Writes all forms, of one checkpoint, to an empty folder."""
        files, exported = self.files, self.exported
        paths = {name: folder / file for name, file in files.items()}
        if "meta" in files:
            exported.write_meta_graph(checkpoint, paths["meta"])
        if "saved_model" in files:
            exported.write_saved_model(checkpoint, paths["saved_model"])
        if "frozen" in files:
            exported.write_frozen_graph(checkpoint, paths["frozen"])
        if self.page:  # before the form onnx, whose file has the same name
            model = folder / _FILES["onnx"]
            exported.write_onnx(checkpoint, model)
            self.page.write(model, paths["web"], checkpoint.step())
        if "onnx" in files:
            exported.write_onnx(checkpoint, paths["onnx"])
        if litert := {name: path for name, path in paths.items() if name in litert_model.FORMS}:
            exported.write_litert(checkpoint, litert, self.calibration)
        data = self.options.data
        record = model_card.make_record(
            self.options.flat(),
            checkpoint.folder,
            checkpoint.step(),
            digest_of_checkpoint(checkpoint),
            files,
            exported.channels,
            data.task.input_parts,
        )
        write_json(folder / model_card.RECORD_FILE, record)
        text = model_card.card(record, data.scaling.crop_size)
        (folder / model_card.CARD_FILE).write_text(text, encoding="utf-8")


def _write(forms: _Forms, folder: Path) -> Path:
    """Writes the forms of the newest checkpoint to a folder; gives the checkpoint's prefix."""
    temporary, former, options = folder / _TEMPORARY, folder / _FORMER, forms.options

    def write(newest: Checkpoint) -> Path:
        remove(temporary)
        temporary.mkdir()
        forms.write(newest, temporary)
        return newest.prefix

    assert options.run.checkpoint is not None
    with claimed(folder, "export", tuple(_FILES.values())):
        try:
            _recover(former, folder)
            _check_own(folder)
            prefix = restore_checkpoint.with_newest(Path(options.run.checkpoint), write)
            save_options(options.replace(output_dir=str(folder)), temporary)
            _publish(temporary, folder, former)
        except (OSError, tf.errors.OpError) as error:
            reason = why_not_written(error)
            raise UserError(f"output_dir {folder} cannot be written: {reason}") from None
        finally:
            remove(temporary)
    return prefix


def _check_not_read(folder: Path, outputs: OutputOptions) -> None:
    """Refuses an output folder that is one of those that are read, and flags without an effect."""
    for path in filter(None, (outputs.calibration_dir, outputs.examples)):
        if real_path(Path(path)) == real_path(folder):
            raise UserError(
                f"output_dir {folder} is the folder of images: name another --output_dir"
            )
    for name in _FOR_WEB:
        if getattr(outputs, name) is not None and "web" not in outputs.format.split(","):
            raise UserError(f"{name} is for the format web")


def _no_file_holds(task: TaskOptions) -> str:
    return (
        f"no image file holds the channels of this model, {task.input_parts} and {task.channels[1]}"
    )


def _check_own(folder: Path) -> None:
    """Refuses files of a person, which would be removed or replaced."""
    record = folder / model_card.RECORD_FILE
    if record.exists() and not model_card.is_record(record):
        raise UserError(
            f"{folder} holds {record.name}, which tools/export.py did not write and would replace: "
            "move it, or name another --output_dir"
        )
    if (folder / model_card.CARD_FILE).exists() and not record.exists():
        raise UserError(
            f"{folder} holds {model_card.CARD_FILE}, which tools/export.py did not write and would "
            "replace: move it, or name another --output_dir"
        )
    for name, names in _OF_FOLDERS.items():
        inner = folder / name
        found = {path.name for path in inner.iterdir()} if inner.is_dir() else set()
        if others := sorted(found - names):
            raise UserError(
                f"{inner} holds {others[0]}, which tools/export.py did not write and would "
                "remove: move it, or name another --output_dir"
            )


def _publish(temporary: Path, folder: Path, former: Path) -> None:
    """Puts new files in the place of former ones; all or, where that fails, none of them.

    Former files of other formats go: they may be of another checkpoint.
    """
    # The record first: by it, the next export knows the rest as its own where this one is killed.
    names = sorted((path.name for path in temporary.iterdir()), key=_is_no_record)
    others = [path.name for path in folder.iterdir() if _OURS.fullmatch(path.name)]
    former.mkdir(exist_ok=True)
    published = []
    try:
        for name in dict.fromkeys([*names, *others]):
            if (folder / name).exists():
                (folder / name).replace(former / name)
            if name in names:
                published.append(name)
                (temporary / name).replace(folder / name)
    except OSError:
        for name in published:
            remove(folder / name)
        _recover(former, folder)
        raise
    # Renamed first: from here on, a kill leaves the new files, and nothing to put back.
    with contextlib.suppress(OSError):
        former.replace(temporary / former.name)
    remove(former)


def _is_no_record(name: str) -> bool:
    return name != model_card.RECORD_FILE


def _recover(former: Path, folder: Path) -> None:
    """Puts back what an interrupted export has moved away."""
    if not former.exists():
        return
    for path in former.iterdir():
        remove(folder / path.name)
        path.replace(folder / path.name)
    former.rmdir()
