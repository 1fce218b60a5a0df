"""The choices that options name are those that the graph's code knows, and the exports' files."""

import dataclasses

from p2p_graph.config.options import FORMATS
from p2p_graph.config.training_options import LossOptions, OptimizerOptions
from p2p_graph.inference import export, model_card
from p2p_graph.models.losses import GAN_LOSSES
from p2p_graph.training.updates import ORDERS


def choices(record, name):
    [field] = [field for field in dataclasses.fields(record) if field.name == name]
    return set(field.metadata["choices"])


def test_losses_and_orders():
    assert choices(LossOptions, "gan_loss") == set(GAN_LOSSES)
    assert choices(OptimizerOptions, "updates") == set(ORDERS)


def test_every_export_has_a_file_and_a_text_of_its_readme():
    assert set(export._FILES) == set(FORMATS)
    assert {*model_card._CALLS, *model_card._TEXTS} == set(FORMATS)
