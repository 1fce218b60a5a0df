"""Counts in messages: one of a kind is singular."""

import ast
import itertools
import re
from pathlib import Path

import p2p_graph
from p2p_graph.utils.counted import counted

# What the programs count in messages.
PLURALS = re.compile(
    r" (?:training |validation )?(?:images|pairs|photos|labels|files|shards|rows|steps|bytes|cores|"
    r"weights|features|outputs|channels)\b"
)


def test_one_is_singular():
    assert [counted(number, "image") for number in (0, 1, 2)] == ["0 images", "1 image", "2 images"]


def test_every_message_with_a_count_uses_it():
    """A count is a value without a format before a plural; capitals are constants over 1."""
    found = []
    for path in Path(p2p_graph.__file__).parent.rglob("*.py"):
        for text in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            parts = text.values if isinstance(text, ast.JoinedStr) else []
            for value, after in itertools.pairwise(parts):
                if not (isinstance(value, ast.FormattedValue) and isinstance(after, ast.Constant)):
                    continue
                is_constant = ast.unparse(value.value).isupper()
                if not (value.format_spec or is_constant) and PLURALS.match(after.value):
                    found.append(f"{path.name}, line {text.lineno}: {ast.unparse(text)}")
    assert not found, "\n".join(found)
