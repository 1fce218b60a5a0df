"""Makes a paired data set of drawn facades, in the layout of the pix2pix facades data set.

A random generator designs each building as a list of rectangles. The building is painted twice:
in the colours of the CMP label classes as the label map (B, the right half), and in materials with
light, shadows and a camera's blur as the photo (A, the left half).
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import numpy as np
from facade_design import design_building, draw_style
from facade_paint import CLASSES, COLOURS, light_on, paint_labels, paint_surface, take_photo
from numpy.random import SeedSequence, default_rng
from PIL import Image

try:
    from tqdm import tqdm
except ImportError:  # optional
    tqdm = None

SPLITS = ("train", "val", "test")
SIZES = range(32, 16385)
MOST_IMAGES = 1_000_000
BYTES_PER_PIXEL = 105  # of memory at the peak, as measured at 2048 and 4096 pixels
SUFFIXES = {".png", ".jpg", ".jpeg"}
SAVE_OPTIONS = {"png": {"compress_level": 3}, "jpg": {"quality": 95, "subsampling": 0}}
PALETTE = "palette.csv"
LINE_EVERY = 100  # images between two lines of progress without a terminal


class OtherFileError(Exception):
    """A file of a person is in the way."""


def make_image(seed: int, split: str, number: int, size: int) -> np.ndarray:
    """Returns uint8 (size, 2 * size, 3), photo left and labels right, a function of its arguments.

    The building does not depend on the size.
    """
    keys = [(SPLITS.index(split), number, stage) for stage in range(3)]
    design, paint, camera = (default_rng(SeedSequence(seed, spawn_key=key)) for key in keys)
    style = draw_style(design)
    parts = design_building(style, design)
    labels = paint_labels(parts, size)
    surface = paint_surface(parts, style, size, paint)
    photo = take_photo(surface * light_on(labels, style), camera)
    return np.concatenate([photo, COLOURS[labels]], axis=1)


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Prints the error to stderr and exits with code 2."""
        line = message.replace("\n", r"\n")  # of a file's name
        self.exit(2, f"{self.prog}: error: {line}\n")


def read_arguments(parser: Parser, argv: list[str] | None) -> argparse.Namespace:
    """Declares the flags, reads them and checks their ranges."""
    add = parser.add_argument
    add("--output_dir", type=Path, default=Path("data/facades_made"), help="folder to write to")
    add("--train", type=int, default=400, metavar="N", help="images for training")
    add("--val", type=int, default=0, metavar="N", help="images for validation")
    add("--test", type=int, default=106, metavar="N", help="images for testing")
    add("--size", type=int, default=256, metavar="PIXELS", help="height and width of the photo")
    add("--seed", type=int, default=0, help="another seed makes other buildings")
    add("--format", choices=list(SAVE_OPTIONS), default="png", help="png keeps labels exact")
    args = parser.parse_args(argv)
    for name in (*SPLITS, "seed"):
        if getattr(args, name) < 0:
            parser.error(f"--{name} must be 0 or more, not {getattr(args, name)}")
    for name in SPLITS:
        if getattr(args, name) > MOST_IMAGES:
            parser.error(f"--{name} must be at most {MOST_IMAGES}, not {getattr(args, name)}")
    if args.size not in SIZES:
        parser.error(f"--size must be from {SIZES[0]} to {SIZES[-1]}, not {args.size}")
    if not any(getattr(args, split) for split in SPLITS):
        parser.error(f"nothing to make: --{', --'.join(SPLITS)} are all 0")
    return args


def find_foreign_image(folder: Path, names: set[str]) -> Path | None:
    """Returns an image in the folder that has none of the names, or None."""
    paths = sorted(folder.iterdir()) if folder.exists() else []
    images = (path for path in paths if path.suffix.lower() in SUFFIXES)
    return next((path for path in images if path.name not in names), None)


