"""Runs of a program that are disturbed at points, and what must hold after them.

undisturbed = Soak(server, program, stage, folder).undisturbed()
soak = Soak(server, program, stage, other_folder)
soak.kill(fault)                 # ends by SIGKILL at the fault, or finishes before it
soak.finish(undisturbed)         # the same command again, and the same result
"""

import re
import signal
from typing import NamedTuple

from .folders import contents_of, differences, leftovers, restored_step
from .points import AFTER, ANY, BEFORE, HALF, KILL, Fault
from .programs import OUTPUT

_PREPARE = "tests.soak.points:prepare"
# SIGXFSZ: a write of TensorFlow was cut off. 137 and 153: so was a child of reproduce.py.
_KILLED = (-signal.SIGKILL, -signal.SIGXFSZ, 128 + signal.SIGKILL, 128 + signal.SIGXFSZ)
_HALVED = ("write", "save", "rename", "replace")


class Point(NamedTuple):
    """A line of a trace.

    Attributes:
      operation: what is called.
      path: relative to the output folder.
      count: of the points of this operation and path, the n-th.
      used: bytes on the folder's disk before.
    """

    operation: str
    path: str
    count: int
    used: int

    @property
    def is_saving(self):
        """Whether it is a part of saving a checkpoint."""
        names = ("model-", "checkpoint", ".unfinished", "best.json")
        return any(part.startswith(names) for part in self.path.split("/"))


class Undisturbed(NamedTuple):
    """A run without faults.

    Attributes:
      points: all points, in their order.
      contents: of the output folder, as `contents_of` gives them.
      seconds: how long it took.
    """

    points: list[Point]
    contents: dict
    seconds: float


class Soak:
    """One output folder, and the runs of a program that write there."""

    def __init__(self, server, program, stage, folder):
        """Makes the folder.

        Args:
          server: a `ForkServer`.
          program: a `Program`.
          stage: the folder of what the program reads, which is linked.
          folder: is made.
        """
        self._server, self._program, self._folder = server, program, folder
        self.output = folder / OUTPUT
        folder.mkdir(parents=True, exist_ok=True)
        for path in stage.iterdir():
            (folder / path.name).symlink_to(path)
        self._step = 0
        self.kills = 0
        self.story = []  # of all runs, for messages

    def run(
        self,
        fault=None,
        *,
        trace=None,
        kill_after=None,
        listener=None,
        prepare=_PREPARE,
        seconds=60,
    ):
        """Runs the program once; returns the `Run`."""
        armed = (str(self.output), fault and tuple(fault), trace, listener)
        before = (prepare, self._program.name, self._program.settings, armed)
        run = self._server.run(
            self._program.name,
            self._program.argv,
            self._folder,
            seconds=seconds,
            before=before,
            kill_after=kill_after,
        )
        what = fault or (f"SIGKILL after {kill_after:.3f} s" if kill_after else "no fault")
        self.story.append(f"{what}: exit code {run.code}\n{run.stdout[-600:]}{run.stderr[-1500:]}")
        assert not run.timed_out, self.story
        assert "Traceback" not in run.stderr, self.text
        return run

    @property
    def text(self):
        return "\n".join(self.story)

    def undisturbed(self):
        """Runs the program without a fault, and traces it."""
        trace = self._folder / "trace"
        run = self.run(trace=str(trace))
        assert run.code == 0, self.text
        assert not leftovers(self.output)
        return Undisturbed(points_of(trace), contents_of(self.output), run.seconds)

    def kill(self, fault=None, kill_after=None):
        """Runs the program with a kill; it may end before. Returns whether it was killed."""
        run = self.run(fault, kill_after=kill_after)
        was_killed = run.code in _KILLED
        assert was_killed or run.code == 0, self.text
        self.kills += was_killed
        self.check_checkpoint()
        return was_killed

    def fail(self, fault=None, *, maybe=False, listener=None, prepare=_PREPARE):
        """Runs the program with a fault, which it reports in one line; nothing half-written stays.

        Returns whether it has failed.

        Args:
          fault: a `Fault` with an error; None where the surroundings are at fault.
          maybe: whether the program may also do without what fails.
          listener: see `arm`.
          prepare: what is called first.
        """
        run = self.run(fault, listener=listener, prepare=prepare)
        if maybe and run.code == 0:
            return False
        assert run.code == 2, self.text
        # Beside its own line, reproduce.py shows that of the program which has failed.
        lines = run.stderr.splitlines()
        assert 1 <= len(lines) <= 1 + (self._program.name == "reproduce"), self.text
        assert all(re.fullmatch(r"\w+\.py: .+", line) for line in lines), self.text
        assert not leftovers(self.output), [leftovers(self.output), self.text]
        self._step = restored_step(self.output)
        return True

    def check_checkpoint(self):
        """The newest checkpoint can be read, and is not older than it was."""
        step = restored_step(self.output)
        assert step >= self._step, f"step {step} after {self._step}\n{self.text}"
        self._step = step

    def finish(self, undisturbed):
        """Runs the program without a fault; its result is that of an undisturbed run."""
        run = self.run()
        assert run.code == 0, self.text
        self.compare(undisturbed)

    def compare(self, undisturbed):
        found = differences(contents_of(self.output), undisturbed.contents)
        assert not found, "\n".join([*found, self.text])
        assert not leftovers(self.output), self.text


def points_of(trace):
    """The points that a trace has noted."""
    counts, points = {}, []
    for line in trace.read_text().splitlines():
        operation, path, used = line.split("\t")
        count = counts[operation, path] = counts.get((operation, path), 0) + 1
        points.append(Point(operation, path, count, int(used)))
    return points


def kill_at(point, rng):
    """A fault that kills at a point, at any time that it has."""
    times = (BEFORE, HALF, AFTER) if point.operation in _HALVED else (BEFORE, AFTER)
    return Fault(point.operation, point.path, point.count, rng.choice(times))


def early_kill(rng, most):
    """A fault that kills at one of the first points, as while a run is resumed."""
    return Fault(ANY, ANY, rng.randint(1, most), rng.choice((BEFORE, HALF, AFTER)))


def failing(point, rng, error):
    """A fault by which a call at a point fails with an error."""
    if point.operation == "close":
        when = HALF  # the file is closed, and what it held may be lost
    else:
        when = rng.choice((BEFORE, HALF)) if point.operation in ("write", "save") else BEFORE
    assert error != KILL
    return Fault(point.operation, point.path, point.count, when, error)
