from pathlib import Path

import pytest

from p2p_graph.config import flags
from p2p_graph.config.image_size import ImageSize
from p2p_graph.config.listed_values import Channels, Folders
from p2p_graph.config.option_fields import PROGRAMS, kinds_of
from p2p_graph.config.options import FIELDS, RECORDS, Options

ROOT = Path(__file__).parents[2]

GROUPS = ["files", "data", "model", "training", "reports"]
# Flags that turn an option off, and the option.
OFF = {
    "no_flip": "flip",
    "no_upright": "upright",
    "unconditional": "conditional",
    "no_target_first": "target_first",
    "no_bottleneck_norm": "bottleneck_norm",
    "no_dropout_in_use": "dropout_in_use",
    "no_resize_first": "resize_first",
}
# Every flag of the reference program for training, with a value.
REFERENCE = {
    "input_dir": "pairs",
    "output_dir": "run",
    "seed": 3,
    "checkpoint": "before",
    "max_steps": 7,
    "max_epochs": 2,
    "summary_freq": 10,
    "progress_freq": 11,
    "trace_freq": 12,
    "display_freq": 13,
    "save_freq": 14,
    "separable_conv": True,
    "aspect_ratio": 1.5,
    "lab_colorization": True,
    "batch_size": 4,
    "which_direction": "BtoA",
    "ngf": 8,
    "ndf": 9,
    "scale_size": 300,
    "flip": True,
    "no_flip": True,
    "lr": 0.01,
    "beta1": 0.9,
    "l1_weight": 10.0,
    "gan_weight": 2.0,
}
TEST_FLAGS = {
    "mode", "input_dir", "target_dir", "more_inputs", "output_dir", "checkpoint", "step",
    "skip_bad", "inputs_only",
    "which_direction",
    "lab_colorization", "crop_size", "aspect_ratio", "ngf", "ndf", "separable_conv", "dropout",
    "batch_size", "max_steps", "seed", "device", "resize", "resize_targets",
    "manifest", "arrays", "split", "split_seed", "sample_count", "grid",
    "input_channels", "target_channels", "precision", "output_bits", "upright", "no_upright",
    "shard", "skip_done", "page_limit",
}  # fmt: skip
EXPORT_FLAGS = {
    "mode", "output_dir", "checkpoint", "step", "crop_size", "dropout", "seed", "output_filetype",
    "format", "calibration_dir", "inputs_only", "more_inputs", "ort_dir", "examples", "palette",
}  # fmt: skip


def parse(program_name, *arguments):
    return vars(flags.options_parser(program_name, "Does it.").parse_args(arguments))


def known(program_name):
    """The names of a program's flags, without dashes."""
    parser = flags.options_parser(program_name, "Does it.")
    names = {name for action in parser._actions for name in action.option_strings}
    return {name.removeprefix("--") for name in names} - {"-h", "help"}


def refused(capsys, program_name, *arguments):
    """The message for refused arguments: one line on stderr, exit code 2."""
    with pytest.raises(SystemExit) as caught:
        parse(program_name, *arguments)
    assert caught.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith("\n")
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize("program_name", PROGRAMS)
def test_flags_are_the_tools_fields(program_name):
    wanted = {name for name, field in FIELDS.items() if program_name in field.metadata["programs"]}
    wanted |= {off for off, name in OFF.items() if name in wanted}
    assert known(program_name) == wanted


def test_flags_by_tool():
    of_others = {
        "inputs_only",
        "output_filetype",
        "format",
        "calibration_dir",
        "ort_dir",
        "examples",
        "palette",
        "output_bits",
        "grid",
        "step",
        "shard",
        "skip_done",
        "page_limit",
    }
    assert known("train") == set(FIELDS) - of_others | set(OFF)
    assert known("test") == TEST_FLAGS
    assert known("export") == EXPORT_FLAGS


@pytest.mark.parametrize("program_name", PROGRAMS)
def test_result_has_given_flags_only(program_name):
    assert parse(program_name) == {}
    assert parse(program_name, "--seed", "0") == {"seed": 0}


@pytest.mark.parametrize(("name", "value"), REFERENCE.items())
def test_flag_of_the_reference(name, value):
    if name == "no_flip":
        assert parse("train", "--no_flip") == {"flip": False}
    elif value is True:
        assert parse("train", f"--{name}") == {name: True}
    else:
        assert parse("train", f"--{name}", str(value)) == {name: value}
        assert parse("train", f"--{name}={value}") == {name: value}


def test_all_flags_of_the_reference_at_once():
    arguments = []
    for name, value in REFERENCE.items():
        arguments += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    given = parse("train", *arguments)
    assert given == {name: value for name, value in REFERENCE.items() if name != "no_flip"} | {
        "flip": False
    }
    assert Options.of(**given).data.batches.batch_size == 4


