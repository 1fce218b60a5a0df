#!/usr/bin/env python3
"""Trains rows of a table of the paper, and plots how their figures grow with the training steps.

    python docs/make_growth.py table1 --data cityscapes --steps 1000,3000,10000 --rows L1,L1+cGAN \
        --segmenter runs/segmenter --output_dir runs/growth --chart docs/growth.png \
        -- --crop_size 128 --ngf 32 --ndf 32

tools/reproduce.py trains each row on from one number of steps to the next. The evaluations are kept
as OUTPUT_DIR/growth/TABLE/ROW/STEPS.json, and a second run makes only those that are missing. The
chart needs `pip install -c constraints.txt -e '.[peers]'`.
"""

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

from p2p_graph.config.dataset_recipes import RECIPES
from p2p_graph.config.output_folder import EVALUATION_FILE
from p2p_graph.reproduction.paper_tables import TABLES, Table

mpl.use("Agg")
from matplotlib import pyplot as plt

ROOT = Path(__file__).resolve().parents[1]
# Row name -> training steps -> figure name -> {"value", "interval_95"}.
Curves = dict[str, dict[int, dict[str, Any]]]


def main(argv: Sequence[str]) -> None:
    """Trains, evaluates, draws the chart, and prints the figures as a table."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    tables = [name for name, table in TABLES.items() if any(table.rows[0].paper_figures)]
    parser.add_argument("table", choices=tables, help="the table")
    parser.add_argument("--data", type=Path, required=True, help="the data set's folder")
    parser.add_argument("--steps", required=True, help="numbers of steps, as in 1000,3000,10000")
    parser.add_argument("--rows", required=True, help="rows, as in L1,L1+cGAN")
    parser.add_argument("--segmenter", help="see tools/evaluate.py")
    parser.add_argument("--output_dir", type=Path, required=True, help="folder for runs")
    parser.add_argument("--chart", type=Path, required=True, help="the chart, PNG")
    own, train_flags = _split(argv)
    options = parser.parse_args(own)
    steps = sorted(int(number) for number in options.steps.split(","))
    curves: Curves = {row: {} for row in options.rows.split(",")}
    for row, curve in curves.items():
        for number in steps:
            path = options.output_dir / "growth" / options.table / row / f"{number}.json"
            if not path.exists():
                _reproduce(options, row, number, train_flags, path)
            curve[number] = json.loads(path.read_text(encoding="utf-8"))["figures"]
    draw(TABLES[options.table], options.data, curves, options.chart)
    print_table(TABLES[options.table], curves)


def _split(argv: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """The arguments before "--", and the flags of tools/train.py behind it."""
    end = argv.index("--") if "--" in argv else len(argv)
    return argv[:end], argv[end + 1 :]


def _reproduce(
    options: argparse.Namespace, row: str, steps: int, train_flags: Sequence[str], path: Path
) -> None:
    """Trains a row to a number of steps, and keeps a copy of its evaluation."""
    command = [sys.executable, ROOT / "tools" / "reproduce.py", options.table]
    command += ["--data", options.data, "--budget", str(steps), "--rows", row]
    command += ["--segmenter", options.segmenter] if options.segmenter else []
    command += ["--output_dir", options.output_dir, "--", *train_flags]
    if code := subprocess.run(command, check=False).returncode:
        raise SystemExit(code)
    table = TABLES[options.table]
    run_name = next(one.run_name for one in table.rows if one.name == row)
    path.parent.mkdir(parents=True, exist_ok=True)
    runs = options.output_dir / f"{table.recipe}_{table.direction}"
    shutil.copyfile(runs / run_name / f"evaluation-{options.table}" / EVALUATION_FILE, path)


def draw(table: Table, data: Path, curves: Curves, path: Path) -> None:
    """Draws one axis for each column of the table.

    Args:
      table: the table.
      data: the data set's folder; its number of training images gives the paper's steps.
      curves: what was measured.
      path: where the chart goes.
    """
    recipe = RECIPES[table.recipe]
    paper_steps = recipe.max_epochs * len(list((data / "train").iterdir())) // recipe.batch_size
    figure, axes = plt.subplots(1, len(table.figures), figsize=(5 * len(table.figures), 4))
    for number, (axis, name) in enumerate(zip(axes, table.figures, strict=True)):
        for color, (row, curve) in enumerate(curves.items()):
            line = {"color": f"C{color}"}
            values = [figures[name]["value"] for figures in curve.values()]
            low, high = zip(
                *(figures[name]["interval_95"] for figures in curve.values()), strict=True
            )
            axis.semilogx(list(curve), values, "o-", label=row, **line)
            axis.fill_between(list(curve), low, high, alpha=0.2, **line)
            paper = next(one for one in table.rows if one.name == row).paper_figures[number]
            axis.axhline(paper, linestyle=":", **line)
            axis.plot([paper_steps], [paper], "*", markersize=12, **line, label=f"{row}, the paper")
        for photos in _real_photos(curves, name):
            axis.axhline(photos, linestyle="--", color="grey", label="real photos")
        axis.set_ylim(0)
        axis.set_xlabel("training steps")
        axis.set_title(name.removeprefix("fcn_").replace("_", " "))
    figure.suptitle(table.title)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="lower center", ncols=5)
    figure.tight_layout(rect=(0, 0.07, 1, 1))  # above the legend
    figure.savefig(path, dpi=80)


def _real_photos(curves: Curves, name: str) -> list[float]:
    """The figure of the real photos, if an evaluation has it."""
    photos_name = name.replace("fcn_", "photos_")
    if photos_name == name:
        return []
    evaluations = [figures for curve in curves.values() for figures in curve.values()]
    return [one[photos_name]["value"] for one in evaluations if photos_name in one][:1]


def print_table(table: Table, curves: Curves) -> None:
    """Prints the figures as a Markdown table: a line for each row and number of steps."""
    names = [*table.figures, "l1", "ssim"]
    print("| | steps | " + " | ".join(names) + " |")
    print("| --- |" + " --- |" * (len(names) + 1))
    for row, curve in curves.items():
        for steps, figures in curve.items():
            cells = " | ".join(_cell(figures[name]) for name in names)
            print(f"| {row} | {steps:,} | {cells} |")


def _cell(figure: dict[str, Any]) -> str:
    low, high = figure["interval_95"]
    return f"{figure['value']:.3f} ({low:.3f} to {high:.3f})"


if __name__ == "__main__":
    main(sys.argv[1:])
