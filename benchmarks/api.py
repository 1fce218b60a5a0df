"""Times the Python API against a bare Session.run of the same network, in turns.

python benchmarks/api.py --checkpoint runs/facades_BtoA
"""

import argparse
import statistics
import time

import numpy as np

import p2p_graph


def main() -> None:
    """Prints the seconds an image of both, and the median of the ratios of neighbouring calls."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--checkpoint", required=True, help="folder of a training run")
    parser.add_argument("--calls", type=int, default=60, help="calls of each (default: 60)")
    given = parser.parse_args()
    generator = p2p_graph.load(given.checkpoint)
    height, width = generator.size
    shape = (1, height, width, generator.channels[0])
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    network, session = generator._networks[False], generator._session

    def bare() -> None:
        session.run(network.outputs[np.uint8], {network.in_bytes: image})

    seconds = {}
    for name, call in (("API", lambda: generator(image)), ("Session.run", bare)) * given.calls:
        start = time.perf_counter()
        call()
        seconds.setdefault(name, []).append(time.perf_counter() - start)
    warm = {name: values[5:] for name, values in seconds.items()}
    for name, values in warm.items():
        print(f"{name}: {statistics.median(values):.4f} s an image")
    ratios = [a / b for a, b in zip(*warm.values(), strict=True)]
    print(f"API / Session.run: {statistics.median(ratios):.3f}")


if __name__ == "__main__":
    main()
