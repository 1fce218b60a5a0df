"""The Fréchet distance in a process of its own, which a signal ends at once.

SciPy's matrix roots take seconds to minutes, during which this process handles no signal.
"""

import json
import signal
import sys
import tempfile
from pathlib import Path

from p2p_graph.metrics import fid
from p2p_graph.metrics.feature_moments import FeatureMoments, open_moments_file
from p2p_graph.utils import child_process, signals
from p2p_graph.utils.counted import counted
from p2p_graph.utils.errors import UserError

_QUICK = 256  # features, whose distance takes less time than a process's start


def frechet_distance(a: FeatureMoments, b: FeatureMoments) -> float:
    """The result of `fid.frechet_distance`.

    Raises:
      UserError: as `fid.frechet_distance`; or the process has ended before its result.
      Interrupted: a signal has come.
    """
    if max(a.dims, b.dims) <= _QUICK:
        return fid.frechet_distance(a, b)
    lines: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        paths = [Path(name) / f"{number}.npz" for number in range(2)]
        for moments, path in zip((a, b), paths, strict=True):
            moments.save(path)
        code = child_process.run_program(
            [sys.executable, "-m", __name__, *map(str, paths)],
            on_line=lines.append,
            env=child_process.environment(),
        )
    if code - 128 in signals.STOPPING:
        raise signals.Interrupted(signal.Signals(code - 128))
    if code:
        raise UserError(
            f"the Fréchet distance of {counted(a.dims, 'feature')} was not computed (exit code "
            f"{code}): there may be too little memory"
        )
    result = json.loads(lines[-1])
    if "error" in result:
        raise UserError(result["error"])
    return float(result["distance"])


def main(paths: list[str]) -> None:
    """Prints the distance of two files of moments, or the error, as JSON."""
    for number in signals.STOPPING:
        signal.signal(number, signal.SIG_DFL)
    moments = []
    for path in paths:
        with open_moments_file(Path(path)) as arrays:
            moments.append(FeatureMoments.from_arrays(arrays))
    try:
        print(json.dumps({"distance": fid.frechet_distance(*moments)}))
    except UserError as error:
        print(json.dumps({"error": str(error)}))


if __name__ == "__main__":
    main(sys.argv[1:])
