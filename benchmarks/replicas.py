"""Times training steps of one device, of two replicas, and of two processes; and the sums alone.

    python benchmarks/replicas.py [--turns 10] [--crop_size 256] [--ngf 64] [--ndf 64]

Every variant runs in processes of its own. In each turn every variant runs one step, and ratios are
taken within the turn, so that drifts of the machine's speed cancel. Two GPUs are used if there are
two; otherwise replicas share the CPU, and the figures tell what replicas cost, not what they bring.
"""

import argparse
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

SIZES = {"crop_size": 256, "ngf": 64, "ndf": 64}
WARM_UP = 2
REPLICAS = 2
# Images of a replica, replicas of a process, processes; and whether gradients alone are summed.
VARIANTS = {
    "one device, batch 1": (1, 1, 1, False),
    "one device, batch 2, per-image moments": (2, 1, 1, False),
    "two replicas in one process": (1, 2, 1, False),
    "two processes": (1, 1, 2, False),
    "sums of all gradients, two replicas": (1, 2, 1, True),
    "sums of all gradients, two processes": (1, 1, 2, True),
}
BASE = "one device, batch 2, per-image moments"


def build(variant, sizes):
    """Builds a variant; returns the session's target and configuration, graph and fetches."""
    import tensorflow.compat.v1 as tf

    from p2p_graph.config.options import Options
    from p2p_graph.data.input_graph import Batch
    from p2p_graph.models.networks import Networks
    from p2p_graph.runtime import devices
    from p2p_graph.runtime.cluster import joined, read_cluster
    from p2p_graph.runtime.distribute import distribute
    from p2p_graph.training.optimizers import make_optimizers
    from p2p_graph.training.step import build_step
    from p2p_graph.training.updates import ORDERS

    batch_size, local, _, sums_alone = VARIANTS[variant]
    options = Options.of(**sizes, batch_size=batch_size, moments="image")
    cluster = read_cluster()
    replicas, device = distribute(str(local), devices.choose("auto"), cluster)
    devices.set_gpu_arithmetic("fp32")
    with (
        joined(cluster, device.config) as connection,
        tf.Graph().as_default(),
        replicas.scope(),
    ):
        count = batch_size * local
        size = [count, *options.data.scaling.crop_size, 3]
        images = [tf.random_uniform(size, -1, 1, seed=seed) for seed in (1, 2)]
        networks = Networks(options.model, options.losses, 0, on_cpu=device.is_cpu)
        step = build_step(
            Batch(tf.constant([""] * count), *images),
            networks,
            ORDERS["stored"],
            make_optimizers(options.optimizer),
            replicas,
        )
        fetches = step.train
        weights = tf.trainable_variables()
        if sums_alone:
            values = [tf.ones(variable.shape) for variable in weights]
            fetches = tf.group(*map(replicas.total, values))
        session = tf.Session(connection.target, config=device.config)
        session.run(tf.global_variables_initializer())
    size = 4 * sum(variable.shape.num_elements() for variable in weights)
    return session.make_callable(fetches), size


def work(variant, sizes):
    """Runs a step for each line on stdin, and prints its seconds; in a process of its own."""
    step, size = build(variant, sizes)
    for _ in range(WARM_UP):
        step()
    print(size, flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        step()
        print(time.perf_counter() - start, flush=True)


def start(variant, sizes):
    """Starts the processes of a variant."""
    processes = VARIANTS[variant][2]
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(processes)]
    addresses = [f"127.0.0.1:{one.getsockname()[1]}" for one in held]
    for one in held:
        one.close()
    flags = [f"--{name}={value}" for name, value in sizes.items()]
    workers = []
    for index in range(processes):
        task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        own = {"TF_CONFIG": json.dumps(task)} if processes > 1 else {}
        workers.append(
            subprocess.Popen(
                [sys.executable, __file__, *flags, "--work", variant],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=os.environ | own,
            )
        )
    return workers


def measure(sizes, turns):
    """Runs all variants in turn; returns the seconds a step by variant, and bytes of weights."""
    workers = {variant: start(variant, sizes) for variant in VARIANTS}
    for each in workers.values():
        for worker in each:
            while not (line := worker.stdout.readline()).strip().isdigit():
                if not line:
                    raise SystemExit("a process has ended: see above why")
            size = int(line)
    seconds = {variant: [] for variant in VARIANTS}
    for _ in range(turns):
        for variant, each in workers.items():
            for worker in each:
                worker.stdin.write("\n")
                worker.stdin.flush()
            seconds[variant].append(max(float(worker.stdout.readline()) for worker in each))
    for worker in (one for each in workers.values() for one in each):
        worker.kill()
        worker.wait()
    return seconds, size


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    for name, default in (("turns", 10), *SIZES.items()):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--work", choices=VARIANTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    sizes = {name: getattr(options, name) for name in SIZES}
    if options.work:
        work(options.work, sizes)
        return
    seconds, size = measure(sizes, options.turns)
    print(f"{os.cpu_count()} cores, {platform.machine()}; {options.turns} turns; {sizes}")
    print(f"gradients of a step: {size / 1e6:.1f} MB")
    print("| | s/step, median | images/s | images/s relative to one device (quartiles) |")
    print("| --- | --- | --- | --- |")
    base_images = VARIANTS[BASE][0]
    for variant, taken in seconds.items():
        images, local, processes, sums_alone = VARIANTS[variant]
        median = statistics.median(taken)
        shown = f"| {variant} | {median:.3f} |"
        if sums_alone:
            print(shown, "| |")
            continue
        images *= local * processes
        pairs = zip(taken, seconds[BASE], strict=True)
        ratios = [images / own / (base_images / base) for own, base in pairs]
        low, middle, high = statistics.quantiles(ratios, n=4)
        print(shown, f"{images / median:.2f} | {middle:.2f} ({low:.2f}-{high:.2f}) |")


if __name__ == "__main__":
    main()
