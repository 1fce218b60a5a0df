"""Measures tools/serve.py: images a second beside the model's own rate, by numbers of clients.

python benchmarks/serving.py --checkpoint runs/mine
python benchmarks/serving.py --checkpoint runs/small --requests 10000 --clients 10

Each client sends its next image when it has the answer to the last one. The model's own rate is
that of the Python API in this process, before the server starts.
"""

import argparse
import asyncio
import io
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import httpx2 as httpx
import numpy as np
from PIL import Image

import p2p_graph

ROOT = Path(__file__).parents[1]


def memory_of(process: int) -> float:
    """A process's memory in MB."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024


async def load(address: str, body: bytes, clients: int, requests: int) -> list[float]:
    """The seconds of each request; every answer must be an image."""
    waiting = iter(range(requests))
    seconds: list[float] = []
    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)
    async with httpx.AsyncClient(base_url=address, timeout=300, limits=limits) as client:

        async def one_client() -> None:
            for _ in waiting:
                start = time.perf_counter()
                answer = await client.post(
                    "/api/translate", content=body, headers={"Content-Type": "image/png"}
                )
                assert answer.status_code == 200, answer.text
                assert answer.content.startswith(b"\x89PNG")
                seconds.append(time.perf_counter() - start)

        await asyncio.gather(*(one_client() for _ in range(clients)))
    return seconds


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--checkpoint", required=True, help="folder of a training run")
    parser.add_argument("--requests", type=int, default=200, help="for each number of clients")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 10, 100])
    given = parser.parse_args()
    with p2p_graph.load(given.checkpoint) as generator:
        rng = np.random.default_rng(0)
        image = rng.integers(0, 256, (*generator.size, generator.channels[0]), np.uint8)
        contents = io.BytesIO()
        Image.fromarray(image.squeeze()).save(contents, "PNG")
        generator(contents.getvalue())
        start = time.perf_counter()
        for _ in range(50):
            generator(contents.getvalue())
        own = 50 / (time.perf_counter() - start)
    command = [sys.executable, str(ROOT / "tools" / "serve.py"), "--port", "0"]
    flags = ["--checkpoint", given.checkpoint, "--max_queue", "1000", "--time_limit", "600"]
    with subprocess.Popen([*command, *flags], stdout=subprocess.PIPE, text=True) as server:
        while not (line := server.stdout.readline()).startswith("open "):
            assert line, "the server has not started"
        address = re.search(r"http://\S+", line)[0]
        asyncio.run(load(address, contents.getvalue(), 1, 5))
        print(f"the model's own rate: {own:.1f} images/s")
        print("| clients | images/s | of the model's rate | p50, s | p99, s | memory, MB |")
        print("| --- | --- | --- | --- | --- | --- |")
        for clients in given.clients:
            start = time.perf_counter()
            seconds = asyncio.run(load(address, contents.getvalue(), clients, given.requests))
            rate = given.requests / (time.perf_counter() - start)
            p99 = statistics.quantiles(seconds, n=100)[98]
            print(
                f"| {clients} | {rate:.1f} | {rate / own:.2f} | {statistics.median(seconds):.3f} | "
                f"{p99:.3f} | {memory_of(server.pid):.0f} |",
                flush=True,
            )
        server.terminate()


if __name__ == "__main__":
    main()
