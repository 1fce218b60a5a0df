"""Saves checkpoints atomically, and keeps only the newest."""

import re
from pathlib import Path

import tensorflow.compat.v1 as tf

from p2p_graph.checkpoints.find_checkpoint import STATE_FILE, files_of
from p2p_graph.checkpoints.restore_checkpoint import find
from p2p_graph.utils.atomic_write import atomic_write, remove
from p2p_graph.utils.errors import UserError, why_not_written

_TEMPORARY = ".unfinished"
_EARLIER = re.compile(r"(model-\d+)\.(index|meta|data-\d+-of-\d+)")  # meta: of the reference


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
        remove(temporary)
        temporary.mkdir()
        saver.save(session, str(temporary / prefix.name), write_meta_graph=False, write_state=False)
        publish(temporary / prefix.name, prefix)
    except (OSError, tf.errors.OpError) as error:
        remove(temporary)
        variables = session.graph.get_collection(tf.GraphKeys.GLOBAL_VARIABLES)
        size = sum(v.shape.num_elements() * v.dtype.base_dtype.size for v in variables)
        reason = why_not_written(error, size)
        newest = find(folder)
        state = f"{newest.prefix.name} there is intact" if newest else "none is saved there yet"
        raise UserError(f"checkpoint {prefix} cannot be written ({state}): {reason}") from None
    remove(temporary)
    for path in folder.glob("model-*"):
        found = _EARLIER.fullmatch(path.name)
        if found and found[1] != prefix.name:
            path.unlink()
    return prefix


def publish(written: Path, prefix: Path) -> None:
    """Renames a checkpoint from a temporary to its final prefix.

    The folder's `checkpoint` file is replaced last, and names the final prefix.
    """
    for path in files_of(written):
        path.replace(prefix.with_name(path.name.replace(written.name, prefix.name, 1)))
    write_state(prefix.parent, prefix.name)


def write_state(folder: Path, name: str) -> None:
    """Writes a folder's `checkpoint` file, which names its newest checkpoint, atomically."""
    with atomic_write(folder / STATE_FILE) as temporary:
        temporary.write_text(
            f'model_checkpoint_path: "{name}"\nall_model_checkpoint_paths: "{name}"\n',
            encoding="utf-8",
        )
