"""Command lines: flags made from the options, and errors that end in one line.

The flags of `train`, `test` and `export` are declared where their options are: in `options`,
`data_options`, `model_options` and `training_options`.
"""

import argparse
import functools
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from p2p_graph.config import dataset_recipes
from p2p_graph.config.image_size import ImageSize
from p2p_graph.config.listed_values import Folders
from p2p_graph.config.option_fields import Field, help_text, kinds_of, parsed_kind
from p2p_graph.config.options import FIELDS, RECORDS, Options
from p2p_graph.config.options_file import MODEL_FIELDS, REFERENCE_FIELDS
from p2p_graph.utils.errors import UserError, escaped

_GROUPS = ("files", "data", "model", "training", "reports")
# Options of a model that a program which uses the model accepts as they were in training.
_EQUAL = ("which_direction", "lab_colorization", "ngf", "ndf", "separable_conv")
_AS_TRAINED = " (accepted if equal to the checkpoint's)"


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, and that takes flags by their full names."""

    def __init__(self, **options: Any) -> None:
        """Makes a parser; the options are those of `ArgumentParser`."""
        super().__init__(**options, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Prints the message, without the usage before it, and ends the program with code 2."""
        self.exit(2, escaped(f"{self.prog}: {message} (--help lists the flags)") + "\n")


def given(program: str, description: str, argv: Sequence[str]) -> dict[str, Any]:
    """Reads the command line of `train`, `test` or `export`.

    The reference program takes all of its flags in every mode. Flags without effect in this
    program are accepted and reported, so that old scripts work.

    Returns:
      The values that were given, by flat name.
    """
    parser = options_parser(program, description)
    without = [
        name for name in REFERENCE_FIELDS if program not in FIELDS[name].metadata["programs"]
    ]
    for name in without:
        _add_flag(parser, FIELDS[name], program, hidden=True)
    found = vars(parser.parse_args(argv))
    for name in without:
        if name in found:
            del found[name]
            print(f"--{name} has no effect in {program}")
    return found


def options_parser(program: str, description: str) -> Parser:
    """Makes the parser of `train`, `test` or `export`; its result holds given values only."""
    parser = Parser(
        description=description,
        argument_default=argparse.SUPPRESS,
        formatter_class=functools.partial(
            argparse.RawDescriptionHelpFormatter, max_help_position=28
        ),
    )
    groups = {name: parser.add_argument_group(_title(name, program)) for name in _GROUPS}
    for field in FIELDS.values():
        if program in field.metadata["programs"]:
            _add_flag(groups[field.metadata["group"]], field, program)
    return parser


def _title(group: str, program: str) -> str:
    """A group's title: of the options of training, translation and export take some."""
    return "execution" if group == "training" and program != "train" else group


def source_parser(description: str, *more: str) -> Parser:
    """Makes a parser of flags that name images, for programs that inspect or pack them.

    Its result holds given values only, by flat name.

    Args:
      description: of the program.
      more: options that the program has besides, by flat name; `input_dir` if it reads shards,
        too, and `arrays` if it reads archives.
    """
    parser = Parser(
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
    )
    if "input_dir" not in more:
        archive = ", or an .npz archive" if "arrays" in more else ""
        parser.add_argument(
            "--input_dir",
            metavar="DIR",
            help=f"folder of A|B pairs side by side{archive} (required, unless --manifest is "
            "given)",
        )
    for name in ("target_dir", "manifest", *more):
        _add_flag(parser, FIELDS[name], "train")
    parser.add_argument(
        "--single",
        dest="inputs_only",
        action="store_true",
        help="the images are not pairs: for Lab colourisation, inpainting, inputs without targets",
    )
    return parser


def source_options(given: Mapping[str, Any]) -> Options:
    """Makes the options that name the images which `source_parser` was given.

    Raises:
      UserError: no images are named, or the flags contradict each other.
    """
    if not {"input_dir", "manifest"} & set(given):
        raise UserError("input_dir is missing: name the folder of images (--input_dir)")
    return Options.of(**given)


def training_hint(command: str, packed: object, given: Mapping[str, Any]) -> str:
    """The command that trains on images packed from those that were given."""
    flags = ["--input_dir", shlex.quote(str(packed))]
    recipe = "none"
    if "input_dir" in given:
        recipe = dataset_recipes.choose(None, Path(given["input_dir"]))
    if given.get("inputs_only"):
        flags.append("--lab_colorization")
    elif recipe != "none":
        flags += ["--recipe", recipe]  # the packed folder's name does not tell
    return f"next: {command} {' '.join(flags)}"


def _add_flag(
    group: "argparse._ActionsContainer", field: Field, program: str, *, hidden: bool = False
) -> None:
    name, kinds = field.name, kinds_of(RECORDS[field.name], field)
    text = argparse.SUPPRESS if hidden else help_text(field, program)
    if name == "mode":
        group.add_argument("--mode", choices=[program], help=text)
        return
    if kinds == (bool,):
        default = " (default)" if field.default else ""
        if program != "train" and name in _EQUAL:
            default = _AS_TRAINED
        default = "" if hidden else default
        group.add_argument(f"--{name}", action="store_true", help=text + default)
        if field.metadata["off"]:
            group.add_argument(
                f"--{field.metadata['off'].format(name)}",
                dest=name,
                action="store_false",
                help=text
                if hidden
                else f"turn off --{name}{'' if field.default else ' (default)'}",
            )
        return
    default = "" if hidden else _default_text(field, program)
    kind = next(kind for kind in kinds if kind is not type(None))
    if kind is Folders:
        group.add_argument(
            f"--{name}", action="append", metavar=_metavar(field, kind), help=text + default
        )
        return
    group.add_argument(
        f"--{name}",
        type=functools.partial(_stored, kind) if parsed_kind(RECORDS[name], field) else kind,
        choices=field.metadata["choices"] or None,
        metavar=None if field.metadata["choices"] else _metavar(field, kind),
        help=text + default,
    )


def size_argument(text: str) -> ImageSize:
    """The type of a flag whose value is an image's size, for argparse."""
    size: ImageSize = _parsed(ImageSize, text)
    return size


def _stored(kind: Any, text: str) -> Any:
    return _parsed(kind, text).stored


def _parsed(kind: Any, text: str) -> Any:
    try:
        return kind.parse(text)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _default_text(field: Field, program: str) -> str:
    if program != "train" and field.name in _EQUAL:
        return _AS_TRAINED
    if program != "train" and field.name in MODEL_FIELDS:
        return " (default: the checkpoint's)"
    if program != "train" and field.name in ("split", "split_seed"):
        return ""
    return "" if field.default is None else f" (default: {field.default})"


def _metavar(field: Field, kind: type) -> str:
    if field.name.endswith("_dir") or field.name == "checkpoint":
        return "DIR"
    return field.metadata["metavar"] or {int: "N", float: "X", str: "NAME"}[kind]
