"""One step of training, above all the order of its updates, and translation."""

import contextlib
import functools

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from p2p_graph.config.options import Options
from p2p_graph.data.input_graph import Batch
from p2p_graph.models.generators import generator
from p2p_graph.models.layer_settings import FROZEN
from p2p_graph.models.networks import Networks, generator_spec, layer_settings
from p2p_graph.models.networks import translate as translate_images
from p2p_graph.training.optimizers import Optimizers, make_optimizers
from p2p_graph.training.session_calls import compiled
from p2p_graph.training.step import Step, build_step
from p2p_graph.training.updates import ORDERS

from ..models import oracles

pytestmark = pytest.mark.usefixtures("graph")

BETA1, BETA2, ADAM_EPSILON = 0.6, 0.999, 1e-8
LOG_EPSILON = 1e-12
SMALL = Options.of(
    crop_size=32,
    levels=3,
    ngf=2,
    ndf=2,
    dropout=0.0,
    lr=0.02,
    beta1=BETA1,
    gan_weight=1.5,
    l1_weight=0.5,
    seed=5,
)
STEPS_BEFORE = 100


def images(count=2):
    """Inputs and targets."""
    return np.float32(np.random.default_rng(1).uniform(-1, 1, size=(2, count, 32, 32, 3)))


def step_on(batch, config, optimizers):
    networks = Networks(config.model, config.losses, config.run.seed, on_cpu=True)
    return build_step(batch, networks, ORDERS[config.optimizer.updates], optimizers)


def spec_of(config):
    settings = layer_settings(config.model.layers, on_cpu=True)
    channels = config.data.task.channels[1]
    return generator_spec(config.model.generator, config.model.layers, channels, settings)


def translate(inputs, config, **how):
    channels, seed = config.data.task.channels[1], config.run.seed
    return translate_images(inputs, config.model, channels, seed, on_cpu=True, **how)


def build(config, optimizers, count=2):
    inputs, targets = images(count)
    batch = Batch(tf.constant(["a"] * count), tf.constant(inputs), tf.constant(targets))
    return step_on(batch, config, optimizers)


@functools.cache  # building takes longer than running
def built(steps, count, options):
    with tf.Graph().as_default() as graph:
        config = SMALL.replace(**dict(options))
        optimizers = make_optimizers(config.optimizer)
        model = build(config, optimizers, count)
        for _ in range(steps - 1):
            with tf.control_dependencies([model.train]):
                model = build(config, optimizers, count)
        return graph, model


@contextlib.contextmanager
def small(steps=1, count=2, **options):
    """Makes the graph of a small model the default graph; yields the last of its steps."""
    graph, model = built(steps, count, tuple(options.items()))
    with graph.as_default():
        yield model


def state_in_training():
    """Plausible weights and Adam moments after some steps, by variable.

    With such moments, Adam's step is about as smooth as the gradient. Its very first step would be
    little more than the sign of the gradient.
    """
    state = oracles.draw(tf.trainable_variables(), seed=2)
    for v in tf.global_variables():
        name = v.op.name
        gradient = 0.05 if name.startswith("discriminator") else 0.01
        if name.endswith("/Adam"):
            state |= oracles.draw([v], seed=len(state), spread=gradient)
        elif name.endswith("/Adam_1"):
            state[v] = np.full(v.shape, gradient**2, np.float32)
        elif name.endswith("/beta1_power"):
            state[v] = np.float32(BETA1 ** (STEPS_BEFORE + 1))
        elif name.endswith("/beta2_power"):
            state[v] = np.float32(BETA2 ** (STEPS_BEFORE + 1))
    return state


def train(session, model, state=None, steps=1):
    """Runs steps from a state on.

    Returns:
      For each step the fetched values, and all variables after the step, by name.
    """
    fetches = model._replace(gradients=[gradient for gradient, _ in model.gradients])._asdict()
    fetches = {name: fetch for name, fetch in fetches.items() if fetch is not None}
    oracles.initialize(session, state or {})
    done = []
    for _ in range(steps):
        fetched = Step(**{**dict.fromkeys(Step._fields), **session.run(fetches)})
        done.append((fetched, session.run({v.op.name: v for v in tf.global_variables()})))
    return done


