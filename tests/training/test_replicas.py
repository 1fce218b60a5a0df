"""Several replicas: their step is that of one device with as many images and per-image moments."""

import functools

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from p2p_graph.config.options import Options
from p2p_graph.data.input_graph import Batch
from p2p_graph.models.networks import Networks
from p2p_graph.runtime.devices import choose
from p2p_graph.runtime.distribute import distribute
from p2p_graph.runtime.replicas import ONE
from p2p_graph.training.optimizers import make_optimizers
from p2p_graph.training.step import build_step
from p2p_graph.training.updates import ORDERS

from .test_step import accesses, ahead_of, fetched_of

SMALL = Options.of(
    crop_size=16,
    levels=2,
    discriminator="patch16",
    ngf=2,
    ndf=2,
    lr=0.02,
    gan_weight=1.5,
    l1_weight=0.5,
    seed=5,
)
STEPS_BEFORE = 100


def images(count):
    """Inputs and targets."""
    return np.float32(np.random.default_rng(1).uniform(-1, 1, size=(2, count, 16, 16, 3)))


def plausible(name, shape):
    """A value of a variable after some steps: Adam's step is then about as smooth as gradients."""
    rng = np.random.default_rng(len(name) + 31 * sum(name.encode()))
    if name == "global_step":
        return np.int64(STEPS_BEFORE)
    if name.endswith("_power"):
        return np.float32((0.5 if "beta1" in name else 0.999) ** (STEPS_BEFORE + 1))
    gradient = 0.05 if name.startswith("discriminator") else 0.01
    if name.endswith("/Adam_1"):
        return np.full(shape, gradient**2, np.float32)
    spread = gradient if name.endswith("/Adam") else 0.3
    return np.float32(rng.normal(name.endswith("scale"), spread, shape))


def build(config, replicas, count, optimizers):
    """A step on `count` images."""
    inputs, targets = map(tf.constant, images(count))
    batch = Batch(tf.constant([str(i) for i in range(count)]), inputs, targets)
    networks = Networks(config.model, config.losses, config.run.seed, on_cpu=True)
    return build_step(batch, networks, ORDERS[config.optimizer.updates], optimizers, replicas)


def step_of(config, count, batch_size):
    """A step of `count` replicas from the state of `plausible`.

    Returns:
      The fetched step, and all variables before and after it, by name; each replica's after it.
    """
    replicas, device = distribute(str(count), choose("cpu"), None)
    with tf.Graph().as_default(), replicas.scope():
        step = build(config, replicas, count * batch_size, make_optimizers(config.optimizer))
        variables = {variable.op.name: variable for variable in tf.global_variables()}
        before = {name: plausible(name, v.shape.as_list()) for name, v in variables.items()}
        assign = [v.assign(before[name], read_value=False) for name, v in variables.items()]
        copies = tf.distribute.get_strategy().experimental_local_results
        of_replicas = {name: list(copies(variable)) for name, variable in variables.items()}
        fetches = step._replace(gradients=[gradient for gradient, _ in step.gradients])
        with tf.Session(config=device.config) as session:
            session.run(assign)
            fetched = session.run({k: v for k, v in fetches._asdict().items() if v is not None})
            after = session.run(of_replicas)
    return fetched, before, after


@functools.cache
def one_device(order, images_of_step):
    config = SMALL.replace(updates=order, moments="image")
    return step_of(config, 1, images_of_step)


def distance(after, expected, before, network):
    """How far a network's changes are from the expected ones, relative to these."""
    names = [name for name in before if name.startswith(f"{network}/")]
    off = sum(np.sum((after[name][0] - expected[name][0]) ** 2) for name in names)
    return np.sqrt(off / sum(np.sum((expected[name][0] - before[name]) ** 2) for name in names))


