"""Times a training step against the same step in the reference's literal operations.

    python benchmarks/step.py [--pairs 20] [--batch_size 1] [--ngf 64] [--ndf 64]

Both run in this process, in turn, on random pictures; the ratio of every pair is taken, so that a
machine whose speed drifts does not decide. Prints a table.
"""

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import literal
import tensorflow.compat.v1 as tf

from p2p_graph import devices
from p2p_graph.config import Config
from p2p_graph.inputs import Batch
from p2p_graph.model import build_step, make_optimizers


def ours(inputs, targets, config):
    model = build_step(Batch(tf.constant(""), inputs, targets), config, make_optimizers(config))
    return [model.train, model.losses]


def step_of(build, config, session_config):
    """Builds a step on random pictures in a session of its own; returns a function that runs it."""
    graph = tf.Graph()
    with graph.as_default():
        size = [config.batch_size, config.crop_size, config.crop_size, 3]
        pictures = [tf.random_uniform(size, -1, 1, seed=seed) for seed in (1, 2)]
        fetches = build(*pictures, config)
        session = tf.Session(graph=graph, config=session_config)
        session.run(tf.global_variables_initializer())
    return session.make_callable(fetches)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("pairs", 20), ("batch_size", 1), ("ngf", 64), ("ndf", 64)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    config = Config(batch_size=options.batch_size, ngf=options.ngf, ndf=options.ndf)
    found, session_config = devices.choose("auto")
    steps = {
        "the reference's operations": step_of(literal.build_step, config, session_config),
        "p2p_graph": step_of(ours, config, session_config),
    }
    seconds = {name: [] for name in steps}
    for pair in range(options.pairs + 3):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            if pair >= 3:  # the first ones choose algorithms and take memory
                seconds[name].append(time.perf_counter() - start)
    reference = seconds["the reference's operations"]
    print(f"{found}; TensorFlow {tf.__version__}; {options.pairs} pairs; batch {config.batch_size}")
    print("| | s a step, median | pictures/s | speed against the reference's, median (quartiles) |")
    print("| --- | --- | --- | --- |")
    for name, taken in seconds.items():
        ratios = [theirs / own for theirs, own in zip(reference, taken, strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        median = statistics.median(taken)
        print(
            f"| {name} | {median:.3f} | {config.batch_size / median:.2f} "
            f"| {middle:.2f} ({low:.2f}-{high:.2f}) |"
        )


if __name__ == "__main__":
    main()