def train_alone(model, state=None, steps=1, threads=0):
    """The same in a session of its own."""
    with oracles.quick_session(threads) as session:
        return train(session, model, state, steps)


def run(fetches, state, feed=None):
    with oracles.quick_session() as session:
        oracles.initialize(session, state)
        return session.run(fetches, feed)


def names_of(network):
    return [v.op.name for v in tf.trainable_variables(f"{network}/")]


def weights_of(network, state):
    """A network's weights by name, without Adam's moments."""
    weights = {v: state[v] for v in tf.trainable_variables(f"{network}/")}
    return oracles.by_name(weights, f"{network}/")


def assert_same(actual, expected):
    """The same names and, bit for bit, the same values."""
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(actual[name], value, err_msg=name)


# The order of updates


def adam(before, gradients, network, lr, steps_later=0):
    """Adam's changes of a network's weights, `steps_later` steps after the next one."""
    t = STEPS_BEFORE + 1 + steps_later
    rate = lr * np.sqrt(1 - BETA2**t) / (1 - BETA1**t)
    changes = {}
    for name, gradient in gradients.items():
        m, v = before[f"{network}/{name}/Adam"], before[f"{network}/{name}/Adam_1"]
        m, v = BETA1 * m + (1 - BETA1) * gradient, BETA2 * v + (1 - BETA2) * gradient**2
        changes[name] = -rate * m / (np.sqrt(v) + ADAM_EPSILON)
    return changes


def generator_in_numpy(config, before, inputs):
    """G's images, and a function from their gradient to those of G's weights, all float64."""
    with tf.Graph().as_default():
        with tf.variable_scope("generator"):
            spec, seed = spec_of(config), tf.zeros([2], tf.int64)
            made = generator(tf.constant(inputs, tf.float32), spec, seed)
        variables = tf.trainable_variables()
        cotangent = tf.placeholder(tf.float32, made.shape)
        vjp = tf.gradients(made, variables, cotangent)
        state = {v: before[v.op.name] for v in variables}
        names = [v.op.name.removeprefix("generator/") for v in variables]

        def fetch(fetches, feed=None):
            with oracles.quick_session() as session:
                oracles.initialize(session, state)
                return session.run(fetches, feed)

        outputs = np.float64(fetch(made))
        graph = tf.get_default_graph()

    def to_weights(d_outputs):
        with graph.as_default():
            return dict(zip(names, fetch(vjp, {cotangent: d_outputs}), strict=True))

    return outputs, to_weights


def expected_changes(state, config, *, fused):
    """One step by hand, D's part in NumPy.

    Args:
      state: the variables' values before it.
      config: that of the step.
      fused: which of D's batch normalisations it is; they see the updated scale differently.

    Returns:
      The changes of D's weights, and those of G's in three ways: `stored`, through what D's forward
      pass stored and its updated weights; `old`, through its weights before the update; `again`,
      through a second forward pass with its updated weights.
    """
    before = oracles.by_name(state)
    weights = weights_of("discriminator", state)

    def backward(dy, stored, forward, back):
        return oracles.discriminator_grads(dy, stored, forward, back, fused=fused)

    def gan_gradient(prediction):
        return -1 / (prediction + LOG_EPSILON) / prediction.size

    inputs, targets = np.float64(images())
    outputs, to_g = generator_in_numpy(config, before, inputs)
    real, stored_real = oracles.discriminator(np.concatenate([inputs, targets], 3), weights)
    pair = np.concatenate([inputs, outputs], 3)
    fake, stored_fake = oracles.discriminator(pair, weights)
    _, of_real = backward(gan_gradient(real), stored_real, weights, weights)
    _, of_fake = backward(-gan_gradient(1 - fake), stored_fake, weights, weights)
    gradients = {name: of_real[name] + of_fake[name] for name in weights}
    d_changes = adam(before, gradients, "discriminator", config.optimizer.lr)
    updated = {name: weights[name] + d_changes[name] for name in weights}

    fake_again, stored_again = oracles.discriminator(pair, updated)
    d_pairs = {
        "stored": backward(gan_gradient(fake), stored_fake, weights, updated)[0],
        "old": backward(gan_gradient(fake), stored_fake, weights, weights)[0],
        "again": backward(gan_gradient(fake_again), stored_again, updated, updated)[0],
    }
    g_changes = {}
    for way, d_pair in d_pairs.items():
        d_outputs = config.losses.gan_weight * d_pair[..., 3:]
        d_outputs += config.losses.l1_weight * np.sign(outputs - targets) / outputs.size
        g_changes[way] = adam(before, to_g(d_outputs), "generator", config.optimizer.lr)
    return d_changes, g_changes