@pytest.mark.parametrize(
    ("order", "count", "batch_size"),
    [
        *((order, 4, 1) for order in ORDERS),
        ("stored", 2, 1),
        ("fresh", 2, 1),
        ("simultaneous", 2, 1),
        ("alternate", 2, 2),
    ],
)
def test_replicas_are_one_device_with_per_image_moments(order, count, batch_size):
    """Every order, with dropout; the moments of a replica's batch are per-image ones, too."""
    config = SMALL.replace(updates=order, moments="image" if batch_size > 1 else "batch")
    fetched, before, after = step_of(config, count, batch_size)
    expected, _, expected_after = one_device(order, count * batch_size)

    for network in ("generator", "discriminator"):
        assert distance(after, expected_after, before, network) < 1e-5
    assert after.keys() == expected_after.keys()
    for name, copies in after.items():
        assert len(copies) == count
        for copy in copies:  # no replica drifts from the others
            np.testing.assert_array_equal(copy, copies[0], err_msg=name)
    for name in ("losses", "averages"):
        np.testing.assert_allclose(fetched[name], expected[name], rtol=1e-6)
    for name in ("outputs", "predict_real", "predict_fake"):
        np.testing.assert_allclose(fetched[name], expected[name], rtol=1e-4, atol=1e-5)
    for found, wanted in zip(fetched["gradients"], expected["gradients"], strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-6)
    assert fetched["number"] == STEPS_BEFORE + 1


def test_mixed_precision():
    """Sums of bfloat16 values in another order differ more."""
    config = SMALL.replace(precision="mixed")
    _, before, after = step_of(config, 2, 1)
    _, _, expected = step_of(config.replace(moments="image"), 1, 2)
    _, _, in_fp32 = one_device("stored", 2)
    for network in ("generator", "discriminator"):
        found = distance(after, expected, before, network)
        assert found < distance(in_fp32, expected, before, network) / 2


def test_the_moments_of_a_batch_are_others():
    """Otherwise the test above could not tell per-image moments from those of a batch."""
    batch, before, after = step_of(SMALL, 1, 2)
    _, _, image = one_device("stored", 2)
    assert distance(after, image, before, "generator") > 1e-2
    assert batch["number"] == STEPS_BEFORE + 1


@pytest.mark.parametrize("order", ["stored", "alternate"])
def test_no_read_of_a_variable_races_with_an_update_on_any_replica(order):
    """In two steps; and all replicas update D before one of them updates G."""
    replicas, _ = distribute("2", choose("cpu"), None)
    config = SMALL.replace(updates=order)
    with tf.Graph().as_default() as graph, replicas.scope():
        optimizers = make_optimizers(config.optimizer)
        first = build(config, replicas, 2, optimizers)
        with tf.control_dependencies([first.train]):
            second = build(config, replicas, 2, optimizers)
        operations = graph.get_operations()
    number, ahead = ahead_of(operations)

    def in_order(one, other):
        return ahead[other] >> number[one] & 1

    fetched = [second.train, *(tensor.op for tensor in fetched_of(second))]
    used = [op for op in operations if op in fetched or any(in_order(op, f) for f in fetched)]
    reads = accesses(used, "ReadVariableOp")
    updates = accesses(used, ("ResourceApplyAdam", "Assign"))
    assert sum(name.endswith("/replica_1") for name in updates) == len(updates) / 2
    for name, ops in updates.items():
        for update in ops:
            for other in {*ops, *reads.get(name, [])} - {update}:
                assert in_order(update, other) or in_order(other, update), (update.name, other.name)
    of_first = [
        op
        for ops in updates.values()
        for op in ops
        if op is first.train or in_order(op, first.train)
    ]
    adams = [op for op in of_first if op.type == "ResourceApplyAdam"]
    of_d = [op for op in adams if op.inputs[0].op.name.startswith("discriminator/")]
    assert 0 < len(of_d) < len(adams)
    for update in set(adams) - set(of_d):
        assert all(in_order(one, update) for one in of_d)


def test_without_a_discriminator():
    config = SMALL.replace(gan_weight=0.0)
    _, before, after = step_of(config, 2, 1)
    _, _, expected = step_of(config.replace(moments="image"), 1, 2)
    assert distance(after, expected, before, "generator") < 1e-5


def test_one_replica_is_built_without_a_strategy():
    device = choose("cpu")
    assert distribute("1", device, None) == (ONE, device)
    assert distribute("all", device, None) == (ONE, device)
