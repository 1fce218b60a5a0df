"""Reproduces a table of the paper: trains, translates and evaluates each row, writes the table.

The same command run again continues where it stopped.
"""

import shlex

from p2p_graph.reproduction import row_record, run_row, table_report
from p2p_graph.reproduction.child_programs import RunProgram, child_command, run_child
from p2p_graph.reproduction.reproduce_options import ReproduceOptions
from p2p_graph.reproduction.row_results import RunResult
from p2p_graph.reproduction.row_stages import RowRun
from p2p_graph.reproduction.side_by_side import row_devices
from p2p_graph.reproduction.side_by_side.row_devices import RowDevice
from p2p_graph.reproduction.side_by_side.run_rows import CommandOf, Outcome, run_rows
from p2p_graph.reproduction.table_plan import TablePlan, make_plan, steps_done
from p2p_graph.runtime import cluster, devices
from p2p_graph.runtime.memory_check import check_memory
from p2p_graph.utils import file_lock, signals
from p2p_graph.utils.counted import counted
from p2p_graph.utils.errors import UserError

_NEED_MEMORY = (
    "need about {needed} GB of memory, and this machine has {present} GB: try a smaller --parallel"
)
_STOPPED = tuple(128 + number for number in signals.STOPPING)  # exit codes


def reproduce(
    options: ReproduceOptions,
    run_program: RunProgram = run_child,
    command_of: CommandOf = child_command,
) -> int:
    """Reproduces a table, or prints the plan for it.

    A row that fails is reported and omitted from the table. SIGINT, SIGTERM and SIGHUP stop the
    work.

    Args:
      options: the table, the data and the budget.
      run_program: runs a program of this package, for rows that run one after the other.
      command_of: gives the command of a program of this package, for rows that run side by side.

    Returns:
      The exit code: 0, or the code of the last row that failed or was stopped.

    Raises:
      UserError: something that a person can mend.
    """
    _refuse_several_hosts()
    # Named GPUs are looked for first: the checks of the plan take longer.
    gpus = row_devices.choose(devices.gpu_names(), options.devices, 1) if options.devices else []
    plan = make_plan(options, gpus[0].environment if gpus else None)
    places = _devices_of_rows(plan) if options.is_side_by_side else []
    if options.dry_run:
        _print_plan(plan)
        return 0
    if places:
        outcome = run_rows(plan, places, command_of)
    else:
        code = _run_rows(plan, run_program)
        outcome = Outcome(code, is_stopped=code in _STOPPED)
    if not outcome.is_stopped:
        _write_table(plan)
    return outcome.code


def _refuse_several_hosts() -> None:
    if cluster.read_cluster():
        raise UserError(
            f"environment variable {cluster.VARIABLE} names several processes, and a row is of one "
            f"machine: unset {cluster.VARIABLE}"
        )


def _devices_of_rows(plan: TablePlan) -> list[RowDevice]:
    """The devices of the rows that run at the same time, if there is memory for all of them."""
    options, left = plan.options, plan.unfinished
    count = max(1, min(options.at_once, len(left)))
    if left and count < options.at_once:
        print(f"{counted(len(left), 'row')} to run: {count} at once, not {options.at_once}")
    gpu_names = [] if plan.device == "cpu" else devices.gpu_names()
    found = row_devices.choose(gpu_names, options.devices, count)
    if count > 1:
        at_once = f"{counted(count, 'row')} at once"
        print(f"{at_once}, on {', '.join(device.name for device in found)}")
        needed = sum(sorted(plan.memory[run.folder] for run in left)[-count:])
        check_memory(needed, devices.choose(plan.device), f"{at_once} {_NEED_MEMORY}")
    return found


def _print_plan(plan: TablePlan) -> None:
    """Prints commands, steps, and about how long training takes."""
    total = 0.0
    for run in plan.requested:
        steps = plan.steps[run.folder]
        remaining = steps - steps_done(run)
        seconds = remaining * plan.seconds_per_step(run.folder) if remaining else 0.0
        total += seconds
        time = f"about {seconds / 60:.0f} minutes" if remaining else "already trained"
        print(f"== {run.name}: {counted(steps, 'step')}, {time}")
        for stage in plan.stages[run.folder]:
            print(stage)
    print(f"{counted(len(plan.requested), 'row')}, about {total / 3600:.1f} hours of training")


def _run_rows(plan: TablePlan, run_program: RunProgram) -> int:
    """Runs the requested rows in order; returns 0 or the last exit code of a row that failed."""
    last_failure = 0
    count = len(plan.requested)
    for number, run in enumerate(plan.requested, 1):
        print(f"== row {number} of {count}: {run.name}, {counted(plan.steps[run.folder], 'step')}")
        code = run_row.run_row(run, plan.stages[run.folder], run_program)
        if not code:
            continue
        print(f"row {run.row.name} ended with exit code {code}; the same command continues it")
        last_failure = code
        if code in _STOPPED:
            break
        if number < count:
            # The failed row may have been the one to score the real photos.
            plan.add_self_check(plan.requested[number])
    return last_failure


def _write_table(plan: TablePlan) -> None:
    """Writes the table of all finished runs, if any is finished."""
    options = plan.options
    results = [result for run in plan.runs if (result := _result(run, plan))]
    if not results:
        return
    options.table_folder.mkdir(exist_ok=True)
    with file_lock.held(options.table_folder, wait=True):
        table_report.write(
            options.table_folder, options.table_name, results, shlex.join(options.train_flags)
        )


def _result(run: RowRun, plan: TablePlan) -> RunResult | None:
    """The result of a run that is done as planned; reports a run that was done otherwise."""
    record, stages = row_record.read(run), plan.stages[run.folder]
    if plan.is_done(run):
        evaluation = run.evaluation_folder(plan.options.table_name)
        digest = record[stages.evaluate.name].get("wrote", "")
        return RunResult(
            run.row, run.folder, run.results_folder, evaluation, record["train"], digest
        )
    if record.get(stages.evaluate.name, {}).get("done"):
        reasons = (row_record.why_not_done(stage, record) for stage in stages)
        print(f"omitted: {run.name} {next(filter(None, reasons))}")
    return None
