"""TF_CONFIG, and what is noticed of other processes."""

import contextlib
import json
import math
import socket
import threading
import types

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from p2p_graph.runtime import cluster
from p2p_graph.runtime.agreement import Agreement, compared_options
from p2p_graph.runtime.cluster import Cluster, PeerWatch, joined, read_cluster
from p2p_graph.runtime.devices import choose
from p2p_graph.runtime.distribute import distribute
from p2p_graph.utils.errors import UserError

TWO = {"worker": ["one:1", "two:2"]}


def config(cluster, kind="worker", index=0):
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})}


def test_processes_are_numbered():
    assert read_cluster(config(TWO)) == Cluster(TWO, ["one:1", "two:2"], 0)
    second = read_cluster(config(TWO, index=1))
    assert (second.worker, second.task) == (1, ("worker", 1))
    assert second.named(0) == "worker 0 (one:1)"


def test_a_chief_is_the_first():
    jobs = {"worker": ["one:1", "two:2"], "chief": ["zero:3"]}
    assert read_cluster(config(jobs, "chief")).worker == 0
    worker = read_cluster(config(jobs, "worker", 1))
    assert worker.addresses == ["zero:3", "one:1", "two:2"]
    assert (worker.worker, worker.task) == (2, ("worker", 1))


@pytest.mark.parametrize("environment", [{}, {"TF_CONFIG": " "}, config({"worker": ["one:1"]})])
def test_one_process(environment):
    assert read_cluster(environment) is None


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"TF_CONFIG": "host1,host2"}, "must be JSON"),
        ({"TF_CONFIG": "[]"}, "must be JSON"),
        ({"TF_CONFIG": '{"cluster": {"worker": 5}, "task": {}}'}, "must be JSON"),
        ({"TF_CONFIG": "[" * 200_000}, "must be JSON"),
        (config(TWO, index=math.inf), "must be JSON"),
        (config(TWO, index=0.5), "must be JSON"),
        (config(TWO, index=True), "must be JSON"),
        (config({"worker": "one:1"}), "must be JSON"),
        (config({"worker": ["one:1", 2]}), "must be JSON"),
        (config({"worker": ["one:1", "two"]}), "'two' must be HOST:PORT"),
        (config({"worker": ["one:1", "two:99999"]}), "'two:99999' must be .* from 1 to 65535"),
        (config({"worker": ["one:0", "two:1"]}), "'one:0' must be .* from 1 to 65535"),
        (config({"worker": ["one:1", "one:1"]}), "one address"),
        (config({"chief": ["one:1", "two:1"]}), "two chiefs"),
        (config({**TWO, "ps": ["three:3"]}), "the job ps has no part"),
        (config(TWO, index=2), "no task 2 of type worker"),
        (config(TWO, "chief"), "no task 0 of type chief"),
    ],
)
def test_wrong_descriptions(environment, words):
    with pytest.raises(UserError, match=f"environment variable TF_CONFIG: .*{words}"):
        read_cluster(environment)


