"""The signs of failure in a run's page and its log."""

from types import SimpleNamespace

import pytest

from p2p_graph.pages import run_page
from p2p_graph.pages.run_page import tips_link
from p2p_graph.training.hooks.failure_signs import LASTING
from p2p_graph.training.hooks.run_page import RunFacts, WriteRunPage
from p2p_graph.training.session_calls import Schedule
from p2p_graph.utils.signals import StopSignals

NO_IMAGES = SimpleNamespace(written={}, is_due=lambda step: False)
FIGURES = {"output_spread": 0.001, "target_spread": 0.5, "right_on_real": 1.0}


def begun(folder, step=0):
    facts = RunFacts(folder, False, {"ngf": 64}, {"ngf": 64}, "CPU", 1, 1.386, {}, opens=False)
    hook = WriteRunPage(facts, FIGURES, NO_IMAGES, None, StopSignals(), 50, Schedule(5000))
    for earlier in range(1, step + 1):
        observe(hook, earlier)
    hook._step = step
    hook.begin_at(step)
    return hook


def observe(hook, step):
    losses = {"discrim_loss": 0.001, "gen_loss_GAN": 7.0, "gen_loss_L1": 0.3}
    hook.observe({"step": step, "epoch": 1, **losses})


def train(hook, first, last):
    for step in range(first, last + 1):
        observe(hook, step)
        hook._step = step
        if hook.is_due(step):
            hook.report(step, SimpleNamespace(results=FIGURES), None)


def test_signs_are_reported_once_also_when_the_run_is_resumed(tmp_path, capsys):
    hook = begun(tmp_path)
    train(hook, 1, LASTING - 1)
    hook.close()
    assert capsys.readouterr().err == ""
    assert "Signs of trouble" not in (tmp_path / "index.html").read_text()
    hook = begun(tmp_path, LASTING - 50)
    train(hook, LASTING - 49, LASTING + 400)
    hook.close()
    wins, flat = capsys.readouterr().err.splitlines()
    assert wins.startswith("warning: the discriminator wins: its averaged loss is below 5% of what")
    assert wins.endswith(", since step 1: see docs/TIPS.md#the-discriminator-wins")
    assert flat.startswith("warning: one colour out: outputs have below 5% of the targets' contra")
    assert flat.endswith(", since step 50: see docs/TIPS.md#one-colour-output")
    hook = begun(tmp_path, LASTING + 400)
    train(hook, LASTING + 401, LASTING + 500)
    hook.close()
    assert capsys.readouterr().err == ""
    text = (tmp_path / "index.html").read_text()
    assert text.count("Signs of trouble") == 1
    assert "since step 1." in text
    assert "since step 50." in text


@pytest.mark.parametrize("place", ["runs/one", "deeper/runs/two"])
def test_tips_are_a_link_where_they_are_there(tmp_path, monkeypatch, place):
    folder = tmp_path / place
    folder.mkdir(parents=True)
    monkeypatch.setattr(run_page, "TIPS", "no/TIPS.md")
    assert tips_link(folder, "nan-losses") == "See no/TIPS.md#nan-losses"
    monkeypatch.setattr(run_page, "TIPS", "README.md")
    link = tips_link(folder, "start")
    address = link.split('"')[1]
    assert address.endswith("README.md#start")
    assert (folder / address.partition("#")[0]).read_text().startswith("# p2p_graph")
