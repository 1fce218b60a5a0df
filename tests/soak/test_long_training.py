"""Long training: memory and open files stay what they are, and the clock may be set back."""

import re

import pytest

from .conftest import IS_SOAK, TRAINING_FLAGS
from .folders import read_jsonl
from .programs import Program, training
from .soaking import Soak

_GROWTH = 16 * 2**20  # bytes


def _long(steps):
    shared = dict(zip(*[iter(training(1, TRAINING_FLAGS).argv)] * 2, strict=True))
    each = {"save_freq": 50, "keep_every": 5, "sample_freq": 50, "display_freq": 50}
    every = {f"--{name}": str(max(1, steps // count)) for name, count in each.items()}
    rest = {"--summary_freq": "500", "--progress_freq": "100", "--max_steps": str(steps)}
    flags = shared | every | rest
    return Program("train", tuple(part for pair in flags.items() for part in pair))


@pytest.mark.parametrize("steps", [50_000] if IS_SOAK else [])
def test_memory_and_open_files_stay(steps, server, stage, tmp_path, counted):
    every, first = steps // 100, steps // 10
    soak = Soak(server, _long(steps), stage, tmp_path / "work")
    samples = tmp_path / "samples"
    run = soak.run(listener=("tests.soak.listeners:sample", str(samples), every), seconds=3000)
    assert run.code == 0, soak.text
    assert len(read_jsonl(soak.output / "losses.jsonl")) == steps
    rows = [tuple(map(int, line.split())) for line in samples.read_text().splitlines()]
    assert rows[-1][0] == steps
    late = [row for row in rows if row[0] >= first]
    memory, files = [row[1] for row in late], [row[2] for row in late]
    growth = max(memory) - memory[0]
    assert growth <= _GROWTH, f"{growth / 2**20:.1f} MiB: {rows}"
    assert len(set(files)) == 1, rows
    counted(steps=steps, kilobytes_of_growth=max(0, growth) // 1024)


def test_clock_set_back(server, stage, undisturbed, tmp_path, counted):
    """Nothing waits, no time is negative, and reports and validation go on."""
    program = training(1, TRAINING_FLAGS)
    wanted = undisturbed(program, stage)
    steps = (1, 3, 7, 10) if IS_SOAK else (1,)
    for step in steps:
        soak = Soak(server, program, stage, tmp_path / f"work-{step}")
        run = soak.run(listener=("tests.soak.listeners:set_clock_back", step))
        assert run.code == 0, soak.text
        soak.compare(wanted)
        page = (soak.output / "index.html").read_text()
        state = re.search(r'<section class="state.*?</section>', page, re.DOTALL)[0]
        for text in (run.stdout, re.sub(r"\d{4}-\d\d-\d\d", "", state)):
            assert not re.search(r"(?<![\w.])-\d", text), text
    counted(cases=len(steps))
