"""The programs, one module each, run by tools/*.py, console scripts or `python -m`."""

import sys

from p2p_graph.utils import signals

if sys.argv[:1] == ["-m"]:  # `python -m` imports this package, then a program
    signals.handle()
