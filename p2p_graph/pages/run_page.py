"""The page of a training run: what it does, its losses, its images, its options."""

import math
import os
import time
import urllib.parse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from p2p_graph.pages.html_page import INDEX_FILE, definitions, escaped, packaged_text, write_page
from p2p_graph.pages.image_slides import Slides, slides_html
from p2p_graph.pages.line_chart import line_chart, short
from p2p_graph.pages.option_tables import option_tables
from p2p_graph.pages.step_curves import ValidationFigures
from p2p_graph.pages.thinned_curve import ThinnedCurve

TIPS = "docs/TIPS.md"
_SHARES = (0.0, 1.0)
# Seconds between refreshes: a new page comes with each report, and a reader wants to read.
_SHORTEST, _LONGEST = 5, 60


class State(NamedTuple):
    """Whether a run goes on.

    Attributes:
      kind: running, done, stopped or failed.
      text: says so, and at which step.
      anchor: of the tips on what has happened, or empty.
    """

    kind: str
    text: str
    anchor: str = ""


class ShownSign(NamedTuple):
    """A sign that training fails.

    Attributes:
      text: what is seen.
      anchor: of the tips on it.
      first_step: where the state began.
      last_step: where it ended; None if it goes on.
    """

    text: str
    anchor: str
    first_step: int
    last_step: int | None


class RunView(NamedTuple):
    """What the page of a run shows.

    Attributes:
      name: of the run.
      state: whether it goes on.
      step: steps done.
      last_step: that training ends with.
      between_reports: seconds between this report and the next, about; 0 if that is not known.
      progress: further names and values.
      losses: averaged losses by name; those of D are missing where there is no D.
      shares: what of D's scores is right, and saturated, by name; empty where there is no D.
      validation: the metrics of the validation images by name; empty where there are none.
      kept: about the best checkpoint that is kept, or empty.
      images: training images, if there are any.
      samples: grids of validation images, if there are any.
      signs: that training fails.
      options: by flat name.
      defaults: the options' defaults.
      versions: of programs, and the device.
    """

    name: str
    state: State
    step: int
    last_step: int
    between_reports: float
    progress: Mapping[str, str]
    losses: Mapping[str, ThinnedCurve]
    shares: Mapping[str, ThinnedCurve]
    validation: Mapping[str, ValidationFigures]
    kept: str
    images: Slides | None
    samples: Slides | None
    signs: Sequence[ShownSign]
    options: Mapping[str, Any]
    defaults: Mapping[str, Any]
    versions: Mapping[str, str]


def write_run_page(folder: Path, view: RunView) -> Path:
    """Writes the page of a run atomically; while the run goes on, the page refreshes itself.

    Args:
      folder: of the run.
      view: what is shown.

    Returns:
      The page's path.

    Raises:
      OSError: the page cannot be written; an earlier page is intact.
    """
    path = folder / INDEX_FILE
    seconds = refresh_seconds(view.between_reports)
    is_running = view.state.kind == "running"
    head = [f"<style>{packaged_text('run_page.css')}</style>"]
    if is_running:
        refresh = f'<meta http-equiv="refresh" content="{seconds}">'
        head.append(f"<noscript>{refresh}</noscript>")
    body = [
        f'<div id="run" data-state="{view.state.kind}" data-refresh="{seconds}" '
        f'data-between="{view.between_reports:.0f}" '
        f'data-written="{time.time():.0f}">',
        *_state(folder, view),
        *_signs(folder, view.signs),
        *_losses(view),
        *_shares(view),
        *_images(view),
        *_validation(view),
        *option_tables(view.options, view.defaults),
        "<section><h2>Versions</h2>",
        *definitions(view.versions),
        "</section></div>",
    ]
    write_page(path, view.name, body, ("run_page.js",), head)
    return path


def refresh_seconds(between_reports: float) -> int:
    """The time after which the page refreshes, in seconds, for reports that far apart."""
    return math.ceil(min(max(between_reports, _SHORTEST), _LONGEST))


