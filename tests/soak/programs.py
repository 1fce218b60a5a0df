"""Programs to soak: command lines that do the least work, and what lies around them."""

import shutil
from typing import NamedTuple

import numpy as np
from PIL import Image

_TINY = (
    *("--crop_size", "16", "--ngf", "2", "--ndf", "2", "--levels", "2"),
    *("--discriminator", "patch16"),
)
OUTPUT = "out"  # the folder that every command writes to
_COLOURS = ((1, 2, 3), (200, 30, 40))
_PLAIN = (*_TINY, "--summary_freq", "0")


class Program(NamedTuple):
    """A command to soak.

    Attributes:
      name: a module of `p2p_graph.cli`.
      argv: its arguments. It writes below `OUTPUT` only.
      settings: constants of modules that have other values: (module, name, value).
    """

    name: str
    argv: tuple[str, ...]
    settings: tuple[tuple[str, str, int], ...] = ()


_SEGMENTER_TRAINING = "p2p_graph.segmentation.segmenter_training.train"
PROGRAMS = {
    program.name: program
    for program in (
        Program(
            "train_segmenter",
            (
                *("--input_dir", "labelled", "--val_dir", "labelled", "--palette", "palette.csv"),
                *("--output_dir", OUTPUT, "--crop_size", "32", "--width", "1"),
                *("--max_steps", "4", "--val_freq", "1", "--batch_size", "2"),
            ),
            ((_SEGMENTER_TRAINING, "_SAVE_FREQ", 2),),
        ),
        Program(
            "reproduce",
            (
                *("facades", "--data", "set", "--budget", "2", "--rows", "L1"),
                *("--output_dir", OUTPUT, "--", *_PLAIN, "--save_freq", "1"),
            ),
        ),
        Program("pack_npz", ("--input_dir", "images", "--output_file", f"{OUTPUT}/images.npz")),
        Program(
            "pack_records",
            ("--input_dir", "images", "--output_dir", OUTPUT, "--pairs_per_shard", "2"),
        ),
        Program(
            "process", ("--input_dir", "images", "--output_dir", OUTPUT, "--operation", "grayscale")
        ),
        Program(
            "test",
            ("--input_dir", "images", "--checkpoint", "model", "--output_dir", OUTPUT, "--grid"),
        ),
        Program(
            "export",
            (
                *("--checkpoint", "model", "--output_dir", OUTPUT),
                *("--format", "meta,saved_model,onnx"),
            ),
        ),
        Program("evaluate", ("--results_dir", "results", "--output_dir", OUTPUT)),
        Program("convert", ("--checkpoint", "model", "--to", "native", "--output", OUTPUT)),
    )
}


def training(steps_per_run, more=()):
    """A training run with checkpoints, validation, summaries, images, and a page.

    Args:
      steps_per_run: 1 or 3.
      more: further flags, such as ("--replicas", "2").
    """
    argv = (
        *("--input_dir", "images", "--val_dir", "val", "--output_dir", OUTPUT, *_TINY),
        *("--max_steps", "12", "--save_freq", "3", "--keep_every", "6"),
        *("--sample_freq", "3", "--sample_count", "1", "--display_freq", "3"),
        *("--keep_best", "psnr"),
        *("--summary_freq", "6", "--progress_freq", "3", "--batch_size", "2"),
        *("--steps_per_run", str(steps_per_run), *more),
    )
    return Program("train", argv)


def draw_images(folder):
    """Draws images of pairs, labelled photos and a data set."""
    rng = np.random.default_rng(1)
    for name in ("images", "val", "labelled", "set/train", "set/test"):
        (folder / name).mkdir(parents=True)
    for number in range(5):
        photo = rng.integers(0, 256, (16, 16, 3), np.uint8)
        labels = np.array(_COLOURS, np.uint8)[rng.integers(0, 2, (16, 16))]
        kinds = {"images": photo[::-1], "labelled": labels, "set/train": photo}
        for name, other in kinds.items():
            Image.fromarray(np.hstack([photo, other])).save(folder / name / f"{number}.png")
    for name in ("val", "set/test"):
        for number in (0, 1):
            shutil.copy(folder / "images" / f"{number}.png", folder / name)
    rows = [f"class{id},{','.join(map(str, rgb))}" for id, rgb in enumerate(_COLOURS)]
    (folder / "palette.csv").write_text("\n".join(["class,red,green,blue", *rows]) + "\n")


MODEL = Program(
    "train", ("--input_dir", "images", "--output_dir", "model", "--max_steps", "1", *_PLAIN)
)
RESULTS = Program(
    "test", ("--input_dir", "images", "--checkpoint", "model", "--output_dir", "results")
)
