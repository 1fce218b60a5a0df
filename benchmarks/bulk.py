"""Measures bulk translation: tools/test.py and tools/translate_many.py against the bare network.

    python benchmarks/bulk.py [--checkpoint runs/mine] [--images 20000] [--size 64] [--json FILE]
    python benchmarks/bulk.py --images 1500 --restarts       # more: shards at once, kills

Drawn facades under many names (hard links) are translated. The bare network is a loop over
`Session.run` with images in memory, at most 3,000 of them, with all cores on each image, and as a
loop a core. Memory is that of all processes of a program together, read ten times a second. A
restart is a kill in the middle and the same command again; it costs what both take together beyond
a run without a kill. Without --checkpoint, a generator of --ngf is trained for one step.
"""

import argparse
import concurrent.futures
import importlib.util
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
DRAWN = 200  # different images
MOST_LOOPED = 3000
MANY = "translate_many.py --workers 2"
# Runs the bare network: then checkpoint, number of images, threads that call, threads of a call.
LOOP = "--loop"


def resident(process):
    """The memory of a process and of all that descend from it, in bytes."""
    parents, pages = {}, {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            number = int(path.name)
            parents[number] = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            pages[number] = int((path / "statm").read_text().split()[1])
        except OSError:  # it has ended
            continue
    total = 0
    for number in pages:
        above = number
        while above in parents and above != process:
            above = parents[above]
        total += pages[number] * (above == process)
    return total * os.sysconf("SC_PAGE_SIZE")


class Run:
    """A program that runs, and its peak memory."""

    def __init__(self, command):
        self.start, self.peak = time.perf_counter(), 0
        self.program = subprocess.Popen(
            [sys.executable, *map(str, command)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            text=True,
        )
        self.lines = []
        self._threads = [threading.Thread(target=f) for f in (self._read, self._watch)]
        for thread in self._threads:
            thread.start()

    def _read(self):
        self.lines += list(self.program.stdout)

    def _watch(self):
        while self.program.poll() is None:
            self.peak = max(self.peak, resident(self.program.pid))
            time.sleep(0.1)

    def ended(self):
        """Waits for the end; returns the seconds from the start."""
        code = self.program.wait()
        seconds = time.perf_counter() - self.start
        for thread in self._threads:
            thread.join()
        if code not in (0, -signal.SIGKILL):
            raise SystemExit("".join(self.lines[-20:]))
        return seconds


def loop(checkpoint, count, callers, threads):
    """Runs the bare network, and prints the images a second."""
    import p2p_graph

    generator = p2p_graph.load(checkpoint, threads=threads or None)
    height, width = generator.size
    drawn = np.random.default_rng(0)
    shape = (min(count, DRAWN), 1, height, width, generator.channels[0])
    given = drawn.integers(0, 256, shape, np.uint8)
    network, session = generator._networks[False], generator._session
    run = session.make_callable(network.outputs[np.uint8], [network.in_bytes])
    for number in range(min(count, 10)):
        run(given[number % len(given)])
    start = time.perf_counter()

    def call(first):
        for number in range(first, count, callers):
            run(given[number % len(given)])

    with concurrent.futures.ThreadPoolExecutor(callers) as pool:
        list(pool.map(call, range(callers)))
    print(count / (time.perf_counter() - start))


def made_images(folder, count, size):
    """Draws facades, and gives them many names; returns the folder."""
    drawn, many = folder / "drawn", folder / "many"
    make = [ROOT / "data/make_facades.py", "--output_dir", drawn, "--train", 1]
    make += ["--test", min(DRAWN, count), "--size", size]
    subprocess.run([sys.executable, *map(str, make)], check=True, stdout=subprocess.DEVNULL)
    many.mkdir()
    files = sorted((drawn / "test").glob("*.png"))
    for number in range(count):
        os.link(files[number % len(files)], many / f"{number:08d}.png")
    return drawn / "train", many


def trained(folder, data, size, ngf):
    """Trains a generator for one step; returns its folder."""
    flags = ["--input_dir", data, "--output_dir", folder / "run", "--max_steps", 1]
    flags += ["--crop_size", size, "--ngf", ngf, "--ndf", 8]
    command = [sys.executable, ROOT / "tools/train.py", *flags]
    subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)
    return folder / "run"


def outputs_in(folder):
    """The number of outputs in a folder of either program."""
    return sum(1 for _ in folder.rglob("*-outputs.png"))


def killed_and_again(command, again, folder, count):
    """Kills a program when half of its images are there, and runs it again; returns the seconds."""
    first = Run(command)
    while outputs_in(folder) < count / 2 and first.program.poll() is None:
        time.sleep(0.2)
    first.program.kill()
    return first.ended() + Run(again).ended()


def measured(commands, count):
    """Runs programs at once; gives images a second, peak memory in MB, and the seconds."""
    runs = [Run(command) for command in commands]
    seconds = max([run.ended() for run in runs])
    return count / seconds, sum(run.peak for run in runs) / 1e6, seconds


def rows(given, folder):
    """Yields a row of the table for each program: name, images/s, MB, cost of a restart."""
    count = given.images
    data, many = made_images(folder, count, given.size)
    checkpoint = given.checkpoint or trained(folder, data, given.size, given.ngf)
    cores = os.cpu_count() or 1
    for name, callers, threads in (
        ("bare network", 1, 0),
        ("bare network, a loop a core", cores, 1),
    ):
        run = Run([__file__, LOOP, checkpoint, min(count, MOST_LOOPED), callers, threads])
        run.ended()
        yield name, float(run.lines[-1]), run.peak / 1e6, None
    where = ["--input_dir", many, "--checkpoint", checkpoint, "--output_dir"]
    test, out = [ROOT / "tools/test.py", *where], folder / "out"
    programs = {"test.py": ([*test, out], [*test, out, "--skip_done"])}
    if importlib.util.find_spec("ray"):
        command = [ROOT / "tools/translate_many.py", *where, out, "--workers", 2]
        command += ["--shard_size", given.shard_size]
        programs[MANY] = (command, command)
    for name, (command, again) in programs.items():
        rate, memory, seconds = measured([command], count)
        size = sum(path.stat().st_size for path in out.rglob("*-outputs.png")) / count
        print(f"{name}: {size:.0f} bytes an output, {seconds:.1f} s in all", file=sys.stderr)
        shutil.rmtree(out)
        restart = None
        if given.restarts:
            restart = killed_and_again(command, again, out, count) - seconds
            shutil.rmtree(out)
        yield name, rate, memory, restart
        if given.restarts and name == "test.py":
            shards = [[*test, out, "--shard", f"{number}/2"] for number in (1, 2)]
            yield "test.py, two shards at once", *measured(shards, count)[:2], None
            shutil.rmtree(out)


def main():
    """Prints the table."""
    if sys.argv[1:2] == [LOOP]:
        checkpoint, *numbers = sys.argv[2:]
        loop(checkpoint, *map(int, numbers))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--checkpoint", type=Path, help="folder of a training run")
    parser.add_argument("--images", type=int, default=20000)
    parser.add_argument("--size", type=int, default=64, help="of the drawn images, pixels")
    parser.add_argument("--ngf", type=int, default=64, help="of the trained generator")
    parser.add_argument("--shard_size", type=int, default=500, help="of translate_many.py")
    parser.add_argument("--json", type=Path, help="file to write the results to")
    parser.add_argument(
        "--restarts", action="store_true", help="also measure two shards at once, and restarts"
    )
    given = parser.parse_args()
    print(f"{os.cpu_count()} cores, {platform.machine()}; {given.images} images")
    print("| | images/s | of the bare network's | peak memory, MB | a restart costs, s |")
    print("| --- | --- | --- | --- | --- |")
    found, bare = [], None
    with tempfile.TemporaryDirectory() as name:
        for row in rows(given, Path(name)):
            found.append(row)
            program, rate, memory, restart = row
            bare = bare or rate
            cost = "" if restart is None else f"{restart:.1f}"
            print(f"| {program} | {rate:.1f} | {rate / bare:.2f} | {memory:.0f} | {cost} |")
    if given.json:
        given.json.write_text(json.dumps(found, indent=4) + "\n")


if __name__ == "__main__":
    main()
