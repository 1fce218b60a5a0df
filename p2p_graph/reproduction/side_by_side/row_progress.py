"""Progress of rows that run at the same time: a bar each on a terminal, otherwise lines."""

import re
import sys
import threading
from types import TracebackType
from typing import NamedTuple, NoReturn

from tqdm import tqdm

# What tools/train.py prints: before training, and while it trains.
_EXAMPLES = re.compile(r"examples count = \d+, (\d+) steps? an epoch, (\d+) steps? in all")
_PROGRESS = re.compile(r"progress  epoch (\d+)  step (\d+)  (.*)")
_STEPS_FORMAT = "{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} steps{postfix}"


class TrainingProgress(NamedTuple):
    """How far a training run is.

    Attributes:
      step: steps that are done.
      last_step: steps in all.
      rate: images a second and the time left, as text.
    """

    step: int
    last_step: int
    rate: str


class ProgressReader:
    """Reads the progress of a training run off the lines that tools/train.py prints."""

    def __init__(self) -> None:
        """Makes a reader that has seen no line."""
        self._steps_per_epoch = self._last_step = 0

    def read(self, line: str) -> TrainingProgress | None:
        """The progress that the line states, if it states one."""
        if found := _EXAMPLES.match(line):
            self._steps_per_epoch, self._last_step = int(found[1]), int(found[2])
        elif found := _PROGRESS.match(line):
            step = (int(found[1]) - 1) * self._steps_per_epoch + int(found[2])
            return TrainingProgress(step, self._last_step, found[3])
        return None


class RowScreen:
    """Shows the progress of rows; its methods may be called by any thread.

    Each place shows one row at a time. A row's programs report where they are; other lines go above
    the bars.
    """

    def __init__(self, places: int) -> None:
        """Takes the number of rows that run at the same time."""
        self._lock = threading.Lock()
        self._bars: list[tqdm[NoReturn]] = []
        self._readers = [ProgressReader() for _ in range(places)]
        self._places = places

    def __enter__(self) -> "RowScreen":
        """Draws the bars, on a terminal."""
        if sys.stderr.isatty():
            self._bars = [
                tqdm(position=place, leave=False, dynamic_ncols=True, bar_format="{desc}")
                for place in range(self._places)
            ]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Removes the bars."""
        for bar in reversed(self._bars):
            bar.close()
        self._bars = []

    def say(self, text: str) -> None:
        """Prints a line."""
        with self._lock:
            if self._bars:
                tqdm.write(text)
                sys.stdout.flush()
            else:
                print(text, flush=True)

    def begin(self, place: int, title: str) -> None:
        """Shows that a program of a row has started, or that the place is free ("")."""
        self._readers[place] = ProgressReader()
        with self._lock:
            if self._bars:
                bar = self._bars[place]
                bar.bar_format = "{desc}"
                bar.set_description_str(title)

    def report(self, place: int, name: str, line: str) -> None:
        """Shows the progress that a line of a row's program states, if it states one."""
        progress = self._readers[place].read(line)
        if line.startswith("warning: ") or (progress and not self._bars):
            self.say(f"{name}: {line}")
        if progress and self._bars:
            with self._lock:
                bar = self._bars[place]
                bar.bar_format, bar.total, bar.n = _STEPS_FORMAT, progress.last_step, progress.step
                bar.set_postfix_str(progress.rate)