def distance(after, state, network, expected):
    """How far a network's changes are from the expected ones, relative to these."""
    before = oracles.by_name(state, f"{network}/")
    off = [after[f"{network}/{n}"] - before[n] - change for n, change in expected.items()]
    norm = np.sqrt(sum(np.sum(change**2) for change in expected.values()))
    return np.sqrt(sum(np.sum(x**2) for x in off)) / norm


@pytest.mark.parametrize(
    ("updates", "way"), [("stored", "stored"), ("simultaneous", "old"), ("fresh", "again")]
)
def test_orders_of_updates(updates, way):
    """Each order is distinguished from the others."""
    config = SMALL.replace(bias="all", updates=updates)
    with small(bias="all", updates=updates) as model:
        state = state_in_training()
        ((_, after),) = train_alone(model, state)
        d_changes, g_changes = expected_changes(state, config, fused=True)
    assert distance(after, state, "discriminator", d_changes) < 1e-5
    assert distance(after, state, "generator", g_changes.pop(way)) < 1e-5
    for changes in g_changes.values():
        assert distance(after, state, "generator", changes) > 1e-2


@pytest.mark.parametrize("d_scale", [1.0, 0.5])
def test_alternate_updates(d_scale):
    """D is updated on real pairs, then on G's by Adam's next step; then G, through the newest D."""
    config = SMALL.replace(bias="all", updates="alternate", d_scale=d_scale)
    with small(bias="all", updates="alternate", d_scale=d_scale) as model:
        state = state_in_training()
        ((_, after),) = train_alone(model, state)
        before, weights = oracles.by_name(state), weights_of("discriminator", state)
        inputs, targets = np.float64(images())
        outputs, to_g = generator_in_numpy(config, before, inputs)

        def d_gradients(pair, weights, slope):
            scores, stored = oracles.discriminator(pair, weights)
            dy = d_scale * slope(scores) / scores.size
            return oracles.discriminator_grads(dy, stored, weights, weights, fused=True)[1]

        moments = before
        for number, (made, slope) in enumerate(
            [
                (targets, lambda p: -1 / (p + LOG_EPSILON)),
                (outputs, lambda p: 1 / (1 - p + LOG_EPSILON)),
            ]
        ):
            pair = np.concatenate([inputs, made], 3)
            gradients = d_gradients(pair, weights, slope)
            changes = adam(
                moments, gradients, "discriminator", config.optimizer.lr, steps_later=number
            )
            moments = dict(moments)
            for name, gradient in gradients.items():
                m, v = (f"discriminator/{name}/{slot}" for slot in ("Adam", "Adam_1"))
                moments[m] = BETA1 * moments[m] + (1 - BETA1) * gradient
                moments[v] = BETA2 * moments[v] + (1 - BETA2) * gradient**2
            weights = {name: weights[name] + changes[name] for name in weights}
        scores, stored = oracles.discriminator(np.concatenate([inputs, outputs], 3), weights)
        dy = -1 / (scores + LOG_EPSILON) / scores.size
        d_pair, _ = oracles.discriminator_grads(dy, stored, weights, weights, fused=True)
        d_outputs = config.losses.gan_weight * d_pair[..., 3:]
        d_outputs += config.losses.l1_weight * np.sign(outputs - targets) / outputs.size
        g_changes = adam(before, to_g(d_outputs), "generator", config.optimizer.lr)
    d_changes = {name: new - before[f"discriminator/{name}"] for name, new in weights.items()}
    assert distance(after, state, "discriminator", d_changes) < 1e-5
    assert distance(after, state, "generator", g_changes) < 1e-5
    powers = [after[f"{network}_train/beta1_power"] for network in ("discriminator", "generator")]
    np.testing.assert_allclose(powers, BETA1 ** (STEPS_BEFORE + np.array([3, 2])), rtol=1e-5)


