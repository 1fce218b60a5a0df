"""Where a program on a network listens: HOST:PORT."""

import re
from typing import NamedTuple

# The host of the Internet's sixth version stands in brackets, since its colons would end it.
_HOST_PORT = re.compile(
    r"(?:\[(?P<v6>[0-9a-fA-F:.]+)\]|(?P<host>[^\[\]/:\s]+)):(?P<port>\d{1,5})", re.A
)
_LARGEST_PORT = 2**16 - 1


class HostPort(NamedTuple):
    """A host, without brackets, and a port."""

    host: str
    port: int


def read_host_port(text: str) -> HostPort | None:
    """Reads HOST:PORT, with a port from 1 to 65535; None if the text is none."""
    found = _HOST_PORT.fullmatch(text)
    if found is None or not 1 <= int(found["port"]) <= _LARGEST_PORT:
        return None
    host = found["v6"] or found["host"]
    return HostPort(host, int(found["port"])) if may_be_host(host) else None


def may_be_host(name: str) -> bool:
    """Whether a name can be looked up; for others Python's socket raises no OSError."""
    try:
        name.encode("idna")
    except UnicodeError:  # a label that is empty, or longer than 63 characters
        return False
    return True
