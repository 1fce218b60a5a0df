"""Checkpoints: finding, checking, restoring."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import tensorflow.compat.v1 as tf

from p2p_graph.checkpoints import variable_names
from p2p_graph.checkpoints.find_checkpoint import files_of, find_prefix, is_complete
from p2p_graph.runtime.glob_free_paths import without_pattern
from p2p_graph.utils.errors import UserError
from p2p_graph.utils.outside_files import damage_reported, open_regular, real_path

_Result = TypeVar("_Result")

_SHOWN = 3  # variables named in a message
_ATTEMPTS = 5  # to read a checkpoint that training replaces again and again
_LAST_STEP = 2**62


class RemovedError(UserError):
    """A checkpoint that was removed while it was read, as training removes all but the newest."""


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on disk, of either generation of the reference program.

    Attributes:
      prefix: path without `.index` and `.data-...`.
      stored: names of the variables in the file, by native name.
      shapes: of the variables, by native name.
      dtypes: of the variables, by native name.
    """

    prefix: Path
    stored: Mapping[str, str]
    shapes: Mapping[str, Sequence[int]]
    dtypes: Mapping[str, tf.DType]

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

    @property
    def has_weights_alone(self) -> bool:
        """Whether it lacks everything else that training stores, as what other programs trained."""
        others = (name for name in self.stored if not variable_names.is_weight(name))
        return set(others) <= {"global_step"}

    def step(self) -> int:
        """Reads the number of training steps; 0 if the checkpoint has no global_step.

        Raises:
          UserError: the checkpoint is damaged.
        """
        if "global_step" not in self.stored:
            return 0
        step = self.read(["global_step"])["global_step"]
        if step.shape or step.dtype.kind not in "iu" or not 0 <= step <= _LAST_STEP:
            raise UserError(
                f"checkpoint {self.prefix}: global_step must be a whole number from 0 to "
                f"{_LAST_STEP}, not {np.array2string(step, threshold=3)}"
            )
        return int(step)

    def read(self, names: Iterable[str]) -> "dict[str, np.ndarray[Any, Any]]":
        """Reads variables by native name.

        Raises:
          UserError: the checkpoint is damaged, or a value is not finite.
        """
        return dict(self.read_each(names))

    def read_each(self, names: Iterable[str]) -> "Iterator[tuple[str, np.ndarray[Any, Any]]]":
        """Reads variables as `read`, one after the other: the caller decides what stays in memory.

        Raises:
          UserError: as `read`.
        """
        with _reading(self.prefix) as prefix:
            for name, array in self._arrays(prefix, names):
                if not _is_finite(array):
                    raise self._not_finite([name])
                yield name, array

    def is_in(self, folder: Path) -> bool:
        """Whether the checkpoint lies in this folder, named in any way."""
        return real_path(self.folder) == real_path(folder)

    def _arrays(
        self, prefix: str, names: Iterable[str]
    ) -> "Iterator[tuple[str, np.ndarray[Any, Any]]]":
        reader = tf.train.load_checkpoint(prefix)
        for name in names:
            yield name, np.asarray(reader.get_tensor(self.stored[name]))

    def check(self, variables: Iterable[tf.Variable]) -> None:
        """Checks that the checkpoint holds variables of these names, shapes and types.

        Raises:
          UserError: variables are missing, or have other shapes or types; the message names the
            first ones.
        """
        wanted = {v.op.name: (v.shape.as_list(), v.dtype.base_dtype) for v in variables}
        if missing := sorted(set(wanted) - set(self.stored)):
            raise UserError(f"checkpoint {self.prefix} lacks {_join_some(missing)}")
        wrong = [
            f"{name} (expected {shape}, found {list(self.shapes[name])})"
            for name, (shape, _) in wanted.items()
            if list(self.shapes[name]) != shape
        ]
        if wrong:
            raise UserError(f"checkpoint {self.prefix} has other shapes: {_join_some(wrong)}")
        wrong = [
            f"{name} (expected {dtype.name}, found {self.dtypes[name].name})"
            for name, (_, dtype) in wanted.items()
            if self.dtypes[name] != dtype
        ]
        if wrong:
            raise UserError(f"checkpoint {self.prefix} has other types: {_join_some(wrong)}")

    def restorer(self, variables: Iterable[tf.Variable]) -> Callable[[tf.Session], None]:
        """Builds a function that restores these variables in a session.

        Returns:
          The function; it raises `UserError` if the checkpoint is damaged or holds values that are
          not finite.

        Raises:
          UserError: see `check`.
        """
        variables = list(variables)
        self.check(variables)
        with tf.device("/cpu:0"):
            path = tf.placeholder(tf.string, [])
            # A tf.train.Saver would also make what saves: several operations a variable.
            values = tf.raw_ops.RestoreV2(
                prefix=path,
                tensor_names=[self.stored[variable.op.name] for variable in variables],
                shape_and_slices=[""] * len(variables),
                dtypes=[variable.dtype.base_dtype for variable in variables],
            )
            values = [
                tf.check_numerics(value, "restored") if value.dtype.is_floating else value
                for value in values
            ]
        assigned = [
            copy.assign(value, read_value=False)
            for variable, value in zip(variables, values, strict=True)
            for copy in copies_of(variable)
        ]

        def restore(session: tf.Session) -> None:
            with _reading(self.prefix) as prefix:
                try:
                    session.run(assigned, {path: prefix})
                except tf.errors.InvalidArgumentError:
                    stored = self._arrays(prefix, (variable.op.name for variable in variables))
                    if bad := [name for name, array in stored if not _is_finite(array)]:
                        raise self._not_finite(bad) from None
                    raise

        return restore

    def _not_finite(self, names: Sequence[str]) -> UserError:
        return UserError(
            f"checkpoint {self.prefix} holds infinite values or NaN in {_join_some(names)}: "
            "take an earlier checkpoint"
        )