def test_alternate_updates_use_new_noise_for_g():
    with small(updates="alternate", dropout=0.5, bias="all") as model:
        masks = [
            op.outputs[0]
            for op in tf.get_default_graph().get_operations()
            if op.type == "StatelessRandomUniformV2" and "decoder_3" in op.name
        ]
        assert len(masks) == 2
        first, second = run(masks, oracles.draw(tf.trainable_variables(), seed=2))
        assert model.train
    assert (first != second).any()


def test_without_gan_there_is_no_discriminator():
    with small(gan_weight=0.0) as model:
        assert not tf.trainable_variables("discriminator")
        assert not [v for v in tf.global_variables() if v.op.name.startswith("discriminator_train")]
        assert (model.predict_real, model.predict_fake) == (None, None)
        ((fetched, after),) = train_alone(model, state_in_training())
        _, targets = images()
    assert fetched.losses[:2] == (0, 0)
    np.testing.assert_allclose(
        fetched.losses.gen_loss_L1, np.abs(fetched.outputs - targets).mean(), rtol=1e-5
    )
    assert after["global_step"] == 1


@pytest.mark.parametrize("conditional", [True, False])
@pytest.mark.parametrize("target_first", [True, False])
def test_inputs_of_d(conditional, target_first):
    with small(conditional=conditional, target_first=target_first, count=2) as model:
        weights = weights_of("discriminator", state := state_in_training())
        scores, fake, outputs = run([model.predict_real, model.predict_fake, model.outputs], state)
        inputs, targets = images()
    for made, found in ((targets, scores), (outputs, fake)):
        seen = [inputs, made] if conditional else [made]
        pair = np.concatenate(seen[::-1] if target_first else seen, 3)
        expected, _ = oracles.discriminator(np.float64(pair), weights)
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_linear_schedule_falls_through_the_second_half():
    config = SMALL.replace(lr_schedule="linear")
    step = tf.train.get_or_create_global_step()
    optimizers = make_optimizers(config.optimizer, 10)
    weight = tf.get_variable("weight", [], initializer=tf.zeros_initializer(), use_resource=True)
    rates = []
    with tf.control_dependencies([optimizers.generator.apply_gradients([(tf.ones([]), weight)])]):
        train = step.assign_add(1)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        before = 0.0
        for _ in range(10):
            session.run(train)
            # Under a constant gradient, the weight changes by the learning rate.
            now = session.run(weight)
            rates.append((before - now) / config.optimizer.lr)
            before = now
    np.testing.assert_allclose(rates, [1, 1, 1, 1, 1, 1, 0.8, 0.6, 0.4, 0.2], rtol=1e-4)


@pytest.mark.parametrize("bias", ["none", "all"])
def test_g_uses_stored_activations_and_updated_weights_of_d(bias):
    config = SMALL.replace(bias=bias)
    with small(bias=bias) as model:
        state = state_in_training()
        with tf.Session() as session:
            ((_, after),) = train(session, model, state)
        d_changes, g_changes = expected_changes(state, config, fused=bias == "all")
        _, other_norm = expected_changes(state, config, fused=bias == "none")
        d_names, g_names = names_of("discriminator"), names_of("generator")

    assert sorted(f"discriminator/{n}" for n in d_changes) == sorted(d_names)
    assert distance(after, state, "discriminator", d_changes) < 1e-5
    for changes in g_changes.values():
        assert sorted(f"generator/{n}" for n in changes) == sorted(g_names)
    assert distance(after, state, "generator", g_changes["stored"]) < 1e-5
    assert distance(after, state, "generator", g_changes["old"]) > 1e-2
    assert distance(after, state, "generator", g_changes["again"]) > 1e-2
    assert distance(after, state, "generator", other_norm["stored"]) > 1e-2


