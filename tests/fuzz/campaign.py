"""A campaign: many cases of one parser or program, each answered and counted.

Hypothesis draws the cases, and shrinks the first one that fails to a small one. Then the campaign
goes on, and failures of that cause only count, until all cases are done. So one run finds every
cause that its cases show, each with a small example.
"""

import collections
import dataclasses
import hashlib
import json
import pickle
import shutil
import sys
import time
import warnings
import zlib
from pathlib import Path

import hypothesis
import pytest

from ..forked.verdicts import ACCEPTED, FAILED, REFUSED, Answer

_PROGRESS_SECONDS = 10.0
_SHRINKING_CASES = 400  # at most, for each cause


@dataclasses.dataclass(frozen=True)
class Profile:
    """How many cases a campaign has, and where its failures go.

    Attributes:
      cases: the number of cases.
      seed: of the cases.
      folder: where failing cases and counts are written; None to write none.
      replay: a file of a failing case, which is the only one to run; None to run all.
    """

    cases: int
    seed: int
    folder: Path | None
    replay: Path | None


class _FailedCaseError(Exception):
    """Tells Hypothesis that a case failed."""


def _tell_of_failure():
    """Raises; for Hypothesis, exceptions of one line of code have one cause."""
    raise _FailedCaseError


class Campaign:
    """Cases of one parser or program.

    Attributes:
      counts: of answers, by kind.
      failures: by signature, (smallest case, its answer, how many cases failed so).
    """

    def __init__(self, name, strategy, answer_of, profile, *, cost=1, shrink=True):
        """Prepares a campaign.

        Args:
          name: of the parser or program.
          strategy: of the cases.
          answer_of: a function from a case to its `Answer`.
          profile: a `Profile`.
          cost: this campaign's cases are fewer by this factor.
          shrink: whether Hypothesis shrinks failing cases, which takes many runs. Otherwise the
            case with the shortest text is kept.
        """
        self._name, self._strategy, self._answer_of = name, strategy, answer_of
        self._profile, self._shrink = profile, shrink
        self._cases = max(1, profile.cases // cost)
        self._last_line = time.monotonic()
        self.counts = collections.Counter()
        self.failures = {}

    def run(self):
        """Runs all cases; the test fails if one of them does."""
        if self._profile.replay:
            self._replay()
            return
        rounds = 0
        while sum(self.counts.values()) < self._cases and self._round(rounds):
            rounds += 1
        self._write_counts()
        if self.failures:
            pytest.fail(self._report(), pytrace=False)

    def _round(self, number):
        """Runs cases until one fails for a new cause; returns whether one did."""
        seed = zlib.crc32(f"{self._name} {self._profile.seed} {number}".encode())
        phases = [hypothesis.Phase.generate]
        if self._shrink:
            phases.append(hypothesis.Phase.shrink)
        state = _Round()

        @hypothesis.seed(seed)
        @hypothesis.settings(
            max_examples=self._cases - sum(self.counts.values()),
            phases=phases,
            database=None,
            deadline=None,
            derandomize=False,
            report_multiple_bugs=False,
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        @hypothesis.given(self._strategy)
        def attempt(case):
            self._attempt(case, state)

        try:
            with warnings.catch_warnings():
                # Of the long texts of strategies that hold files.
                warnings.simplefilter("ignore", hypothesis.errors.HypothesisWarning)
                attempt()
        except (_FailedCaseError, hypothesis.errors.Flaky):
            return True
        return False

    def _attempt(self, case, state):
        if state.signature and state.tried >= _SHRINKING_CASES and case != state.smallest:
            return
        answer = self._answer_of(case)
        if not state.signature:
            self.counts[answer.kind] += 1
            self._show_progress()
        if answer.kind != FAILED:
            return
        signature = answer.signature
        known = self.failures.get(signature)
        if state.signature:  # shrinking
            state.tried += 1
            if signature == state.signature:
                state.smallest = case
                self._keep(case, answer, 0)
                _tell_of_failure()
            return
        self._keep(case, answer, 1)
        if known is None and self._shrink:
            state.signature, state.smallest = signature, case
            _tell_of_failure()

    def _keep(self, case, answer, count):
        """Counts a failure, and keeps its case if it is the smallest so far."""
        smallest, kept, before = self.failures.get(answer.signature, (None, None, 0))
        if smallest is None or len(repr(case)) <= len(repr(smallest)):
            smallest, kept = case, answer
        self.failures[answer.signature] = smallest, kept, before + count
        self._save(answer.signature)

    def _replay(self):
        name, case = pickle.loads(self._profile.replay.read_bytes())
        if name != self._name:
            pytest.skip(f"the case is one of {name}")
        answer = self._answer_of(case)
        print(f"{case!r}\n{answer.kind}: {answer.text}", file=sys.stderr)
        if answer.kind == FAILED:
            pytest.fail(f"{answer.signature}\n{answer.text}", pytrace=False)

    def _save(self, signature):
        """Writes the smallest case of a cause, and the files that it consists of."""
        if self._profile.folder is None:
            return
        folder = self._folder_of(signature)
        folder.mkdir(parents=True, exist_ok=True)
        case, answer, _ = self.failures[signature]
        (folder / "case.pickle").write_bytes(pickle.dumps((self._name, case)))
        if hasattr(case, "write"):
            shutil.rmtree(folder / "files", ignore_errors=True)
            case.write(folder / "files")
        (folder / "report.txt").write_text(
            f"{self._name}: {signature}\n\nreplay: make fuzz REPLAY={folder / 'case.pickle'}\n\n"
            f"{case!r}\n\n{answer.text}\n",
            encoding="utf-8",
            errors="backslashreplace",
        )

    def _folder_of(self, signature):
        digest = hashlib.sha256(signature.encode()).hexdigest()[:8]
        return self._profile.folder / self._name / digest

    def _write_counts(self):
        """Appends this campaign's row of the final table."""
        if self._profile.folder is None:
            return
        self._profile.folder.mkdir(exist_ok=True)
        row = {"name": self._name, **self.counts, "causes": sorted(self.failures)}
        with (self._profile.folder / "counts.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def _show_progress(self):
        now = time.monotonic()
        if self._profile.folder is None or now - self._last_line < _PROGRESS_SECONDS:
            return
        self._last_line = now
        done = sum(self.counts.values())
        line = f"{self._name}: {done} of {self._cases}, {self.counts[FAILED]} failed"
        print(line, file=sys.stderr, flush=True)

    def _report(self):
        """All failures, one paragraph a cause."""
        parts = [f"{self.counts[FAILED]} of {sum(self.counts.values())} cases fail"]
        for signature, (case, answer, count) in sorted(self.failures.items()):
            lines = answer.text.strip().splitlines()[-8:]
            text = "\n".join(f"    {line[:300]}" for line in lines)
            parts.append(f"{signature} ({count} cases)\n  {repr(case)[:1500]}\n{text}")
            if self._profile.folder is not None:
                parts[-1] += f"\n  saved in {self._folder_of(signature)}"
        return "\n\n".join(parts)


@dataclasses.dataclass
class _Round:
    """What a round of a campaign knows: the cause that is shrunk now, and its smallest case."""

    signature: str = ""
    smallest: object = None
    tried: int = 0


def table_of(folder):
    """The counts of all campaigns, as lines of a table."""
    path = folder / "counts.jsonl"
    if not path.exists():
        return []
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    lines = [("parser", "cases", ACCEPTED, REFUSED, FAILED, "causes")]
    for row in sorted(rows, key=lambda row: row["name"]):
        counts = [row.get(kind, 0) for kind in (ACCEPTED, REFUSED, FAILED)]
        lines.append((row["name"], sum(counts), *counts, len(row["causes"])))
    widths = [max(len(str(cell)) for cell in column) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            str(cell).rjust(width) if place else str(cell).ljust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]


__all__ = ["Answer", "Campaign", "Profile", "table_of"]
