"""Times programs from start to end: translation against the reference, and the first step.

    python benchmarks/programs.py --data facades [--turns 5] [--json FILE] [--against CHECKOUT]

`facades` holds folders of pairs, `train` and `test`. In every turn each program runs once, in a new
random order; ratios are taken within a turn, so that drifts of the machine's speed cancel. The
reference's test mode is `reference_translation.py`. `--against` times another checkout, too.
"""

import argparse
import json
import os
import platform
import random
import shutil
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
    """Returns the seconds until a line that begins with `mark`, until the end, and of CPU time."""
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
    _, status, used = os.wait4(program.pid, 0)
    if status or first is None:
        raise SystemExit(f"{' '.join(map(str, command))} failed")
    return first, time.perf_counter() - start, used.ru_utime + used.ru_stime


def programs(data, folder, against):
    """Returns each program's command, and the beginning of the line of its first result."""
    literal = [ROOT / "benchmarks/reference_translation.py", "--input_dir", data / "test"]
    literal += ["--checkpoint", folder / "literal"]
    subprocess.run([sys.executable, *literal, "--make"], check=True, stderr=subprocess.DEVNULL)

    def train(root, run, steps):
        flags = ["--input_dir", data / "train", "--output_dir", folder / run]
        return [root / "tools/train.py", *flags, "--max_steps", steps, "--progress_freq", 1]

    def test(root, run, result):
        flags = ["--input_dir", data / "test", "--checkpoint", folder / run]
        return [root / "tools/test.py", *flags, "--output_dir", folder / result]

    def trained(root, run):
        command = [sys.executable, *map(str, train(root, run, 1))]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return run

    run = trained(ROOT, "run")
    commands = {
        REFERENCE: ([*literal, "--output_dir", folder / "theirs"], TRANSLATED),
        "test": (test(ROOT, run, "ours"), TRANSLATED),
        "test, mixed": ([*test(ROOT, run, "mixed"), "--precision", "mixed"], TRANSLATED),
        "train": (train(ROOT, "new", 2), STEP),
    }
    if against:
        run = trained(against, "other_run")
        commands["test, other checkout"] = (test(against, run, "other"), TRANSLATED)
        commands["train, other checkout"] = (train(against, "other_new", 2), STEP)
    return commands


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--data", type=Path, required=True, help="folder with train and test")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--json", type=Path, help="file to write the results to")
    parser.add_argument("--against", type=Path, help="another checkout of this project")
    options = parser.parse_args()
    taken = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        commands = programs(options.data, folder, options.against)
        for _ in range(options.turns):
            for program in random.sample(list(commands), len(commands)):
                command, mark = commands[program]
                for run in folder.glob("*new"):
                    shutil.rmtree(run)
                taken.setdefault(program, []).append(timed(command, mark))
    count = len(list((options.data / "test").iterdir()))
    print(f"{os.cpu_count()} cores, {platform.machine()}; {options.turns} turns; {count} images")
    print("| | first result, s | total, s | CPU time, s | images/s | speed against reference |")
    print("| --- | --- | --- | --- | --- | --- |")
    for program in commands:
        seconds = taken[program]
        first, total, used = (statistics.median(column) for column in zip(*seconds, strict=True))
        cells = [program, f"{first:.1f}", f"{total:.1f}", f"{used:.1f}"]
        if program.startswith("test"):
            ratios = [
                theirs[1] / ours[1] for theirs, ours in zip(taken[REFERENCE], seconds, strict=True)
            ]
            ratio = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
            cells += [f"{count / total:.1f}", ratio]
        else:
            cells += ["", ""]
        print(f"| {' | '.join(cells)} |")
    if options.json:
        options.json.write_text(json.dumps({"images": count, "seconds": taken}, indent=4) + "\n")


if __name__ == "__main__":
    main()
