"""Times whole programs, start-up included: translation against the reference's, and the first step.

    python benchmarks/programs.py --data facades [--turns 5] [--json FILE] [--against CHECKOUT]

`facades` has folders `train` and `test` of pairs. In every turn each program runs once, so that a
machine whose speed drifts does not decide; ratios are taken within a turn. The reference's test
mode is `literal_test.py`. With `--against`, another checkout of this project runs too.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TRANSLATED, STEP = "evaluated image", "progress"
REFERENCE = "test, reference"


def timed(command, mark):
    """Seconds until a program's first line that begins with `mark`, and until its end."""
    start = time.perf_counter()
    program = subprocess.Popen(
        [sys.executable, *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        text=True,
    )
    first = None
    for line in program.stdout:
        if first is None and line.startswith(mark):
            first = time.perf_counter() - start
    if program.wait() or first is None:
        raise SystemExit(f"{' '.join(map(str, command))} fails")
    return first, time.perf_counter() - start


def programs(data, folder, against):
    """Each program's command, and what its first result's line begins with."""
    literal = [ROOT / "benchmarks/literal_test.py", "--input_dir", data / "test"]
    literal += ["--checkpoint", folder / "literal"]
    subprocess.run([sys.executable, *literal, "--make"], check=True, stderr=subprocess.DEVNULL)

    def train(root, run, steps):
        flags = ["--input_dir", data / "train", "--output_dir", folder / run]
        return [root / "tools/train.py", *flags, "--max_steps", steps, "--progress_freq", 1]

    subprocess.run(
        [sys.executable, *map(str, train(ROOT, "run", 1))], check=True, stdout=subprocess.DEVNULL
    )

    def test(root, result):
        flags = ["--input_dir", data / "test", "--checkpoint", folder / "run"]
        return [root / "tools/test.py", *flags, "--output_dir", folder / result]

    commands = {
        REFERENCE: ([*literal, "--output_dir", folder / "theirs"], TRANSLATED),
        "test": (test(ROOT, "ours"), TRANSLATED),
        "test, mixed": ([*test(ROOT, "mixed"), "--precision", "mixed"], TRANSLATED),
        "train": (train(ROOT, "new", 2), STEP),
    }
    if against:
        commands["test, other checkout"] = (test(against, "other"), TRANSLATED)
        commands["train, other checkout"] = (train(against, "other_new", 2), STEP)
    return commands


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with train and test")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--json", type=Path, help="where to write the figures as well")
    parser.add_argument("--against", type=Path, help="another checkout of this project")
    options = parser.parse_args()
    taken = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        commands = programs(options.data, folder, options.against)
        for _ in range(options.turns):
            for program, (command, mark) in commands.items():
                for run in folder.glob("*new"):
                    subprocess.run(["rm", "-r", run], check=True)
                taken.setdefault(program, []).append(timed(command, mark))
    count = len(list((options.data / "test").iterdir()))
    print(f"{os.cpu_count()} cores, {platform.machine()}; {options.turns} turns; {count} pictures")
    print("| | first result, s | whole, s | pictures/s | speed against the reference's |")
    print("| --- | --- | --- | --- | --- |")
    for program, seconds in taken.items():
        first, whole = (statistics.median(column) for column in zip(*seconds, strict=True))
        cells = [program, f"{first:.1f}", f"{whole:.1f}"]
        if program.startswith("test"):
            ratios = [
                theirs[1] / ours[1] for theirs, ours in zip(taken[REFERENCE], seconds, strict=True)
            ]
            ratio = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
            cells += [f"{count / whole:.1f}", ratio]
        else:
            cells += ["", ""]
        print(f"| {' | '.join(cells)} |")
    if options.json:
        options.json.write_text(json.dumps({"pictures": count, "seconds": taken}, indent=4) + "\n")


if __name__ == "__main__":
    main()
