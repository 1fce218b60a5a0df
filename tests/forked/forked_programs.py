"""Runs programs and functions of the package in forked processes, with limits.

Importing TensorFlow and the package takes seconds. A server process imports both once, starts no
thread of TensorFlow (it makes no session and runs no operation), and forks for every run. A fork
takes about 20 ms, so that 1,000 runs of programs take minutes:

    with ForkServer() as server:
        run = server.run("train", ["--input_dir", "images"], folder)
        assert run.code == 2

`ForkServer.run` runs a program in a fork of its own, in a folder and with a command line. It can
call a function in the fork first, and kill the program after a while.
`ForkServer.call` calls a function in a worker, a fork that answers one call after the other until
it is killed: most calls take a millisecond, and a fork for each would take longer. A worker may
use TensorFlow's threads, since it is not forked again.

Every process has limits: seconds (a run receives SIGTERM first, SIGKILL after another second),
memory beyond the server's, and the size of files. TensorFlow reserves far more addresses than it
uses, so that RLIMIT_AS is of no use; RLIMIT_DATA counts private writable memory only. Functions
report their peak in `VmHWM`, which is reset before each call, and runs in `ru_maxrss`.

A case that exceeds its seconds is run again with three times as many before it counts as hanging,
since the machine may be busy.
"""

import os
import socket
import subprocess
import sys
import tempfile
from multiprocessing.connection import Connection
from pathlib import Path

from .verdicts import is_hanging, place_in_dump

ROOT = Path(__file__).parents[2]
SECONDS = 10.0
MEMORY = 2 * 2**30  # bytes
_PATIENCE = 3  # times the seconds, for the second try
_START = "import sys; from tests.forked import fork_server; fork_server.serve(int(sys.argv[1]))"


class ForkServer:
    """The client's side: starts the server, and sends it one request at a time."""

    def __init__(self):
        self._slow = set()  # what is known to hang, and is not tried a second time
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  closed with the server
        self._process = self._connection = None
        self._start()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def close(self):
        """Ends the server and its worker."""
        self._connection.close()
        self._process.wait(timeout=30)
        self._errors.close()

    def run(
        self, program, argv, folder, seconds=SECONDS, memory=MEMORY, before=None, kill_after=None
    ):
        """Runs a program; returns its `Run`.

        Args:
          program: the name of a module in `p2p_graph.cli`.
          argv: its arguments.
          folder: the current folder of the run.
          seconds: how long it may take.
          memory: how many bytes it may use beyond the server's.
          before: a function `module:function` and its arguments, called in the fork first.
          kill_after: seconds after which the program is killed with SIGKILL; None for never.
        """
        argv = [f"tools/{program}.py", *map(str, argv)]
        more = (before, kill_after)
        run = self._ask("run", (program, argv, str(folder), seconds, memory, *more))
        place = (program, place_in_dump(run.stderr))
        if is_hanging(run) and place not in self._slow:
            again = (program, argv, str(folder), _PATIENCE * seconds, memory, *more)
            run = self._ask("run", again)
            if run.timed_out:
                self._slow.add(place)
        return run

    def call(self, function, *args, seconds=SECONDS, memory=MEMORY):
        """Calls a function of a module `module:function` in a worker; returns its `Answer`.

        The function accepts by returning, and refuses by raising what programs turn into a message:
        UserError, MemoryError, or an OSError of the operating system. Anything else is a failure,
        a warning too.
        """
        request = (function, args, seconds, memory)
        answer = self._ask("call", request)
        if answer.signature.startswith("hangs") and answer.signature not in self._slow:
            again = self._ask("call", (function, args, _PATIENCE * seconds, memory))
            if again.signature.startswith("hangs"):
                self._slow.add(again.signature)
            return again
        return answer

    def _start(self):
        ours, theirs = socket.socketpair()
        with theirs:
            environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
            self._process = subprocess.Popen(
                [sys.executable, "-c", _START, str(theirs.fileno())],
                cwd=ROOT,
                env=environment,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self._errors,
                stderr=self._errors,
            )
        self._connection = Connection(ours.detach())

    def _ask(self, kind, request):
        try:
            self._connection.send((kind, request))
            return self._connection.recv()
        except (EOFError, OSError):
            self._errors.seek(0)
            raise RuntimeError(f"the server ended: {self._errors.read().decode()}") from None
