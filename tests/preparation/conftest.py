"""The server of the download tests."""

import threading
from http.server import ThreadingHTTPServer

import pytest

from p2p_graph.preparation import resumable_download

from .dataset_server import Handler, Site


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(resumable_download, "RETRY_SECONDS", 0.001)
    monkeypatch.setattr(resumable_download, "TIMEOUT", 5.0)
    site = Site()
    handler = type("BoundHandler", (Handler,), {"site": site})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = False  # so that closing waits for the handlers
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        site.url = f"http://127.0.0.1:{server.server_port}/sets"
        yield site
        site.release.set()
        server.shutdown()
        thread.join()