def encoded(image: np.ndarray, file_format: str) -> bytes:
    """Returns the contents of an image file."""
    file = io.BytesIO()
    name = {"jpg": "JPEG"}.get(file_format, file_format)
    Image.fromarray(image).save(file, name, **SAVE_OPTIONS[file_format])
    return file.getvalue()


def holds(path: Path, contents: bytes) -> bool:
    """Whether a file holds these contents, or the same image as another Pillow has encoded it."""
    if not path.is_file():
        return False
    try:
        if path.read_bytes() == contents:
            return True
        with Image.open(path) as found, Image.open(io.BytesIO(contents)) as wanted:
            if (found.size, found.mode) != (wanted.size, wanted.mode):
                return False
            return found.tobytes() == wanted.tobytes()
    except (OSError, SyntaxError, ValueError):  # no image
        return False


def write_new(path: Path, contents: bytes) -> None:
    """Writes a file, unless it is there already.

    Raises:
      OtherFileError: it is there, and holds something else.
      OSError: it cannot be written.
    """
    # Here: a script finds the package by the lines at the end of this file.
    from p2p_graph.utils.atomic_write import atomic_write

    if os.path.lexists(path):
        if not holds(path, contents):
            raise OtherFileError(f"{path} is not what this command draws")
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary:
        temporary.write_bytes(contents)


def with_progress(jobs: list[tuple[str, int]]) -> Iterator[tuple[str, int]]:
    """Yields the jobs; reports progress on stderr, on a terminal as a bar."""
    if tqdm and sys.stderr.isatty():
        yield from tqdm(jobs, unit="image")
        return
    for done, job in enumerate(jobs, 1):
        yield job
        if done % LINE_EVERY == 0:
            print(f"{done} of {len(jobs)} images", file=sys.stderr, flush=True)


def main(argv: list[str] | None = None) -> None:
    """Makes the data set that the command line describes."""
    parser = Parser(prog="make_facades.py", description=__doc__, allow_abbrev=False)
    args = read_arguments(parser, argv)
    # Here: as in `write_new`.
    from p2p_graph.utils.checked_allocation import require_memory
    from p2p_graph.utils.errors import UserError

    files = {s: [f"{n}.{args.format}" for n in range(1, getattr(args, s) + 1)] for s in SPLITS}
    paths = {
        (split, number): args.output_dir / split / name
        for split in SPLITS
        for number, name in enumerate(files[split], 1)
    }
    colours = (f"{name},{r},{g},{b}\n" for name, ((r, g, b), _) in CLASSES.items())
    palette, palette_text = args.output_dir / PALETTE, "class,red,green,blue\n" + "".join(colours)
    try:
        require_memory(args.size**2 * BYTES_PER_PIXEL)
    except UserError as error:
        parser.error(f"--size {args.size} {error}")
    try:
        # Images of an earlier run would mix with the new ones in training.
        for split, names in files.items():
            if foreign := find_foreign_image(args.output_dir / split, set(names)):
                raise OtherFileError(f"{foreign} is not of this data set")
        if os.path.lexists(palette):
            write_new(palette, palette_text.encode())
        # Those that are there first: one of them may be another image, and then nothing is written.
        jobs = sorted(paths, key=lambda job: not os.path.lexists(paths[job]))
        for job in with_progress(jobs):
            image = make_image(args.seed, *job, args.size)
            write_new(paths[job], encoded(image, args.format))
        write_new(palette, palette_text.encode())
    except OtherFileError as error:
        parser.error(f"{error}: remove it or name another folder")
    except OSError as error:
        parser.error(f"cannot write to {args.output_dir}: {error.strerror or error}")
    except MemoryError:
        parser.error(f"--size {args.size} needs more memory than available")
    made = ", ".join(f"{len(names)} {split}" for split, names in files.items() if names)
    print(f"Wrote {made} images of {2 * args.size}x{args.size} pixels to {args.output_dir}")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from p2p_graph.cli.program import program

    program(main)()
