#!/usr/bin/env python3
"""Trains every system on drawn facades, and makes the images and the table of docs/SYSTEMS.md.

    python docs/make_systems.py --work_dir runs/systems

A second run makes only what is missing. The script takes about 20 minutes on two CPU cores.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
SIZE = 128
WIDTH = ("--crop_size", SIZE, "--ngf", 32, "--ndf", 32)
COLUMNS = 6  # images in a strip

# For each system: the training data (a key of `_data`), the steps, and flags for the small size.
SYSTEMS = {
    "affinelayer": ("pairs", 1000, WIDTH),
    "paper": ("pairs", 1000, WIDTH),
    "tf2-tutorial": ("pairs", 1000, WIDTH),
    "pyimagesearch": ("pairs", 200, ("--crop_size", SIZE, "--batch_size", 8)),
    "keras-maps": ("archive", 1000, WIDTH),
    "deblur": ("blurred", 1000, WIDTH),
}


def main(argv: Sequence[str]) -> None:
    """Makes the data, trains, translates, and prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--work_dir", type=Path, required=True, help="folder for data and runs")
    work = parser.parse_args(argv).work_dir.resolve()
    sources = _data(work)
    print("| system | steps, batch | time | L1 | PSNR | SSIM |")
    print("| --- | --- | --- | --- | --- | --- |")
    for system, (data, steps, flags) in SYSTEMS.items():
        trained, tested, direction = sources[data]
        run, made = work / "runs" / system, work / "made" / system
        seconds = _seconds(
            work / f"{system}.json",
            *("train", "--preset", system, *trained, *flags, *direction, "--max_steps", steps),
            *("--sample_freq", steps, "--sample_count", 12, "--output_dir", run),
        )
        _tool("test", *tested, "--checkpoint", run, "--output_dir", made)
        _strip(made / "images", ROOT / "docs" / "systems" / f"{system}.jpg")
        last = json.loads((run / "losses.jsonl").read_text().splitlines()[-1])
        options = json.loads((run / "options.json").read_text())
        figures = f"{last['val_l1']:.3f} | {last['val_psnr']:.1f} dB | {last['val_ssim']:.3f}"
        print(f"| `{system}` | {steps}, {options['batch_size']} | {seconds:.0f} s | {figures} |")
        sys.stdout.flush()


def _data(work: Path) -> dict[str, tuple[tuple[object, ...], tuple[object, ...], tuple[str, ...]]]:
    """Makes the data sets; returns the flags of each: training, testing, direction."""
    drawn = work / "facades"
    if not drawn.exists():
        flags = ("--train", 200, "--test", 12, "--size", SIZE, "--output_dir", drawn)
        _run(ROOT / "data" / "make_facades.py", *flags)
    for part in ("train", "test"):
        photos = work / "photos" / part
        if not photos.exists():
            photos.mkdir(parents=True)
            for path in (drawn / part).glob("*.png"):
                with Image.open(path) as image:  # its left half is the photo
                    image.crop((0, 0, SIZE, SIZE)).save(photos / path.name)
        blurred = ("--operation", "blur", "--sigma", 2, "--output_dir", work / "blurred" / part)
        _tool("process", "--input_dir", photos, *blurred)
        packed = work / f"{part}.npz"
        if not packed.exists():
            _tool("pack_npz", "--input_dir", drawn / part, "--output_file", packed)

    def folders(part: str) -> tuple[object, ...]:
        return ("--input_dir", work / "blurred" / part, "--target_dir", work / "photos" / part)

    val = ("--val_dir", work / "blurred" / "test", "--val_target_dir", work / "photos" / "test")
    to_photo = ("--which_direction", "BtoA")
    return {
        "pairs": (("--input_dir", drawn / "train"), ("--input_dir", drawn / "test"), to_photo),
        "archive": (
            ("--input_dir", work / "train.npz", "--val_dir", work / "test.npz"),
            ("--input_dir", work / "test.npz"),
            to_photo,
        ),
        "blurred": ((*folders("train"), *val), folders("test"), ()),
    }


def _seconds(record: Path, *command: object) -> float:
    """Runs a tool unless its record exists; returns how long the tool took."""
    if record.exists():
        return float(json.loads(record.read_text()))
    start = time.monotonic()
    _tool(*command)
    seconds = time.monotonic() - start
    record.write_text(json.dumps(seconds))
    return seconds


def _tool(name: object, *flags: object) -> None:
    _run(ROOT / "tools" / f"{name}.py", *flags)


def _run(*command: object) -> None:
    done = subprocess.run(
        [sys.executable, *map(str, command)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")


def _strip(images: Path, path: Path) -> None:
    """Saves a strip of three rows: inputs, outputs, targets."""
    names = sorted(p.name.removesuffix("-outputs.png") for p in images.glob("*-outputs.png"))
    strip = Image.new("RGB", (COLUMNS * SIZE, 3 * SIZE))
    for column, name in enumerate(names[:COLUMNS]):
        for row, kind in enumerate(("inputs", "outputs", "targets")):
            with Image.open(images / f"{name}-{kind}.png") as image:
                strip.paste(image, (column * SIZE, row * SIZE))
    path.parent.mkdir(exist_ok=True)
    strip.save(path, quality=85)


if __name__ == "__main__":
    main(sys.argv[1:])
