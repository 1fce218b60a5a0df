"""Plots the time of a step against batch, size and width, and of input against data set size.

    python benchmarks/sizes.py --data facades/train --output cost.png [--json FILE] [--quick]

The chart needs `pip install -c constraints.txt -e '.[peers]'`.
"""

import argparse
import json
import os
import platform
import statistics
from pathlib import Path

import inputs
import matplotlib as mpl
import step

mpl.use("Agg")
from matplotlib import pyplot as plt

SERIES = {
    "batch_size": (1, 2, 4, 8, 16),
    "crop_size": (128, 256, 512, 1024),
    "ngf": (16, 32, 64, 128),
}
QUICK = {"batch_size": (1, 2), "crop_size": (32, 64), "ngf": (4, 8)}
COUNTS = (100, 1000, 10_000, 100_000)
LABELS = {"batch_size": "batch size", "crop_size": "image size, pixels", "ngf": "ngf and ndf"}


def steps(quick):
    """Returns the median seconds of a step by varied option, precision and value."""
    base = {**step.SIZES, **({"crop_size": 64, "ngf": 8, "ndf": 8} if quick else {})}
    found = {}
    for name, values in (QUICK if quick else SERIES).items():
        found[name] = {"fp32": {}, "mixed": {}}
        for value in values:
            sizes = {**base, name: value} | ({"ndf": value} if name == "ngf" else {})
            for variant in found[name]:
                [taken] = step.measure([variant], sizes, 3).values()
                found[name][variant][value] = statistics.median(taken)
                print(f"{name} {value}, {variant}: {found[name][variant][value]:.3f} s", flush=True)
    return found


def draw(found, of_counts, path):
    figure, axes = plt.subplots(1, 4, figsize=(16, 3.6))
    for axis, (name, variants) in zip(axes, found.items(), strict=False):
        for variant, seconds in variants.items():
            axis.loglog(list(seconds), list(seconds.values()), "o-", base=2, label=variant)
        axis.set_xticks(list(seconds), [str(value) for value in seconds])
        axis.set_xlabel(LABELS[name])
        axis.set_ylabel("s/step")
        axis.legend()
    rates = [values["images_a_second"] for values in of_counts.values()]
    axes[3].semilogx(list(of_counts), rates, "o-", label="input graph alone")
    axes[3].set_ylim(0)
    axes[3].set_xlabel("images in the data set")
    axes[3].set_ylabel("images/s")
    axes[3].legend()
    figure.suptitle(
        f"{os.cpu_count()} cores, {platform.machine()}; by default 256 pixels, batch size 1"
    )
    figure.tight_layout()
    figure.savefig(path, dpi=80)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--data", type=Path, required=True, help="folder of pairs")
    parser.add_argument("--output", type=Path, required=True, help="the chart, PNG")
    parser.add_argument("--json", type=Path, help="file to write the results to")
    parser.add_argument("--quick", action="store_true", help="small sizes, as a test")
    options = parser.parse_args()
    found = steps(options.quick)
    of_counts = {}
    for count, measured in inputs.measure_counts(
        options.data, COUNTS[:2] if options.quick else COUNTS
    ):
        of_counts[count] = measured
        print(f"{count} images: {measured}", flush=True)
    draw(found, of_counts, options.output)
    if options.json:
        options.json.write_text(json.dumps({"steps": found, "inputs": of_counts}, indent=4) + "\n")


if __name__ == "__main__":
    main()
