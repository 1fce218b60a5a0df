"""Options of a run, in HTML."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from p2p_graph.pages.html_page import escaped


def option_tables(options: Mapping[str, Any], defaults: Mapping[str, Any]) -> Iterable[str]:
    """Shows the options that differ from the defaults and, folded, the others.

    Args:
      options: values by name.
      defaults: the options' defaults by name.
    """
    changed = [name for name in options if options[name] != defaults.get(name)]
    rest = [name for name in options if name not in changed]
    yield '<section><h2 id="options">Options that differ from the defaults</h2>'
    yield from _table(options, defaults, changed, "Options that differ from the defaults")
    yield f'<details id="defaults"><summary>{len(rest)} more options, as by default</summary>'
    yield from _table(options, defaults, rest, "Options as by default")
    yield "</details></section>"


def _table(
    options: Mapping[str, Any], defaults: Mapping[str, Any], names: Sequence[str], label: str
) -> Iterable[str]:
    yield f'<div class="wide" tabindex="0" role="region" aria-label="{label}">'
    yield '<table class="options"><thead><tr><th>option</th><th>value</th><th>default</th></tr>'
    yield "</thead><tbody>"
    for name in names:
        values = (_option(options[name]), _option(defaults.get(name)))
        cells = "".join(f"<td>{escaped(value)}</td>" for value in values)
        yield f"<tr><td><code>{escaped(name)}</code></td>{cells}</tr>"
    yield "</tbody></table></div>"


def _option(value: object) -> str:
    if value is None:
        return "none"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