def ahead_of(operations):
    """The operations that precede each operation of a graph, as a bit set of their numbers."""
    number = {op: i for i, op in enumerate(operations)}
    ahead = {}
    for op in operations:
        parents = [*op.control_inputs, *(tensor.op for tensor in op.inputs)]
        ahead[op] = functools.reduce(lambda bits, p: bits | ahead[p] | 1 << number[p], parents, 0)
    return number, ahead


def accesses(operations, kind):
    """The operations of some kind that read or change variables, by the variables' names."""
    found = {}
    for op in operations:
        if op.type.startswith(kind):
            for tensor in op.inputs:
                if tensor.dtype == tf.resource:
                    found.setdefault(tensor.op.name, []).append(op)
    return found


def fetched_of(model):
    """All tensors of a step that can be fetched."""
    scores = (model.predict_real, model.predict_fake)
    gradients = (gradient for gradient, _ in model.gradients)
    return (*model.losses, *model.averages, model.outputs, *scores, *gradients, model.number)


@pytest.mark.parametrize(
    ("bias", "steps", "order"),
    [
        ("none", 1, "stored"),
        ("none", 2, "stored"),
        ("all", 2, "stored"),
        ("all", 1, "fresh"),
        ("all", 1, "simultaneous"),
        ("all", 1, "alternate"),
    ],
)
def test_no_read_of_a_variable_races_with_its_update(bias, steps, order):
    with small(steps=steps, bias=bias, updates=order) as model:
        names = {v.op.name for v in tf.global_variables()}
        operations = tf.get_default_graph().get_operations()
    number, ahead = ahead_of(operations)

    def in_order(first, second):
        return ahead[second] >> number[first] & 1

    fetched = [model.train, *(tensor.op for tensor in fetched_of(model))]
    used = [op for op in operations if op in fetched or any(in_order(op, f) for f in fetched)]
    reads = accesses(used, "ReadVariableOp")
    updates = accesses(used, ("ResourceApplyAdam", "Assign"))
    assert updates.keys() == names
    for name, ops in updates.items():
        of_d = name.startswith(("discriminator/", "discriminator_train/"))
        assert len(ops) == (2 * steps if of_d and order == "alternate" else steps), name
        for update in ops:
            for other in {*ops, *reads.get(name, [])} - {update}:
                assert in_order(update, other) or in_order(other, update), (update.name, other.name)


def assert_same_step(actual, expected):
    """The same fetches and the same variables."""
    for again, value in zip(tf.nest.flatten(actual[0]), tf.nest.flatten(expected[0]), strict=True):
        np.testing.assert_array_equal(again, value)
    assert_same(actual[1], expected[1])


@pytest.mark.parametrize("bias", ["none", "all"])
def test_fresh_sessions_are_the_same_bit_for_bit(bias):
    with small(bias=bias) as model:
        state = state_in_training()
        first, *others = (train_alone(model, state, threads=8)[0] for _ in range(20))
    for other in others:
        assert_same_step(other, first)


@pytest.mark.parametrize("bias", ["none", "all"])
def test_runs_of_an_optimized_graph_are_the_same_bit_for_bit(bias):
    with small(bias=bias) as model, tf.Session() as session:
        state = state_in_training()
        first, *others = (train(session, model, state)[0] for _ in range(20))
    for other in others:
        assert_same_step(other, first)


def changes_of_both(model):
    """The weights of D and of G after one step."""
    ((_, after),) = train_alone(model, state_in_training())
    return [{n: after[n] for n in names_of(network)} for network in Optimizers._fields]


