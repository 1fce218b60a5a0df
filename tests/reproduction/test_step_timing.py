"""How long a training step takes."""

import sys

import pytest

from p2p_graph.config import flags
from p2p_graph.config.options import Options
from p2p_graph.reproduction.step_budget import seconds_per_step, step_counts
from p2p_graph.utils.errors import UserError


@pytest.fixture
def program(tmp_path):
    """A function that makes a program of a source text, and returns the command to run it."""

    def make(source):
        path = tmp_path / "program.py"
        path.write_text(source)
        return [sys.executable, str(path)]

    return make


def test_a_signal_while_measuring_is_the_exit_code(program, capsys):
    command = program("import os\nos.kill(os.getpid(), 15)\n")
    with pytest.raises(SystemExit) as ended:
        seconds_per_step(command, 1)
    assert ended.value.code == 143
    assert capsys.readouterr().out == "stopped while measuring\n"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("print('wrong', file=sys.stderr)\nsys.exit('worse')", "worse"),
        ("print('wrong')\nsys.exit(3)", "wrong"),
        ("sys.exit(3)", "training ended with exit code 3"),
    ],
)
def test_training_that_fails_is_reported(program, source, message):
    command = program(f"import sys\n{source}\n")
    with pytest.raises(UserError, match=f"^{message}$"):
        seconds_per_step(command, 1)


def test_slow_rates_and_the_warm_up_do_not_matter(program):
    """A rate that rounds to 0.0 images/s; 10 steps in 0.6 s, then 30 steps in 0.3 s."""
    command = program(
        "import time\n"
        "for seconds in (0.6, 0.1, 0.1, 0.1):\n"
        "    time.sleep(seconds)\n"
        "    print('progress  epoch 1  step 9  image/sec 0.0  remaining 9m', flush=True)\n"
        "    print('discrim_loss 0.5', flush=True)\n"
    )
    assert seconds_per_step(command, 1) == pytest.approx(0.01, rel=0.5)


@pytest.mark.parametrize("steps_per_run", [1, 7, 50])
def test_step_counts_fit_steps_per_run(program, tmp_path, steps_per_run):
    """The flags are a configuration that training accepts, and the lines come when expected."""
    arguments = tmp_path / "arguments"
    command = program(
        "import sys\n"
        f"open({str(arguments)!r}, 'w').write('\\n'.join(sys.argv[1:]))\n"
        "print('progress 1')\nprint('progress 2')\n"
    )
    own = ("--input_dir", "x", "--steps_per_run", str(steps_per_run))
    own = (*own, "--summary_freq", str(100 * steps_per_run), "--save_freq", str(steps_per_run))
    own = (*own, "--progress_freq", str(steps_per_run))
    seconds_per_step([*command, *own], steps_per_run)
    config = Options.of(**flags.given("train", "", arguments.read_text().splitlines()))
    warm_up, total = step_counts(steps_per_run)
    assert (config.reports.progress_freq, config.length.max_steps) == (warm_up, total)
    assert warm_up >= 10
    assert total - warm_up >= 30
    assert total % warm_up == warm_up % steps_per_run == 0