def duration(seconds: float) -> str:
    """A time span as people write it: "12 s", "3 min", "2 h 5 min"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def _state(folder: Path, view: RunView) -> Iterable[str]:
    share = view.step / view.last_step
    text = escaped(view.state.text)
    if view.state.anchor:
        text += f" {tips_link(folder, view.state.anchor)}"
    yield f'<section class="state {view.state.kind}"><h2>{text}</h2>'
    yield (
        f'<progress aria-label="steps done" max="{view.last_step}" value="{view.step}">'
        f"{share:.0%}</progress>"
    )
    written = time.strftime("%Y-%m-%d %H:%M:%S")
    yield from definitions(
        {"steps": f"{view.step} of {view.last_step} ({share:.0%})", **view.progress}
    )
    yield f'<p>Written {written}<span id="age"></span>.'
    if view.state.kind == "running":
        yield (
            '<label class="needs-script"><input type="checkbox" id="refreshes" checked> Refresh '
            "while training goes on</label>"
        )
    yield "</p></section>"


def _signs(folder: Path, signs: Sequence[ShownSign]) -> Iterable[str]:
    if not signs:
        return
    yield '<section class="signs"><h2>Signs of trouble</h2><ul>'
    for sign in signs:
        kind, steps = "held", f"since step {sign.first_step}"
        if sign.last_step is not None:
            kind, steps = "ended", f"steps {sign.first_step} to {sign.last_step}"
        yield (
            f'<li class="{kind}"><strong>{escaped(sign.text)}</strong>, {steps}. '
            f"{tips_link(folder, sign.anchor)}</li>"
        )
    yield "</ul></section>"


def tips_link(folder: Path, anchor: str) -> str:
    """A link from a page to a section of the tips; a name alone where there is no clone."""
    name = f"{TIPS}#{anchor}"
    path = Path(__file__).parents[2] / TIPS
    try:
        target = Path(os.path.relpath(path, os.path.realpath(folder))).as_posix()
    except ValueError:  # another drive
        return f"See {name}"
    if not path.is_file():
        return f"See {name}"
    return f'<a href="{escaped(urllib.parse.quote(os.fsencode(target)))}#{anchor}">{name}</a>'


def _losses(view: RunView) -> Iterable[str]:
    yield '<section><h2 id="losses">Losses</h2>'
    if not any(curve.points for curve in view.losses.values()):
        yield "<p>None yet.</p></section>"
        return
    yield "<p>Moving averages over about 100 steps. Where a point stands for several steps, "
    yield "the area goes from the smallest to the largest average.</p>"
    yield '<input type="checkbox" id="log-scale"> <label for="log-scale">Logarithmic scale</label>'
    yield '<div class="charts">'
    for name, curve in view.losses.items():
        if not curve.points:
            continue
        now = short(curve.points[-1].last)
        yield f'<figure class="panel"><figcaption>{escaped(name)}: <b>{now}</b></figcaption>'
        for kind, is_log in (("linear", False), ("log", True)):
            label = f"{name}, {'logarithmic' if is_log else 'linear'} scale"
            yield line_chart({name: curve}, label, is_log=is_log, kind=kind)
        yield "</figure>"
    yield "</div></section>"


def _shares(view: RunView) -> Iterable[str]:
    yield "<section><h2>The discriminator's answers</h2>"
    curves = {name: curve for name, curve in view.shares.items() if curve.points}
    if not view.shares:
        yield "<p>No discriminator is trained: the weight of the GAN loss is 0.</p></section>"
        return
    if not curves:
        yield "<p>None yet.</p></section>"
        return
    saturation = "; it is saturated below 0.01 and above 0.99" if len(curves) > 2 else ""
    yield (
        "<p>Shares of the patches of one step, at each report. A score is right above 0.5 for a "
        f"real pair, and below 0.5 for a generated one{saturation}.</p>"
    )
    yield '<div class="charts"><figure class="panel"><figcaption><ul class="legend">'
    for number, (name, curve) in enumerate(curves.items(), 1):
        value = f"{curve.points[-1].last:.0%}"
        yield f'<li class="curve-{number}">{escaped(name)}: <b>{value}</b></li>'
    yield "</ul></figcaption>"
    yield line_chart(curves, "Shares of the discriminator's scores", bounds=_SHARES)
    yield "</figure></div></section>"


def _images(view: RunView) -> Iterable[str]:
    yield '<section><h2 id="images">Images of training</h2>'
    if view.images:
        yield from slides_html(view.images, "training", "Step of the training images")
    else:
        yield "<p>No images yet: <code>--display_freq</code> says how often they are written.</p>"
    yield "</section>"


def _validation(view: RunView) -> Iterable[str]:
    yield '<section><h2 id="validation">Validation</h2>'
    if not view.validation:
        yield "<p>None yet: <code>--sample_freq</code> says how often there is one.</p></section>"
        return
    yield '<div class="wide" tabindex="0" role="region" aria-label="Validation figures">'
    yield "<table><thead><tr><th>metric</th><th>newest</th><th>step</th><th>best</th>"
    yield "<th>step</th></tr></thead><tbody>"
    for name, found in view.validation.items():
        cells = [name, short(found.newest[1]), found.newest[0], short(found.best[1]), found.best[0]]
        yield f"<tr>{''.join(f'<td>{escaped(cell)}</td>' for cell in cells)}</tr>"
    yield "</tbody></table></div>"
    if view.kept:
        yield f"<p>{escaped(view.kept)}</p>"
    yield '<div class="charts">'
    for name, found in view.validation.items():
        yield f'<figure class="panel"><figcaption>{escaped(name)}</figcaption>'
        yield f"{line_chart({name: found.curve}, f'{name} of the validation images')}</figure>"
    yield "</div>"
    if view.samples:
        yield from slides_html(view.samples, "validation-images", "Step of the validation images")
    yield "</section>"
