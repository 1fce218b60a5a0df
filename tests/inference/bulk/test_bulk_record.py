"""The record of a folder of shards."""

import errno
import os

import pytest

from p2p_graph.config.output_folder import claimed
from p2p_graph.inference.bulk import bulk_record
from p2p_graph.utils.errors import UserError


def test_a_record_that_does_not_fit_on_the_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    """The advice is to run the command again, which takes what it finds for its own."""
    with monkeypatch.context() as full:

        def fail(path, _):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

        full.setattr(bulk_record, "write_json", fail)
        with pytest.raises(UserError, match="No space left"):
            bulk_record.begin(tmp_path, {"weights": "a"})
    with claimed(tmp_path, "translate_many", bulk_record.WRITTEN):
        bulk_record.begin(tmp_path, {"weights": "a"})
    bulk_record.write_done(tmp_path, 0, 1, bulk_record.DoneShard(3, [], None))
    with pytest.raises(UserError, match="another checkpoint"):
        bulk_record.begin(tmp_path, {"weights": "b"})
