"""Runs the server until a signal comes."""

import logging
import signal
import socket
from collections.abc import Sequence
from types import FrameType

import uvicorn

from p2p_graph.serving.app import make_app
from p2p_graph.serving.served_models import ServedModel
from p2p_graph.utils.errors import UserError, why_not_written
from p2p_graph.utils.host_port import may_be_host

_LOCAL = ("127.0.0.1", "localhost", "::1")
_BACKLOG = 256
_DRAIN_SECONDS = 30


def bound_socket(host: str, port: int) -> socket.socket:
    """Takes an address.

    Raises:
      UserError: it is in use, or not of this machine.
    """
    if not may_be_host(host):
        raise UserError(f"host {host!r} is no name or address of a machine")
    bound = None
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        bound = socket.socket(family, socket.SOCK_STREAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        bound.listen(_BACKLOG)
    except OSError as error:
        if bound:
            bound.close()
        reason = why_not_written(error)
        raise UserError(
            f"host {host}, port {port} cannot be listened on: {reason}; "
            "give another --port or --host"
        ) from None
    return bound


class _Server(uvicorn.Server):
    """A server that ends at once after a second Ctrl-C."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Notes a signal."""
        super().handle_exit(sig, frame)
        if self.force_exit:
            # It would wait until they are closed: from Python 3.12 on, for all clients to go.
            self.servers = []


def serve(
    models: Sequence[ServedModel],
    bound: socket.socket,
    *,
    host: str,
    allowed: Sequence[str],
    most_waiting: int,
    time_limit: float,
) -> None:
    """Answers requests until SIGINT or SIGTERM; requests that are under way are answered.

    Args:
      models: to translate with.
      bound: from `bound_socket`.
      host: that it is bound to.
      allowed: further names in the header Host.
      most_waiting: see `make_app`.
      time_limit: see `make_app`.
    """
    app = make_app(
        models,
        hosts=[*_LOCAL, host, *allowed],
        most_waiting=most_waiting,
        time_limit=time_limit,
    )
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=_DRAIN_SECONDS,
    )
    server = _Server(config)
    # After a second Ctrl-C, uvicorn logs a traceback for all that it abandons.
    logging.getLogger("uvicorn.error").addFilter(lambda record: not server.force_exit)
    hung_up = []

    def hang_up(number: int, frame: FrameType | None) -> None:
        """As after SIGTERM; uvicorn does not handle SIGHUP."""
        hung_up.append(number)
        server.should_exit = True

    handles = hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN
    former = signal.signal(signal.SIGHUP, hang_up) if handles else None
    server.run(sockets=[bound])
    if handles:
        signal.signal(signal.SIGHUP, former)
    if hung_up:
        signal.raise_signal(signal.SIGHUP)