@contextlib.contextmanager
def _reading(prefix: Path) -> Iterator[str]:
    """Yields a checkpoint's prefix for TensorFlow, and turns its errors into a `UserError`."""
    try:
        with damage_reported(f"checkpoint {prefix}"):
            files = files_of(prefix)
            for path in files:
                open_regular(path).close()
            with without_pattern(prefix, files) as plain:
                yield plain
    except (UserError, FileNotFoundError):
        if is_complete(prefix):
            raise
        raise RemovedError(
            f"checkpoint {prefix} was removed while it was read: training keeps the newest one "
            "only, run the same command again"
        ) from None


def copies_of(variable: tf.Variable) -> Sequence[tf.Variable]:
    """A variable's copies on the replicas of this process; otherwise it is its only copy."""
    copies: Sequence[tf.Variable] = tf.distribute.get_strategy().experimental_local_results(
        variable
    )
    return copies


def _is_finite(array: "np.ndarray[Any, Any]") -> bool:
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


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
    return _retried(lambda: _find(folder))


def _retried(call: Callable[[], _Result]) -> _Result:
    """Calls a function again, a few times, where the checkpoint that it reads is removed."""
    for _ in range(_ATTEMPTS - 1):
        with contextlib.suppress(RemovedError):
            return call()
    return call()


def _find(folder: Path) -> Checkpoint | None:
    """One attempt of `find`."""
    prefix = find_prefix(folder)
    if prefix is None:
        return None
    with _reading(prefix) as plain:
        reader = tf.train.load_checkpoint(plain)
        found, dtypes = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
    stored = {
        variable_names.to_native(name): name
        for name in found
        if not variable_names.is_moving_average(name)
    }
    return Checkpoint(
        prefix,
        stored,
        {native: found[name] for native, name in stored.items()},
        {native: dtypes[name] for native, name in stored.items()},
    )


def need(folder: Path) -> Checkpoint:
    """Finds the newest checkpoint in a folder, which must hold one.

    Args:
      folder: a folder, or the prefix of a checkpoint.

    Raises:
      UserError: there is no checkpoint, or it cannot be read.
    """
    checkpoint = find(folder)
    if checkpoint is None:
        if folder.suffix in (".pict", ".pth", ".safetensors") and folder.is_file():
            raise UserError(
                f"checkpoint {folder} is a {folder.suffix} file: make a checkpoint of it with "
                f"tools/convert.py --checkpoint {folder} --to native --output FOLDER"
            )
        problem = "does not exist" if not folder.exists() else "holds no checkpoint"
        raise UserError(f"checkpoint {folder} {problem}: name the output_dir of a training run")
    return checkpoint


def with_newest(folder: Path, use: Callable[[Checkpoint], _Result]) -> _Result:
    """Calls a function with a folder's newest checkpoint.

    The folder may be that of a run that is still training: where a newer checkpoint replaces the
    one that the function reads, the function is called again with the newer one.

    Args:
      folder: see `need`.
      use: reads all that it needs from the checkpoint.

    Returns:
      The result of `use`.

    Raises:
      UserError: see `need`; or of `use`.
    """
    return _retried(lambda: use(need(folder)))
