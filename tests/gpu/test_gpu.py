"""On a GPU: the same as on the CPU. Run by `P2P_GRAPH_TEST_GPU=1 pytest -n 0 tests/gpu`."""

import functools
import os

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from p2p_graph.config.options import Options
from p2p_graph.data.input_graph import Batch
from p2p_graph.models.networks import Networks, translate
from p2p_graph.runtime import devices
from p2p_graph.training.optimizers import make_optimizers
from p2p_graph.training.session_calls import Schedule, build_session_call, compiled
from p2p_graph.training.step import build_step
from p2p_graph.training.updates import ORDERS

pytestmark = pytest.mark.skipif(
    not os.environ.get("P2P_GRAPH_TEST_GPU") or not tf.config.list_physical_devices("GPU"),
    reason="needs a GPU, and P2P_GRAPH_TEST_GPU=1",
)

STEPS = 3
REPORTS = {"summary_freq": 0, "progress_freq": 0, "save_freq": 0}
SMALL = Options.of(crop_size=64, levels=3, ngf=8, ndf=8, dropout=0.5, lr=0.002, seed=5)


def images():
    return np.float32(np.random.default_rng(1).uniform(-1, 1, size=(2, 1, 64, 64, 3)))


def trained(device, **options):
    """Losses of some steps, and a translation by the first weights."""
    chosen = SMALL.replace(device=device, **options)
    found = devices.choose(device)
    devices.set_gpu_arithmetic(chosen.model.layers.precision)
    networks = Networks(chosen.model, chosen.losses, 5, on_cpu=found.is_cpu)
    with tf.Graph().as_default(), tf.Session(config=found.config) as session:
        tf.set_random_seed(5)
        inputs, targets = map(tf.constant, images())
        batch = Batch(tf.constant(["a"]), inputs, targets)
        build = functools.partial(
            build_step,
            networks=networks,
            order=ORDERS["stored"],
            optimizers=make_optimizers(chosen.optimizer),
        )
        if chosen.execution.xla:
            build = compiled(lambda: batch, build, with_gradients=True)
        schedule = Schedule(STEPS, chosen.execution.steps_per_run)
        call = build_session_call(lambda: batch, build, schedule, 1)
        outputs = translate(inputs, chosen.model, 3, 5, on_cpu=found.is_cpu)
        session.run(tf.global_variables_initializer())
        first = session.run(outputs)
        rows = []
        while len(rows) < STEPS:
            losses, _ = session.run([call.losses, call.step.train])
            rows += [*losses]
    return np.array(rows), first


@pytest.fixture(scope="module")
def on_cpu():
    return trained("cpu")


def test_the_gpu_is_used():
    found = devices.choose("gpu")
    assert found.name.startswith("GPU, ")
    with tf.Graph().as_default(), tf.Session(config=found.config) as session:
        assert any(device.device_type == "GPU" for device in session.list_devices())
        product = tf.matmul(tf.ones([64, 64]), tf.ones([64, 64]))
        metadata = tf.RunMetadata()
        options = tf.RunOptions(output_partition_graphs=True)
        session.run(product, options=options, run_metadata=metadata)
    placed = [n.device for g in metadata.partition_graphs for n in g.node if n.op == "MatMul"]
    assert placed
    assert all("GPU" in name for name in placed)


@pytest.mark.parametrize("steps_per_run", [1, STEPS])
def test_fp32_is_as_on_the_cpu(on_cpu, steps_per_run):
    losses, first = trained("gpu", steps_per_run=steps_per_run, **REPORTS)
    np.testing.assert_allclose(first, on_cpu[1], atol=1e-4)
    np.testing.assert_allclose(losses, on_cpu[0], rtol=2e-3)


def test_mixed_is_near(on_cpu):
    losses, first = trained("gpu", precision="mixed")
    np.testing.assert_allclose(first, on_cpu[1], atol=0.1)
    np.testing.assert_allclose(losses[0], on_cpu[0][0], rtol=0.05)


def test_compiled_is_as_operations():
    plain, _ = trained("gpu", dropout=0.0)
    by_xla, _ = trained("gpu", dropout=0.0, xla=True)
    np.testing.assert_allclose(by_xla, plain, rtol=2e-3)
