"""Runs rows at the same time, each on its device, as `run_row` runs them one after the other."""

import collections
import concurrent.futures
import contextlib
import os
import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

from p2p_graph.reproduction.child_programs import shell_command
from p2p_graph.reproduction.row_stages import RowRun
from p2p_graph.reproduction.run_row import run_row
from p2p_graph.reproduction.side_by_side import row_log
from p2p_graph.reproduction.side_by_side.children import Children
from p2p_graph.reproduction.side_by_side.row_devices import RowDevice
from p2p_graph.reproduction.side_by_side.row_log import RowLog
from p2p_graph.reproduction.side_by_side.row_progress import RowScreen
from p2p_graph.reproduction.table_plan import TablePlan
from p2p_graph.utils import child_process, signals
from p2p_graph.utils.counted import counted
from p2p_graph.utils.errors import UserError, escaped, shortened_list, why_not_written

# The command that starts a program, such as "train.py", without flags.
CommandOf = Callable[[str], list[str]]
_SHARED_FILE = "--target_statistics"  # the flag of tools/evaluate.py that names it


class Outcome(NamedTuple):
    """How the rows ended.

    Attributes:
      code: 0, the exit code of the last row that failed, or 128 + the number of a signal.
      is_stopped: whether a signal has stopped this program.
    """

    code: int
    is_stopped: bool


def run_rows(plan: TablePlan, devices: Sequence[RowDevice], command_of: CommandOf) -> Outcome:
    """Runs the unfinished rows of a plan, as many at the same time as there are devices.

    A row that fails is reported, and the others go on. SIGINT, SIGTERM and SIGHUP end all rows;
    what they have trained is saved.

    Args:
      plan: the table's plan.
      devices: at least one.
      command_of: gives the command of a program.
    """
    for run in plan.requested:
        if plan.is_done(run):
            print(f"{run.name}: already done")
    with RowScreen(len(devices)) as screen:
        rows = _Rows(plan, devices, command_of, screen)
        with rows.children.signals_passed_on():
            rows.run(plan.unfinished)
            done = [run for run in plan.requested if plan.is_done(run)]
            if done and rows.codes and not rows.children.stopped_by:
                # The failed row may have been the one to score the real photos.
                plan.add_self_check(done[0])
                if not plan.is_done(done[0]):
                    rows.run(done[:1])
    if number := rows.children.stopped_by:
        print(f"stopped by {number.name}: what is trained is saved")
        print("the same command goes on from there")
        return Outcome(128 + number, is_stopped=True)
    failed = [run for run in plan.requested if run in rows.codes]
    return Outcome(rows.codes[failed[-1]] if failed else 0, is_stopped=False)


class _Rows:
    """The rows of a plan at work.

    Attributes:
      children: the programs that run.
      codes: the exit codes of the rows that failed.
    """

    def __init__(
        self,
        plan: TablePlan,
        devices: Sequence[RowDevice],
        command_of: CommandOf,
        screen: RowScreen,
    ) -> None:
        self.children = Children()
        self.codes: dict[RowRun, int] = {}
        self._plan = plan
        self._devices = devices
        self._command_of = command_of
        self._screen = screen
        self._waiting: collections.deque[RowRun] = collections.deque()
        self._shared_file = threading.Lock()
        self._is_shared_file_made = False

    def run(self, runs: Sequence[RowRun]) -> None:
        """Runs these rows to their end, or until a signal stops them."""
        self._waiting.extend(runs)
        with concurrent.futures.ThreadPoolExecutor(len(self._devices)) as pool:
            working = [pool.submit(self._work, place) for place in range(len(self._devices))]
            signals.wait_for(working)
        for thread in working:
            thread.result()  # raises what is a defect

    def _work(self, place: int) -> None:
        """Runs one waiting row after the other on a device."""
        device = self._devices[place]
        if device.cores:
            # Of this thread. The programs that it starts have the same cores, with all of their
            # threads, and count them.
            os.sched_setaffinity(0, device.cores)
        while not self.children.stopped_by:
            try:
                run = self._waiting.popleft()
            except IndexError:
                return
            steps = counted(self._plan.steps[run.folder], "step")
            self._screen.say(f"== {run.name}: {steps}, on {device.name}")
            self._run_row(run, place)
            self._screen.begin(place, "")

    def _run_row(self, run: RowRun, place: int) -> None:
        """Runs a row, and reports it if it fails."""
        reason = ""
        try:
            run.folder.mkdir(parents=True, exist_ok=True)
            with row_log.opened(run.folder / row_log.LOG_FILE) as log:
                code = run_row(
                    run,
                    self._plan.stages[run.folder],
                    lambda program, flags: self._run_program(run, place, log, program, flags),
                    lambda line: self._screen.say(f"{run.name}: {line}"),
                    self._devices[place].gpu,
                )
                if code and (lines := log.last_lines()):
                    reason = f"\n{escaped(str(log.path))} ends:\n{shortened_list(lines)}"
        except UserError as error:
            code, reason = 2, f": {error}"
        except OSError as error:
            name = "" if error.filename is None else f"{error.filename}: "
            code, reason = 2, f": {escaped(f'{name}{why_not_written(error)}')}"
        if code and not self.children.stopped_by:
            self.codes[run] = code
            self._screen.say(
                f"row {run.name} ended with exit code {code}; the same command continues it{reason}"
            )

    def _run_program(
        self, run: RowRun, place: int, log: RowLog, program: str, flags: Sequence[str]
    ) -> int:
        """Runs a program of a row, with its output in the row's log."""
        title = f"{run.name}: {program.removesuffix('.py')}"
        env = {
            **child_process.environment(),
            **self._devices[place].environment,
            "PYTHONUNBUFFERED": "1",  # the log has errors and other output in their order
        }

        def show_progress() -> None:
            for line in log.new_lines():
                self._screen.report(place, run.name, line)

        with contextlib.ExitStack() as alone:
            if _SHARED_FILE in flags:
                # The first evaluation writes the features of the targets, which the others read.
                alone.enter_context(self._shared_file)
                if self._is_shared_file_made:
                    alone.close()
            log.begin(shell_command(program, flags))
            self._screen.begin(place, title)
            command = [*self._command_of(program), *flags]
            code = self.children.run(command, log.output, show_progress, env)
            self._is_shared_file_made |= _SHARED_FILE in flags and not code
        return code