def test_updates_of_d_do_not_depend_on_g():
    with small() as model:
        d, g = changes_of_both(model)
    with small(gan_weight=1.0, l1_weight=0.0) as model:
        d_of_other_loss, g_of_other_loss = changes_of_both(model)
    rates = Optimizers(*(tf.train.AdamOptimizer(rate, BETA1) for rate in (SMALL.optimizer.lr, 0.0)))
    d_with_g_at_rest, g_at_rest = changes_of_both(build(SMALL, rates))
    assert_same(d_of_other_loss, d)
    assert_same(d_with_g_at_rest, d)
    assert all((g_of_other_loss[name] != g[name]).any() for name in g)
    assert all((g_at_rest[name] != g[name]).any() for name in g)


# Losses, optimizers and noise of a step


def test_adam():
    followed = ["generator/decoder_2/deconv/filter", "discriminator/layer_3/conv/filter"]
    with small() as model:
        state = oracles.draw(tf.trainable_variables(), seed=2)
        steps = train_alone(model, state, steps=3)
        numbers = [[v.op.name for _, v in model.gradients].index(name) for name in followed]
    values = oracles.by_name(state)
    for name, number in zip(followed, numbers, strict=True):
        network = name.partition("/")[0]
        w, m, v = values[name], 0.0, 0.0
        for t, (fetched, after) in enumerate(steps, start=1):
            gradient = np.float64(fetched.gradients[number])
            m = BETA1 * m + (1 - BETA1) * gradient
            v = BETA2 * v + (1 - BETA2) * gradient**2
            rate = SMALL.optimizer.lr * np.sqrt(1 - BETA2**t) / (1 - BETA1**t)
            w = w - rate * m / (np.sqrt(v) + ADAM_EPSILON)
            np.testing.assert_allclose(after[name], w, rtol=0, atol=2e-6)
            np.testing.assert_allclose(after[f"{name}/Adam"], m, rtol=1e-4, atol=1e-8)
            np.testing.assert_allclose(after[f"{name}/Adam_1"], v, rtol=1e-4, atol=1e-12)
            powers = [after[f"{network}_train/beta{i}_power"] for i in (1, 2)]
            np.testing.assert_allclose(powers, [BETA1 ** (t + 1), BETA2 ** (t + 1)], rtol=1e-6)


@pytest.mark.parametrize("order", ORDERS)
def test_losses_and_their_averages(order):
    """D's loss is that of the fetched scores, in every order."""
    with small(updates=order) as model:
        steps = train_alone(model, oracles.draw(tf.trainable_variables(), seed=2), steps=3)
    _, targets = images()
    averages, seen = np.zeros(3), []
    for fetched, after in steps:
        real, fake = np.float64(fetched.predict_real), np.float64(fetched.predict_fake)
        losses = [
            np.mean(-np.log(real) - np.log(1 - fake)),
            np.mean(-np.log(fake)),
            np.mean(np.abs(targets - fetched.outputs)),
        ]
        # In some orders G's losses are of later passes.
        first = {"fresh": [0, 2], "alternate": [0]}.get(order, [0, 1, 2])
        found = np.array(fetched.losses)
        np.testing.assert_allclose(found[first], np.array(losses)[first], rtol=1e-5)
        averages = 0.99 * averages + 0.01 * np.array(fetched.losses)
        np.testing.assert_allclose(fetched.averages, averages, rtol=1e-5)
        names = ("discriminator_loss/Mean", "generator_loss/Mean", "generator_loss/Mean_1")
        stored = [after[f"{name}/ExponentialMovingAverage"] for name in names]
        np.testing.assert_array_equal(stored, fetched.averages)
        seen.append(losses)
    assert (np.ptp(seen, axis=0) > 1e-3).all()  # the losses change


def test_outputs_and_predictions_are_of_the_networks_before_the_step():
    with small() as model:
        state = state_in_training()
        ((fetched, _),) = train_alone(model, state)
        of_g, of_d = weights_of("generator", state), weights_of("discriminator", state)
    inputs, targets = np.float64(images())
    outputs = oracles.generator(inputs, of_g, spec_of(SMALL), masks={})
    np.testing.assert_allclose(fetched.outputs, outputs, rtol=0, atol=1e-4)
    for shown, actual in [(targets, fetched.predict_real), (outputs, fetched.predict_fake)]:
        expected, _ = oracles.discriminator(np.concatenate([inputs, shown], axis=3), of_d)
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-4)


