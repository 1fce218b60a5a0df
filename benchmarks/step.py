"""Times a training step: this project's, the reference's literal operations, and PyTorch's.

    python benchmarks/step.py [--pairs 20] [--json FILE] [VARIANT ...]

Every variant runs in a process of its own. In each turn, every variant runs one step (or one call
of ten steps), and ratios to the reference are taken within the turn, so that drifts of the
machine's speed cancel. PyTorch needs `pip install -c constraints.txt -e '.[peers]'`. A GPU is
used if there is one.
"""

import argparse
import functools
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

REFERENCE = "reference"
STEPS_PER_CALL = 10  # in variants that run several training steps per `Session.run` call
# Options by flat name, or settings of `torch_step`.
VARIANTS = {
    REFERENCE: None,
    "fp32": {},
    "fp32-10": {"steps_per_run": STEPS_PER_CALL},
    "fp32-xla": {"xla": True},
    "mixed": {"precision": "mixed"},
    "mixed-10": {"precision": "mixed", "steps_per_run": STEPS_PER_CALL},
    "mixed-xla": {"precision": "mixed", "xla": True},
    "mixed-xla-10": {"precision": "mixed", "xla": True, "steps_per_run": STEPS_PER_CALL},
    "torch-fp32": {"bf16": False, "channels_last": False},
    "torch-fp32-channels-last": {"bf16": False, "channels_last": True},
    "torch-bf16": {"bf16": True, "channels_last": False},
    "torch-bf16-channels-last": {"bf16": True, "channels_last": True},
    "torch-bf16-channels-last-compiled": {"bf16": True, "channels_last": True, "compiled": True},
}
NO_REPORTS = dict.fromkeys(("summary_freq", "progress_freq", "save_freq"), 0)
SIZES = {"batch_size": 1, "crop_size": 256, "ngf": 64, "ndf": 64}
WARM_UP = 3  # steps in which algorithms are chosen and memory is allocated


def ours(inputs, targets, options, device):
    import tensorflow.compat.v1 as tf

    from p2p_graph.data.input_graph import Batch
    from p2p_graph.models.networks import Networks
    from p2p_graph.training.optimizers import make_optimizers
    from p2p_graph.training.session_calls import Schedule, build_session_call, compiled
    from p2p_graph.training.step import build_step
    from p2p_graph.training.updates import ORDERS

    batch_size = options.data.batches.batch_size
    batch = Batch(tf.constant([""] * batch_size), inputs, targets)
    build = functools.partial(
        build_step,
        networks=Networks(options.model, options.losses, 0, on_cpu=device.is_cpu),
        order=ORDERS[options.optimizer.updates],
        optimizers=make_optimizers(options.optimizer),
    )
    if options.execution.xla:
        build = compiled(lambda: batch, build, with_gradients=False)
    schedule = Schedule(2**30, options.execution.steps_per_run)
    call = build_session_call(lambda: batch, build, schedule, batch_size)
    return [call.step.train, call.step.losses]


def step_of(build, options):
    """Builds a step on random images and opens a session; returns a function that runs the step."""
    import tensorflow.compat.v1 as tf

    from p2p_graph.runtime import devices

    device = devices.choose("auto")
    devices.set_gpu_arithmetic(options.model.layers.precision)
    graph = tf.Graph()
    with graph.as_default():
        size = [options.data.batches.batch_size, *options.data.scaling.crop_size, 3]
        images = [tf.random_uniform(size, -1, 1, seed=seed) for seed in (1, 2)]
        fetches = build(*images, options, device)
        session = tf.Session(graph=graph, config=device.config)
        session.run(tf.global_variables_initializer())
    return session.make_callable(fetches)


def make(variant, sizes):
    """Builds a variant; returns a function, and the number of steps that a call of it runs."""
    settings = VARIANTS[variant]
    if variant.startswith("torch"):
        import torch
        from peers import torch_step

        device = "cuda" if torch.cuda.is_available() else "cpu"
        names = ("batch_size", "crop_size", "ngf", "ndf")
        picked = (sizes[name] for name in names)
        return torch_step.make_step(*picked, device=device, **settings), 1
    import reference_step

    from p2p_graph.config.options import Options

    if variant == REFERENCE:
        return step_of(reference_step.build_step, Options.of(**sizes)), 1
    options = Options.of(**sizes, **NO_REPORTS, **settings)
    return step_of(ours, options), options.execution.steps_per_run


def work(variant, sizes):
    """Runs a step for each line on stdin, and prints its seconds; in a process of its own."""
    step, count = make(variant, sizes)
    for _ in range(WARM_UP):
        step()
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        step()
        print((time.perf_counter() - start) / count, flush=True)


def measure(variants, sizes, turns):
    """Runs all variants in turn; returns the seconds per step by variant."""
    flags = [f"--{name}={value}" for name, value in sizes.items()]
    workers = {}
    for variant in variants:
        workers[variant] = subprocess.Popen(
            [sys.executable, __file__, *flags, "--work", variant],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        if workers[variant].stdout.readline() != "ready\n":
            raise SystemExit(f"{variant} does not run: see why with --work {variant}")
    seconds = {variant: [] for variant in variants}
    for _ in range(turns):
        for variant, worker in workers.items():
            worker.stdin.write("\n")
            worker.stdin.flush()
            seconds[variant].append(float(worker.stdout.readline()))
    for worker in workers.values():
        worker.stdin.close()
        worker.wait()
    return seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("variants", nargs="*", metavar="VARIANT", help=", ".join(VARIANTS))
    for name, default in (("pairs", 20), *SIZES.items()):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--json", type=Path, help="file to write the results to")
    parser.add_argument("--work", choices=VARIANTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    sizes = {name: getattr(options, name) for name in SIZES}
    if options.work:
        work(options.work, sizes)
        return
    named = options.variants or ["fp32", "mixed"]
    if unknown := set(named) - set(VARIANTS):
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(VARIANTS)}")
    variants = [REFERENCE, *(name for name in named if name != REFERENCE)]
    seconds = measure(variants, sizes, options.pairs)
    print(f"{os.cpu_count()} cores, {platform.machine()}; {options.pairs} turns; {sizes}")
    print("| | s/step, median | images/s | speed relative to the reference, median (quartiles) |")
    print("| --- | --- | --- | --- |")
    figures = {}
    for name, taken in seconds.items():
        pairs = zip(seconds[REFERENCE], taken, strict=True)
        ratios = statistics.quantiles([theirs / own for theirs, own in pairs], n=4)
        median = statistics.median(taken)
        figures[name] = {
            "seconds": taken,
            "ratio": dict(zip(("low", "median", "high"), ratios, strict=True)),
        }
        low, middle, high = ratios
        print(
            f"| {name} | {median:.3f} | {sizes['batch_size'] / median:.2f} "
            f"| {middle:.2f} ({low:.2f}-{high:.2f}) |"
        )
    if options.json:
        options.json.write_text(json.dumps({"sizes": sizes, "variants": figures}, indent=4) + "\n")


if __name__ == "__main__":
    main()
