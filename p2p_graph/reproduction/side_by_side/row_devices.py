"""The devices of rows that run at the same time: a GPU each, or a share of the cores."""

import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from p2p_graph.utils.counted import counted
from p2p_graph.utils.errors import UserError

_VISIBLE = "CUDA_VISIBLE_DEVICES"
_NOTHING: Mapping[str, str] = MappingProxyType({})


class RowDevice(NamedTuple):
    """What the programs of a row run on.

    Attributes:
      name: for messages.
      gpu: the GPU's number as TensorFlow counts them in this process; 0 without GPUs.
      environment: variables of the programs, besides this process's.
      cores: the cores that the programs may use; empty for all.
    """

    name: str
    gpu: int = 0
    environment: Mapping[str, str] = _NOTHING
    cores: frozenset[int] = frozenset()


def choose(gpu_names: Sequence[str], numbers: Sequence[int], count: int) -> list[RowDevice]:
    """Gives each of some rows at a time its device.

    More rows than GPUs share the GPUs, in turn. Without GPUs, the cores that this process may use
    are divided; more rows than cores share the cores, in turn.

    Args:
      gpu_names: of the GPUs that TensorFlow finds; none if the rows use the CPU.
      numbers: of the GPUs to use, as TensorFlow counts them from 0 on; empty for all.
      count: of rows at a time.

    Raises:
      UserError: there is no such GPU.
    """
    if missing := [number for number in numbers if number >= len(gpu_names)]:
        found = counted(len(gpu_names), "GPU")
        raise UserError(
            f"devices: there is no GPU {missing[0]}: TensorFlow finds {found}, counted from 0 on"
            if gpu_names
            else f"devices: there is no GPU {missing[0]}: TensorFlow finds none; --parallel alone "
            "divides the cores"
        )
    if gpu_names:
        gpus = map(_gpu, itertools.cycle(numbers or range(len(gpu_names))))
        return list(itertools.islice(gpus, count))
    try:
        cores = sorted(os.sched_getaffinity(0))
    except AttributeError:  # not Linux: all rows use all cores
        return [RowDevice("the CPU")] * count
    return [RowDevice(_names(share), cores=frozenset(share)) for share in _shares(cores, count)]


def _gpu(number: int) -> RowDevice:
    """A GPU, which is the only one that the programs of a row see."""
    # Where the variable is set, TensorFlow counts what it names.
    visible = os.environ.get(_VISIBLE, "").split(",")
    name = visible[number].strip() if number < len(visible) else ""
    return RowDevice(f"GPU {number}", number, {_VISIBLE: name or str(number)})


def _shares(cores: Sequence[int], count: int) -> Iterator[Sequence[int]]:
    """Divides cores, as evenly as can be; of fewer cores than shares, each share has one."""
    for number in range(count):
        first = number * len(cores) // count
        yield cores[first : max(first + 1, (number + 1) * len(cores) // count)]


def _names(cores: Sequence[int]) -> str:
    if len(cores) == 1:
        return f"core {cores[0]}"
    if cores[-1] - cores[0] == len(cores) - 1:
        return f"cores {cores[0]} to {cores[-1]}"
    return f"cores {', '.join(map(str, cores))}"
