"""Command lines: flags from the fields of `Config`, and errors that end in one line."""

import argparse
import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from p2p_graph.config import recipes
from p2p_graph.config.options import Config, field_kinds
from p2p_graph.config.options_file import REFERENCE_FIELDS
from p2p_graph.utils.errors import UserError

_GROUPS = ("files", "data", "model", "networks", "training", "reports")


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, without the usage before it."""

    def error(self, message: str) -> NoReturn:
        """Prints the message and ends the program with code 2."""
        self.exit(2, f"{self.prog}: {message} (--help lists the flags)\n")


def given(tool: str, description: str, argv: Sequence[str]) -> dict[str, Any]:
    """Reads the command line of `train`, `test` or `export`; what was not given is left out.

    The reference program takes all of its flags in every mode. Those that do nothing in this one
    are taken too, so that old scripts work, and named.
    """
    parser = config_parser(tool, description)
    fields = {field.name: field for field in dataclasses.fields(Config)}
    without = [name for name in REFERENCE_FIELDS if tool not in fields[name].metadata["tools"]]
    for name in without:
        _add_flag(parser, fields[name], tool, hidden=True)
    found = vars(parser.parse_args(argv))
    for name in without:
        if name in found:
            del found[name]
            print(f"--{name} has no effect in {tool}")
    return found


def config_parser(tool: str, description: str) -> Parser:
    """Makes the parser of `train`, `test` or `export`; what was not given is not in its result."""
    parser = Parser(
        description=description,
        argument_default=argparse.SUPPRESS,
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=28),
        allow_abbrev=False,
    )
    groups = {name: parser.add_argument_group(name) for name in _GROUPS}
    for field in dataclasses.fields(Config):
        if tool in field.metadata["tools"]:
            _add_flag(groups[field.metadata["group"]], field, tool)
    return parser


def sources_parser(description: str) -> Parser:
    """Makes a parser of what names images, for programs that look at them or pack them.

    What was not given is not in its result, which `Config` takes.
    """
    parser = Parser(
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    parser.add_argument("--input_dir", metavar="DIR", help="folder of images, A|B side by side")
    parser.add_argument("--target_dir", metavar="DIR", help="folder of B, if input_dir is A alone")
    parser.add_argument("--manifest", metavar="CSV", help="list of files, instead of folders")
    parser.add_argument(
        "--single",
        dest="inputs_only",
        action="store_true",
        help="the images are no pairs: for Lab, inpainting or translation",
    )
    return parser


def sources_config(given: Mapping[str, Any]) -> Config:
    """Makes the configuration that names the images which `sources_parser` was given.

    Raises:
      UserError: none are named, or the flags contradict each other.
    """
    if not {"input_dir", "manifest"} & set(given):
        raise UserError("input_dir is missing: name the folder of images (--input_dir)")
    return Config(**given)


def training_hint(packed: object, given: Mapping[str, Any]) -> str:
    """The command that trains on what was packed from the images that were given."""
    flags = ["--input_dir", shlex.quote(str(packed))]
    recipe = recipes.choose(None, Path(given["input_dir"])) if "input_dir" in given else "none"
    if given.get("inputs_only"):
        flags.append("--lab_colorization")
    elif recipe != "none":
        flags += ["--recipe", recipe]  # packed, its folder's name does not tell any more
    return f"next: python tools/train.py {' '.join(flags)}"


def _add_flag(
    group: "argparse._ActionsContainer",
    field: "dataclasses.Field[Any]",
    tool: str,
    *,
    hidden: bool = False,
) -> None:
    name, text = field.name, field.metadata["help"]

    def shown_with(addition: str) -> str:
        return argparse.SUPPRESS if hidden else text + addition

    if name == "mode":
        group.add_argument("--mode", choices=[tool], help=text)
    elif field_kinds(field) == (bool,):
        shown = " (default)" if field.default else ""
        group.add_argument(f"--{name}", action="store_true", help=shown_with(shown))
        if field.metadata["off"]:
            group.add_argument(
                f"--{field.metadata['off'].format(name)}",
                dest=name,
                action="store_false",
                help=argparse.SUPPRESS if hidden else f"do not {text}",
            )
    else:
        shown = "" if field.default is None else f" ({field.default})"
        kind = next(kind for kind in field_kinds(field) if kind is not type(None))
        group.add_argument(
            f"--{name}",
            type=kind,
            choices=field.metadata["choices"] or None,
            metavar=None if field.metadata["choices"] else _metavar(name, kind),
            help=shown_with(shown),
        )


def _metavar(name: str, kind: type) -> str:
    if name.endswith("_dir") or name == "checkpoint":
        return "DIR"
    return {int: "N", float: "X", str: "NAME"}[kind]
