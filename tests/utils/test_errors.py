"""Messages of errors: one line, deliberate lists, and what to do about a full disk."""

import pickle
from pathlib import Path

import pytest
import tensorflow.compat.v1 as tf

from p2p_graph.checkpoints import save_checkpoint
from p2p_graph.utils.errors import (
    UserError,
    check_bounds,
    escaped,
    one_line_reason,
    printable,
    shortened_list,
    why_not_written,
)

needs_full_device = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")


def test_line_breaks_of_names_are_escaped():
    assert str(UserError("folder a\nb\r\x1b[2J\u2028c holds none")) == (
        r"folder a\nb\r\x1b[2J\u2028c holds none"
    )
    assert escaped("Größe 日本 a\\nb") == "Größe 日本 a\\nb"
    # An error about an error escapes nothing twice.
    assert str(UserError(f"row 1: {UserError(chr(10))}")) == r"row 1: \n"


def test_lists_keep_their_line_breaks():
    error = UserError("2 images in a\nb cannot be used:", "c\nd: is empty", "e: is empty")
    text = "2 images in a\\nb cannot be used:\n  c\\nd: is empty\n  e: is empty"
    assert str(error) == text
    assert str(pickle.loads(pickle.dumps(error))) == text  # as from a worker process
    many = str(UserError("many:", *map(str, range(30)))).splitlines()
    assert (len(many), many[-1]) == (22, "  ... and 10 more")
    assert shortened_list(["a\nb"]) == "  a\\nb"


def system_error():
    with Path("/dev/full").open("w") as file:
        file.write("x")


def tensorflow_error():
    with tf.io.gfile.GFile("/dev/full", "w") as file:
        file.write("x")


@needs_full_device
@pytest.mark.parametrize("fail", [system_error, tensorflow_error])
@pytest.mark.parametrize(
    ("size", "room"),
    [(None, "some space on that disk"), (653_200_000, "654 MB there"), (9, "1 MB there")],
)
def test_a_full_disk(fail, size, room):
    with pytest.raises((OSError, tf.errors.OpError)) as caught:
        fail()
    said = why_not_written(caught.value, size)
    assert said == f"No space left on device: free {room}, then run the same command again"


def test_other_reasons(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        (tmp_path / "no" / "file").write_text("x")
    assert why_not_written(caught.value, 5) == "No such file or directory"
    assert why_not_written(OSError("encoder error -2")) == "encoder error -2"


@needs_full_device
def test_a_checkpoint_that_does_not_fit(tmp_path):
    """The message says how much it takes: all variables, whatever their type."""

    class Saver(tf.train.Saver):
        """Writes to a disk that is full."""

        def save(self, *args, **options):
            tensorflow_error()

    with tf.Graph().as_default(), tf.Session() as session:
        # The variables are never initialised and take no memory.
        tf.get_variable("weights", [1000, 1000, 100])
        tf.get_variable("steps", [1_000_000], tf.int64, tf.zeros_initializer)
        with pytest.raises(UserError) as caught:
            save_checkpoint.save(Saver(), session, tmp_path, 7)
    assert str(caught.value) == (
        f"checkpoint {tmp_path}/model-7 cannot be written (none is saved there yet): "
        "No space left on device: free 408 MB there, then run the same command again"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (0, "at least 1, not 0"),
        (-5.5, "at least 1, not -5.5"),
        (9, "at most 8, not 9"),
        (10**30, "at most 8, not 1000"),
        (float("nan"), "at least 1, not nan"),
        (float("inf"), "at most 8, not inf"),
    ],
)
def test_bounds(value, reason):
    with pytest.raises(UserError, match=f"^size must be {reason}"):
        check_bounds("size", value, 1, 8)


def test_numbers_within_bounds():
    for value in (1, 8, 2.5):
        check_bounds("size", value, 1, 8)


def test_names_from_files():
    assert printable("ä b") == "ä b"
    assert printable("a\nb\0") == r"'a\nb\x00'"


def test_an_error_without_a_text():
    class SilentError(Exception):
        def __str__(self):
            raise ValueError("no text")

    assert one_line_reason(SilentError()) == "SilentError"
    assert one_line_reason(ValueError("one\ntwo")) == "one"
