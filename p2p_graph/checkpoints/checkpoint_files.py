"""Checkpoints: finding, checking, restoring and saving them, whole or not at all."""

import dataclasses
import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import tensorflow.compat.v1 as tf

from p2p_graph.checkpoints import variable_names
from p2p_graph.utils.atomic_write import atomic_write
from p2p_graph.utils.errors import UserError, one_line_reason

_SHOWN = 3
_UNFINISHED = ".unfinished"
# What TensorFlow raises on a damaged checkpoint depends on where it is damaged.
_READ_ERRORS = (tf.errors.OpError, ValueError, RuntimeError, IndexError)


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on disk, of either generation.

    Attributes:
      prefix: its path without `.index` and `.data-...`.
      stored: the name in the file of each variable, by native name.
      shapes: by native name.
    """

    prefix: Path
    stored: Mapping[str, str]
    shapes: Mapping[str, Sequence[int]]

    @property
    def folder(self) -> Path:
        """Where its options.json is."""
        return self.prefix.parent

    @property
    def bias(self) -> str | None:
        """Whether "all" of its convolutions have biases, or "none"; None if some have."""
        return variable_names.bias(self.stored)

    @property
    def separable(self) -> bool:
        """Whether its generator has separable convolutions."""
        return any("/separable_conv/" in name for name in self.stored)

    def step(self) -> int:
        """How many steps it was trained; 0 if it does not say."""
        if "global_step" not in self.stored:
            return 0
        reader = tf.train.load_checkpoint(str(self.prefix))
        try:
            return int(reader.get_tensor("global_step"))
        except _READ_ERRORS as error:
            raise _unreadable(self.prefix, error) from None

    def check(self, variables: Iterable[tf.Variable]) -> None:
        """Checks that it holds these variables.

        Raises:
          UserError: some are missing or have other shapes; the first ones are named.
        """
        wanted = {variable.op.name: variable.shape.as_list() for variable in variables}
        if missing := sorted(set(wanted) - set(self.stored)):
            raise UserError(f"checkpoint {self.prefix} lacks {_some(missing)}")
        wrong = [
            f"{name} (wanted {shape}, found {list(self.shapes[name])})"
            for name, shape in wanted.items()
            if list(self.shapes[name]) != shape
        ]
        if wrong:
            raise UserError(f"checkpoint {self.prefix} is of another size: {_some(wrong)}")

    def restorer(self, variables: Iterable[tf.Variable]) -> Callable[[tf.Session], None]:
        """Builds what restores these variables in a session.

        Raises:
          UserError: as `check`; when it is called, the checkpoint is damaged.
        """
        variables = list(variables)
        self.check(variables)
        saver = tf.train.Saver({self.stored[v.op.name]: v for v in variables})

        def restore(session: tf.Session) -> None:
            try:
                saver.restore(session, str(self.prefix))
            except _READ_ERRORS as error:
                raise _unreadable(self.prefix, error) from None

        return restore


def _unreadable(prefix: Path, error: Exception) -> UserError:
    return UserError(f"checkpoint {prefix} cannot be read: {one_line_reason(error)}")


def _some(items: Sequence[str]) -> str:
    left = len(items) - _SHOWN
    return ", ".join(items[:_SHOWN]) + (f" and {left} more" if left > 0 else "")


def find(folder: Path) -> Checkpoint | None:
    """Finds the newest checkpoint in a folder; a checkpoint's prefix itself is taken as well.

    Raises:
      UserError: it cannot be read.
    """
    prefix = _find_prefix(folder)
    if prefix is None:
        return None
    try:
        found = tf.train.load_checkpoint(str(prefix)).get_variable_to_shape_map()
    except _READ_ERRORS as error:
        raise _unreadable(prefix, error) from None
    stored = {
        variable_names.to_native(name): name for name in found if not variable_names.is_moving(name)
    }
    return Checkpoint(prefix, stored, {name: found[old] for name, old in stored.items()})


def need(folder: Path) -> Checkpoint:
    """As `find`, for where a checkpoint must be.

    Raises:
      UserError: there is none, or it cannot be read.
    """
    checkpoint = find(folder)
    if checkpoint is None:
        what = "does not exist" if not folder.exists() else "holds no checkpoint"
        raise UserError(f"checkpoint {folder} {what}: name the output_dir of a training run")
    return checkpoint


def _find_prefix(folder: Path) -> Path | None:
    if not folder.is_dir():
        return folder if _exists(folder) else None
    state = folder / "checkpoint"
    if state.is_file():
        text = state.read_text(encoding="utf-8", errors="replace")
        if found := re.search(r'^model_checkpoint_path: "(.*)"$', text, re.MULTILINE):
            named = folder / found[1]  # an absolute path stays itself
            # The folder may have been moved since an absolute path was written.
            for prefix in (named, folder / named.name):
                if _exists(prefix):
                    return prefix
    numbered = {
        int(path.stem.rpartition("-")[2]): path.with_suffix("")
        for path in folder.glob("*-*.index")
        if path.stem.rpartition("-")[2].isdecimal() and _exists(path.with_suffix(""))
    }
    return numbered[max(numbered)] if numbered else None


def _exists(prefix: Path) -> bool:
    return any(prefix.parent.glob(f"{prefix.name}.index")) and bool(_data_files(prefix))


def _data_files(prefix: Path) -> list[Path]:
    return list(prefix.parent.glob(f"{prefix.name}.data-*-of-*"))


def save(saver: tf.train.Saver, session: tf.Session, folder: Path, step: int) -> Path:
    """Saves a checkpoint `model-STEP`, and then removes the ones before it.

    It is written beside, then renamed, the `checkpoint` file last: whenever this is cut off, the
    folder's newest checkpoint is a whole one.

    Returns:
      The checkpoint's prefix.

    Raises:
      UserError: it could not be written; the checkpoint before it is as it was.
    """
    temporary = folder / _UNFINISHED
    prefix = folder / f"model-{step}"
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        saver.save(session, str(temporary / prefix.name), write_meta_graph=False, write_state=False)
        publish(temporary / prefix.name, prefix)
    except (OSError, tf.errors.OpError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        reason = one_line_reason(error)
        kept = find(folder)
        good = f"{kept.prefix.name} there is whole" if kept else "there is none before it"
        raise UserError(f"checkpoint {prefix} cannot be written ({good}): {reason}") from None
    shutil.rmtree(temporary, ignore_errors=True)
    for path in folder.glob("model-*"):
        if path.name.partition(".")[0] != prefix.name and re.match(r"model-\d+\.", path.name):
            path.unlink()
    return prefix


def publish(written: Path, prefix: Path) -> None:
    """Renames a checkpoint's files to their place, and names it in the `checkpoint` file."""
    for path in [*_data_files(written), written.with_name(f"{written.name}.index")]:
        path.replace(prefix.with_name(path.name.replace(written.name, prefix.name, 1)))
    write_state(prefix.parent, prefix.name)


def write_state(folder: Path, name: str) -> None:
    """Writes a folder's `checkpoint` file, which names its newest checkpoint, atomically."""
    with atomic_write(folder / "checkpoint") as temporary:
        temporary.write_text(
            f'model_checkpoint_path: "{name}"\nall_model_checkpoint_paths: "{name}"\n',
            encoding="utf-8",
        )