def test_steps_are_counted():
    with small() as model:
        steps = train_alone(model, steps=3)
    assert [fetched.number for fetched, _ in steps] == [1, 2, 3]
    assert [after["global_step"] for _, after in steps] == [1, 2, 3]


def test_two_steps_in_one_graph():
    with small() as model:
        names = [v.op.name for v in tf.global_variables()]
        _, (fetched_alone, alone) = train_alone(model, state_in_training(), steps=2)
    with small(steps=2) as second:
        assert [v.op.name for v in tf.global_variables()] == names
        ((fetched, after),) = train_alone(second, state_in_training())
    assert fetched.number == 2
    assert_same_step((fetched, after), (fetched_alone, alone))


def test_weights_of_the_losses_scale_the_gradient_of_g():
    def g_gradient(**options):
        with small(**options) as model:
            ((fetched, _),) = train_alone(model, state_in_training())
        pairs = zip(fetched.gradients, model.gradients, strict=True)
        return {v.op.name: x for x, (_, v) in pairs if v.op.name.startswith("generator/")}

    gan = g_gradient(gan_weight=1.0, l1_weight=0.0)
    l1 = g_gradient(gan_weight=0.0, l1_weight=1.0)
    for name, gradient in g_gradient().items():
        parts = SMALL.losses.gan_weight * gan[name], SMALL.losses.l1_weight * l1[name]
        assert all(part.any() for part in parts)
        tolerance = 1e-5 * max(np.abs(part).max() for part in parts)
        np.testing.assert_allclose(gradient, sum(parts), rtol=0, atol=tolerance, err_msg=name)


def test_gradients_are_paired_with_their_variables():
    with small() as model:
        names = names_of("discriminator") + names_of("generator")
    assert [v.op.name for _, v in model.gradients] == names
    assert all(gradient.shape == v.shape for gradient, v in model.gradients)


def test_noise_is_a_function_of_seed_and_step():
    def outputs(seed, step):
        with small(count=1, dropout=0.5, seed=seed) as model:
            weights = oracles.draw(tf.trainable_variables(), seed=2)
            return run(model.outputs, {**weights, tf.train.get_global_step(): step})

    made = outputs(5, 0)
    np.testing.assert_array_equal(outputs(5, 0), made)
    assert np.abs(outputs(5, 1) - made).max() > 0.01
    assert np.abs(outputs(6, 0) - made).max() > 0.01


# Compiled


def updates_of(model):
    """The change of each variable in one step, from a state in training."""
    state = state_in_training()
    [(_, after)] = train_alone(model, state)
    return {v.op.name: after[v.op.name] - value for v, value in state.items()}


@pytest.mark.parametrize("order", ["stored", "alternate"])
def test_compiled_step_keeps_the_order_of_updates(order):
    """With few layers: XLA compiles each for seconds."""
    layers = {"levels": 2, "discriminator": "patch16"}
    with small(updates=order, **layers) as model:
        plain = updates_of(model)
    other = "simultaneous" if order == "stored" else "fresh"
    with small(updates=other, **layers) as model:
        other_order = updates_of(model)
    config = SMALL.replace(updates=order, xla=True, **layers)
    inputs, targets = map(tf.constant, images())
    batch = Batch(tf.constant(["a", "b"]), inputs, targets)

    optimizers = make_optimizers(config.optimizer)

    def build_plain(batch):
        return step_on(batch, config, optimizers)

    step = compiled(lambda: batch, build_plain, with_gradients=True)(batch)
    assert [v.op.name for _, v in step.gradients] == [v.op.name for v in all_weights()]
    by_xla = updates_of(step)
    assert by_xla.keys() == plain.keys()
    filters = [name for name in plain if name.endswith("filter")]
    largest = {name: np.abs(plain[name]).max() for name in filters}
    apart = {name: np.abs(by_xla[name] - plain[name]).max() / largest[name] for name in filters}
    assert max(apart.values()) < 1e-3
    least_difference = max(
        np.abs(other_order[name] - plain[name]).max() / largest[name] for name in filters
    )
    assert least_difference > 0.03


