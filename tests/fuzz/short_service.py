"""What makes tools/serve.py end by itself."""

from p2p_graph.serving import server


def end_when_started():
    """Lets a server that listens end as after a signal, before it waits for requests."""

    async def main_loop(self):
        assert self.started

    server._Server.main_loop = main_loop
