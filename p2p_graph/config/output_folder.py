"""Output folders: one program at a time, and no program in the folder of another kind of work."""

import contextlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from p2p_graph.config.options_file import OPTIONS_FILE
from p2p_graph.utils import file_lock
from p2p_graph.utils.errors import UserError
from p2p_graph.utils.outside_files import read_json, real_path

EVALUATION_FILE = "evaluation.json"
BEST_FILE = "best.json"  # of a training run, in its folder best/
_SAVED_MODEL_FILE = "saved_model.pb"
_SHARING_LOCK = ".sharing"  # of the processes that share a folder
_EVALUATION_KEYS = {"outputs", "figures"}

# Files by which the folder of another program is known, besides options.json.
_RECORDS = {
    "segmenter.json": "train_segmenter",
    "packed.json": "pack_records",
    "translated.json": "translate_many",
    ".former": "export",  # interrupted while it replaced the files of an earlier one
}
# Of programs that write no options.json.
_RECORD_OF = {"evaluate": EVALUATION_FILE, "translate_many": "translated.json"}
_WRITE_OPTIONS = ("train", "test", "export")  # as the reference's modes do
_TRAINING_CHECKPOINT = re.compile(r".+-\d+\.index")
_CHECKPOINT = re.compile(r"checkpoint|.+\.index|.+\.data-\d+-of-\d+")


@contextlib.contextmanager
def claimed(
    folder: Path, program: str, writes: Sequence[str] = (), *, shared: bool = False
) -> Iterator[None]:
    """Makes a program's output folder if it is missing, and keeps other programs out of it.

    If the folder is new and stays empty, it is removed in the end.

    Args:
      folder: the folder.
      program: the program's name: train, test, ...
      writes: names in the folder that the program replaces. It writes its record (options.json,
        evaluation.json) before the first of them.
      shared: whether other processes of the same program may share the folder; each changes what
        they share within `one_at_a_time`.

    Raises:
      UserError: another program is at work in the folder, it holds the work of another program, or
        one of the names without the program's record, or it cannot be made.
    """
    _refuse_replaced(folder)
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"output_dir {folder} cannot be written: {error.strerror}") from None
    try:
        with file_lock.held(folder, shared=shared):
            _check_owner(folder, program, writes)
            yield
    finally:
        for path in new:
            with contextlib.suppress(OSError):  # it stays if there is something in it
                path.rmdir()


@contextlib.contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Waits until no other process that shares a folder is in this context."""
    with file_lock.held(folder / _SHARING_LOCK, wait=True):
        yield


def refuse_data_folder(folder: Path, files: Iterable[Path], writes: Sequence[str] = ()) -> None:
    """Refuses an output folder in which a program's files would mix with those that it reads.

    Args:
      folder: the output folder.
      files: the files that the program reads.
      writes: names of the folders in it that the program writes to.

    Raises:
      UserError: one of the files lies in the folder itself, or in one of the folders in it.
    """
    read = folders_of(files)
    for written in (folder, *(folder / name for name in writes)):
        if real_path(written) in read:
            raise UserError(
                f"output_dir {folder} cannot be written: {written} holds images that are read; "
                "name another folder"
            )


def folders_of(files: Iterable[Path]) -> set[Path]:
    """The folders in which files lie, as real paths."""
    return {real_path(path) for path in {path.parent for path in files}}


def _refuse_replaced(folder: Path) -> None:
    """Refuses a folder that another program replaces as a whole, or whose checkpoint it replaces.

    Raises:
      UserError: the folder is or lies in an export's SavedModel, or holds a run's best checkpoint.
    """
    for place in (real_path(folder), *real_path(folder).parents):
        if (place / _SAVED_MODEL_FILE).exists():
            raise UserError(
                f"output_dir {folder} lies in the SavedModel {place}, which tools/export.py "
                "replaces: name another folder"
            )
    if (folder / BEST_FILE).exists():
        raise UserError(
            f"output_dir {folder} holds the best checkpoint of a run ({BEST_FILE}), which that run "
            "replaces: name another folder"
        )


def _check_owner(folder: Path, program: str, writes: Sequence[str]) -> None:
    """Refuses a folder with files of another program, or of a person, that would be replaced."""
    # In this order: a process that shares the folder writes its record before these files.
    foreign = [name for name in writes if os.path.lexists(folder / name)]
    owner, file = _find_work(folder) or (program, None)
    if file is None and foreign:
        record = _RECORD_OF.get(program, OPTIONS_FILE)
        raise UserError(
            f"output_dir {folder} holds {foreign[0]}, but no {record} of tools/{program}.py: name "
            f"another folder, or remove {foreign[0]}"
        )
    if owner == program:
        return
    of = f"of tools/{owner}.py" if owner else "of another program"
    raise UserError(f"output_dir {folder} holds the work {of} ({file}): name another folder")


def _find_work(folder: Path) -> tuple[str | None, str] | None:
    """Finds whose work a folder holds: the program, None if unknown, and a file that says so."""
    names = sorted(path.name for path in folder.iterdir())
    for name, program in _RECORDS.items():
        if name in names:
            return program, name
    trained = next(filter(_TRAINING_CHECKPOINT.fullmatch, names), None)
    if OPTIONS_FILE in names and not trained:
        return _program_of(folder / OPTIONS_FILE), OPTIONS_FILE
    if checkpoint := trained or next(filter(_CHECKPOINT.fullmatch, names), None):
        return "train", checkpoint
    if EVALUATION_FILE in names and _is_evaluation(folder / EVALUATION_FILE):
        return "evaluate", EVALUATION_FILE
    return None


def _program_of(path: Path) -> str | None:
    """The program that an options.json names; None if the file is damaged."""
    try:
        mode = read_json(path)["mode"]
    except (UserError, KeyError, TypeError):
        return None
    return mode if mode in _WRITE_OPTIONS else None


def _is_evaluation(path: Path) -> bool:
    """Whether a file is what tools/evaluate.py writes, in any version, and not a person's."""
    try:
        record = read_json(path)
    except UserError:
        return False
    return isinstance(record, dict) and set(record) >= _EVALUATION_KEYS