def test_values_have_their_fields_types():
    for name in known("train") - {*OFF, "mode"}:
        field = FIELDS[name]
        if kinds_of(RECORDS[field.name], field) == (bool,):
            given = parse("train", f"--{name}")
        else:
            value = field.metadata["choices"][0] if field.metadata["choices"] else "7"
            given = parse("train", f"--{name}", value)
        assert list(given) == [name]
        kinds = kinds_of(RECORDS[field.name], field)
        of_numbers = {ImageSize, Channels} & set(kinds)
        wanted = int if of_numbers else list if Folders in kinds else kinds
        assert isinstance(given[name], wanted), name


@pytest.mark.parametrize(("off", "name"), OFF.items())
def test_on_and_off(off, name):
    assert parse("train", f"--{name}") == {name: True}
    assert parse("train", f"--{off}") == {name: False}
    assert parse("train", f"--{off}", f"--{name}") == {name: True}


@pytest.mark.parametrize("program_name", ["test", "export"])
def test_flags_of_the_reference_without_effect_are_accepted(program_name, capsys):
    without = {name for name in REFERENCE if name.removeprefix("no_") not in known(program_name)}
    assert {"lr", "no_flip", "scale_size", "save_freq"} <= without
    arguments = ["--seed", "1"]
    for name in sorted(without):
        arguments += [f"--{name}"] if REFERENCE[name] is True else [f"--{name}", "3"]
    arguments = [{"--which_direction": "--lr"}.get(argument, argument) for argument in arguments]
    assert flags.given(program_name, "Does it.", arguments) == {"seed": 1}
    expected = capsys.readouterr().out.splitlines()
    assert f"--lr has no effect in {program_name}" in expected
    assert flags.given("train", "Does it.", ["--lr", "3"]) == {"lr": 3.0}
    with pytest.raises(SystemExit):
        flags.given(program_name, "Does it.", ["--help"])
    assert "--lr" not in capsys.readouterr().out


@pytest.mark.parametrize("program_name", PROGRAMS)
def test_mode_must_name_the_tool(program_name, capsys):
    assert parse(program_name, "--mode", program_name) == {"mode": program_name}
    for other in {*PROGRAMS} - {program_name}:
        assert f"invalid choice: '{other}'" in refused(capsys, program_name, "--mode", other)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--ngf", "many"], ["--ngf", "invalid int value: 'many'"]),
        (["--ngf", "1.5"], ["--ngf", "invalid int value: '1.5'"]),
        (["--lr", "fast"], ["--lr", "invalid float value: 'fast'"]),
        (["--which_direction", "CtoD"], ["--which_direction", "'CtoD'", "AtoB", "BtoA"]),
        (["--input_dir"], ["--input_dir", "expected one argument"]),
        (["--zoom", "2"], ["unrecognized arguments: --zoom 2"]),
        (["pairs"], ["unrecognized arguments: pairs"]),
        (["--max_step", "2"], ["unrecognized arguments: --max_step 2"]),
        (["--inputs_only"], ["unrecognized arguments: --inputs_only"]),
        (["--no_skip_bad"], ["unrecognized arguments: --no_skip_bad"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_errors_are_one_line(arguments, expected, capsys):
    message = refused(capsys, "train", *arguments)
    assert [part for part in expected if part not in message] == []
    assert "--help" in message


@pytest.mark.parametrize("program_name", PROGRAMS)
def test_help_shows_groups_and_every_flag(program_name, capsys):
    with pytest.raises(SystemExit) as caught:
        parse(program_name, "--help")
    assert caught.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert "Does it." in lines
    used = {
        field.metadata["group"]
        for field in FIELDS.values()
        if program_name in field.metadata["programs"]
    }
    # Translation and export do not train.
    training = "training" if program_name == "train" else "execution"
    groups = [group.replace("training", training) for group in GROUPS]
    titles = [line.removesuffix(":") for line in lines if line.removesuffix(":") in groups]
    used_titles = [title for group, title in zip(GROUPS, groups, strict=True) if group in used]
    assert titles == used_titles
    shown = {word for line in lines for word in line.replace(",", " ").split()}
    assert {f"--{name}" for name in known(program_name)} <= shown


def test_help_shows_flags_in_their_group(capsys):
    with pytest.raises(SystemExit):
        parse("train", "--help")
    sections = capsys.readouterr().out.split("\n\n")
    for name in known("train") - set(OFF):
        [section] = [text for text in sections if f"\n  --{name} " in text]
        assert section.splitlines()[0] == f"{FIELDS[name].metadata['group']}:", name


def test_help_shows_defaults(capsys):
    with pytest.raises(SystemExit):
        parse("train", "--help")
    text = " ".join(capsys.readouterr().out.split())
    for shown in (
        "of Adam (default: 0.0002)",
        "not at the end (default: 5000)",
        "probability 1/2 (default)",
    ):
        assert shown in text
