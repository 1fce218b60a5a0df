"""Output folders: one program at a time, and no program in the folder of another kind of work."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from p2p_graph.config.options_file import OPTIONS_FILE
from p2p_graph.utils import file_lock
from p2p_graph.utils.errors import UserError
from p2p_graph.utils.outside_files import read_json

# Files by which the folder of another program is known, besides options.json.
_RECORDS = {
    "segmenter.json": "train_segmenter",
    "packed.json": "pack_records",
    ".former": "export",  # interrupted while it replaced the files of an earlier one
}
_WRITE_OPTIONS = ("train", "test", "export")  # as the reference's modes do
_TRAINING_CHECKPOINT = re.compile(r".+-\d+\.index")
_CHECKPOINT = re.compile(r"checkpoint|.+\.index|.+\.data-\d+-of-\d+")


@contextlib.contextmanager
def claimed(folder: Path, program: str) -> Iterator[None]:
    """Makes a program's output folder if it is missing, and keeps other programs out of it.

    If the folder is new and stays empty, it is removed in the end.

    Args:
      folder: the folder.
      program: the program's name: train, test, ...

    Raises:
      UserError: another program is at work in the folder, it holds the work of another program, or
        it cannot be made.
    """
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"output_dir {folder} cannot be written: {error.strerror}") from None
    try:
        with file_lock.held(folder):
            _check_owner(folder, program)
            yield
    finally:
        for path in new:
            with contextlib.suppress(OSError):  # it stays if there is something in it
                path.rmdir()


def _check_owner(folder: Path, program: str) -> None:
    """Refuses the folder of another program, whose record or checkpoint would be replaced."""
    found = _find_work(folder)
    if found is None or found[0] == program:
        return
    owner, file = found
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
    checkpoint = trained or next(filter(_CHECKPOINT.fullmatch, names), None)
    return ("train", checkpoint) if checkpoint else None


def _program_of(path: Path) -> str | None:
    """The program that an options.json names; None if the file is damaged."""
    try:
        mode = read_json(path)["mode"]
    except (UserError, KeyError, TypeError):
        return None
    return mode if mode in _WRITE_OPTIONS else None
