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
    latest = time.monotonic() + 20
    while (SHARED / "events").read_text().count("begin train.py") < control.get("together", 0):
        if time.monotonic() > latest:
            sys.exit("alone")
        time.sleep(0.01)
    while control.get("endless") and not stop.received:
        time.sleep(0.01)


def translate(folder):
    shutil.copytree(SHARED / "images", folder / "images", dirs_exist_ok=True)
    (folder / "index.html").write_text("")


def evaluate(folder, run, argv):
    names = list(FIGURES)
    names += [f"fcn_{name}" for name in CLASS_FIGURES if "--segmenter" in argv]
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
