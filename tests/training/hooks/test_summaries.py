"""TensorBoard's event files."""

import time

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from p2p_graph.training.hooks.summaries import EventFile, WriteSummaries
from p2p_graph.training.optimizers import make_optimizers
from p2p_graph.training.session_calls import Schedule
from p2p_graph.utils.errors import UserError

from ..test_step import SMALL, build


def test_files_have_the_order_of_the_runs(graph, tmp_path, monkeypatch):
    """TensorBoard reads them by name: also where the clock was set back between two runs."""
    clocks = (2_000_000_000, 2_000_000_000, 1_999_996_400, 2_000_000_001)
    names = []
    for now in clocks:
        monkeypatch.setattr(time, "time", lambda now=now: float(now))
        events = EventFile(tmp_path, graph)
        events.write(tf.Event())
        events.close()
        (name,) = {path.name for path in tmp_path.iterdir()} - set(names)
        names.append(name)
    assert names == sorted(names)


def test_a_disk_that_is_full_only_when_the_file_is_closed(graph, tmp_path, monkeypatch):
    events = EventFile(tmp_path, graph)
    events.write(tf.Event())

    def fail(writer):
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    monkeypatch.setattr(tf.io.TFRecordWriter, "close", fail)
    with pytest.raises(UserError, match=r"cannot be written to .*No space left on device: free"):
        events.finish()
    events.close()


def test_histograms_are_of_the_weights_after_the_step(graph, tmp_path):
    step = build(SMALL, make_optimizers(SMALL.optimizer))
    variables = {f"{v.op.name}/values": v for v in tf.trainable_variables()}
    hook = WriteSummaries(step, {}, {}, EventFile(tmp_path, graph), 1, Schedule(10), is_new=False)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        for _ in range(3):
            _, fetched = session.run([step.train, hook.request().fetches])
            summary = tf.Summary.FromString(fetched["summary"])
            found = {value.tag: value.histo for value in summary.value if value.tag in variables}
            after = session.run(variables)
            assert found.keys() == after.keys()
            for tag, values in after.items():
                bounds = found[tag].min, found[tag].max
                np.testing.assert_array_equal(bounds, (values.min(), values.max()), err_msg=tag)
