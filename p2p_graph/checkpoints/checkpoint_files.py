"""Checkpoints: finding, checking, restoring; saving atomically, and keeping only the newest."""

import dataclasses
import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import tensorflow.compat.v1 as tf

from p2p_graph.checkpoints import variable_names
from p2p_graph.utils.atomic_write import atomic_write
from p2p_graph.utils.errors import UserError, one_line_reason, why_not_written

_SHOWN = 3  # variables named in a message
_TEMPORARY = ".unfinished"
# TensorFlow's errors for a damaged checkpoint; which one depends on the damage.
_READ_ERRORS = (tf.errors.OpError, ValueError, RuntimeError, IndexError)


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on disk, of either generation of the reference program.

    Attributes:
      prefix: path without `.index` and `.data-...`.
      stored: names of the variables in the file, by native name.
      shapes: of the variables, by native name.
    """

    prefix: Path
    stored: Mapping[str, str]
    shapes: Mapping[str, Sequence[int]]

    @property
    def folder(self) -> Path:
        """The checkpoint's folder, which holds its options.json."""
        return self.prefix.parent

    @property
    def bias(self) -> str | None:
        """Which convolutions have biases: "all" or "none"; None if only some do."""
        return variable_names.bias(self.stored)

    @property
    def separable(self) -> bool:
        """Whether the generator has separable convolutions."""
        return any("/separable_conv/" in name for name in self.stored)

    def step(self) -> int:
        """Reads the number of training steps; 0 if the checkpoint has no global_step.

        Raises:
          UserError: the checkpoint is damaged.
        """
        if "global_step" not in self.stored:
            return 0
        reader = tf.train.load_checkpoint(str(self.prefix))
        try:
            return int(reader.get_tensor("global_step"))
        except _READ_ERRORS as error:
            raise _unreadable(self.prefix, error) from None

    def check(self, variables: Iterable[tf.Variable]) -> None:
        """Checks that the checkpoint holds variables of these names and shapes.

        Raises:
          UserError: variables are missing or have other shapes; the message names the first ones.
        """
        wanted = {variable.op.name: variable.shape.as_list() for variable in variables}
        if missing := sorted(set(wanted) - set(self.stored)):
            raise UserError(f"checkpoint {self.prefix} lacks {_join_some(missing)}")
        wrong = [
            f"{name} (expected {shape}, found {list(self.shapes[name])})"
            for name, shape in wanted.items()
            if list(self.shapes[name]) != shape
        ]
        if wrong:
            raise UserError(f"checkpoint {self.prefix} has other shapes: {_join_some(wrong)}")

    def restorer(self, variables: Iterable[tf.Variable]) -> Callable[[tf.Session], None]:
        """Builds a function that restores these variables in a session.

        Returns:
          The function; it raises `UserError` if the checkpoint is damaged.

        Raises:
          UserError: see `check`.
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


def _join_some(items: Sequence[str]) -> str:
    """Joins the first items, and says how many more there are."""
    more = len(items) - _SHOWN
    return ", ".join(items[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def find(folder: Path) -> Checkpoint | None:
    """Finds the newest checkpoint in a folder.

    Args:
      folder: a folder, or the prefix of a checkpoint.

    Returns:
      The checkpoint, or None if there is none.

    Raises:
      UserError: the checkpoint cannot be read.
    """
    prefix = _find_prefix(folder)
    if prefix is None:
        return None
    try:
        found = tf.train.load_checkpoint(str(prefix)).get_variable_to_shape_map()
    except _READ_ERRORS as error:
        raise _unreadable(prefix, error) from None
    stored = {
        variable_names.to_native(name): name
        for name in found
        if not variable_names.is_moving_average(name)
    }
    return Checkpoint(prefix, stored, {native: found[name] for native, name in stored.items()})


def need(folder: Path) -> Checkpoint:
    """Finds the newest checkpoint in a folder, which must hold one.

    Args:
      folder: a folder, or the prefix of a checkpoint.

    Raises:
      UserError: there is no checkpoint, or it cannot be read.
    """
    checkpoint = find(folder)
    if checkpoint is None:
        problem = "does not exist" if not folder.exists() else "holds no checkpoint"
        raise UserError(f"checkpoint {folder} {problem}: name the output_dir of a training run")
    return checkpoint


def _find_prefix(folder: Path) -> Path | None:
    if not folder.is_dir():
        return folder if _exists(folder) else None
    state = folder / "checkpoint"
    if state.is_file():
        text = state.read_text(encoding="utf-8", errors="replace")
        if found := re.search(r'^model_checkpoint_path: "(.*)"$', text, re.MULTILINE):
            named = folder / found[1]  # found[1] alone if it is an absolute path
            # An absolute path is stale if the folder has been moved since.
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
    """Saves a checkpoint `model-STEP` atomically, then removes earlier ones.

    The files are written to a temporary folder, then renamed, the `checkpoint` file last. If the
    process is killed at any time, the newest checkpoint in the folder is intact.

    Args:
      saver: of the variables to save.
      session: that holds their values.
      folder: the run's folder.
      step: the number of training steps.

    Returns:
      The checkpoint's prefix.

    Raises:
      UserError: the checkpoint cannot be written; the previous one is intact.
    """
    temporary = folder / _TEMPORARY
    prefix = folder / f"model-{step}"
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        saver.save(session, str(temporary / prefix.name), write_meta_graph=False, write_state=False)
        publish(temporary / prefix.name, prefix)
    except (OSError, tf.errors.OpError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        variables = session.graph.get_collection(tf.GraphKeys.GLOBAL_VARIABLES)
        size = sum(v.shape.num_elements() * v.dtype.base_dtype.size for v in variables)
        reason = why_not_written(error, size)
        newest = find(folder)
        state = f"{newest.prefix.name} there is intact" if newest else "none is saved there yet"
        raise UserError(f"checkpoint {prefix} cannot be written ({state}): {reason}") from None
    shutil.rmtree(temporary, ignore_errors=True)
    for path in folder.glob("model-*"):
        if path.name.partition(".")[0] != prefix.name and re.match(r"model-\d+\.", path.name):
            path.unlink()
    return prefix


def publish(written: Path, prefix: Path) -> None:
    """Renames a checkpoint from a temporary to its final prefix.

    The folder's `checkpoint` file is replaced last, and names the final prefix.
    """
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