def all_weights():
    return [*tf.trainable_variables("discriminator/"), *tf.trainable_variables("generator/")]


# Translation


def translated(config, *batches):
    """Translates with weights that are always the same."""
    inputs = tf.placeholder(tf.float32, [None, 32, 32, 3])
    outputs = translate(inputs, config)
    weights = oracles.draw(tf.trainable_variables(), seed=2, spread=0.1)
    return [run(outputs, weights, {inputs: batch}) for batch in batches]


@pytest.mark.parametrize("separable", [False, True])
@pytest.mark.parametrize("bias", ["none", "all"])
def test_translation_of_an_image_does_not_depend_on_its_batch(bias, separable):
    config = SMALL.replace(levels=5, dropout=0.5, bias=bias, separable_conv=separable)
    inputs, _ = images(3)
    together, *alone = translated(config, inputs, *np.split(inputs, 3))
    assert together.shape == (3, 32, 32, 3)
    np.testing.assert_allclose(together, np.concatenate(alone), rtol=0, atol=1e-5)
    assert np.abs(together[0] - together[1]).max() > 0.1


@pytest.mark.parametrize("precision", ["fp32", "mixed"])
def test_translation_with_fixed_filters(precision):
    """Values computed from filters are computed once, at initialization."""
    config = SMALL.replace(levels=5, precision=precision)
    inputs = tf.placeholder(tf.float32, [1, 32, 32, 3])
    outputs, fixed = translate(inputs, config), translate(inputs, config, frozen=True)
    computed_once = tf.get_collection(FROZEN)
    assert len(computed_once) == (10 if precision == "mixed" else 5)  # filters; transposed ones
    assert not set(computed_once) & {*tf.global_variables(), *tf.trainable_variables()}
    batch = images(1)[0]
    with oracles.quick_session() as session:
        oracles.initialize(session, oracles.draw(tf.trainable_variables(), seed=2, spread=0.1))
        session.run([variable.initializer for variable in computed_once])
        made, frozen_outputs = session.run([outputs, fixed], {inputs: batch})
        # In bfloat16, sums are rounded to 1 of 256, in another order.
        atol = 0.05 if precision == "mixed" else 1e-5
        np.testing.assert_allclose(frozen_outputs, made, rtol=0, atol=atol)
        assert made.std() > 0.1
        filters = [v for v in tf.trainable_variables() if v.name.endswith("filter:0")]
        session.run([v.assign(0 * v.read_value()) for v in filters])
        changed, still = session.run([outputs, fixed], {inputs: batch})
    assert np.abs(changed - made).max() > 0.1
    if precision == "mixed":
        np.testing.assert_array_equal(still, frozen_outputs)  # all filters are computed once


def test_noise_of_translation_is_a_function_of_the_seed():
    inputs, _ = images(1)
    config = SMALL.replace(dropout=0.5)
    made, again = translated(config, inputs, inputs)
    np.testing.assert_array_equal(again, made)
    (other,) = translated(config.replace(seed=6), inputs)
    assert np.abs(other - made).max() > 0.01


def test_translation_without_dropout_has_no_noise():
    inputs, _ = images(1)
    (made,) = translated(SMALL, inputs)
    (other,) = translated(SMALL.replace(seed=6), inputs)
    np.testing.assert_array_equal(other, made)


def test_translation_equals_the_first_training_step():
    # At its first step and with one image in a batch, training has the same noise and statistics.
    with small(count=1, dropout=0.5, seed=5) as model:
        generator_first = tf.trainable_variables()
        assert generator_first[0].op.name.startswith("generator/")
        seen = run(model.outputs, oracles.draw(generator_first, seed=2, spread=0.1))
    inputs, _ = images(1)
    (made,) = translated(SMALL.replace(dropout=0.5), inputs)
    np.testing.assert_allclose(made, seen, rtol=0, atol=1e-4)
