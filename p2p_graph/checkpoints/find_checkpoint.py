"""Finds the checkpoints of a folder: the newest, that of a step, and those that are replaced."""

import re
from collections.abc import Collection
from pathlib import Path

from p2p_graph.utils.errors import UserError
from p2p_graph.utils.outside_files import damage_reported, read_bytes

STATE_FILE = "checkpoint"  # names the newest checkpoint of its folder
_LARGEST_STATE = 2**20  # bytes of a `checkpoint` file
_NUMBERED = re.compile(r"(?P<name>.*-(?P<step>[0-9]{1,18}))(?P<end>\.data-\d+-of-\d+|\.index)")
_STEP = re.compile(r"-([0-9]{1,18})$")
_OURS = re.compile(r"model-[0-9]{1,18}\.index")
_SHOWN_STEPS = 10
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
    named = None
    if found := re.search(r'^model_checkpoint_path: "(.+)"$', _read_state(folder), re.MULTILINE):
        named = folder / found[1]  # found[1] alone if it is an absolute path
        # An absolute path is another folder's if the folder has been moved or copied since.
        for prefix in (folder / named.name, named):
            if is_complete(prefix):
                return prefix
    numbered = _numbered(folder)
    if not numbered:
        _refuse_remains(folder, named)
        return None
    newest = max(numbered)
    # One that has no file left was removed by hand; one that is not the newest, by training.
    if named and files_of(folder / named.name):
        step = _STEP.search(named.name)
        if not step or int(step[1]) > newest:
            raise _lost(folder / named.name)
    return numbered[newest]


def prefix_of_step(folder: Path, step: int) -> Path:
    """Finds the checkpoint of a step in a folder.

    Raises:
      UserError: there is no such folder or checkpoint; the message lists the steps that are there.
    """
    if not folder.is_dir():
        raise UserError(f"checkpoint {folder} is no folder: --step needs that of a training run")
    numbered = _numbered(folder)
    if step not in numbered:
        steps = sorted(numbered)[-_SHOWN_STEPS:]
        held = f"it holds {', '.join(map(str, steps))}" if steps else "it holds no checkpoint"
        if len(steps) < len(numbered):
            held += f" and {len(numbered) - len(steps)} earlier ones"
        raise UserError(f"checkpoint {folder} has no step {step}: {held}")
    return numbered[step]


def steps_in(folder: Path) -> list[int]:
    """The steps of the complete checkpoints `model-STEP` in a folder, in order."""
    return sorted(s for s, prefix in _numbered(folder).items() if prefix.name == f"model-{s}")


def replaced_steps(folder: Path) -> set[int]:
    """The steps of the checkpoints that later ones replace.

    They are those in the `checkpoint` file's list: as TensorFlow's Saver does, a checkpoint that is
    kept for good is not in the list. Later than the newest one is only what a killed process has
    left, or what a run has been set back from. Without the file, there is no list.
    """
    present, state = steps_in(folder), _read_state(folder)
    newest = re.search(r'^model_checkpoint_path: ".*?([0-9]{1,18})"$', state, re.MULTILINE)
    if not newest:
        return set(present)
    listed = re.findall(
        r'^all_model_checkpoint_paths: "(?:.*/)?model-([0-9]{1,18})"$', state, re.MULTILINE
    )
    return set(map(int, listed)) | {step for step in present if step > int(newest[1])}


def _read_state(folder: Path) -> str:
    """The text of a folder's `checkpoint` file; empty without one."""
    state = folder / STATE_FILE
    if not state.exists() or state.is_dir():
        return ""
    with damage_reported(state, "text"):
        return read_bytes(state, _LARGEST_STATE).decode("utf-8-sig", errors="replace")


def _numbered(folder: Path) -> dict[int, Path]:
    """The complete checkpoints of a folder that have a step in their names, by step."""
    ends: dict[tuple[int, str], set[str]] = {}
    for path in folder.iterdir():
        if found := _NUMBERED.fullmatch(path.name):
            ends.setdefault((int(found["step"]), found["name"]), set()).add(found["end"])
    return {
        step: folder / name for (step, name), found_ends in ends.items() if _is_complete(found_ends)
    }


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
    raise _lost(folder / prefix.name)


def _lost(prefix: Path) -> UserError:
    """The refusal of a checkpoint that has lost files."""
    left = files_of(prefix)
    has_index = any(path.suffix == ".index" for path in left)
    lost = ".data file" if has_index else ".index file" if left else "files"
    return UserError(
        f"checkpoint {prefix} has lost its {lost}: put back what is missing, or remove what is "
        f"left of it ({prefix.name}.*, {STATE_FILE})"
    )


def is_complete(prefix: Path) -> bool:
    """Whether a checkpoint has its index and data."""
    return _is_complete({path.name.removeprefix(prefix.name) for path in files_of(prefix)})


def _is_complete(ends: Collection[str]) -> bool:
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
