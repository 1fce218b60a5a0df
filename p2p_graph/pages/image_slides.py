"""Images of many steps, one step at a time: a slider chooses which."""

import json
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from p2p_graph.pages.html_page import escaped
from p2p_graph.utils.counted import counted

_MOST_SLIDES = 500


class Slides(NamedTuple):
    """Images of steps that lie in a folder beside the page.

    Attributes:
      folder: the folder's name.
      steps: of each step, from the first to the last, the beginnings of its images' names: the
        step in eight digits and, behind a dash, a name.
      endings: what follows in a file's name, and the title of such images.
    """

    folder: str
    steps: Mapping[int, Sequence[str]]
    endings: Mapping[str, str]


def slides_html(slides: Slides, identity: str, label: str) -> list[str]:
    """Shows the images of the newest step, and a slider that shows those of other steps.

    The slider needs run_page.js, and is hidden without. Of more than 500 steps, 500 can be chosen.

    Args:
      slides: the images, of at least one step.
      identity: an identifier of this part of the page.
      label: of the slider.
    """
    chosen = evenly_chosen(sorted(slides.steps), _MOST_SLIDES)
    newest = chosen[-1]
    table = [[step, [urllib.parse.quote(base) for base in slides.steps[step]]] for step in chosen]
    # No "<" is in it, so that nothing ends the element.
    data = json.dumps(table, separators=(",", ":")).replace("<", "\\u003c")
    lines = [
        f'<div class="slides" id="{identity}" data-folder="{escaped(slides.folder)}">',
        '<div class="needs-script chooser">',
        f'<label for="{identity}-slider">{escaped(label)}</label>',
        f'<button type="button" class="back" aria-label="{escaped(label)}: earlier">◀</button>',
        f'<input type="range" id="{identity}-slider" min="0" max="{len(chosen) - 1}" '
        f'value="{len(chosen) - 1}" aria-valuetext="step {newest}">',
        f'<button type="button" class="on" aria-label="{escaped(label)}: later">▶</button>',
        f"<output>step {newest}</output></div>",
    ]
    for number, base in enumerate(slides.steps[newest]):
        lines += _row(slides, number, base)
    if len(chosen) < len(slides.steps):
        lines.append(
            f"<p>{len(chosen)} of {counted(len(slides.steps), 'step')}; the folder "
            f"<code>{escaped(slides.folder)}/</code> has all.</p>"
        )
    return [*lines, f'<script type="application/json">{data}</script></div>']


def _row(slides: Slides, number: int, base: str) -> list[str]:
    """The images of one name, of the step that is shown first."""
    lines = [f'<div class="row" data-number="{number}">']
    lines.append(f'<p class="name">{escaped(base.partition("-")[2])}</p>')
    for ending, title in slides.endings.items():
        source = escaped(urllib.parse.quote(f"{slides.folder}/{base}{ending}"))
        lines.append(
            f'<figure><img src="{source}" data-ending="{escaped(ending)}" '
            f'alt="{escaped(title)}"><figcaption>{escaped(title)}</figcaption></figure>'
        )
    return [*lines, "</div>"]


def evenly_chosen(steps: Sequence[int], most: int) -> list[int]:
    """At most `most` (at least 2) of many steps, evenly spread, the first and the last included."""
    if len(steps) <= most:
        return [*steps]
    return [steps[i * (len(steps) - 1) // (most - 1)] for i in range(most)]
