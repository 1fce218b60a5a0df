"""The address of a Ray cluster, as a person gives it."""

import os
from collections.abc import Mapping

from p2p_graph.utils.errors import UserError
from p2p_graph.utils.host_port import HostPort, read_host_port

AUTO = "auto"  # Ray finds the cluster of this machine, or that of RAY_ADDRESS
_VARIABLE = "RAY_ADDRESS"


def place_of(address: str, environment: Mapping[str, str] = os.environ) -> HostPort | None:
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
    place = read_host_port(text)
    if place is None:
        raise UserError(
            f"{name} {text!r} must be HOST:PORT of the head of a Ray cluster, as in 10.0.0.1:6379, "
            "with a port from 1 to 65535" + ("" if address == AUTO else ", or auto")
        )
    return place
