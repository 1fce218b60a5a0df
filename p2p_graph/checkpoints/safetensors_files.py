"""A model as one `.safetensors` file: native names, and the options in its metadata."""

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from p2p_graph.utils.atomic_write import atomic_write
from p2p_graph.utils.errors import UserError, why_not_written
from p2p_graph.utils.outside_files import damage_reported, open_regular

Arrays = Mapping[str, "np.ndarray[Any, Any]"]

SUFFIX = ".safetensors"
MISSING = (
    ".safetensors files need the package safetensors: "
    "pip install -c constraints.txt -e '.[safetensors]'"
)
_OPTIONS, _CHECKSUM = "p2p_graph_options", "p2p_graph_crc32"  # keys of the metadata


def write(path: Path, arrays: Arrays, options: Mapping[str, Any]) -> None:
    """Writes a model, atomically.

    Args:
      path: the file.
      arrays: by native name.
      options: by flat name.

    Raises:
      UserError: the file cannot be written, or safetensors is not installed.
    """
    check_installed()
    from safetensors.numpy import save

    whole = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    metadata = {_OPTIONS: json.dumps(options, sort_keys=True), _CHECKSUM: _checksum(whole)}
    contents = save(whole, metadata)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as temporary:
            temporary.write_bytes(contents)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {why_not_written(error)}") from None


def read(path: Path) -> tuple[dict[str, "np.ndarray[Any, Any]"], dict[str, Any]]:
    """Reads a model.

    Returns:
      Its arrays by native name, and its options by flat name, which are not checked.

    Raises:
      UserError: the file cannot be read, or this package did not write it.
    """
    check_installed()
    from safetensors import safe_open

    try:
        with damage_reported(path, "a .safetensors file"):
            open_regular(path).close()
            with safe_open(str(path), framework="numpy") as file:
                metadata = file.metadata() or {}
                written = metadata.get(_OPTIONS)
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if metadata.get(_CHECKSUM, _checksum(arrays)) != _checksum(arrays):
                raise ValueError("its values do not have the checksum that it names")
            options = None if written is None else json.loads(written)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    if not isinstance(options, dict):
        raise UserError(
            f"{path} does not say the options of its model: tools/convert.py did not write it"
        )
    return arrays, options


def _checksum(arrays: Arrays) -> str:
    """CRC-32 of all values, in the order of their names."""
    found = 0
    for _, array in sorted(arrays.items()):
        found = zlib.crc32(np.asarray(array, order="C").tobytes(), found)
    return f"{found:08x}"


def check_installed() -> None:
    """Refuses work that needs safetensors where it is not installed.

    Raises:
      UserError: it is not.
    """
    try:
        import safetensors  # noqa: F401
    except ImportError:
        raise UserError(MISSING) from None
