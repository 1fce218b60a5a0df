"""Saves checkpoints atomically, and removes those that are not to be kept."""

import contextlib
import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import NamedTuple

import tensorflow.compat.v1 as tf

from p2p_graph.checkpoints.find_checkpoint import (
    STATE_FILE,
    files_of,
    find_prefix,
    is_complete,
    replaced_steps,
    steps_in,
)
from p2p_graph.checkpoints.restore_checkpoint import copies_of, find
from p2p_graph.utils.atomic_write import atomic_write, flush_to_disk, remove
from p2p_graph.utils.errors import UserError, why_not_written

_TEMPORARY = ".unfinished"
_NAME = re.compile(r"model-(\d{1,18})")
_OURS = re.compile(r"model-(\d{1,18})\.(index|meta|data-\d+-of-\d+)")  # meta: of the reference


class Retention(NamedTuple):
    """Which checkpoints of a folder are kept.

    Attributes:
      newest: how many of the newest ones.
      every: the checkpoints of the multiples of this step are kept for good; 0 for none.
    """

    newest: int = 1
    every: int = 0

    def for_good(self, step: int) -> bool:
        """Whether the checkpoint of a step is kept for good."""
        return self.every > 0 and step % self.every == 0


NEWEST_ONLY = Retention()


def saver_of(variables: Iterable[tf.Variable]) -> tf.train.Saver:
    """A saver that does not restore: what restores would be two more operations a variable.

    It writes the same files as any other.
    """
    by_name = {variable.op.name: variable for variable in variables}
    names = sorted(by_name)
    graph = tf.get_default_graph()
    with tf.name_scope("save"), tf.device("/cpu:0"):
        prefix = tf.placeholder(tf.string, [])
        written = tf.raw_ops.SaveV2(
            prefix=prefix,
            tensor_names=names,
            shape_and_slices=[""] * len(names),
            tensors=[graph.as_graph_element(copies_of(by_name[name])[0]) for name in names],
        )
        with tf.control_dependencies([written]):
            result = tf.identity(prefix)
    definition = tf.train.SaverDef(
        filename_tensor_name=prefix.name,
        save_tensor_name=result.name,
        restore_op_name="none",  # a Saver wants a name
        version=tf.train.SaverDef.V2,
    )
    return tf.train.Saver(saver_def=definition)


def save(
    saver: tf.train.Saver,
    session: tf.Session,
    folder: Path,
    step: int,
    retention: Retention = NEWEST_ONLY,
) -> Path:
    """Saves a checkpoint `model-STEP` atomically, then removes those that are not to be kept.

    The files are written to a temporary folder, then renamed, the `checkpoint` file last. If the
    process is killed at any time, the newest checkpoint in the folder is intact. The same holds for
    a crash of the machine: the files are on the disk before others are removed.

    Args:
      saver: of the variables to save.
      session: that holds their values.
      folder: the run's folder.
      step: the number of training steps.
      retention: which checkpoints are kept.

    Returns:
      The checkpoint's prefix.

    Raises:
      UserError: the checkpoint cannot be written; the previous one is intact. Or an earlier one
        cannot be removed; the temporary folder stays then, and `complete_save` removes both.
    """
    temporary = folder / _TEMPORARY
    prefix = folder / f"model-{step}"
    try:
        remove(temporary)
        temporary.mkdir()
        saver.save(session, str(temporary / prefix.name), write_meta_graph=False, write_state=False)
        listed = replaced_steps(folder) | {step}
        replaced = {other for other in listed if not retention.for_good(other)}
        publish(temporary / prefix.name, prefix, replaced)
        _remove_replaced(folder, step, replaced, retention)
    except (OSError, tf.errors.OpError) as error:
        remove(temporary)
        variables = session.graph.get_collection(tf.GraphKeys.GLOBAL_VARIABLES)
        size = sum(v.shape.num_elements() * v.dtype.base_dtype.size for v in variables)
        reason = why_not_written(error, size)
        newest = find(folder)
        if newest is None or newest.prefix != prefix:
            _remove_files(prefix)
        state = f"{newest.prefix.name} there is intact" if newest else "none is saved there yet"
        raise UserError(f"checkpoint {prefix} cannot be written ({state}): {reason}") from None
    remove(temporary)
    return prefix


