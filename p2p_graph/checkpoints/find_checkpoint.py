"""Finds the newest checkpoint of a folder."""

import re
from pathlib import Path

from p2p_graph.utils.errors import UserError
from p2p_graph.utils.outside_files import damage_reported, read_bytes

STATE_FILE = "checkpoint"  # names the newest checkpoint of its folder
_LARGEST_STATE = 2**20  # bytes of a `checkpoint` file
_NUMBERED = re.compile(r".*-[0-9]{1,18}\.index")
_OURS = re.compile(r"model-[0-9]{1,18}\.index")
_FILE_END = re.compile(r"\.data-\d+-of-\d+|\.index")  # in this order, sorted by name


def find_prefix(folder: Path) -> Path | None:
    """Finds the newest checkpoint in a folder: its prefix, or None if there is none.

    Args:
      folder: a folder, or the prefix of a checkpoint.

    Raises:
      UserError: the `checkpoint` file cannot be read, or the checkpoint has lost files.
    """
    if not folder.is_dir():
        return folder if is_complete(folder) else None
    state, named = folder / STATE_FILE, None
    if state.exists() and not state.is_dir():
        with damage_reported(state, "text"):
            text = read_bytes(state, _LARGEST_STATE).decode("utf-8-sig", errors="replace")
        if found := re.search(r'^model_checkpoint_path: "(.+)"$', text, re.MULTILINE):
            named = folder / found[1]  # found[1] alone if it is an absolute path
            # An absolute path is another folder's if the folder has been moved or copied since.
            for prefix in (folder / named.name, named):
                if is_complete(prefix):
                    return prefix
    numbered = {
        int(path.stem.rpartition("-")[2]): path.with_suffix("")
        for path in folder.iterdir()
        if _NUMBERED.fullmatch(path.name) and is_complete(path.with_suffix(""))
    }
    if not numbered:
        _refuse_remains(folder, named)
    return numbered[max(numbered)] if numbered else None


def _refuse_remains(folder: Path, named: Path | None) -> None:
    """Refuses a folder whose checkpoint has lost files, so that no run starts anew over the rest.

    The files of a checkpoint are renamed into place in the order data, index, `checkpoint`. Data
    alone are therefore what a kill may leave of a first checkpoint, and no remains.

    Args:
      folder: holds no complete checkpoint.
      named: the one that its `checkpoint` file names, if any.

    Raises:
      UserError: a checkpoint was there.
    """
    indices = [path for path in folder.iterdir() if _OURS.fullmatch(path.name)]
    prefix = indices[0].with_suffix("") if indices else named
    if prefix is None:
        return
    prefix = folder / prefix.name
    lost = ".data file" if indices else ".index file" if files_of(prefix) else "files"
    raise UserError(
        f"checkpoint {prefix} has lost its {lost}: put back what is missing, or remove what is "
        f"left of it ({prefix.name}.*, {STATE_FILE})"
    )


def is_complete(prefix: Path) -> bool:
    """Whether a checkpoint has its index and data."""
    ends = [path.name.removeprefix(prefix.name) for path in files_of(prefix)]
    return ".index" in ends and len(ends) > 1


def files_of(prefix: Path) -> list[Path]:
    """A checkpoint's files, the index last."""
    try:
        names = sorted(path.name for path in prefix.parent.iterdir())
    except (OSError, ValueError):  # there is no such folder, or no folder can have this name
        return []
    named = [name for name in names if name.startswith(prefix.name)]
    files = [name for name in named if _FILE_END.fullmatch(name.removeprefix(prefix.name))]
    return [prefix.with_name(name) for name in files]
