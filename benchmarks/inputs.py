"""Times the input graph alone: pictures a second, and how long it takes until the first.

    python benchmarks/inputs.py --data facades/train [--counts 100 1000 10000 100000] [--json FILE]

With `--counts`, that many pictures are made of those in the folder, as links to their files.
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

from p2p_graph import devices
from p2p_graph.config import Config
from p2p_graph.inputs import TrainingInputs
from p2p_graph.listing import list_pictures

WAYS = {
    "kept, scaled": {"cache_as": "values"},
    "kept, scaled, batches of 16": {"cache_as": "values", "batch_size": 16},
    "kept in bytes": {"cache_as": "bytes"},
    "decoded from JPEG": {"cache_mb": 0},
}
SECONDS = 5


def measure(folder, **options):
    """Returns seconds to check the pictures, to start, and pictures a second."""
    config = Config(input_dir=str(folder), **options)
    _, session_config = devices.choose("cpu")
    start = time.perf_counter()
    pictures = list_pictures(config)
    listed = time.perf_counter()
    with tf.Graph().as_default(), tf.Session(config=session_config) as session:
        inputs = TrainingInputs(pictures, config)
        following = session.make_callable(inputs.following().inputs.op)
        inputs.start(session, 0)
        following()
        started = time.perf_counter()
        for _ in range(20):
            following()
        count, since = 0, time.perf_counter()
        while time.perf_counter() - since < SECONDS:
            following()
            count += config.batch_size
        rate = count / (time.perf_counter() - since)
        inputs.close()
    return {"check_s": listed - start, "start_s": started - listed, "pictures_a_second": rate}


def linked(source, folder, count):
    """Makes a folder of so many pictures."""
    files = sorted(source.iterdir())
    folder.mkdir()
    for i in range(count):
        original = files[i % len(files)]
        os.link(original, folder / f"{i}{original.suffix}")


def counted(source, counts):
    """Yields what `measure` finds, by the number of pictures."""
    with tempfile.TemporaryDirectory(dir=source.parent) as name:
        for count in counts:
            folder = Path(name) / str(count)
            linked(source, folder, count)
            yield count, measure(folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of pairs")
    parser.add_argument("--counts", type=int, nargs="*", default=[])
    parser.add_argument("--json", type=Path, help="where to write the figures as well")
    options = parser.parse_args()
    figures = {}

    def report(name, found):
        figures[name] = found
        check, start, rate = found.values()
        print(f"| {name} | {check:.1f} | {start:.1f} | {rate:.0f} |", flush=True)

    print(f"{os.cpu_count()} cores")
    print("| | to check all, s | to start, s | pictures/s |")
    print("| --- | --- | --- | --- |")
    for name, settings in WAYS.items():
        report(name, measure(options.data, **settings))
    for count, found in counted(options.data, options.counts):
        report(f"{count} pictures", found)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=4) + "\n")


if __name__ == "__main__":
    main()
