"""Options as dataclass fields: default, help text, flag, type, bounds and rule of each value.

The options themselves are in `options`, `data_options`, `model_options` and `training_options`.
"""

import dataclasses
import functools
import json
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from p2p_graph.config.image_size import ImageSize
from p2p_graph.config.listed_values import Channels, Folders
from p2p_graph.utils.errors import UserError
from p2p_graph.utils.file_names import why_not_utf8

MOST_FILTERS = 2**12
MOST_STEPS = 2**40  # of training, and of the intervals between reports
PROGRAMS = ("train", "test", "export")
_LARGEST_FLOAT = 3.4e38  # float32
# Types whose values have a form of their own in options.json and on the command line.
_PARSED = (ImageSize, Channels, Folders)

Field = dataclasses.Field[Any]


def option(
    default: Any,
    group: str,
    text: str | Mapping[str, str],
    *,
    programs: tuple[str, ...] = ("train",),
    choices: tuple[str, ...] = (),
    least: float | None = None,
    most: float | None = None,
    below: float | None = None,
    rule: Callable[[Any], str | None] | None = None,
    off: str | None = None,
    metavar: str | None = None,
) -> Any:
    """Declares an option of a record.

    Args:
      default: the default value; None where the default depends on other options.
      group: the heading of the flag in --help.
      text: the help text, or one by program.
      programs: the programs that have the flag.
      choices: the allowed values of a string.
      least: the smallest allowed value of a number.
      most: the largest allowed value of a number.
      below: an exclusive upper bound of a number.
      rule: from a value to the rule that it breaks ("must be ..."), or None if it is allowed.
      off: the flag that turns a bool off; by default no_NAME if the bool is on by default.
      metavar: the name of the flag's value in --help.
    """
    metadata = {
        "group": group,
        "text": text,
        "programs": programs,
        "choices": choices,
        "least": least,
        "most": most,
        "below": below,
        "rule": rule,
        "off": off or ("no_{}" if default is True else None),
        "metavar": metavar,
    }
    return dataclasses.field(default=default, metadata=metadata)


def help_text(field: Field, program: str) -> str:
    """An option's help text in one program."""
    text = field.metadata["text"]
    return text if isinstance(text, str) else str(text[program])


@dataclasses.dataclass(frozen=True)
class Record:
    """A frozen record of options of one concern, whose values are checked on construction.

    Raises:
      UserError: a value breaks its rule; the message names the option, the rule and the value.
    """

    def __post_init__(self) -> None:
        """Checks every value; makes sizes, channels and folders of what files and flags hold."""
        for field in dataclasses.fields(self):
            if field.metadata:
                value = getattr(self, field.name)
                check_value(type(self), field, value)
                kind = parsed_kind(type(self), field)
                if value is not None and kind:
                    object.__setattr__(self, field.name, kind.parse(value))


def leaves(record: type) -> Iterator[tuple[type, Field]]:
    """All options of a record and of its nested records, as (record, option)."""
    for field in dataclasses.fields(record):
        if field.metadata:
            yield record, field
        else:
            yield from leaves(_record_of(record, field))


def from_flat(record: type, flat: Mapping[str, Any]) -> Any:
    """Makes a record and its nested records from option values by name; the rest are defaults."""
    values = {}
    for field in dataclasses.fields(record):
        if not field.metadata:
            values[field.name] = from_flat(_record_of(record, field), flat)
        elif field.name in flat:
            values[field.name] = flat[field.name]
    return record(**values)


def to_flat(record: Any) -> dict[str, Any]:
    """The option values of a record and of its nested records, by name, as JSON has them."""
    flat: dict[str, Any] = {}
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        flat |= {field.name: stored(value)} if field.metadata else to_flat(value)
    return flat


def stored(value: Any) -> Any:
    """An option's value as options.json has it."""
    return value.stored if isinstance(value, _PARSED) else value


def kinds_of(record: type, field: Field) -> tuple[type, ...]:
    """The types that an option's value may have."""
    kind = _types_of(record)[field.name]
    return typing.get_args(kind) or (kind,)


def parsed_kind(record: type, field: Field) -> Any:
    """The type of an option's values if it has `parse` and `stored`, otherwise None."""
    return next((kind for kind in kinds_of(record, field) if kind in _PARSED), None)


def _record_of(record: type, field: Field) -> type:
    found: type = _types_of(record)[field.name]
    return found


@functools.cache
def _types_of(record: type) -> Mapping[str, Any]:
    """The types of a record's fields by name; resolving them takes longer than all checks."""
    return typing.get_type_hints(record)


def check_value(record: type, field: Field, value: Any) -> None:
    """Checks an option's value: its type, its bounds and its rule.

    Raises:
      UserError: the value is not allowed; the message names the option, the rule and the value.
    """
    kinds = kinds_of(record, field)
    if kind := parsed_kind(record, field):
        if value is not None or types.NoneType not in kinds:
            _check_parsed(field.name, kind, value)
        return
    _check_type(record, field, value)
    if value is None:
        return
    name, bounds = field.name, field.metadata
    if bounds["choices"] and value not in bounds["choices"]:
        raise UserError(f"{name} must be one of {', '.join(bounds['choices'])}, not {value!r}")
    if float in kinds_of(record, field) and not abs(value) <= _LARGEST_FLOAT:
        raise UserError(f"{name} must be a finite number, not {value}")
    if bounds["least"] is not None and value < bounds["least"]:
        raise UserError(f"{name} must be at least {bounds['least']}, not {value}")
    if bounds["most"] is not None and value > bounds["most"]:
        raise UserError(f"{name} must be at most {bounds['most']}, not {value}")
    if bounds["below"] is not None and value >= bounds["below"]:
        raise UserError(f"{name} must be below {bounds['below']}, not {value}")
    if bounds["rule"] and (wrong := bounds["rule"](value)):
        raise UserError(f"{name} {wrong}, not {value!r}")


def _check_parsed(name: str, kind: Any, value: Any) -> None:
    try:
        parsed = kind.parse(value)
    except UserError as error:
        raise UserError(f"{name} {error}") from None
    if kind is Folders:
        for path in parsed:
            check_text(name, path)


def _check_type(record: type, field: Field, value: Any) -> None:
    name, kinds = field.name, kinds_of(record, field)
    allowed = (*kinds, int) if float in kinds else kinds
    if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in kinds):
        wanted = " or ".join(kind.__name__ for kind in kinds if kind is not types.NoneType)
        raise UserError(f"{name} must be of type {wanted}, not {json.dumps(value, default=str)}")
    if isinstance(value, str):
        check_text(name, value)


def check_text(name: str, value: str) -> None:
    """Checks that a text can be a path and can be printed.

    Raises:
      UserError: it cannot; the message names the option and the value.
    """
    if why := why_not_utf8(value):
        raise UserError(f"{name} {value!r} is {why}")
    check_no_zero_byte(name, value)


def check_no_zero_byte(name: str, value: str) -> None:
    """Checks that the system takes a text as a path, whatever other bytes it has.

    Raises:
      UserError: it does not; the message names the option and the value.
    """
    if "\0" in value:
        raise UserError(f"{name} {value!r} has a zero byte")