@pytest.fixture
def peer():
    """A listening socket's address, and the socket."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}", listening


def test_a_port_that_is_taken(peer):
    taken = Cluster({"worker": [peer[0], "127.0.0.1:1"]}, [peer[0], "127.0.0.1:1"], 0)
    with pytest.raises(UserError, match="another program has this port"), joined(taken, None):
        pass


def test_an_address_of_another_machine():
    addresses = ["198.51.100.7:31111", "127.0.0.1:1"]  # the first of a network for documents
    other = Cluster({"worker": addresses}, addresses, 0)
    wanted = 'no address of this machine: check "index"'
    with pytest.raises(UserError, match=wanted), joined(other, None):
        pass


def test_a_process_that_goes(peer, monkeypatch):
    monkeypatch.setattr(cluster, "_PROBES", 1)
    addresses = ["127.0.0.1:1", peer[0]]
    watch = PeerWatch(Cluster({"worker": addresses}, addresses, 0))
    try:
        monkeypatch.setattr(cluster.time, "sleep", lambda seconds: None)
        assert watch.why() is None
        peer[1].close()
        assert watch.why() == f"worker 1 ({peer[0]}) does not answer any more"
    finally:
        watch.close()


@pytest.mark.parametrize("refuses", [True, False])
@pytest.mark.parametrize("has_session", [True, False])
def test_a_process_without_work_stays_until_the_others_have_seen_it(
    peer, monkeypatch, refuses, has_session
):
    """A run that is done already needs no session; the others would wait for it to start."""
    slept = []
    server = types.SimpleNamespace(target="grpc://here")
    monkeypatch.setattr(cluster.tf.train, "Server", lambda *_, **__: server)
    monkeypatch.setattr(cluster.time, "sleep", slept.append)
    addresses = ["127.0.0.1:1", peer[0]]
    with (
        pytest.raises(UserError) if refuses else contextlib.nullcontext(),
        joined(Cluster({"worker": addresses}, addresses, 0), None) as connection,
    ):
        if has_session:
            connection.watch.after_create_session(None, None)
        if refuses:
            raise UserError("no")
    assert len(slept) == (0 if has_session else 1)
    assert all(cluster._ANSWER_WITHIN < seconds <= cluster._SEEN_WITHIN for seconds in slept)


@pytest.mark.parametrize("in_call", [True, False])
@pytest.mark.parametrize("what", ["call", "session"])
def test_a_host_that_vanishes(peer, monkeypatch, capfd, what, in_call):
    """A call or a new session that would wait forever is ended; between calls nothing is."""
    ended = threading.Event()
    monkeypatch.setattr(cluster, "_PROBE_EVERY", 0.01)
    monkeypatch.setattr(cluster, "_STEP_MAY_END", 0.01)
    monkeypatch.setattr(cluster.os, "_exit", lambda code: ended.set())
    addresses = ["127.0.0.1:1", peer[0]]
    watch = PeerWatch(Cluster({"worker": addresses}, addresses, 0))
    try:
        watch.before_run(None) if what == "call" else watch.begin()
        if not in_call:
            watch.after_run(None, None) if what == "call" else watch.after_create_session(
                None, None
            )
        assert not ended.wait(0.2)
        peer[1].close()
        assert ended.wait(10 if in_call else 0.3) == in_call
    finally:
        watch.close()
    if in_call:
        assert (
            f"worker 1 ({peer[0]}) does not answer any more: its own output"
            in capfd.readouterr().err
        )


class Summed:
    """Replicas of which the others have these numbers."""

    def __init__(self, *others):
        self.others, self.count = others, 1 + len(others)

    def total(self, value):
        return value + sum(
            tf.stack([tf.constant(one), tf.constant(one) ** 2]) for one in self.others
        )


@pytest.mark.parametrize(("difference", "words"), [(0, None), (1, "differ in images: start")])
def test_processes_that_were_given_other_images(monkeypatch, difference, words):
    monkeypatch.setattr("p2p_graph.runtime.agreement._digest", {"a": 5, "b": 2**24 - 1}.get)
    others = [np.array([5, 2**24 - 1 - d]) for d in (0, difference)]
    with tf.Graph().as_default(), tf.Session() as session:
        agreement = Agreement(Summed(*others))
        facts = {"options": "a", "images": "b"}
        if words is None:
            agreement.check(session, facts, "runs/one")
        else:
            with pytest.raises(UserError, match=words):
                agreement.check(session, facts, "runs/one")


def test_options_that_must_be_the_same():
    flat = {"lr": 0.1, "input_dir": "x", "output_dir": "y", "max_steps": 5, "save_freq": 3}
    flat |= {"arrays": "A,B", "more_inputs": ["z"]}
    assert compared_options(flat) == {"lr": 0.1, "max_steps": 5, "arrays": "A,B"}


def test_a_cpu_of_several_hosts_has_one_replica():
    two = read_cluster(config({"worker": ["127.0.0.1:1", "127.0.0.1:2"]}, index=1))
    with pytest.raises(UserError, match="on several hosts a CPU has one replica"):
        distribute("2", choose("cpu"), two)
    replicas, device = distribute("1", choose("cpu"), two)
    assert (replicas.count, replicas.local, replicas.is_chief) == (2, 1, False)
    assert device.name.endswith("worker 1 of 2 with 1 replica each")
