"""Hypothesis strategies of command lines: a program's flags with any values."""

from typing import NamedTuple

from hypothesis import strategies as st


class Flag(NamedTuple):
    """A flag of a program, as --help has it.

    Attributes:
      name: with its hyphens.
      metavar: of its value; empty for a flag without one.
      choices: of the value; empty for any.
    """

    name: str
    metavar: str = ""
    choices: tuple[str, ...] = ()


class Command(NamedTuple):
    """A case that is a command line.

    Attributes:
      program: a module's name in `p2p_graph.cli`.
      argv: its arguments, those that work first: a later flag takes an earlier one's place.
    """

    program: str
    argv: tuple[str, ...]

    def __repr__(self):
        return f"{self.program} {' '.join(map(repr, self.argv))}"


_INTEGERS = (
    *(-1, 0, 1, 2, 3, 4, 16, 17, 32, 2**20, 2**31 - 1, 2**31, 2**32, 2**63 - 1, 2**63, 2**64),
    *(10**30, -(2**31), -(2**63)),
)
_FLOATS = (
    *("nan", "inf", "-inf", "1e400", "1e-400", "-0.0", "1e38", "3.5e38", "0.5", "1", "0", "-1"),
    *("1e-40", "1.0000001", "infinity", "1e308", "0.9999999999999999", "1_0.5"),
)
_ODD_NUMBERS = ("1_0", "٣", " 5 ", "5\n", "0x10", "1e3", "1.5", "+5", "9" * 5000)
_TEXTS = (
    *("", " ", "\n", "a\nb", "é", "\udcff", "🎉", "x" * 300, "x" * 5000, "%s", "%(default)s", "{}"),
    *("[a", "*", "a/b", "..", "/", "~", "--ngf", "-", "-1", "\t", "\x1b[31m", ",", "a,b", ":"),
    *("os:abc", "nan", "0", "1e", "2e", "99999999999e", "n_layers=3", "1m", "0.0001m", "٣"),
    *("paper", "none", "a..b", "localhost", "127.0.0.1"),
)
# Names in the folder in which the programs run, see `conftest.stage`.
_PATHS = (
    *("images", "labelled", "model", "results", "records", "images.npz", "list.csv", "palette.csv"),
    *("model/options.json", "model/checkpoint", "images/1.png", "statistics.npz", "empty", "set"),
    *("nowhere", "nowhere/deep", ".", "", "model.pict", "out.npz", "/dev/null", "images/1.png/x"),
    *("fifo", "loop", "dangling", "a\nb", "\udcff", "x" * 300, "/dev/full", "/proc/self/mem", "é"),
)
# Any larger number asks for work that is only long.
_LENGTHS = ("--max_steps", "--max_epochs")


def _values(flag):
    """Values of a flag: some that fit, and some of the wrong kind."""
    if flag.choices:
        return st.sampled_from((*flag.choices, *flag.choices, *_TEXTS))
    integers = [
        number for number in _INTEGERS if flag.name not in _LENGTHS or not 4 < number < 2**63
    ]
    # Numbers that a type takes come more often than texts that it refuses.
    of_numbers = {"N": tuple(map(str, integers)), "X": _FLOATS}
    if flag.metavar in of_numbers:
        pools = [of_numbers[flag.metavar]] * 3 + [_ODD_NUMBERS, _TEXTS]
    else:
        pools = [_PATHS, _TEXTS]
    return st.one_of([st.sampled_from(pool) for pool in pools])


def command_lines(program, base, flags, tail=()):
    """Command lines of a program: those of `base` and one to three flags with any values.

    Args:
      program: its name.
      base: arguments with which it does its least work.
      flags: all of its flags.
      tail: arguments that come last.
    """

    def with_value(flag):
        if not flag.metavar and not flag.choices:
            return st.just((flag.name,))
        separate = _values(flag).map(lambda value: (flag.name, value))
        return st.one_of(separate, _values(flag).map(lambda value: (f"{flag.name}={value}",)))

    one = st.sampled_from(flags).flatmap(with_value)
    count = st.sampled_from((1, 1, 1, 2, 2, 3))
    drawn = count.flatmap(lambda number: st.lists(one, min_size=number, max_size=number))
    # Seldom without one of the arguments that are needed.
    dropped = st.sampled_from((None,) * 9 + (0, len(base) // 2))

    def command(drawn, dropped):
        kept = [each for place, each in enumerate(base) if place != dropped]
        return Command(program, (*kept, *(part for parts in drawn for part in parts), *tail))

    return st.builds(command, drawn, dropped)
