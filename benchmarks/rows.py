"""Times the rows of a table side by side against one after the other.

    python benchmarks/rows.py [--turns 3] [--steps 300] [--crop_size 64] [--ngf 16] [--json FILE]

The rows are the two of `facades`, on drawn images, in new folders. In every turn tools/reproduce.py
runs once in each way, in random order; the ratio is taken within a turn, so that drifts of the
machine's speed cancel. On a CPU, two rows side by side have half of the cores each. The time
includes the programs' starts, translation and evaluation, and the checks before the rows.
"""

import argparse
import json
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from p2p_graph.utils.cores import available_cores

ROOT = Path(__file__).resolve().parents[1]
WAYS = {"one after the other": (), "side by side": ("--parallel", "2")}


def timed(data, folder, way, options):
    """Returns the seconds that both rows take."""
    command = ["tools/reproduce.py", "facades", "--data", data, "--output_dir", folder]
    command += ["--budget", options.steps, *WAYS[way], "--", "--crop_size", options.crop_size]
    command += ["--ngf", options.ngf, "--ndf", options.ngf]
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *map(str, command)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{way} failed: {done.stderr or done.stdout}")
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--steps", type=int, default=300, help="training steps of a row")
    parser.add_argument("--crop_size", type=int, default=64)
    parser.add_argument("--ngf", type=int, default=16, help="filters of both networks")
    parser.add_argument("--json", type=Path, help="file to write the results to")
    options = parser.parse_args()
    taken = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as name:
        data = Path(name) / "data"
        make = ["data/make_facades.py", "--output_dir", data, "--train", 16, "--test", 8]
        make += ["--size", options.crop_size]
        subprocess.run(
            [sys.executable, *map(str, make)], cwd=ROOT, check=True, stdout=subprocess.DEVNULL
        )
        for turn in range(options.turns):
            for way in random.sample(list(WAYS), len(WAYS)):
                folder = Path(name) / f"{turn} {way}"
                taken[way].append(timed(data, folder, way, options))
    print(
        f"{available_cores()} cores, {platform.machine()}; {options.turns} turns; two rows of "
        f"{options.steps} steps, {options.crop_size} pixels, {options.ngf} filters"
    )
    print("| rows | median, s | speed against one after the other |")
    print("| --- | --- | --- |")
    for way, seconds in taken.items():
        first = taken["one after the other"]
        ratios = [one / other for one, other in zip(first, seconds, strict=True)]
        ratio = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
        print(f"| {way} | {statistics.median(seconds):.1f} | {ratio} |")
    if options.json:
        options.json.write_text(json.dumps({"seconds": taken}, indent=4) + "\n")


if __name__ == "__main__":
    main()
