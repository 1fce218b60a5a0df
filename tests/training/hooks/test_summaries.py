"""TensorBoard's event files."""

import time

import pytest
import tensorflow.compat.v1 as tf

from p2p_graph.training.hooks.summaries import EventFile
from p2p_graph.utils.errors import UserError


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
