"""Every flag of every program, with values of the wrong kind, huge, empty or odd, and together."""

import itertools
import re
from pathlib import Path

import pytest

from p2p_graph.config.options import FIELDS
from p2p_graph.config.options_file import REFERENCE_FIELDS

from .campaign import Campaign
from .command_lines import Flag, command_lines
from .conftest import TINY

# Of each program: arguments with which it does its least work; what it then writes; and how many
# cases of a parser a run counts as.
_PROGRAMS = {
    "check_data": (("--input_dir", "images"), None, 2),
    "convert": (("--checkpoint", "model", "--to", "native", "--output", "out"), "out", 2),
    "download_dataset": (
        ("facades", "--url", "http://127.0.0.1:1", "--output_dir", "out"),
        None,
        1,
    ),
    "evaluate": (("--results_dir", "results", "--output_dir", "out"), "out/index.html", 2),
    "export": (("--checkpoint", "model", "--output_dir", "out"), "out/saved_model", 10),
    "pack_npz": (("--input_dir", "images", "--output_file", "out.npz"), "out.npz", 5),
    "pack_records": (("--input_dir", "images", "--output_dir", "out"), "out/packed.json", 2),
    "process": (
        ("--input_dir", "images", "--output_dir", "out", "--operation", "grayscale"),
        "out/1.png",
        1,
    ),
    "reproduce": (
        ("facades", "--data", "SET", "--budget", "1", "--output_dir", "runs"),
        None,
        2,
    ),
    "serve": (("--checkpoint", "model", "--port", "0"), None, 5),
    "split": (("--dir", "images", "--train_frac", "0.5"), "images/train", 1),
    "test": (
        ("--input_dir", "images", "--checkpoint", "model", "--output_dir", "out"),
        "out/index.html",
        5,
    ),
    "train": (
        ("--input_dir", "images", "--output_dir", "out", "--max_steps", "1", *TINY),
        "out/options.json",
        10,
    ),
    "train_segmenter": (
        (
            *("--input_dir", "labelled", "--palette", "palette.csv", "--output_dir", "out"),
            *("--max_steps", "1", "--crop_size", "32", "--width", "1"),
        ),
        "out/segmenter.json",
        10,
    ),
    # Of Ray, which is not installed where this runs, only the flags are read.
    "translate_many": (
        ("--input_dir", "images", "--checkpoint", "model", "--output_dir", "out"),
        None,
        1,
    ),
}
# After the flags that are drawn: the rows of the stage are trained already, with these flags, and
# a dry run need not time their steps.
_TAILS = {"reproduce": ("--dry_run", "--", *TINY)}
# Values that ask `reproduce` for more training, which it times for longer than a run may take.
_MORE_TRAINING = {
    "--seeds": re.compile(r"\s*\+?\d[\d_]{0,2}\s*"),
    "--budget": re.compile(r"\d+(\.\d+)?m|paper|\d{1,4}"),
    "--output_dir": re.compile(r".*", re.DOTALL),
}
# Called in a program's process first, as `Programs.run` has it.
_BEFORE = {"serve": ("tests.fuzz.short_service:end_when_started",)}
_OUTPUTS = ("--output", "--dir", "--input_dir", "--results_dir", "--help", "--train_frac")
_FLAG = re.compile(r"^  (?:-h, )?(--\w+)(?: (\{.*?\}|[A-Z][\w:,\[\]]*))?(?:  |$)", re.MULTILINE)


def flags_of(program, help_text):
    """All flags that --help lists, and those of the reference that it hides."""
    flags = []
    for name, value in _FLAG.findall(help_text):
        is_list = value.startswith("{")
        flags.append(Flag(name, "" if is_list else value, tuple(value[1:-1].split(",")) * is_list))
    listed = {flag.name for flag in flags}
    if program in ("train", "test", "export"):
        hidden = [name for name in REFERENCE_FIELDS if f"--{name}" not in listed]
        for name in hidden:
            kind = {int: "N", float: "X", bool: ""}.get(type(FIELDS[name].default), "NAME")
            flags.append(Flag(f"--{name}", kind, FIELDS[name].metadata["choices"]))
    return tuple(flags)


@pytest.mark.parametrize("program", _PROGRAMS)
def test_flags(program, server, profile, stage, run_in_stage, tmp_path, request):
    base, product, cost = _PROGRAMS[program]
    base = tuple(str(stage / "set") if part == "SET" else part for part in base)
    flags = flags_of(program, server.run(program, ["--help"], tmp_path).stdout)
    assert len(flags) > 3

    def answer_of(case):
        drawn = case.argv[len(base) - 1 :]
        moved = any(part.startswith(name) for part in drawn for name in _OUTPUTS)
        product_now = None if moved else product
        return run_in_stage(case, product=product_now, before=_BEFORE.get(program))

    cases = command_lines(program, base, flags, _TAILS.get(program, ()))
    if program == "reproduce":
        request.getfixturevalue("trained_rows")
        cases = cases.filter(lambda case: _is_short(case.argv[len(base) - 1 :]))
    Campaign(f"flags of {program}", cases, answer_of, profile, cost=cost, shrink=False).run()


def _is_short(argv):
    """Whether arguments of `reproduce` ask for no training that its stage lacks."""
    given = [*itertools.pairwise(argv), *(tuple(part.partition("=")[::2]) for part in argv)]
    return not any(
        name in _MORE_TRAINING and _MORE_TRAINING[name].fullmatch(value) for name, value in given
    )


def test_every_program_and_flag_is_known(server, tmp_path):
    tools = Path(__file__).parents[2] / "tools"
    assert set(_PROGRAMS) == {path.stem for path in tools.glob("*.py")}
    listed = {}
    for program in _PROGRAMS:
        text = server.run(program, ["--help"], tmp_path).stdout
        listed[program] = {flag.name for flag in flags_of(program, text)}
        usage = text.partition("\n\n")[0]
        assert set(re.findall(r"--\w+", usage)) <= listed[program] | {"--help"}, program
    assert {f"--{name}" for name in REFERENCE_FIELDS} <= listed["train"]