def complete_save(folder: Path, retention: Retention = NEWEST_ONLY) -> None:
    """Removes what `save` would have removed if it had not been killed; nothing if it was not.

    Where its end has failed, on a full disk, the list of checkpoints is written as it then was to
    be. For runs that have reached their last step, which no later `save` tidies up.

    Args:
      folder: of the checkpoints.
      retention: as for `save`.

    Raises:
      UserError: a file cannot be removed.
      OSError: the `checkpoint` file cannot be written.
    """
    temporary, newest = folder / _TEMPORARY, find_prefix(folder)
    found = _NAME.fullmatch(newest.name) if newest and newest.parent == folder else None
    if found is None:
        return
    step, listed = int(found[1]), replaced_steps(folder)
    if temporary.exists():
        replaced = {other for other in listed if not retention.for_good(other)}
        _remove_replaced(folder, step, replaced, retention)
        remove(temporary)
    elif gone := listed.difference(steps_in(folder)):
        write_state(folder, f"model-{step}", listed - gone)


def _remove_files(prefix: Path) -> None:
    """Removes a part of a checkpoint, as far as possible: another error is reported."""
    for path in files_of(prefix):
        with contextlib.suppress(OSError):
            path.unlink()


def publish(written: Path, prefix: Path, replaced: Collection[int] | None = None) -> None:
    """Renames a checkpoint from a temporary to its final prefix.

    The folder's `checkpoint` file is replaced last, and names the final prefix. All is on the disk
    then.

    Args:
      written: the temporary prefix.
      prefix: the final one.
      replaced: see `write_state`.
    """
    for path in files_of(written):
        flush_to_disk(path)
        path.replace(prefix.with_name(path.name.replace(written.name, prefix.name, 1)))
    write_state(prefix.parent, prefix.name, replaced)
    flush_to_disk(prefix.parent)


def write_state(folder: Path, name: str, replaced: Collection[int] | None = None) -> None:
    """Writes a folder's `checkpoint` file atomically.

    Args:
      folder: of the checkpoints.
      name: of the newest checkpoint.
      replaced: steps of the checkpoints that later ones replace, as `replaced_steps` finds them;
        by default the newest alone is replaced.
    """
    listed = [name] if replaced is None else [f"model-{step}" for step in sorted(replaced)]
    lines = [f'model_checkpoint_path: "{name}"']
    lines += [f'all_model_checkpoint_paths: "{one}"' for one in listed]
    with atomic_write(folder / STATE_FILE) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _remove_earlier(path: Path, step: int) -> None:
    try:
        path.unlink()
    except OSError as error:
        raise UserError(
            f"checkpoint model-{step} is saved, but {path} of an earlier one cannot be removed: "
            f"{why_not_written(error)}"
        ) from None


def _remove_replaced(folder: Path, step: int, replaced: set[int], retention: Retention) -> None:
    """Removes checkpoints that are not to be kept.

    Args:
      folder: of the checkpoints.
      step: of the newest one.
      replaced: the steps in the `checkpoint` file's list.
      retention: which checkpoints are kept.

    Raises:
      UserError: a file cannot be removed.
      OSError: the `checkpoint` file cannot be written.
    """
    complete = steps_in(folder)
    until_now = [other for other in complete if other <= step]
    kept = replaced.intersection(until_now[-retention.newest :])
    for path in folder.glob("model-*"):
        found = _OURS.fullmatch(path.name)
        # What a killed process has left of a checkpoint is not one.
        if found and (
            int(found[1]) in replaced - kept
            or not (int(found[1]) in complete or is_complete(folder / f"model-{found[1]}"))
        ):
            _remove_earlier(path, step)
    if kept != replaced:
        write_state(folder, f"model-{step}", kept)
