"""Stands for the programs of a row of tools/reproduce.py: writes what a table needs, at once.

    python row_program.py train.py --output_dir FOLDER ...

The variable ROW_PROGRAM names a folder of a test. control.json in it says what happens; the file
`events` gets a line when a program begins and another when it ends.
"""

import json
import os
import shutil
import sys
import time
from pathlib import Path

from p2p_graph.utils import child_process, signals

FIGURES = ("l1", "psnr", "ssim", "histogram_l", "histogram_a", "histogram_b")
CLASS_FIGURES = ("pixel_accuracy", "class_accuracy", "class_iou")
SHARED = Path(os.environ["ROW_PROGRAM"])


def train(run, control, stop):
    for path in SHARED.glob(f"{run.name}.json"):
        shutil.copy(path, run / "options.json")
    print("examples count = 5, 5 steps an epoch, 8 steps in all")
    print("cores", *sorted(os.sched_getaffinity(0)))
    print("progress  epoch 2  step 3  image/sec 9.5  remaining 0m")
    # Rows that run one after the other would wait for each other in vain.
    if not have_begun("train.py", control.get("together", 0), seconds=20):
        sys.exit("alone")
    while control.get("endless") and not stop.received:
        time.sleep(0.01)


def have_begun(program, count, seconds):
    """Waits until so many rows have begun a program; says whether they have."""
    latest = time.monotonic() + seconds
    while (SHARED / "events").read_text().count(f"begin {program}") < count:
        if time.monotonic() > latest:
            return False
        time.sleep(0.01)
    return True


def translate(folder):
    shutil.copytree(SHARED / "images", folder / "images", dirs_exist_ok=True)
    (folder / "index.html").write_text("")


def evaluate(folder, run, argv):
    names = list(FIGURES)
    names += [f"fcn_{name}" for name in CLASS_FIGURES if "--segmenter" in argv]
    names += [name for name in ("fid", "kid") if "--inception" in argv]
    names += [f"photos_{name}" for name in CLASS_FIGURES if "--self_check" in argv]
    figures = {name: {"value": len(run.name) / 10, "interval_95": None} for name in names}
    record = {"images": 1, "notes": [], "segmenter": None, "figures": figures}
    folder.mkdir(exist_ok=True)
    (folder / "evaluation.json").write_text(json.dumps(record))


def main():
    program, *argv = sys.argv[1:]
    folder = Path(argv[argv.index("--output_dir") + 1])
    run = folder if program == "train.py" else folder.parent
    control = json.loads((SHARED / "control.json").read_text())

    def report(what):
        with (SHARED / "events").open("a") as file:
            file.write(f"{what} {program} {run.name}\n")

    with signals.taken() as stop:
        child_process.end_with_parent()
        report("begin")
        if program == "train.py":
            train(run, control, stop)
            time.sleep(0.5 if stop.received else 0)  # as if it saved
        elif program == "test.py":
            translate(folder)
        else:
            have_begun("evaluate.py", 2, control.get("evaluation", 0))
            evaluate(folder, run, argv)
    if control.get("fails") == [program, run.name]:
        print(*(f"line {number}" for number in range(20)), sep="\n")
        sys.exit(3)
    if stop.received:
        print("saved")
        report("stopped")
        sys.exit(128 + stop.received)
    report("end")


if __name__ == "__main__":
    main()
