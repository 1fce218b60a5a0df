"""The address of a Ray cluster, as a person gives it."""

import os
import re
from collections.abc import Mapping
from typing import NamedTuple

from p2p_graph.utils.errors import UserError

AUTO = "auto"  # Ray finds the cluster of this machine, or that of RAY_ADDRESS
_VARIABLE = "RAY_ADDRESS"
_PLACE = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\[\]/:\s]+):([0-9]{1,9})")
_LARGEST_PORT = 2**16 - 1


class Place(NamedTuple):
    """Where the head of a cluster listens."""

    host: str
    port: int


def place_of(address: str, environment: Mapping[str, str] = os.environ) -> Place | None:
    """Reads an address: HOST:PORT of a cluster's head, or AUTO.

    Ray takes more: "local" starts Ray anew, and ray://HOST:PORT is its client, which lacks what Ray
    Data needs.

    Args:
      address: of the cluster.
      environment: whose RAY_ADDRESS stands for AUTO.

    Returns:
      The place; None where Ray finds it.

    Raises:
      UserError: it is no such address.
    """
    name, text = "address", address
    if address == AUTO:
        name, text = f"environment variable {_VARIABLE}:", environment.get(_VARIABLE) or AUTO
        if text == AUTO:
            return None
    found = _PLACE.fullmatch(text)
    if found is None:
        raise UserError(
            f"{name} {text!r} must be HOST:PORT of the head of a Ray cluster, as in 10.0.0.1:6379"
            + ("" if address == AUTO else ", or auto")
        )
    if not 1 <= int(found[2]) <= _LARGEST_PORT:
        raise UserError(f"{name} {text!r}: there is no port {found[2]}")
    return Place(found[1].strip("[]"), int(found[2]))
