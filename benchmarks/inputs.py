"""Times the input graph alone: images per second, and the time until the first image.

    python benchmarks/inputs.py --data facades/train [--counts 100 1000 10000 100000] [--json FILE]

With `--counts`, data sets of these sizes are made from the folder's images, as links.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import tensorflow.compat.v1 as tf

from p2p_graph.config.options import Options
from p2p_graph.data.image_sources import list_images
from p2p_graph.data.input_graph import TrainingInputs
from p2p_graph.runtime import devices

SETTINGS = {
    "cached, scaled": {"cache_as": "values"},
    "cached, scaled, batches of 16": {"cache_as": "values", "batch_size": 16},
    "cached as bytes": {"cache_as": "bytes"},
    "decoded from JPEG": {"cache_mb": 0},
}
SECONDS = 5  # of each measurement


def measure(folder, **options):
    """Returns the seconds to check the images and to start, and images per second."""
    data = Options.of(input_dir=str(folder), **options).data
    device = devices.choose("cpu")
    start = time.perf_counter()
    images = list_images(data.source, single=False)
    listed = time.perf_counter()
    with tf.Graph().as_default(), tf.Session(config=device.config) as session:
        inputs = TrainingInputs(images, data, 0, on_cpu=True)
        next_batch = session.make_callable(inputs.next_batch().inputs.op)
        inputs.start(session, 0)
        next_batch()
        started = time.perf_counter()
        for _ in range(20):
            next_batch()
        count, since = 0, time.perf_counter()
        while time.perf_counter() - since < SECONDS:
            next_batch()
            count += data.batches.batch_size
        rate = count / (time.perf_counter() - since)
        inputs.close()
    return {"check_s": listed - start, "start_s": started - listed, "images_a_second": rate}


def make_linked_folder(source, folder, count):
    """Makes a folder of `count` images, as links to those of another folder."""
    files = sorted(source.iterdir())
    folder.mkdir()
    for i in range(count):
        original = files[i % len(files)]
        os.link(original, folder / f"{i}{original.suffix}")


def measure_counts(source, counts):
    """Yields each number of images with its result of `measure`."""
    with tempfile.TemporaryDirectory(dir=source.parent) as name:
        for count in counts:
            folder = Path(name) / str(count)
            make_linked_folder(source, folder, count)
            yield count, measure(folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--data", type=Path, required=True, help="folder of pairs")
    parser.add_argument(
        "--counts", type=int, nargs="*", default=[], metavar="N", help="sizes of data sets"
    )
    parser.add_argument("--json", type=Path, help="file to write the results to")
    options = parser.parse_args()
    figures = {}

    def report(name, found):
        figures[name] = found
        check, start, rate = found.values()
        print(f"| {name} | {check:.1f} | {start:.1f} | {rate:.0f} |", flush=True)

    print(f"{os.cpu_count()} cores")
    print("| | check all, s | start, s | images/s |")
    print("| --- | --- | --- | --- |")
    for name, settings in SETTINGS.items():
        report(name, measure(options.data, **settings))
    for count, found in measure_counts(options.data, options.counts):
        report(f"{count} images", found)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=4) + "\n")


if __name__ == "__main__":
    main()
